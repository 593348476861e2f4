"""Take credentials out of texts before they are kept, and out of plans before they are shown.

Called by every collector that keeps foreign text, and by the API for what it shows of a journal.

Patterns can only catch what looks like a credential. They err on the side of taking too much.
"""

from __future__ import annotations

import re
from typing import Any

_MARK = "[redacted]"
_NAMES = r"pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credentials?|auth"
_QUOTE = r"(?:\\{0,4}[\"'])?"
"""Also one that JSON inside a JSON text has escaped."""
_RULES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), _MARK),
    # A key whose beginning is above the first line that was read.
    (re.compile(r"\A.*-----END [A-Z ]*PRIVATE KEY-----", re.S), _MARK),
    (re.compile(r"\b((?:set-)?cookie[\"']?[ \t]{0,4}[:=])[^\n]*", re.I), rf"\1 {_MARK}"),
    (re.compile(r"\b(bearer|basic)[ \t]+[-A-Za-z0-9._~+/=]{6,}", re.I), rf"\1 {_MARK}"),
    (re.compile(r"\beyJ[-A-Za-z0-9_]{8,}\.[-A-Za-z0-9_]{4,}(?:\.[-A-Za-z0-9_]*)?"), _MARK),
    (re.compile(r"(://[^\s/:@]{0,256}):[^\s/@]{1,256}@"), rf"\1:{_MARK}@"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bxox[a-z]-[-A-Za-z0-9]{8,}"), _MARK),
    (
        re.compile(
            rf"((?<![\w-])[\w-]{{0,128}}?(?:{_NAMES})\w{{0,32}}{_QUOTE}[ \t]{{0,4}}(?:=>|[:=])[ \t]{{0,4}})"
            r"(?:\\{1,4}[\"'][^\"'\\\n]*|\"[^\"\n]*\"|'[^'\n]*'|\[[^\]\n]*\]?|[^\s,;&\"']+)",
            re.I,
        ),
        rf"\1{_MARK}",
    ),
    (re.compile(rf"((?<![\w-])--[\w-]{{0,64}}?(?:{_NAMES})[\w-]{{0,32}}[ \t]{{1,4}})[^\s-]\S*", re.I), rf"\1{_MARK}"),
)
_SECRET_NAME = re.compile(_NAMES, re.I)
_LONGEST_SHOWN = 64 * 1024
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]|\x1b\[[0-9;]*[A-Za-z]")


def redact(text: str, *, longest: int) -> str:
    """Return `text` without credentials and control characters, its end kept when it is longer than `longest`."""
    cleaned = _CONTROL.sub("", text[-4 * longest :])
    for pattern, replacement in _RULES:
        cleaned = pattern.sub(replacement, cleaned)
    return cleaned if len(cleaned) <= longest else f"…{cleaned[-(longest - 1) :]}"


def mask(value: Any) -> Any:
    """Return plain JSON without credentials: in every text, and as the value of a variable that is called like one.

    A plan holds whole pod templates, with what somebody wrote into `env` in clear. The stored plan needs that to
    be applied and undone; whoever looks at it does not.
    """
    if isinstance(value, str):
        return redact(value, longest=_LONGEST_SHOWN)
    if isinstance(value, list):
        return [mask(item) for item in value]
    if isinstance(value, dict):
        name = value.get("name")
        if isinstance(value.get("value"), str) and isinstance(name, str) and _SECRET_NAME.search(name):
            value = {**value, "value": _MARK}
        return {key: mask(item) for key, item in value.items()}
    return value
