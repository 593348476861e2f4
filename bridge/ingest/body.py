"""Read a request's body within bounds. Called by the receiver, before anything is parsed."""

from __future__ import annotations

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from bridge.ingest.answers import Refuse
from bridge.ingest.limits import RequestLimits

_CHUNK = 256 * 1024


class BodyReader:
    """Reads bodies and knows how much all of them hold at the moment."""

    def __init__(self, limits: RequestLimits) -> None:
        self._limits = limits
        self._buffered = 0

    async def read(self, request: web.BaseRequest) -> bytes:
        """Return the whole body; raise Refuse when it is longer than allowed, too slow, broken or compressed."""
        headers = request.headers
        if hdrs.CONTENT_ENCODING in headers and headers[hdrs.CONTENT_ENCODING].strip().lower() != "identity":
            raise Refuse(415, "a compressed body is not read: send it without Content-Encoding")
        longest = self._limits.body_bytes
        content = request.content
        try:
            if content.is_eof():
                # All of it came along with the header, as it does with every small body.
                body = content.read_nowait()
                if len(body) > longest:
                    raise self._too_long()
                return body
            if (request.content_length or 0) > longest:
                raise self._too_long()
            return await self._read_on(request)
        except TimeoutError:
            # Set by the server's look at its connections.
            raise Refuse(408, "the body came too slowly") from None
        except (RequestPayloadError, ConnectionError):
            raise Refuse(400, "the body broke off") from None

    async def _read_on(self, request: web.BaseRequest) -> bytes:
        content = request.content
        content.set_read_chunk_size(_CHUNK)
        chunks: list[bytes] = []
        length = 0
        try:
            while chunk := await content.readany():
                length += len(chunk)
                self._buffered += len(chunk)
                if length > self._limits.body_bytes:
                    raise self._too_long()
                if self._buffered > self._limits.buffered_bytes:
                    raise Refuse(503, "too many long bodies at a time: send it again")
                chunks.append(chunk)
        finally:
            self._buffered -= length
        return b"".join(chunks)

    def _too_long(self) -> Refuse:
        return Refuse(413, f"the body is longer than {self._limits.body_bytes} bytes")
