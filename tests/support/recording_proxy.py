"""A reverse proxy before any Kubernetes API server that remembers what was asked, and can spoil it.

    async with RecordingProxy(server.url) as proxy:
        ...                                     # point a client at proxy.url
        assert proxy.mutating() == []

The same faults as those of the simulated server can be planned: `proxy.faults.cut(method="PATCH", after=True)`
forwards a request and loses its answer. An upstream with TLS is reached through `ssl`; a bearer token is passed on
as it came in, or put in where a client sends none (`token`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl as tls
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

from bridge.demo.faults import Fault, FaultPlan
from bridge.demo.server import cut

_HOP_BY_HOP = {
    "connection",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "content-length",
}
_READING = {"GET", "HEAD", "OPTIONS"}
_REVIEWS = ("/selfsubjectaccessreviews", "/selfsubjectrulesreviews")


@dataclass
class Recorded:
    """One request, and the status that its client got (None: none, the connection was cut or still hangs)."""

    verb: str
    path: str
    query: dict[str, str]
    content_type: str
    body: bytes
    status: int | None = None
    forwarded: bool = False
    upstream_status: int | None = None
    """What the API server said, also where the client was never told."""
    fault: str | None = None

    @property
    def field_manager(self) -> str:
        return self.query.get("fieldManager", "")

    @property
    def dry_run(self) -> bool:
        """Whether the request can't change anything, for all that its verb could."""
        return self.query.get("dryRun") == "All" or (
            self.verb == "DELETE" and isinstance(self.json, dict) and self.json.get("dryRun") == ["All"]
        )

    @property
    def json(self) -> Any:
        """The body as data; None when there is none or it is no JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def is_mutating(self) -> bool:
        """Whether it can change something; a dry run counts too, see `dry_run`. A command is a GET that can."""
        if self.path.endswith("/exec"):
            return True
        return self.verb not in _READING and not self.path.endswith(_REVIEWS)


@dataclass
class RecordingProxy:
    """Serves while it is entered. `upstream` is the API server's URL."""

    upstream: str
    token: str | None = None
    ssl: tls.SSLContext | None = None
    faults: FaultPlan = field(default_factory=FaultPlan)
    requests: list[Recorded] = field(default_factory=list)
    url: str = ""

    def mutating(self, *, dry_runs: bool = False) -> list[Recorded]:
        """The requests that could change the cluster; the ones with dryRun=All only when asked for."""
        return [entry for entry in self.requests if entry.is_mutating and (dry_runs or not entry.dry_run)]

    def applied(self) -> list[Recorded]:
        """The requests by which the cluster was really changed: forwarded, and accepted there."""
        return [entry for entry in self.mutating() if (entry.upstream_status or 500) < 300]

    def clear(self) -> None:
        self.requests.clear()

    async def __aenter__(self) -> Self:
        self._released = asyncio.Event()
        connector = aiohttp.TCPConnector(ssl=self.ssl if self.ssl is not None else True, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=timeout)
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        entry = Recorded(
            verb=request.method,
            path=request.path,
            query=dict(request.query),
            content_type=request.headers.get("Content-Type", "").partition(";")[0],
            body=await request.read(),
        )
        self.requests.append(entry)
        fault = self.faults.take(request.method, request.raw_path)
        entry.fault = fault.kind if fault else None
        if fault is not None and fault.kind != "cut_after":
            spoiled = await self._spoil(fault, request, entry)
            if spoiled is not None:
                return spoiled
        return await self._forward(request, entry, lose=fault is not None and fault.kind == "cut_after")

    async def _spoil(self, fault: Fault, request: web.Request, entry: Recorded) -> web.StreamResponse | None:
        if fault.kind == "status":
            entry.status = fault.status
            return web.json_response(fault.status_body(), status=fault.status, headers=fault.headers())
        if fault.kind == "delay":
            await asyncio.sleep(fault.seconds)
            return None
        if fault.kind == "hang":
            await self._released.wait()
        return cut(request)

    async def _forward(self, request: web.Request, entry: Recorded, *, lose: bool) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP_BY_HOP}
        if self.token is not None and "Authorization" not in request.headers:
            headers["Authorization"] = f"Bearer {self.token}"
        url = URL(self.upstream.rstrip("/") + request.raw_path, encoded=True)
        entry.forwarded = True
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._converse(request, entry, url, headers, lose=lose)
        async with self._session.request(
            request.method, url, headers=headers, data=entry.body or None, allow_redirects=False
        ) as reply:
            entry.upstream_status = reply.status
            if lose:
                await reply.read()
                return cut(request)
            entry.status = reply.status
            kept = {key: value for key, value in reply.headers.items() if key.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=reply.status, headers=kept)
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):
                async for chunk in reply.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    async def _converse(
        self, request: web.Request, entry: Recorded, url: URL, headers: dict[str, str], *, lose: bool
    ) -> web.StreamResponse:
        """Pass a WebSocket on. With `lose` the command runs to its end, and its client hears nothing of it."""
        protocols = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        kept = {key: value for key, value in headers.items() if not key.lower().startswith("sec-websocket-")}
        session = aiohttp.ClientSession(
            connector=self._session.connector, connector_owner=False, middlewares=(_keep_refusal,)
        )
        async with session:
            try:
                upstream = await session.ws_connect(url, protocols=protocols, headers=kept, max_msg_size=0)
            except _Refused as refused:
                entry.status = entry.upstream_status = refused.status
                return web.Response(status=refused.status, body=refused.body, content_type="application/json")
            entry.upstream_status = 101
            async with upstream:
                if lose:
                    async for _ in upstream:
                        pass
                    return cut(request)
                return await self._relay(request, entry, upstream)

    async def _relay(
        self, request: web.Request, entry: Recorded, upstream: aiohttp.ClientWebSocketResponse
    ) -> web.StreamResponse:
        client = web.WebSocketResponse(protocols=[upstream.protocol] if upstream.protocol else ())
        await client.prepare(request)
        entry.status = 101

        async def back() -> None:
            async for message in client:
                await upstream.send_bytes(message.data)

        listening = asyncio.create_task(back())
        with contextlib.suppress(ConnectionResetError):
            async for message in upstream:
                await client.send_bytes(message.data)
        await client.close(code=upstream.close_code or 1000)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionResetError):
            await listening
        return client


class _Refused(Exception):
    """The server behind did not want to speak over a WebSocket."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


async def _keep_refusal(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status != 101:
        raise _Refused(response.status, await response.read())
    return response
