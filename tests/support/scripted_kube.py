"""An API server that answers as a test tells it, over real sockets: also with resets, silence and refusals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedKube:
    """Answers requests with `answers` in turn, the last one for ever. `seen` has method, raw path and headers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [status(404, "NotFound")]
        self.seen: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.url = ""

    def script(self, *answers: Answer) -> None:
        self.answers = list(answers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path))
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.read())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


@asynccontextmanager
async def scripted_kube() -> AsyncIterator[ScriptedKube]:
    kube = ScriptedKube()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", kube.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kube.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield kube
    finally:
        await runner.cleanup()


def ok(document: dict[str, Any]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


def status(code: int, reason: str, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    """Answer with a Status object of the API."""
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message or reason,
        "code": code,
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(document, status=code, headers=headers)

    return answer


def text(code: int, body: str, headers: dict[str, str] | None = None) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=body, headers=headers)

    return answer


async def reset(request: web.Request) -> web.StreamResponse:
    """Cut the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    await asyncio.sleep(0)
    return web.Response()


async def hang(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()
