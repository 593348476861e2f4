"""A webhook receiver that only remembers: what a sender really sends, and when. Answers as it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.support.processes import until


class Sink:
    """Requests in the order of their arrival; `status` is what the next ones are answered with."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [alert for request in self.requests for alert in request.get("alerts", [])]

    async def wait_for(self, wanted: Callable[[Sink], bool], *, seconds: float = 10.0, what: str = "") -> None:
        """Wait until `wanted` is true of this sink."""

        async def found() -> bool:
            return wanted(self)

        await until(found, seconds=seconds, what=what or "the wanted request")

    async def _handle(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)
        self.requests.append(json.loads(await request.read()))
        return web.Response(status=self.status)


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """Serve a sink on a free loopback port; its address is `sink.url`."""
    sink = Sink()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", sink._handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sink.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield sink
    finally:
        await runner.cleanup()
