"""Who calls. Asked by the receiver and by the API before a body is parsed; signatures are in `signature`.

All secrets are compared by digest, in constant time and all of them each time, so that neither a secret nor the name
of a credential shows in how long an answer takes.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from aiohttp import hdrs, web

from bridge.ingest.credentials import Credential
from bridge.ingest.signature import SignatureChecker
from bridge.model.principal import EVERYBODY, Principal
from bridge.ports import Clock, ReplayMemory

_Digests = Sequence[tuple[bytes, Principal]]


class Authenticator:
    """Knows the credentials. Frozen: a changed set of credentials is a new Authenticator."""

    def __init__(
        self, credentials: Sequence[Credential], *, clock: Clock, replays: ReplayMemory | None = None
    ) -> None:
        """Take the credentials; none at all means that everybody may do everything (on loopback only).

        Raises ConfigurationError for a credential that nobody, or anybody, could present.
        """
        for one in credentials:
            one.check()
        self.open = not credentials
        """Whether no credential is configured."""
        self.signatures = SignatureChecker(credentials, clock, replays)
        self._tokens: _Digests = [
            (_digest(secret.encode("utf-8")), _principal(one))
            for one in credentials
            if one.type == "bearer"
            for secret in one.secrets
        ]
        self._passwords: _Digests = [
            (_digest(f"{one.username or one.name}:{secret}".encode()), _principal(one))
            for one in credentials
            if one.type == "basic"
            for secret in one.secrets
        ]
        self._subjects: Mapping[str, Principal] = {
            subject: _principal(one) for one in credentials if one.type == "certificate" for subject in one.subjects
        }

    def identify(self, request: web.BaseRequest) -> Principal | None:
        """Return the holder of the request's bearer, basic or certificate credential; None for nobody known."""
        given = request.headers.getall(hdrs.AUTHORIZATION, None)
        if given is not None:
            return EVERYBODY if self.open else self._by_header(given)
        if self.open:
            return EVERYBODY
        return self._by_certificate(request) if self._subjects else None

    def _by_header(self, given: Sequence[str]) -> Principal | None:
        if len(given) != 1:
            return None
        scheme, _, value = given[0].partition(" ")
        secret = value.strip().encode("utf-8", "surrogateescape")
        if scheme.lower() != "basic":
            # Senders can be told to use another word than Bearer; the secret alone counts.
            return _find(self._tokens, secret)
        try:
            return _find(self._passwords, base64.b64decode(secret, validate=True))
        except (binascii.Error, ValueError):
            return None

    def _by_certificate(self, request: web.BaseRequest) -> Principal | None:
        transport = request.transport
        # The TLS layer has checked it against the configured authority; without one there is none.
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if not certificate:
            return None
        for name in subjects(certificate):
            if name in self._subjects:
                return self._subjects[name]
        return None


def subjects(certificate: Mapping[str, Any]) -> list[str]:
    """Return the alternative names (DNS, URI, email) and the common name of a certificate, as ssl describes it."""
    names = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI", "email")]
    for parts in certificate.get("subject", ()):
        names += [value for kind, value in parts if kind == "commonName"]
    return names


def _principal(credential: Credential) -> Principal:
    return Principal(credential.name, credential.roles)


def _digest(secret: bytes) -> bytes:
    return sha256(secret).digest()


def _find(known: _Digests, secret: bytes) -> Principal | None:
    presented = sha256(secret).digest()
    found = None
    for digest, principal in known:
        if hmac.compare_digest(digest, presented):
            found = principal
    return found
