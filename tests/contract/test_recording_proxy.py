"""The recording proxy passes everything on, counts what could change the cluster, and spoils what it is told to."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.controllers.authority import self_signed
from tests.support.recording_proxy import RecordingProxy

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}


class Bench:
    """A cluster, its server, the proxy before it and a session to the proxy."""

    def __init__(self, server: SimulatedServer, proxy: RecordingProxy, session: aiohttp.ClientSession) -> None:
        self.cluster, self.server, self.proxy, self.session = server.cluster, server, proxy, session

    async def create(self, name: str = "a", query: str = "") -> int:
        async with self.session.post(CONFIGMAPS + query, json={"metadata": {"name": name}}) as reply:
            return reply.status

    def exists(self, name: str = "a") -> bool:
        return self.cluster.get("configmaps", "default", name) is not None


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with (
        SimulatedServer(SimulatedCluster(), token="t0ken", tick=None) as server,
        RecordingProxy(server.url, token="t0ken") as proxy,
        aiohttp.ClientSession(proxy.url) as session,
    ):
        yield Bench(server, proxy, session)


async def test_what_could_change_the_cluster_is_counted_and_what_only_looks_is_not(bench: Bench) -> None:
    assert await bench.create("a", "?fieldManager=alertbridge") == 201
    assert await bench.create("b", "?dryRun=All") == 201
    await bench.session.get(CONFIGMAPS)
    review: dict[str, Any] = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    await bench.session.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=review)
    assert [(entry.verb, entry.path, entry.field_manager) for entry in bench.proxy.mutating()] == [
        ("POST", CONFIGMAPS, "alertbridge")
    ]
    assert len(bench.proxy.mutating(dry_runs=True)) == 2
    assert len(bench.proxy.applied()) == 1
    assert bench.proxy.requests[0].json == {"metadata": {"name": "a"}}


async def test_a_watch_streams_through(bench: Bench) -> None:
    query = {"watch": "1", "timeoutSeconds": "5", "fieldSelector": "metadata.name=a"}
    async with bench.session.get(CONFIGMAPS, params=query) as reply:
        await bench.create()
        line = await asyncio.wait_for(reply.content.readline(), 5)
    assert b'"ADDED"' in line


@pytest.mark.parametrize("where", ["proxy", "server"])
async def test_a_status_is_answered_so_often_and_then_no_more(bench: Bench, where: str) -> None:
    faults = bench.proxy.faults if where == "proxy" else bench.server.faults
    faults.answer(429, method="POST", path="configmaps", times=2, retry_after=3)
    statuses = []
    for _ in range(3):
        async with bench.session.post(CONFIGMAPS, json={"metadata": {"name": "a"}}) as reply:
            statuses.append((reply.status, reply.headers.get("Retry-After")))
    assert statuses == [(429, "3"), (429, "3"), (201, None)]


async def test_a_connection_cut_before_leaves_the_cluster_as_it_was(bench: Bench) -> None:
    bench.proxy.faults.cut(method="POST")
    with pytest.raises(aiohttp.ClientError):
        await bench.create()
    assert not bench.exists()
    assert bench.proxy.requests[0].forwarded is False


async def test_a_lost_reply_leaves_the_change_in_the_cluster(bench: Bench) -> None:
    bench.proxy.faults.cut(method="POST", after=True)
    with pytest.raises(aiohttp.ClientError):
        await bench.create()
    assert bench.exists()
    assert (bench.proxy.requests[0].status, bench.proxy.requests[0].upstream_status) == (None, 201)


async def test_the_servers_own_lost_reply_leaves_the_change_too(bench: Bench) -> None:
    bench.server.faults.cut(method="POST", after=True)
    async with aiohttp.ClientSession(bench.server.url, headers={"Authorization": "Bearer t0ken"}) as direct:
        with pytest.raises(aiohttp.ClientError):
            await direct.post(CONFIGMAPS, json={"metadata": {"name": "a"}})
    assert bench.exists()


async def test_a_hanging_request_ends_with_its_clients_patience(bench: Bench) -> None:
    bench.proxy.faults.hang(method="PATCH")
    await bench.create()
    with pytest.raises(asyncio.TimeoutError):
        await bench.session.patch(
            f"{CONFIGMAPS}/a", data=b"{}", headers=MERGE, timeout=aiohttp.ClientTimeout(total=0.2)
        )
    async with bench.session.patch(f"{CONFIGMAPS}/a", data=b"{}", headers=MERGE) as reply:
        assert reply.status == 200


async def test_an_upstream_with_tls_is_reached_with_a_client_certificate(tmp_path: Path) -> None:
    now = time.time()
    for name in ("localhost", "client"):
        public, private = self_signed(name, [name], now - 60, now + 3600)
        (tmp_path / f"{name}.crt").write_bytes(public)
        (tmp_path / f"{name}.pem").write_bytes(public + private)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "client.crt"))
    serving.load_cert_chain(tmp_path / "localhost.pem")
    serving.verify_mode = ssl.CERT_REQUIRED
    calling = ssl.create_default_context(cafile=str(tmp_path / "localhost.crt"))
    calling.load_cert_chain(tmp_path / "client.pem")

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"authorization": request.headers.get("Authorization")})

    app = web.Application()
    app.router.add_get("/version", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=serving).start()
    try:
        upstream = f"https://localhost:{runner.addresses[0][1]}"
        headers = {"Authorization": "Bearer theirs"}
        async with (
            RecordingProxy(upstream, token="ours", ssl=calling) as proxy,
            aiohttp.ClientSession(proxy.url) as session,
            session.get("/version", headers=headers) as reply,
        ):
            assert await reply.json() == {"authorization": "Bearer theirs"}
    finally:
        await runner.cleanup()
