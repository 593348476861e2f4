"""What the receiver says: problem documents (RFC 9457), and a small JSON document with what became of the alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from email.utils import formatdate

import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11

from bridge.model.intake import Seen
from bridge.model.problem import CONTENT_TYPE, Problem

_JSON = "application/json"
_KINDS = tuple(Seen)


class Refuse(Exception):
    """The request ends here, with a problem document. `detail` ends up in the sender's log: no secrets."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = headers


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[dict[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Return a problem document as a response."""
    body = Problem(status=status, detail=detail, errors=tuple(errors)).encode()
    return web.Response(status=status, body=body, content_type=CONTENT_TYPE, headers=headers)


class Taken(web.StreamResponse):
    """A 200 with a JSON body, written in one piece.

    Making, checking and encoding the headers of an ordinary response is a quarter of the work for a request. This one
    has none that depend on the request, but for a connection that is to be closed: that goes the ordinary way.
    """

    def __init__(self, body: bytes) -> None:
        self._json = body
        self._plain: web.Response | None = None
        self._on: web.BaseRequest | None = None
        self._last = False

    @property
    def status(self) -> int:
        return 200

    @property
    def keep_alive(self) -> bool | None:
        return True if self._plain is None else self._plain.keep_alive

    def force_close(self) -> None:
        self._last = True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._on = request
        if self._last or request.version != HttpVersion11 or not request.keep_alive:
            self._plain = web.Response(body=self._json, content_type=_JSON)
            if self._last:
                self._plain.force_close()
            return await self._plain.prepare(request)
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        if self._plain is not None:
            await self._plain.write_eof()
            return
        request = self._on
        assert request is not None
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client is gone")
        transport.write(_head(len(self._json)) + self._json)
        if request.protocol.writing_paused:
            await request.protocol._drain_helper()


_second = 0
_heads: dict[int, bytes] = {}


def _head(length: int) -> bytes:
    """Return the answer's head with the time of now; kept for a second."""
    global _second
    now = int(time.time())
    if now != _second:
        _heads.clear()
        _second = now
    head = _heads.get(length)
    if head is None:
        date = formatdate(now, usegmt=True)
        lines = ("HTTP/1.1 200 OK", f"Content-Type: {_JSON}", f"Content-Length: {length}", f"Date: {date}", "", "")
        head = _heads[length] = "\r\n".join(lines).encode()
    return head


_ONE = {seen: msgspec.json.encode({"alerts": 1, seen.value: 1}) + b"\n" for seen in Seen}


def taken(seen: Sequence[Seen], errors: Sequence[dict[str, str]] = (), refused: int = 0) -> web.StreamResponse:
    """Return 200 with how many alerts became what, and what was wrong with those that were refused."""
    if len(seen) == 1 and not refused:
        return Taken(_ONE[seen[0]])
    counts: dict[str, object] = {"alerts": len(seen) + refused}
    counts |= {kind.value: count for kind in _KINDS if (count := seen.count(kind))}
    if refused:
        counts |= {"refused": refused, "errors": errors}
    return Taken(msgspec.json.encode(counts) + b"\n")
