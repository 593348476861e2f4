"""Addresses of HTTP peers: their origin, and how a list of allowed hosts may call it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from bridge.errors import InvalidInput

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> tuple[str, frozenset[str]]:
    """Return `scheme://host:port` of an HTTP address and how the list may call it; raise InvalidInput otherwise."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{url[:80]!r} is not an HTTP address") from error
    plain = parts.scheme in _PORTS and parts.hostname and parts.username is None and parts.password is None
    if not plain or any(ord(c) <= 32 or ord(c) == 127 or c == "\\" for c in url):
        raise InvalidInput(f"{url[:80]!r} is not an HTTP address")
    own = _PORTS[parts.scheme]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    origin = f"{parts.scheme}://{host}:{port or own}"
    places = {origin, f"{host}:{port or own}"} | ({str(host)} if port in (None, own) else set())
    return origin, frozenset(places)


def origins_of_hosts(hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the origins that `host` and `host:port` of the settings stand for, by HTTP and by TLS."""
    return tuple(origin_of(f"{scheme}://{host}")[0] for host in hosts for scheme in ("http", "https"))
