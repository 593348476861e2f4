"""Kinds of values that several settings have."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator

_SIZE = re.compile(r"(\d{1,12})\s*(|B|[kKMG]i?B)\Z")
_FACTORS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20} | {
    "kiB": 1 << 10,
    "GB": 10**9,
    "GiB": 1 << 30,
}


def parse_size(value: object) -> int:
    """Return bytes from a number or a text such as `16MiB`; raise ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.match(value)):
        return int(match.group(1)) * _FACTORS[match.group(2)]
    raise ValueError(f"expected a size such as 16MiB, got {value!r}")


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected a URL such as http://prometheus:9090, got {value!r}")
    if parts.password or parts.username:
        raise ValueError("a URL here holds no user and no password: name a file")
    return value.rstrip("/")


Size = Annotated[int, BeforeValidator(parse_size)]
"""Bytes; written as `16MiB`."""
HttpUrl = Annotated[str, AfterValidator(_http_url)]
