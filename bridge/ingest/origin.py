"""Keep browsers out. A page of another site can make a browser post to loopback; no sender of alerts is a browser."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import hdrs
from multidict import CIMultiDictProxy


def from_another_site(headers: CIMultiDictProxy[str]) -> bool:
    """Whether the request says that a page of another site made it. Programs send no Origin."""
    origin = headers.get(hdrs.ORIGIN)
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != headers.get(hdrs.HOST, "").lower()
    except ValueError:
        return True


@lru_cache(maxsize=64)
def is_loopback(host: str) -> bool:
    """Whether a Host header (or an address to listen on) names this machine's loopback and nothing else."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
