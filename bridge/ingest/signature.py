"""Signed bodies: Grafana's HMAC. Called by the receiver with the raw body, before anything is parsed.

What is signed is the raw body, or `<unix seconds>:<raw body>` where a timestamp header is configured; the signature
is HMAC-SHA256 in lower-case hex without a prefix (Grafana alerting, http/hmac.go).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import msgspec
from multidict import CIMultiDictProxy

from bridge.ingest.credentials import Credential
from bridge.model.principal import Principal
from bridge.ports import Clock, ReplayMemory

WINDOW = 300.0
"""Seconds that a timestamp may be off, either way."""


class Signed(msgspec.Struct, frozen=True):
    """Whose signature it is, and what the replay memory calls it; empty where nothing is remembered."""

    principal: Principal
    memory: str = ""


class _Key(msgspec.Struct, frozen=True):
    principal: Principal
    secret: bytes
    header: str
    timestamp_header: str


class SignatureChecker:
    """Checks signatures against all hmac credentials."""

    def __init__(self, credentials: Sequence[Credential], clock: Clock, replays: ReplayMemory | None) -> None:
        self._keys = [
            _Key(
                Principal(one.name, one.roles),
                secret.encode("utf-8"),
                one.signature_header.lower(),
                one.timestamp_header.lower(),
            )
            for one in credentials
            if one.type == "hmac"
            for secret in one.secrets
        ]
        self._headers = tuple(dict.fromkeys(key.header for key in self._keys))
        self._clock = clock
        self._replays = replays

    def present(self, headers: CIMultiDictProxy[str]) -> bool:
        """Whether the request claims to be signed."""
        return any(name in headers for name in self._headers)

    async def check(self, headers: CIMultiDictProxy[str], body: bytes) -> Signed | None:
        """Return who signed the body, or None when nobody that is known did, or it was seen before.

        Raises StoreUnavailable when that cannot be known. A signature that is accepted is remembered: call `forget`
        when its request was not stored after all.
        """
        found: _Key | None = None
        for key in self._keys:
            # No early end: how long it takes must not tell which credential was nearly right.
            if _matches(key, headers, body):
                found = key
        if found is None:
            return None
        if not found.timestamp_header:
            return Signed(found.principal)
        return await self._fresh(found, headers)

    async def forget(self, signed: Signed) -> None:
        """Let the sender send the same bytes again."""
        if signed.memory and self._replays is not None:
            await self._replays.forget(signed.memory)

    async def _fresh(self, key: _Key, headers: CIMultiDictProxy[str]) -> Signed | None:
        age = self._clock.now() - int(headers[key.timestamp_header])
        if abs(age) > WINDOW:
            return None
        name = f"{key.principal.name}:{headers[key.header]}"
        # It stays valid until its timestamp has left the window, so that it is remembered for as long.
        if self._replays is not None and not await self._replays.remember(name, WINDOW - age + 1):
            return None
        return Signed(key.principal, name)


def _matches(key: _Key, headers: CIMultiDictProxy[str], body: bytes) -> bool:
    given = headers.getall(key.header, [])
    digest = hmac.new(key.secret, digestmod=hashlib.sha256)
    if key.timestamp_header:
        stamps = headers.getall(key.timestamp_header, [])
        if len(stamps) != 1 or not _is_timestamp(stamps[0]):
            return False
        digest.update(stamps[0].encode("ascii") + b":")
    digest.update(body)
    # Two of the same header: one of them could be checked here and the other one believed elsewhere.
    if len(given) != 1:
        return False
    return hmac.compare_digest(digest.hexdigest().encode("ascii"), given[0].encode("utf-8", "surrogateescape"))


def _is_timestamp(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 12
