"""Logging in to a cluster: a kubeconfig, a service account over TLS, and credentials that rotate meanwhile."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.controllers.authority import self_signed
from bridge.errors import InvalidInput, KubeUnauthorized, KubeUnavailable
from bridge.kube.client import KubeCluster
from bridge.kube.clusters import KubeClusters
from bridge.kube.connection import ClusterConnection
from bridge.model.target import ObjectRef
from tests.support.breakers import MemoryBreakers
from tests.support.clock import FakeClock

NODE = ObjectRef("v1", "Node", "", "node-0")


@pytest.fixture
async def server() -> AsyncIterator[SimulatedServer]:
    async with SimulatedServer(SimulatedCluster(), token="right", tick=None) as started:
        yield started


def kubeconfig(path: Path, server: SimulatedServer, token: str) -> str:
    content = server.kubeconfig()
    content["users"][0]["user"] = {"token": token}
    content["contexts"].append({"name": "other", "context": {"cluster": "nowhere", "user": "admin"}})
    path.write_text(json.dumps(content))
    return str(path)


async def test_a_kubeconfig_is_used_and_read_again_when_its_token_is_refused(
    server: SimulatedServer, tmp_path: Path
) -> None:
    """Fault 25."""
    path = kubeconfig(tmp_path / "config", server, "wrong")
    cluster = KubeCluster(ClusterConnection(name="test", kubeconfig=path))
    try:
        with pytest.raises(KubeUnauthorized):
            await cluster.get(NODE)
        kubeconfig(tmp_path / "config", server, "right")
        assert (await cluster.get(NODE))["metadata"]["name"] == "node-0"
    finally:
        await cluster.close()


@pytest.mark.parametrize(
    "settings", [{"kubeconfig": "/nowhere/config"}, {"in_cluster": True}, {"context": "nowhere"}]
)
async def test_credentials_that_cannot_be_read_are_an_error_with_words(
    server: SimulatedServer, tmp_path: Path, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    given = {"kubeconfig": kubeconfig(tmp_path / "config", server, "right"), **settings}
    cluster = KubeCluster(ClusterConnection(name="test", **given))  # type: ignore[arg-type]
    with pytest.raises(KubeUnavailable, match="log in to cluster 'test'"):
        await cluster.get(NODE)
    await cluster.close()


async def test_a_service_accounts_token_may_rotate_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 25: over TLS, with the certificate of the cluster's own authority."""
    now = time.time()
    public, private = self_signed("localhost", ["localhost"], now - 60, now + 3600)
    (tmp_path / "ca.crt").write_bytes(public)
    (tmp_path / "key").write_bytes(private)
    (tmp_path / "token").write_text("token-0")
    accepted = {"token": "token-0"}
    refused = 0

    async def handle(request: web.Request) -> web.Response:
        nonlocal refused
        if request.headers["Authorization"] != f"Bearer {accepted['token']}":
            refused += 1
            return web.json_response({"kind": "Status", "apiVersion": "v1", "reason": "Unauthorized"}, status=401)
        return web.json_response({"metadata": {"name": "node-0"}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", tmp_path / "key")
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "localhost")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(runner.addresses[0][1]))
    cluster = KubeCluster(ClusterConnection(name="test", in_cluster=True, service_account=str(tmp_path)))
    try:
        for number in range(3):
            accepted["token"] = f"token-{number}"
            (tmp_path / "token").write_text(accepted["token"])
            found = await asyncio.gather(*(cluster.get(NODE) for _ in range(20)))
            assert {document["metadata"]["name"] for document in found} == {"node-0"}
        assert refused <= 40
    finally:
        await cluster.close()
        await runner.cleanup()


async def test_a_cluster_that_is_not_configured_is_refused(server: SimulatedServer) -> None:
    clock = FakeClock()
    connection = ClusterConnection(name="main", url=server.url, token="right")
    clusters = KubeClusters([connection], breakers=MemoryBreakers(clock), clock=clock)
    try:
        await clusters.connect()
        assert clusters.names == ["main"]
        assert (await clusters.get("main").get(NODE))["kind"] == "Node"
        for unknown in ("", "other", "../main"):
            with pytest.raises(InvalidInput):
                clusters.get(unknown)
    finally:
        await clusters.close()
