"""Listen: one aiohttp application (receiver, API, health) behind bounded connections. Called by app.

The cap on connections is kept as a busy front server keeps it: a new one beyond it takes the place of one that is
idle, first of those that never asked anything. When none is idle, a reserve of connections is served the health
endpoints alone, and what comes beyond the reserve is closed at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from bridge.errors import ConfigurationError, ListenError
from bridge.ingest.answers import problem
from bridge.ingest.connection import Connection
from bridge.ingest.counters import Counters
from bridge.ingest.limits import ConnectionLimits
from bridge.ingest.origin import is_loopback
from bridge.ingest.receiver import Receiver
from bridge.ingest.sampling import SampledLog
from bridge.telemetry import get_logger

Handler = Callable[[Any], Awaitable[web.StreamResponse]]

HEALTH = frozenset({"/-/healthy", "/-/ready", "/metrics"})
_METHODS = frozenset({hdrs.METH_POST, hdrs.METH_PUT})
_SPARE_FILES = 256  # descriptors for everything that is no connection: Redis, API servers, files

log = get_logger()


def webhook_paths(receiver: Receiver) -> dict[str, Handler]:
    """Return the receiver's paths; all take POST and PUT."""
    return {
        "/webhook": receiver.webhook,
        "/webhook/alertmanager": receiver.alertmanager,
        "/webhook/grafana": receiver.grafana,
        "/": receiver.webhook,
    }


def add_routes(app: web.Application, receiver: Receiver) -> None:
    """Add the receiver's paths to `app`."""
    for path, handler in webhook_paths(receiver).items():
        for method in sorted(_METHODS):
            app.router.add_route(method, path, handler)


def check_exposure(hosts: Sequence[str], receiver: Receiver) -> None:
    """Raise ConfigurationError when the server would listen beyond loopback without any credential."""
    if receiver.authenticator.open:
        exposed = [host for host in hosts if not is_loopback(f"[{host}]" if ":" in host else host)]
        if exposed:
            raise ConfigurationError(
                [
                    f"refusing to listen on {host or 'all addresses'}: no credential is configured, and whoever can "
                    "reach it could act on the cluster. Configure a credential, or listen on 127.0.0.1"
                    for host in exposed
                ]
            )


class Listening:
    """A running server."""

    def __init__(
        self, server: BridgeServer, runner: web.AppRunner, listeners: Sequence[asyncio.AbstractServer]
    ) -> None:
        self._server = server
        self._runner = runner
        self._listeners = listeners

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where it listens; with port 0 asked for, the port that it got."""
        return [sock.getsockname()[:2] for listener in self._listeners for sock in getattr(listener, "sockets", ())]

    async def close(self, *, grace: float = 10.0) -> None:
        """Take no new connections, let requests in progress finish for `grace` seconds, then close."""
        for listener in self._listeners:
            listener.close()
        await asyncio.sleep(0)
        self._server.pre_shutdown()
        await self._server.shutdown(grace)
        self._server.stop()
        await self._runner.cleanup()


async def serve(
    app: web.Application,
    receiver: Receiver,
    *,
    listen: Sequence[tuple[str, int]],
    tls: ssl.SSLContext | None = None,
    limits: ConnectionLimits | None = None,
) -> Listening:
    """Listen on all (host, port) of `listen`; port 0 takes a free one. `add_routes` was called before.

    Raises ConfigurationError when it would be open to everybody, and OSError when an address is not to be had.
    """
    check_exposure([host for host, _ in listen], receiver)
    limits = _within_files(limits or ConnectionLimits())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    inner = runner.server
    assert inner is not None
    server = BridgeServer(
        inner.request_handler,
        inner.request_factory,
        webhooks=_routed(app, receiver),
        limits=limits,
        counters=receiver.counters,
    )
    tls_options: dict[str, Any] = (
        {"ssl": tls, "ssl_handshake_timeout": limits.handshake_seconds, "ssl_shutdown_timeout": 1.0} if tls else {}
    )
    listeners: list[asyncio.AbstractServer] = []
    try:
        for host, port in listen:
            listeners.append(await _bound(server, host, port, backlog=limits.backlog, **tls_options))
    except BaseException:
        await Listening(server, runner, listeners).close(grace=0)
        raise
    return Listening(server, runner, listeners)


async def _bound(server: BridgeServer, host: str, port: int, **options: Any) -> asyncio.AbstractServer:
    try:
        return await asyncio.get_running_loop().create_server(server, host, port, **options)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ListenError(f"listen: cannot listen on {host}:{port}: {why}; `listen` in the configuration") from error


def _routed(app: web.Application, receiver: Receiver) -> dict[str, Handler]:
    """Return those of the receiver's paths that `app` has: a process that only works takes no webhooks."""
    posted = {route.resource.canonical for route in app.router.routes() if route.method == "POST" and route.resource}
    return {path: handler for path, handler in webhook_paths(receiver).items() if path in posted}


class BridgeServer(web.Server):
    """All connections of the process."""

    def __init__(
        self,
        handler: Handler,
        request_factory: Any,
        *,
        webhooks: Mapping[str, Handler],
        limits: ConnectionLimits,
        counters: Counters,
    ) -> None:
        super().__init__(self._handle, request_factory=request_factory)
        self._application = handler
        self._webhooks = webhooks
        self._limits = limits
        self._counters = counters
        self._sampled = SampledLog()
        self._timer = self._loop.call_later(self._limits.look_seconds, self._look)

    def __call__(self) -> RequestHandler:
        return Connection(
            self,
            loop=self._loop,
            limits=self._limits,
            counters=self._counters,
            sampled=self._sampled,
            keepalive_timeout=self._limits.idle_seconds,
            lingering_time=self._limits.linger_seconds,
            access_log=None,
            auto_decompress=False,
        )

    def stop(self) -> None:
        """Look at connections no more."""
        self._timer.cancel()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        open_now = len(self._connections)
        super().connection_made(handler, transport)
        self._counters.connections += 1
        if open_now >= self._limits.connections:
            self._beyond_cap(handler, transport, open_now)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._counters.connections -= 1

    def _beyond_cap(self, handler: RequestHandler, transport: asyncio.Transport, open_now: int) -> None:
        victim = self._idle_one(handler)
        if victim is not None:
            self._counters.turned_away["evicted"] += 1
            # Its task is gone a moment later; it must not be found again until then.
            self._connections.pop(victim, None)
            victim.force_close()
        elif open_now < self._limits.connections + self._limits.reserve:
            assert isinstance(handler, Connection)
            handler.serve_only(self._health_only)
        else:
            self._counters.turned_away["closed"] += 1
            self._sampled.warning("connection refused", open=open_now)
            transport.abort()

    def _idle_one(self, new: RequestHandler) -> Connection | None:
        used: Connection | None = None
        for one in self._connections:
            if isinstance(one, Connection) and one is not new and one.idle:
                if one.fresh:
                    return one
                # A sender that keeps its connection open is worth more than one who never asked anything.
                used = used or one
        return used

    def _look(self) -> None:
        now = self._loop.time()
        for one in list(self._connections):
            if isinstance(one, Connection):
                one.look(now)
        self._timer = self._loop.call_later(self._limits.look_seconds, self._look)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        # The application's routing costs as much as decoding a webhook: its few paths are looked up here.
        webhook = self._webhooks.get(request.raw_path)
        if webhook is not None and request.method in _METHODS and hdrs.EXPECT not in request.headers:
            return await webhook(request)
        try:
            return await self._application(request)
        except web.HTTPException as exc:
            if exc.status < 400:
                raise
            allow = exc.headers.get(hdrs.ALLOW)
            headers = {"Allow": allow} if allow else None
            return problem(exc.status, _WORDS.get(exc.status, exc.reason), headers=headers)

    async def _health_only(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer on a connection of the reserve: once, and no more than health while there is no room."""
        if request.raw_path in HEALTH or len(self._connections) <= self._limits.connections:
            response = await self._handle(request)
        else:
            self._counters.turned_away["reserve"] += 1
            response = problem(503, "too many connections: send it again")
        response.force_close()
        return response


_WORDS = {
    404: "there is nothing at this path",
    405: "this path does not take this method; alerts come by POST or PUT",
}


def _within_files(limits: ConnectionLimits) -> ConnectionLimits:
    """Return limits that the process' file descriptors allow, after raising their soft limit."""
    wanted = limits.connections + limits.reserve + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return limits
    allowed = max(16, soft - limits.reserve - _SPARE_FILES)
    log.warning("fewer connections than configured: too few file descriptors", connections=allowed, files=soft)
    return msgspec.structs.replace(limits, connections=allowed)
