"""Commands in containers over real WebSockets: servers that end too early, talk nonsense and say too much."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from bridge.errors import InvalidInput, KubeInvalid, KubeReplyLost, KubeUnavailable
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from tests.support.scripted_kube import ScriptedKube, reset, scripted_kube

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]
SUCCESS = b'\x03{"metadata":{},"status":"Success"}'


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as server:
        yield server


@pytest.fixture
async def cluster(kube: ScriptedKube) -> AsyncIterator[KubeCluster]:
    made = KubeCluster(ClusterConnection(name="test", url=kube.url))
    yield made
    await made.close()


def socket(talk: Talk, protocols: tuple[str, ...] = ("v4.channel.k8s.io",)) -> Any:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(protocols=protocols)
        await response.prepare(request)
        await talk(response)
        await response.close()
        return response

    return answer


def frames(*data: bytes) -> Any:
    async def talk(response: web.WebSocketResponse) -> None:
        for piece in data:
            await response.send_bytes(piece)

    return socket(talk)


async def run(cluster: KubeCluster, *command: str, **options: Any) -> Any:
    return await cluster.exec("shop", "web-0", command or ("true",), container="main", **options)


async def test_the_request_is_a_list_of_arguments_and_offers_the_channel_protocols(
    kube: ScriptedKube, cluster: KubeCluster
) -> None:
    """Fault 43."""
    kube.script(frames(b"\x01", b"\x01out", b"\x02err", SUCCESS))
    reply = await run(cluster, "psql", "-c", "a&command=b c")
    assert (reply.exit_code, reply.stdout, reply.stderr) == (0, "out", "err")
    assert kube.seen == [
        (
            "GET",
            "/api/v1/namespaces/shop/pods/web-0/exec?container=main&stdin=false&stdout=true&stderr=true&tty=false"
            "&command=psql&command=-c&command=a%26command%3Db%20c",
        )
    ]
    assert kube.headers[0]["Sec-WebSocket-Protocol"] == "v5.channel.k8s.io,v4.channel.k8s.io"


@pytest.mark.parametrize("answer", [frames(), frames(b"\x01half")], ids=["silent", "half"])
async def test_a_connection_that_ends_before_the_command_leaves_its_effect_unknown(
    kube: ScriptedKube, cluster: KubeCluster, answer: Any
) -> None:
    """Fault 28."""
    kube.script(answer)
    with pytest.raises(KubeReplyLost):
        await run(cluster)
    assert len(kube.seen) == 1


async def test_a_connection_cut_in_mid_command_leaves_its_effect_unknown(
    kube: ScriptedKube, cluster: KubeCluster
) -> None:
    """Fault 28."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await response.prepare(request)
        await response.send_bytes(b"\x01half")
        await reset(request)
        return response

    kube.script(cut)
    with pytest.raises(KubeReplyLost):
        await run(cluster)


async def test_a_command_that_never_ends_is_left_at_our_deadline(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 23."""

    async def talk(response: web.WebSocketResponse) -> None:
        while True:
            await response.send_bytes(b"\x01.")
            await asyncio.sleep(0.05)

    kube.script(socket(talk))
    with pytest.raises(KubeReplyLost, match=r"no answer within 1\.5 s"):
        await run(cluster, deadline=1.5)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (b"no json", KubeReplyLost),
        (b"[]", KubeReplyLost),
        (b"{}", KubeReplyLost),
        (b'{"status":"Failure","reason":"NonZeroExitCode"}', KubeReplyLost),
        (
            b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[7,{"reason":"ExitCode"}]}}',
            KubeReplyLost,
        ),
        (b'{"status":"Failure","reason":"InternalError","message":"something broke"}', KubeReplyLost),
        (b'{"status":"Failure","message":"exec: \\"x\\": executable file not found in $PATH"}', KubeInvalid),
        (b'{"status":"Failure","message":"unable to upgrade connection: container not found"}', KubeInvalid),
        (b'{"status":"Failure","message":"error dialing backend: dial tcp: timeout"}', KubeUnavailable),
    ],
)
async def test_an_end_without_an_exit_code_is_never_a_success(
    kube: ScriptedKube, cluster: KubeCluster, status: bytes, error: type[Exception]
) -> None:
    kube.script(frames(b"\x01all is well", b"\x03" + status))
    with pytest.raises(error):
        await run(cluster)


@pytest.mark.parametrize("code", [1, 7, 126, 137, 255])
async def test_an_exit_code_is_the_commands_own(kube: ScriptedKube, cluster: KubeCluster, code: int) -> None:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    failure = {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
    kube.script(frames(b"\x03" + json.dumps(failure).encode()))
    assert (await run(cluster)).exit_code == code


async def test_what_no_terminal_could_show_is_still_text(kube: ScriptedKube, cluster: KubeCluster) -> None:
    kube.script(frames(b"\x01\xff\xfe", b"\x09unknown channel", b"\x01ok", SUCCESS))
    assert (await run(cluster)).stdout == "\ufffd\ufffdok"


@pytest.mark.parametrize("command", ["ls -l", [], [""], ["ls", "a\0b"], ["ls", 7], ["x"] * 101, ["x" * 9000]])
async def test_what_is_no_list_of_arguments_reaches_no_server(
    kube: ScriptedKube, cluster: KubeCluster, command: Any
) -> None:
    """Fault 43."""
    with pytest.raises(InvalidInput):
        await cluster.exec("shop", "web-0", command, container="main")
    assert kube.seen == []


@pytest.mark.parametrize("name", [".", "..", "", "a/b", "%2e%2e", "--kubeconfig=/x", "; rm -rf /"])
async def test_a_dangerous_name_reaches_no_server(kube: ScriptedKube, cluster: KubeCluster, name: str) -> None:
    """Faults 41 and 43."""
    for place in ((name, "web-0", "main"), ("shop", name, "main"), ("shop", "web-0", name)):
        with pytest.raises(InvalidInput):
            await cluster.exec(place[0], place[1], ["true"], container=place[2])
    assert kube.seen == []
