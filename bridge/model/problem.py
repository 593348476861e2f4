"""Problem documents (RFC 9457): how every error of the HTTP server is told."""

from __future__ import annotations

import http

import msgspec

CONTENT_TYPE = "application/problem+json"


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One error. `detail` says what was wrong and what would be right; never a secret, never a stack trace."""

    status: int
    title: str = ""
    """The status' phrase when nothing better is known, as RFC 9457 asks for with type about:blank."""
    detail: str = ""
    errors: tuple[dict[str, str], ...] = ()
    """Several mistakes of one request: `detail` with a `pointer` (RFC 6901) into the body where there is one."""

    def encode(self) -> bytes:
        """Return the document as JSON."""
        named = msgspec.structs.replace(self, title=self.title or http.HTTPStatus(self.status).phrase)
        return msgspec.json.encode({"type": "about:blank", **msgspec.to_builtins(named)})
