"""Take credentials out of texts before they are kept, and out of plans and answers before they are shown.

Called by every collector that keeps foreign text, and by the API for what it shows of a journal.

Patterns can only catch what looks like a credential. They err on the side of taking too much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_MARK = "[redacted]"
_NAMES = (
    r"pass(?:word|wd|phrase|code)?|pwd|secret|token|api[-_]?key|access[-_]?key|account[-_]?key|private[-_]?key|"
    r"signing[-_]?key|encryption[-_]?key|credentials?|auth|signature"
)
_QUOTE = r"(?:\\{0,4}[\"'])?"
"""Also one that JSON inside a JSON text has escaped."""
_NAMED = rf"[\w.-]{{0,64}}?(?:{_NAMES})[\w.-]{{0,64}}"
_RULES = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
            re.S,
        ),
        _MARK,
    ),
    # A key whose beginning is above the first line that was read.
    (re.compile(r"\A.*-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.S), _MARK),
    (re.compile(r"\b((?:set-)?cookie[\"']?[ \t]{0,4}[:=])[^\n]*", re.I), rf"\1 {_MARK}"),
    (re.compile(r"\b(bearer|basic|digest|negotiate)[ \t]+[-A-Za-z0-9._~+/=]{6,}", re.I), rf"\1 {_MARK}"),
    (re.compile(r"\beyJ[-A-Za-z0-9_]{8,}\.[-A-Za-z0-9_]{4,}(?:\.[-A-Za-z0-9_]*)*"), _MARK),
    (re.compile(r"(://[^\s/:@]{0,256}):[^\s/@]{1,256}@"), rf"\1:{_MARK}@"),
    # What well-known providers begin their keys with.
    (
        re.compile(
            r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[-\w]{16,}"
            r"|\bxox[a-z]-[-A-Za-z0-9]{8,}|\bAIza[-\w]{30,}|\b[srp]k_(?:live|test)_[A-Za-z0-9]{10,}"
            r"|\bSG\.[-\w]{16,}\.[-\w]{16,}|\bnpm_[A-Za-z0-9]{30,}|\bhvs\.[-\w]{16,}"
            r"|(?<=hooks\.slack\.com/services/)[\w/]{10,}|\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}"
        ),
        _MARK,
    ),
    # YAML and JSON of a variable: its name on one line, its value on the next.
    (
        re.compile(
            rf"(\bname{_QUOTE}[ \t]{{0,4}}:[ \t]{{0,4}}{_QUOTE}{_NAMED}{_QUOTE}[ \t]{{0,4}},?\s{{0,64}}"
            rf"{_QUOTE}value{_QUOTE}[ \t]{{0,4}}:[ \t]{{0,4}})"
            r"(?:\\{1,4}[\"'][^\"'\\\n]*|\"[^\"\n]*\"|'[^'\n]*'|[^\s,}]+)",
            re.I,
        ),
        rf"\1{_MARK}",
    ),
    # A block of YAML under such a name.
    (
        re.compile(
            rf"((?m:^)([ \t]{{0,64}})[\"']?{_NAMED}[\"']?[ \t]{{0,4}}:[ \t]{{0,4}}[|>][-+0-9]{{0,2}}[ \t]{{0,4}}\n)"
            r"(?:\2[ \t]+[^\n]*(?:\n|\Z)|[ \t]*\n)+",
            re.I,
        ),
        rf"\1\2  {_MARK}\n",
    ),
    (
        re.compile(
            rf"((?<![\w-])[\w-]{{0,128}}?(?:{_NAMES})[\w.]{{0,32}}{_QUOTE}[ \t]{{0,4}}(?:=>|[:=])[ \t]{{0,4}})"
            r"(?:\\{1,4}[\"'][^\"'\\\n]*|\"[^\"\n]*\"|'[^'\n]*'|\[[^\]\n]*\]?|[^\s,;&\"']+)",
            re.I,
        ),
        rf"\1{_MARK}",
    ),
    (
        re.compile(rf"((?<![\w-])--[\w.-]{{0,64}}?(?:{_NAMES})[\w.-]{{0,32}}[ \t]{{1,4}})[^\s-]\S*", re.I),
        rf"\1{_MARK}",
    ),
    (re.compile(r"((?<![\w-])(?:-u|--user|--proxy-user)[ \t=]{1,4}[^\s:]{1,64}:)\S+"), rf"\1{_MARK}"),
    # SQL, and the configuration of Redis.
    (re.compile(r"(\b(?:password|identified[ \t]{1,4}by)[ \t]{1,4})'[^'\n]*'", re.I), rf"\1{_MARK}"),
    (
        re.compile(
            r"((?m:^)[ \t]{0,16}(?:requirepass|masterauth|sentinel[ \t]{1,4}auth-pass[ \t]{1,4}\S{1,64})[ \t]{1,4})"
            r"\S+",
            re.I,
        ),
        rf"\1{_MARK}",
    ),
)
_SECRET_NAME = re.compile(_NAMES, re.I)
_KEY_OF_VALUE = re.compile(
    r"(?:pass(?:word|wd|phrase|code)|pwd|[-_.]?token|api[-_.]?key|access[-_.]?key|account[-_.]?key|private[-_.]?key|"
    r"client[-_.]?secret|credentials?|authorization|signature)\Z",
    re.I,
)
"""Keys whose value is the credential itself; `secretName` and `tokenReviews` are called like one and hold none."""
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

    A plan holds whole pod templates, with what somebody wrote into `env` in clear, and Secrets. The stored plan needs
    that to be applied and undone; whoever looks at it does not.
    """
    if isinstance(value, str):
        return redact(value, longest=_LONGEST_SHOWN)
    if isinstance(value, list | tuple):
        return [mask(item) for item in value]
    if isinstance(value, dict):
        return {key: _MARK if _hidden(value, key) else mask(item) for key, item in _opened(value).items()}
    return value


def mask_values(values: Mapping[str, str], *, longest: int) -> dict[str, str]:
    """Return a ConfigMap's values without credentials; one whose key is called like one is masked as a whole."""
    return {
        key: _MARK if _SECRET_NAME.search(key) and text else redact(text, longest=longest)
        for key, text in values.items()
    }


def smells(name: str) -> bool:
    """Whether something is called like a credential."""
    return _SECRET_NAME.search(name) is not None


def _hidden(document: Mapping[str, Any], key: str) -> bool:
    """Whether the value of `key` is a credential because of what it is called."""
    value = document[key]
    if not isinstance(value, str) or not value:
        return False
    if key == "value" and isinstance(document.get("name"), str) and smells(document["name"]):
        return True
    pointer = document.get("pointer")
    if key in ("before", "after") and isinstance(pointer, str) and smells(pointer.rpartition("/")[2]):
        return True
    return _KEY_OF_VALUE.search(key) is not None


def _opened(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a Secret, or a change of one, without its values."""
    reference = document.get("ref")
    if document.get("kind") == "Secret" and ("data" in document or "stringData" in document):
        return {key: _blanked(item) if key in ("data", "stringData") else item for key, item in document.items()}
    if (
        isinstance(reference, Mapping)
        and reference.get("kind") == "Secret"
        and isinstance(document.get("fields"), list | tuple)
    ):
        fields = [_blanked_field(field) for field in document["fields"]]
        return {**document, "fields": fields}
    return document


def _blanked(values: Any) -> Any:
    return dict.fromkeys(values, _MARK) if isinstance(values, Mapping) else values


def _blanked_field(field: Any) -> Any:
    if not isinstance(field, Mapping) or not str(field.get("pointer", "")).startswith(("/data", "/stringData")):
        return field
    hidden = {key: _blanked_value(field[key]) for key in ("before", "after") if key in field}
    return {**field, **hidden}


def _blanked_value(value: Any) -> Any:
    return _MARK if isinstance(value, str) else _blanked(value)
