"""Keep evidence within a bound: the largest texts are cut first, then the longest lists. Pure functions.

What is cut says so in its place, and keeps its end: in logs and events the newest stands last.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

_LEAST = 512
"""Characters that every text keeps."""
_TRIES = 4
_NOTE = 80
"""Characters that a cut text gets in addition, at most."""
_FEWEST = 5
"""Items that every list keeps."""

Path = tuple[str | int, ...]


def fit(values: dict[str, Any], most: int) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the pieces of evidence with at most about `most` bytes as JSON, and by path what was cut.

    The pieces that came in are left as they are.
    """
    size = len(msgspec.json.encode(values))
    if size <= most:
        return values, {}
    cut: dict[str, str] = {}
    kept, too_much = values, size - most
    for _ in range(_TRIES):
        cut = {}
        kept = _texts(values, too_much, cut)
        over = len(msgspec.json.encode(kept)) - most
        if over <= 0:
            return kept, cut
        # As JSON a line break and everything beyond ASCII is longer than the character that was counted.
        too_much += 2 * over
    kept = _lists(kept, most, cut)
    if len(msgspec.json.encode(kept)) > most:
        kept = _pieces(kept, most, cut)
    return kept, cut


def _texts(values: dict[str, Any], too_much: int, cut: dict[str, str]) -> dict[str, Any]:
    """Cut every text above one length, which is chosen so that `too_much` characters go."""
    level = _level([len(text) for text in _leaves(values)], too_much)

    def shorten(text: str, path: Path) -> str:
        if len(text) <= level + _NOTE:
            return text
        cut[_written(path)] = f"{len(text)} characters, of which the last {level} are kept"
        return f"[cut: the last {level} of {len(text)} characters]\n{text[-level:]}"

    shortened: dict[str, Any] = _mapped(values, (), shorten)
    return shortened


def _lists(values: dict[str, Any], most: int, cut: dict[str, str]) -> dict[str, Any]:
    """Halve the lists of each piece until it all fits, or each is down to its fewest items."""
    keep = 64
    kept = values
    while keep > _FEWEST and len(msgspec.json.encode(kept)) > most:
        keep //= 2
        kept = _shortened(values, (), max(keep, _FEWEST), cut)
    return kept


def _pieces(values: dict[str, Any], most: int, cut: dict[str, str]) -> dict[str, Any]:
    """Leave the largest pieces out until the rest fits."""
    # With the braces around it, which make up for its colon and comma.
    sizes = {name: len(msgspec.json.encode({name: value})) for name, value in values.items()}
    kept = dict(values)
    for name in sorted(sizes, key=lambda name: -sizes[name]):
        if sum(sizes[other] for other in kept) <= most:
            break
        cut[name] = f"{sizes[name]} bytes: too large to be kept at all"
        del kept[name]
    return kept


def _level(lengths: list[int], too_much: int) -> int:
    """Return the largest length to which all texts are cut that saves so much, at least what every text keeps."""
    low, high = _LEAST, max(lengths, default=_LEAST)
    while low < high:
        middle = (low + high + 1) // 2
        saved = sum(length - middle - _NOTE for length in lengths if length > middle + _NOTE)
        low, high = (middle, high) if saved >= too_much else (low, middle - 1)
    return max(low, _LEAST)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


def _mapped(value: Any, path: Path, change: Any) -> Any:
    if isinstance(value, str):
        return change(value, path)
    if isinstance(value, dict):
        return {key: _mapped(item, (*path, key), change) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item, (*path, at), change) for at, item in enumerate(value)]
    return value


def _shortened(value: Any, path: Path, keep: int, cut: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _shortened(item, (*path, key), keep, cut) for key, item in value.items()}
    if isinstance(value, list):
        if len(value) > keep:
            cut[_written(path)] = f"{len(value)} items, of which the first and the last, {keep} in all, are kept"
            value = [*value[: keep // 2], *value[-(keep - keep // 2) :]]
        return [_shortened(item, (*path, at), keep, cut) for at, item in enumerate(value)]
    return value


def _written(path: Path) -> str:
    return ".".join(map(str, path))
