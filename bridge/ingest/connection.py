"""One connection: a request handler of aiohttp that can be told to hurry, and that tells errors as we do.

aiohttp has no time-out on a header or a body, and no cap on connections. Instead of setting a timer for each request,
the server looks at all connections now and then; a request that is quick costs nothing more.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from bridge.ingest.answers import problem
from bridge.ingest.counters import Counters
from bridge.ingest.limits import ConnectionLimits
from bridge.ingest.sampling import SampledLog
from bridge.model.problem import CONTENT_TYPE, Problem
from bridge.telemetry import get_logger

log = get_logger()


def _raw_answer(status: str, detail: str) -> bytes:
    body = Problem(status=int(status[:3]), detail=detail).encode()
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


_TOO_SLOW = _raw_answer("408 Request Timeout", "the header came too slowly")


class Connection(RequestHandler):
    """A connection that knows what it waits for."""

    __slots__ = ("_counters", "_header_begun", "_limits", "_sampled", "_since", "_waits_for")

    def __init__(
        self,
        manager: web.Server,
        *,
        limits: ConnectionLimits,
        counters: Counters,
        sampled: SampledLog,
        **options: Any,
    ) -> None:
        super().__init__(manager, **options)
        self._limits = limits
        self._counters = counters
        self._sampled = sampled
        self._header_begun: bool | None = None  # None: not a byte has come yet
        self._waits_for: tuple[str, int] | None = None
        self._since = 0.0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Still waiting for a message after it was fed some bytes: a header that is not complete.
        self._header_begun = self._waiter is not None and not self._messages

    @property
    def idle(self) -> bool:
        """Whether it waits for a request, or for the rest of a header."""
        return self._waiter is not None and not self._messages

    @property
    def fresh(self) -> bool:
        """Whether it has never made a whole request."""
        return self._request_count == 0

    def serve_only(self, handler: Any) -> None:
        """Answer with `handler` instead of the application, from now on."""
        self._request_handler = handler

    def look(self, now: float) -> None:
        """Cut it when the client takes too long; called now and then with the loop's time."""
        waits_for, allowed = self._state()
        state = (waits_for, self._request_count)
        if not waits_for:
            self._waits_for = None
        elif state != self._waits_for:
            self._waits_for = state
            self._since = now
        elif now - self._since >= allowed:
            self._cut(waits_for)

    def _state(self) -> tuple[str, float]:
        """Return what the client is being waited for, if anything, and for how many seconds it may be."""
        limits = self._limits
        if self.writing_paused:
            return "write", limits.write_seconds
        request = self._current_request
        if request is not None:
            content = request.content
            if not content.is_eof():
                return "body", limits.body_seconds + content.total_bytes / limits.body_rate
        elif self._header_begun is not False and self.idle:
            return "header", limits.header_seconds
        return "", 0.0

    def _cut(self, waits_for: str) -> None:
        self._counters.cut[waits_for] += 1
        self._sampled.warning("slow client cut", phase=waits_for, peer=str(self.peername))
        request = self._current_request
        transport = self.transport if self.transport is not None and not self.transport.is_closing() else None
        if waits_for == "body" and request is not None and request.content.exception() is None:
            # The handler gets this instead of the rest and answers 408; the rest is not waited for afterwards.
            self._lingering_time = 0.0
            request.content.set_exception(TimeoutError("the body came too slowly"))
            self._since = self._loop.time()
            return
        if waits_for == "header" and self._header_begun and transport is not None:
            transport.write(_TOO_SLOW)
        if waits_for == "write" and transport is not None:
            # Closing would wait for the client to read what it does not read.
            transport.abort()
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what a handler failed with. One log line, and none of it to the client."""
        if status >= 500:
            log.error("request failed", path=request.path, exc_info=exc)
            response = problem(500, "alertbridge itself failed; its log has the error")
        else:
            self._counters.bad_http += 1
            self._sampled.warning("not an HTTP request", peer=str(self.peername), error=type(exc).__name__)
            response = problem(status, "the request is not valid HTTP/1.1, or its header is too long")
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        response.force_close()
        return response
