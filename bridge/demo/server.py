"""The simulated cluster over HTTP. Started by the demo and by tests; the answers are made by `api`.

Only loopback is meant: there is no TLS, and without a token everybody is the admin.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

from bridge.demo.api import Api, ApiReply, ApiRequest, ExecSession
from bridge.demo.cluster import SimulatedCluster
from bridge.demo.exec import ExecResult, status_frame
from bridge.demo.faults import Fault, FaultPlan
from bridge.demo.status_errors import ApiError, PageNotFound, internal_error
from bridge.demo.watch import Watch

_LOG = logging.getLogger(__name__)
_PIECE = 16 * 1024
_LARGEST_BODY = 3 * 1024 * 1024
_PROTOCOLS = ("v4.channel.k8s.io", "v5.channel.k8s.io")


class SimulatedServer:
    """Serves a cluster while it is entered.

    Parameters: `token` is the admin's bearer token (None: none is needed); `tick` is how many seconds after a
    change the controllers run, None when only `cluster.step` is to move them.
    """

    def __init__(
        self,
        cluster: SimulatedCluster,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        *,
        tick: float | None = 0.05,
    ) -> None:
        self.cluster = cluster
        self.faults = FaultPlan()
        self.requests = 0
        self._host, self._port, self._token, self._tick = host, port, token, tick
        self._api = Api(cluster)
        self._wake = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._released = asyncio.Event()
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        """Where the server listens, once it is entered."""
        return f"http://{self._host}:{self._port}"

    def kubeconfig(self) -> dict[str, Any]:
        """A kubeconfig as data, for the client library and for kubectl.

        kubectl sends no token over plain HTTP: start without one to use it.
        """
        user: dict[str, Any] = {} if self._token is None else {"token": self._token}
        context = {"cluster": "simulated", "user": "admin", "namespace": "default"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "simulated",
            "clusters": [{"name": "simulated", "cluster": {"server": self.url}}],
            "users": [{"name": "admin", "user": user}],
            "contexts": [{"name": "simulated", "context": context}],
        }

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        if self._tick is not None:
            # What was seeded is finished before the first request comes.
            self.cluster.step()
            self._stop_listening = self.cluster.store.listen(lambda _: self._wake.set())
            self._wake.set()
            self._ticker = asyncio.create_task(self._run_controllers(self._tick), name="simulated-controllers")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._stop_listening()
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._failure is not None and error is None:
            raise self._failure

    async def _run_controllers(self, tick: float) -> None:
        """Step the cluster shortly after each change, and when something is due; sleep otherwise."""
        while True:
            due = self.cluster.next_due()
            wait = None if due is None else max(due - self.cluster.now(), 0.0)
            # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            if self._wake.is_set():
                await asyncio.sleep(tick)
            self._wake.clear()
            try:
                self.cluster.step()
            except Exception as error:
                # A controller that fails once must not stop the others; whoever leaves the server learns of it.
                _LOG.exception("a simulated controller failed")
                self._failure = self._failure or error
                await asyncio.sleep(1)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        fault = self.faults.take(request.method, request.raw_path)
        if fault is not None and fault.kind != "cut_after":
            answered = await self._meet(fault, request)
            if answered is not None:
                return answered
        reply = await self._answer(request)
        if fault is not None and fault.kind == "cut_after":
            return cut(request)
        return reply

    async def _meet(self, fault: Fault, request: web.Request) -> web.StreamResponse | None:
        if fault.kind == "status":
            return web.json_response(fault.status_body(), status=fault.status, headers=fault.headers())
        if fault.kind == "cut_before":
            return cut(request)
        if fault.kind == "hang":
            await self._released.wait()
            return cut(request)
        await asyncio.sleep(fault.seconds)
        return None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            # Who asks comes before what is asked, as in the real server.
            user = self._api.user_of(request.headers.get("Authorization", ""), self._token)
            reply = self._api.handle(await self._read(request, user))
        except ApiError as error:
            return web.json_response(error.body, status=error.status, headers=error.headers)
        except PageNotFound:
            return web.Response(status=404, text="404 page not found\n")
        except Exception as error:
            _LOG.exception("the simulated API server failed at %s %s", request.method, request.path)
            return web.json_response(internal_error(error).body, status=500)
        if isinstance(reply, Watch):
            return await self._stream(request, reply)
        if isinstance(reply, ExecSession):
            return await self._exec(request, reply.result)
        return _response(reply)

    async def _read(self, request: web.Request, user: str) -> ApiRequest:
        return ApiRequest(
            method="GET" if request.method == "HEAD" else request.method,
            path=request.raw_path.partition("?")[0],
            query=request.query,
            body=await request.read() if request.can_read_body else b"",
            content_type=request.headers.get("Content-Type", "").partition(";")[0].strip(),
            user_agent=request.headers.get("User-Agent", ""),
            user=user,
            address=f"{self._host}:{self._port}",
            command=tuple(request.query.getall("command", [])),
        )

    async def _stream(self, request: web.Request, watch: Watch) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        async with contextlib.aclosing(watch.events()) as events:
            with contextlib.suppress(ConnectionResetError):
                async for event in events:
                    await response.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")
                await response.write_eof()
        return response

    async def _exec(self, request: web.Request, result: ExecResult) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=_PROTOCOLS)
        if not socket.can_prepare(request):
            error = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": "Upgrade request required",
                "reason": "BadRequest",
                "code": 400,
            }
            return web.json_response(error, status=400)
        await socket.prepare(request)
        for channel, text in (*_pieces(1, result.stdout), *_pieces(2, result.stderr)):
            await socket.send_bytes(bytes([channel]) + text.encode())
        if result.seconds:
            await asyncio.sleep(result.seconds)
        await socket.send_bytes(b"\x03" + json.dumps(status_frame(result)).encode())
        await socket.close(code=1000)
        while not socket.closed and (await socket.receive()).type != WSMsgType.CLOSED:
            pass
        return socket


def _pieces(channel: int, text: str) -> list[tuple[int, str]]:
    """What was printed, in messages as a kubelet's buffer has them."""
    return [(channel, text[start : start + _PIECE]) for start in range(0, len(text), _PIECE)]


def cut(request: web.Request) -> web.Response:
    """Close the connection under a request: its client sees a reset or an early end, never an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _response(reply: ApiReply) -> web.Response:
    headers = [("Warning", f"299 - {json.dumps(text)}") for text in reply.warnings]
    if isinstance(reply.body, str):
        plain = web.Response(status=reply.status, text=reply.body)
        plain.headers.extend(headers)
        return plain
    body = json.dumps(reply.body, separators=(",", ":")).encode()
    response = web.Response(status=reply.status, body=body, content_type="application/json")
    response.headers.extend(headers)
    return response
