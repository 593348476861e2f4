"""Certificates with their keys in files of this host, by name; read anew each time, since somebody renews them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from bridge.errors import InvalidInput, PermanentError
from bridge.outside.options import TlsPair

_LARGEST = 256 * 1024


async def read_pair(name: str, pairs: Mapping[str, TlsPair]) -> tuple[bytes, bytes]:
    """Return certificate and key; raise InvalidInput or PermanentError, whose texts quote neither."""
    pair = pairs.get(name)
    if pair is None:
        known = ", ".join(sorted(pairs)) or "there is none"
        raise InvalidInput(f"no pair {name!r} under `tls_pairs` in the settings: {known}")
    return await asyncio.to_thread(_read, name, pair)


def _read(name: str, pair: TlsPair) -> tuple[bytes, bytes]:
    found = []
    for path in (pair.cert_file, pair.key_file):
        try:
            with Path(path).open("rb") as file:
                data = file.read(_LARGEST + 1)
        except OSError as error:
            raise PermanentError(f"pair {name}: {path} cannot be read: {error.strerror or error}") from None
        if len(data) > _LARGEST:
            raise PermanentError(f"pair {name}: {path} is larger than {_LARGEST} bytes")
        found.append(data)
    return found[0], found[1]
