"""JSON that is wrong somewhere where we may not even look. Called by decode after its own decoder refused a body.

msgspec refuses NaN, Infinity and lone surrogates wherever they stand. Senders are not to lose an alert over a field
that we ignore, so such a body is read once more by the standard library's more lenient decoder. Only bodies that
hold one of these are: a second look at every broken body would double what an attacker can make us spend.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any

_LENIENT = re.compile(rb"NaN|Infinity|\\u[dD][89a-fA-F]")


class NotJson(ValueError):
    """No decoder can make sense of it; the message is for the sender."""


class _Odd:
    """Stands for a number that is none: of no type that we read."""


_ODD = _Odd()


def loads(body: bytes, error: Exception) -> Any:
    """Return the document; `error` is what the strict decoder said. Raises NotJson."""
    if isinstance(error, UnicodeDecodeError):
        raise NotJson("the body is not valid UTF-8")
    if body.startswith(b"\xef\xbb\xbf"):
        raise NotJson("the body begins with a byte order mark, which JSON does not allow (RFC 8259, section 8.1)")
    if not _LENIENT.search(body):
        raise NotJson(_words(error))
    try:
        return json.loads(body.decode("utf-8"), parse_constant=lambda _: _ODD, parse_int=_whole)
    except UnicodeDecodeError:
        raise NotJson("the body is not valid UTF-8") from None
    except ValueError:
        raise NotJson(_words(error)) from None
    except RecursionError:
        raise NotJson("the JSON is nested too deep") from None


def check_text(*values: Any) -> None:
    """Raise NotJson when one of the texts (or of a mapping's keys and values) is no Unicode text."""
    for value in values:
        texts = [*value, *value.values()] if isinstance(value, Mapping) else [value]
        for text in texts:
            if isinstance(text, str):
                try:
                    text.encode("utf-8")
                except UnicodeEncodeError:
                    raise NotJson("a text holds a lone surrogate, which no UTF-8 encodes") from None


def excerpt(value: Any, longest: int) -> str:
    """Return the beginning of `value` for a record, as text that can be encoded."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = longest
    return short.repr(value)[:longest].encode("utf-8", "replace").decode("utf-8")


def _whole(digits: str) -> Any:
    # Longer ones fit no field of ours, and int() refuses more than 4,300 digits with an error of its own.
    return int(digits) if len(digits) <= 20 else _ODD


def _words(error: Exception) -> str:
    text = str(error)
    return text if text.startswith("JSON is malformed") else f"JSON is malformed: {text}"
