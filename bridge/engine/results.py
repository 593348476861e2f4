"""What is kept of a call's result in the journal: plain JSON, bounded, without credentials. Called by make."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.model.redact import redact

_LONGEST_TEXT = 4096
_MOST_ITEMS = 100
_DEEPEST = 8
_LARGEST = 32 * 1024
_MARK = "[redacted]"
_SECRET_KEY = re.compile(
    r"(?:.*[-_.])?(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|private[-_]?key|credentials?)", re.I
)


def kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return `result` as it is journalled, and as later expressions and `verify` see it.

    Long texts keep their end, long lists their beginning; a result that is still too large keeps what is smallest
    and says so under `truncated`.
    """
    cleaned = {str(key): _clean(str(key), value, 1) for key, value in list(result.items())[:_MOST_ITEMS]}
    sizes = {key: len(msgspec.json.encode(value)) for key, value in cleaned.items()}
    if sum(sizes.values()) <= _LARGEST:
        return cleaned
    small: dict[str, Any] = {"truncated": True}
    left = _LARGEST
    for key in sorted(cleaned, key=sizes.__getitem__):
        left -= sizes[key]
        if left < 0:
            break
        small[key] = cleaned[key]
    return small


def _clean(key: str, value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _MARK if value and _SECRET_KEY.fullmatch(key) else redact(value, longest=_LONGEST_TEXT)
    if depth >= _DEEPEST and isinstance(value, Mapping | list | tuple):
        return "…"
    if isinstance(value, Mapping):
        return {str(k): _clean(str(k), v, depth + 1) for k, v in list(value.items())[:_MOST_ITEMS]}
    if isinstance(value, list | tuple):
        return [_clean(key, item, depth + 1) for item in value[:_MOST_ITEMS]]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(str(value), longest=_LONGEST_TEXT)
