"""What runbooks reach beside the cluster, for scenes: a Prometheus and an HTTP server that answer as a scene says."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Now = Callable[[Any], Any]
"""Returns what an answer is at this time."""


class Peers:
    """One server for both; `asked` has the requests to the HTTP server as `METHOD PATH`, `bodies` what came along."""

    def __init__(self, prometheus: Mapping[str, Any], http: Mapping[str, Any], now: Now) -> None:
        self.url = ""
        self.tls = ""
        self.asked: list[str] = []
        self.bodies: list[str] = []
        self._prometheus = prometheus
        self._http = http
        self._now = now

    async def query(self, request: web.Request) -> web.Response:
        """As Prometheus answers /api/v1/query."""
        text = str((await request.post()).get("query") or request.query.get("query", ""))
        found = next((self._now(value) for part, value in self._prometheus.items() if part in text), None)
        samples = [] if found is None else found if isinstance(found, list) else [({}, found)]
        result = [{"metric": labels, "value": [0, str(value)]} for labels, value in samples]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    async def rules(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"groups": []}})

    async def any(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        self.bodies.append(await request.text())
        if request.path.startswith("/channels/"):
            return web.Response()
        status, body = answered(self._now(_of(self._http, request.method, request.path, (404, ""))))
        if isinstance(body, str):
            return web.Response(status=status, text=body)
        return web.json_response(body, status=status)


def answered(value: Any) -> tuple[int, Any]:
    """Return status and body of an answer that may be a body alone, or a status alone."""
    if isinstance(value, tuple):
        return value
    return (value, "") if isinstance(value, int) else (200, value)


def _of(answers: Mapping[str, Any], method: str, path: str, otherwise: Any) -> Any:
    for place, value in answers.items():
        verb, _, end = place.rpartition(" ")
        if verb in ("", method) and path.endswith(end):
            return value
    return otherwise


def responder(answers: Mapping[str, Any], now: Now) -> Callable[[Any, str, str], tuple[int, str] | None]:
    """Return what pods answer through their Service."""

    def respond(_service: Any, method: str, path: str) -> tuple[int, str] | None:
        value = _of(answers, method, path.partition("?")[0], None)
        if value is None:
            return None
        status, body = answered(now(value))
        return status, body if isinstance(body, str) else web.json_response(body).text or ""

    return respond


Pair = Callable[[], "tuple[bytes, bytes] | None"]
"""Returns certificate and key (PEM) of now."""


@asynccontextmanager
async def open_tls(peers: Peers, pair: Pair) -> AsyncIterator[None]:
    """Serve the certificate of now at `peers.tls`; there is nothing else to be had."""

    def choose(connection: ssl.SSLObject, _name: str | None, _old: ssl.SSLContext) -> None:
        if (found := pair()) is not None:
            connection.context = _context(*found)

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    first = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    first.sni_callback = choose  # type: ignore[assignment]
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=first)
    peers.tls = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.close()


def _context(certificate: bytes, key: bytes) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate + b"\n" + key)
        file.flush()
        made.load_cert_chain(file.name)
    return made


@asynccontextmanager
async def open_peers(peers: Peers) -> AsyncIterator[Peers]:
    app = web.Application()
    app.router.add_route("*", "/prometheus/api/v1/query", peers.query)
    app.router.add_get("/prometheus/api/v1/rules", peers.rules)
    app.router.add_route("*", "/{path:.*}", peers.any)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    peers.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield peers
    finally:
        await runner.cleanup()
