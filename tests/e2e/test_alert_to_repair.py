"""From a metric to a healed deployment, with the real Prometheus, the real Alertmanager and a real alertbridge.

Simulated is the cluster alone. What the exporter tells depends on that cluster, so the rule stops firing only
because the cluster is well again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from bridge.demo import SimulatedCluster, SimulatedServer
from tests.support.alertmanager import start_alertmanager, start_pair
from tests.support.cluster import deployment
from tests.support.installation import SENDER, Installation, Server
from tests.support.processes import Processes, free_port, until
from tests.support.prometheus import Rule, start_prometheus
from tests.support.recording_proxy import RecordingProxy
from tests.support.shipped import shipped_runbooks

NAMESPACE = "o2ims-system"
GATEWAY = "netweave-gateway"
GOOD = "registry.example/netweave-gateway:1.4.2"
BROKEN = "registry.example/netweave-gateway:1.5.0-bad"

DOWN = Rule(
    "GatewayDown",
    'kube_deployment_status_replicas_ready{deployment="netweave-gateway"} == 0',
    {"severity": "critical"},
    {"summary": "No gateway pod is ready"},
)


@asynccontextmanager
async def exporter(cluster: SimulatedCluster) -> AsyncIterator[str]:
    """Serve what kube-state-metrics would tell of the cluster's Deployments; yield host:port."""

    async def metrics(_request: web.Request) -> web.Response:
        lines = []
        for each in cluster.list("deployments.apps"):
            labels = f'namespace="{each["metadata"]["namespace"]}",deployment="{each["metadata"]["name"]}"'
            ready = each["status"].get("readyReplicas") or 0
            lines.append(f"kube_deployment_status_replicas_ready{{{labels}}} {ready}\n")
        return web.Response(text="".join(lines))

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def broken() -> AsyncIterator[tuple[SimulatedCluster, RecordingProxy]]:
    """A cluster whose gateway's new revision crash-loops, behind a proxy that records every request."""
    cluster = SimulatedCluster()
    cluster.set_behavior(ready_delay=0.2, termination_delay=0.05)
    gateway = deployment(GATEWAY, GOOD, 3, strategy={"type": "Recreate"})
    gateway["metadata"]["namespace"] = NAMESPACE
    gateway["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    ports = [{"name": "http", "port": 8080, "targetPort": "http"}]
    now = cluster.now()
    with cluster.travel(now - 86_400):
        cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
                "spec": {"selector": {"app": GATEWAY}, "ports": ports},
            }
        )
        cluster.apply(gateway)
        cluster.settle(60)
    with cluster.travel(now - 300):
        gateway["spec"]["template"]["spec"]["containers"][0]["image"] = BROKEN
        cluster.apply(gateway)
        cluster.settle(290)
    async with SimulatedServer(cluster, tick=0.005) as server, RecordingProxy(server.url) as proxy:
        yield cluster, proxy


def image(cluster: SimulatedCluster) -> str:
    gateway = cluster.get("deployments.apps", NAMESPACE, GATEWAY)
    assert gateway is not None
    return str(gateway["spec"]["template"]["spec"]["containers"][0]["image"])


async def closed(server: Server, fingerprint: str) -> bool:
    incidents = (await server.explain(fingerprint))["incidents"]
    return bool(incidents) and all(each["state"] == "closed" for each in incidents)


async def test_a_rule_fires_the_gateway_is_rolled_back_and_the_resolve_closes_the_incident(
    processes: Processes, broken: tuple[SimulatedCluster, RecordingProxy]
) -> None:
    cluster, proxy = broken
    installation = Installation(
        processes,
        kubernetes=proxy.url,
        alerts={"GatewayDown": "netweave/all-pods-down"},
        runbooks=[],
        runbook_files=shipped_runbooks(),
    )
    try:
        async with exporter(cluster) as target:
            # Prometheus looks at its first target after five seconds: all three start side by side.
            port, alertmanager_port = free_port(), free_port()
            server, _, prometheus = await asyncio.gather(
                installation.start(port=port),
                start_alertmanager(
                    processes, f"http://127.0.0.1:{port}/webhook", token=SENDER, port=alertmanager_port
                ),
                start_prometheus(
                    processes,
                    target,
                    rules=[DOWN],
                    alertmanagers=[f"127.0.0.1:{alertmanager_port}"],
                    interval="200ms",
                ),
            )
            done = await server.outcome(seconds=30)
            assert (done["outcome"], done["reason"]) == ("succeeded", "verified"), done["detail"]
            assert not done["escalated"]
            assert image(cluster) == GOOD

            async def quiet() -> bool:
                return not await prometheus.firing()

            await until(quiet, what="the rule to stop firing")
            fingerprint = done["incidents"][0].split("/")[1]
            await until(lambda: closed(server, fingerprint), what="the resolve to close the incident")
            # The resolve may come before the runbook's own proof, or after it.
            assert sorted(await server.reasons(fingerprint)) == ["created", "resolved", "verified"]
    finally:
        installation.end_private_redis()
    assert [entry.path.rpartition("/")[2] for entry in proxy.applied()] == [GATEWAY]


async def test_two_clustered_alertmanagers_send_the_same_alert_and_one_action_is_taken(
    processes: Processes, broken: tuple[SimulatedCluster, RecordingProxy]
) -> None:
    cluster, proxy = broken
    installation = Installation(
        processes,
        kubernetes=proxy.url,
        alerts={"GatewayDown": "netweave/all-pods-down"},
        runbooks=[],
        runbook_files=shipped_runbooks(),
    )
    labels = {"alertname": "GatewayDown", "namespace": NAMESPACE, "deployment": GATEWAY}
    try:
        server = await installation.start()
        # Both send, as they do when gossip is slower than the wait of the second.
        pair = await start_pair(
            processes, f"{server.url}/webhook", token=SENDER, peer_timeout="100ms", gossip_interval="5m"
        )
        began = datetime.now(UTC)
        for peer in pair:
            await peer.fire(labels, starts_at=began)
        done = await server.outcome(seconds=30)
        assert done["outcome"] == "succeeded"
        assert await server.figure("alertbridge_alerts_total", seen="new") == 1
        assert await server.figure("alertbridge_alerts_total", seen="duplicate") == 1
        for peer in pair:
            await peer.resolve(labels, starts_at=began)
        fingerprint = done["incidents"][0].split("/")[1]
        await until(lambda: closed(server, fingerprint), what="the resolve to close the incident")
        assert len(await server.remediations()) == 1
    finally:
        installation.end_private_redis()
    assert len(proxy.applied()) == 1
    assert image(cluster) == GOOD
