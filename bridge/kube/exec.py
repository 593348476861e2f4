"""Run a command in a container over a WebSocket. Used by bridge.kube.client; sends no input and starts no shell.

The protocol is Kubernetes' own remote command: the first byte of a message is its channel, and the exit code stands
in a Status on channel 3 (staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go of Kubernetes).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from bridge.errors import InvalidInput, KubeError, KubeInvalid, KubeReplyLost, KubeUnavailable
from bridge.kube.connection import Session
from bridge.kube.paths import KNOWN, command_query, object_path
from bridge.kube.transport import Call, Reply, Transport, lost, refused, short, translated
from bridge.model.outside import ExecReply
from bridge.model.target import check_namespace

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _STATUS = 1, 2, 3
_LARGEST_OUTPUT = 64 * 1024
_LARGEST_MESSAGE = 4 * 1024 * 1024
_LARGEST_REFUSAL = 64 * 1024
_LONGEST = 3600.0
_NO_NODE = ("error dialing backend", "dial tcp")
_NOT_STARTED = (
    "executable file not found",
    "unable to start container process",
    "failed to start exec",
    "container not found",
    "no such file or directory",
    "permission denied",
)


def exec_call(namespace: str, pod: str, command: Sequence[str], container: str) -> Call:
    """Return the request; raise InvalidInput for names that are none and for what is no argument list."""
    path = object_path(KNOWN["v1", "Pod"], namespace, pod) + "/exec"
    query = command_query(command, check_namespace(container, "container"))
    return Call(
        method="GET",
        path=path + query,
        verb="exec",
        what=f"exec in pod {namespace}/{pod} ({container})",
        # Older servers ask for `get` alone, newer ones for `create` as well.
        permission=f"get and create pods/exec in namespace {namespace}",
        effect=True,
        largest=_LARGEST_REFUSAL,
        cut=True,
    )


async def run(transport: Transport, call: Call, seconds: float) -> ExecReply:
    """Return how the command ended. Raises KubeReplyLost once it may have begun, other Kube* errors before."""
    if not 0 < seconds <= _LONGEST:
        raise InvalidInput(f"a command's deadline of {seconds:g} s is not between 0 and {_LONGEST:g}")
    began = time.perf_counter()
    status = 0
    try:
        with translated(call, seconds):
            async with asyncio.timeout(seconds):
                reply = await _authorized(transport, call)
        status = 101 if isinstance(reply, ExecReply) else reply.status
    except _Broken as error:
        status = 101
        raise error.error from None
    finally:
        transport.observe(call, status, began)
    if isinstance(reply, Reply):
        raise refused(call, reply)
    return reply


class _Broken(Exception):
    """The socket was open when it failed."""

    def __init__(self, error: KubeError) -> None:
        super().__init__(str(error))
        self.error = error


class _Refusal(Exception):
    """The server answered the handshake with something else."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


async def _authorized(transport: Transport, call: Call) -> ExecReply | Reply:
    """Run; after a 401 read the credentials again (they rotate) and try once more: nothing had begun."""
    for _ in range(2):
        async with transport.sessions.use() as session:
            try:
                return await _converse(session, call)
            except _Refusal as error:
                reply = error.reply
        if reply.status != 401:
            break
        await transport.sessions.refresh(session)
    return reply


async def _converse(session: Session, call: Call) -> ExecReply:
    # A client session of its own over the shared connections: only here a refusal's text has to be read.
    async with aiohttp.ClientSession(
        connector=session.http.connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=session.http.headers,
        timeout=session.http.timeout,
        middlewares=(_read_refusal,),
    ) as http:
        # aiohttp repeats a GET by itself when a kept connection is cut, and has no option against it: this one
        # would run the command a second time.
        http._retry_connection = False
        socket = await http.ws_connect(
            URL(session.host + call.path, encoded=True),
            protocols=_PROTOCOLS,
            headers=await session.headers(),
            proxy=session.proxy,
            server_hostname=session.server_hostname,
            max_msg_size=_LARGEST_MESSAGE,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )
        async with socket:
            return await _collect(socket, call)


async def _read_refusal(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status != 101:
        body = await response.content.read(_LARGEST_REFUSAL)
        response.close()
        raise _Refusal(Reply(response.status, body, response.headers.get("Retry-After")))
    return response


async def _collect(socket: aiohttp.ClientWebSocketResponse, call: Call) -> ExecReply:
    outputs = {_STDOUT: _Tail(), _STDERR: _Tail()}
    try:
        async for message in socket:
            data = message.data.encode() if isinstance(message.data, str) else message.data
            if not data:
                continue
            channel, payload = data[0], data[1:]
            if channel in outputs:
                outputs[channel].add(payload)
            elif channel == _STATUS and payload:
                out, err = outputs[_STDOUT], outputs[_STDERR]
                code, stdout, stderr = _exit_code(call, payload), out.text(), err.text()
                return ExecReply(code, stdout, stderr, out.cut or err.cut)
    except (aiohttp.ClientError, OSError) as error:
        raise _Broken(lost(call, f"the connection broke: {short(error)}")) from error
    raise _Broken(lost(call, "the connection ended before the command did"))


def _exit_code(call: Call, payload: bytes) -> int:
    """Return the exit code of a Status; raise _Broken for one that tells of none."""
    status = _status(payload)
    if status.get("status") == "Success":
        return 0
    details = status.get("details")
    causes = details.get("causes") if isinstance(details, dict) else None
    if status.get("reason") == "NonZeroExitCode":
        for cause in causes or []:
            text = str(cause.get("message", "")) if isinstance(cause, dict) else ""
            if isinstance(cause, dict) and cause.get("reason") == "ExitCode" and text.isdecimal() and len(text) < 10:
                return int(text)
    message = str(status.get("message") or "no exit code was told")[:300]
    if any(sign in message for sign in _NO_NODE):
        raise _Broken(KubeUnavailable(f"the node does not answer: {message}", what=call.what))
    if any(sign in message for sign in _NOT_STARTED):
        raise _Broken(KubeInvalid(f"it was not started: {message}", what=call.what))
    raise _Broken(KubeReplyLost(f"its effect is unknown: {message}", what=call.what))


def _status(payload: bytes) -> dict[str, Any]:
    """Return channel 3's Status: the kubelet leaves its kind and version out."""
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
    return document if isinstance(document, dict) else {}


class _Tail:
    """The end of what was written, at most so many bytes."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.cut = False

    def add(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > 2 * _LARGEST_OUTPUT:
            del self._data[:-_LARGEST_OUTPUT]
            self.cut = True

    def text(self) -> str:
        if len(self._data) > _LARGEST_OUTPUT:
            del self._data[:-_LARGEST_OUTPUT]
            self.cut = True
        return self._data.decode("utf-8", "replace")
