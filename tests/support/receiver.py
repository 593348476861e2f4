"""A real listening receiver over stores in memory, and a way to talk to it byte by byte."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from bridge.ingest.auth import Authenticator
from bridge.ingest.counters import Counters
from bridge.ingest.credentials import Credential
from bridge.ingest.limits import ConnectionLimits, RequestLimits
from bridge.ingest.receiver import Receiver
from bridge.ingest.server import add_routes, serve
from bridge.model.principal import Role
from bridge.stores import Stores
from tests.support.intake import MemoryIntake, MemoryRefusals, MemoryReplays

TOKEN = "t0ken-of-alertmanager"
SENDER = Credential(name="am", type="bearer", secrets=(TOKEN,))
OPERATOR = Credential(name="alice", type="basic", secrets=("p:ss",), roles=frozenset({Role.OPERATOR}))
GRAFANA = Credential(name="grafana", type="hmac", secrets=("s3cret",))
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class MovedClock:
    """A clock that stands where it was put."""

    def __init__(self, now: float | None = None) -> None:
        self.at = time.time() if now is None else now

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Answer:
    """An HTTP answer as it came."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A receiver that listens, and everything that it has seen."""

    def __init__(
        self, credentials: Iterable[Credential], limits: RequestLimits, stores: Stores | None = None
    ) -> None:
        self.intake = MemoryIntake()
        self.refusals = MemoryRefusals()
        self.replays = MemoryReplays()
        self.clock = MovedClock()
        self.counters = Counters()
        self.receiver = Receiver(
            intake=stores.intake if stores else self.intake,
            refusals=stores.refusals if stores else self.refusals,
            authenticator=Authenticator(
                list(credentials), clock=self.clock, replays=stores.replays if stores else self.replays
            ),
            clock=self.clock,
            counters=self.counters,
            limits=limits,
        )
        self.port = 0

    async def connect(self, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, **options)

    async def post(
        self,
        body: bytes,
        path: str = "/webhook",
        *,
        method: str = "POST",
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        **options: Any,
    ) -> Answer:
        """Send one request on a connection of its own."""
        given = (
            list(headers.items())
            if isinstance(headers, dict)
            else list(BEARER.items() if headers is None else headers)
        )
        reader, writer = await self.connect(**options)
        try:
            writer.write(head(method, path, [*given, ("Content-Length", str(len(body)))]) + body)
            return await read_answer(reader)
        finally:
            writer.close()


def head(method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append("Host: 127.0.0.1")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Return the next answer of a connection; raises IncompleteReadError when it is closed without one."""
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Answer(int(first.split(" ")[1]), headers, body)


@asynccontextmanager
async def served(
    *credentials: Credential,
    limits: RequestLimits | None = None,
    connections: ConnectionLimits | None = None,
    tls: Any = None,
    stores: Stores | None = None,
) -> AsyncIterator[Served]:
    """Serve with these credentials: by default a bearer, a basic and an hmac one. Over `stores`, or over memory."""
    one = Served(credentials or (SENDER, OPERATOR, GRAFANA), limits or RequestLimits(), stores)
    app = web.Application()
    add_routes(app, one.receiver)

    async def healthy(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.router.add_get("/-/healthy", healthy)
    listening = await serve(app, one.receiver, listen=[("127.0.0.1", 0)], tls=tls, limits=connections)
    one.port = listening.addresses[0][1]
    try:
        yield one
    finally:
        await listening.close(grace=0.1)
