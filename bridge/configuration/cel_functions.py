"""The functions that expressions have beside CEL's own. Pure; used by expressions.py.

What one of them cannot do raises ValueError, and makes the expression unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote


def url(value: Any) -> str:
    """Return a text as one part of a path, or one value of a query: `/`, `&` and the like are escaped (RFC 3986)."""
    if value in (".", ".."):
        raise ValueError("dots alone would lead to another path")
    return quote(_text(value), safe="")


def join(values: Any, between: Any = ", ") -> str:
    """Return the texts of a list as one, `between` them."""
    return _text(between).join(_text(value) for value in _list(values))


def lines(values: Any) -> str:
    """Return the texts of a list below one another."""
    return join(values, "\n")


def total(values: Any) -> int | float:
    """Return the sum of a list of numbers; 0 of none."""
    return sum(_number(value) for value in _list(values))


def rounded(value: Any, digits: Any = 0) -> float:
    """Return a number rounded to so many digits behind the point."""
    return round(float(_number(value)), int(_number(digits)))


def lower(value: Any) -> str:
    return _text(value).lower()


def replace(value: Any, old: Any, new: Any) -> str:
    """Return a text with every `old` replaced."""
    if old == "":
        raise ValueError("an empty text is everywhere")
    return _text(value).replace(_text(old), _text(new))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("takes a text")
    return value


def _list(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("takes a list")
    return value


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("takes a number")
    return value


OWN: Mapping[str, Callable[..., Any]] = {
    "url": url,
    "join": join,
    "lines": lines,
    "sum": total,
    "round": rounded,
    "lower": lower,
    "replace": replace,
}
