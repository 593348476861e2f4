"""A sick API server, seen by two workers that share their circuit breaker through a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bridge.errors import CircuitOpen, KubeForbidden, KubeReplyLost, KubeUnavailable
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.kube.guarded import GuardedCluster
from bridge.model.breaker import BreakerPolicy, BreakerState
from bridge.model.target import ObjectRef
from tests.support.clock import FakeClock
from tests.support.redis import OpenStores, RedisServer, fresh_options
from tests.support.scripted_kube import ScriptedKube, hang, ok, reset, scripted_kube, status

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
DEADLINE = 1.5
POLICY = BreakerPolicy(threshold=4, window=60, cooldown=30)
FINE = ok({"metadata": {"name": "web"}})


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as server:
        yield server


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[OpenStores]:
    opened = OpenStores(fresh_options(redis_server.url))
    yield opened
    await opened.close()


@pytest.fixture
async def client(kube: ScriptedKube) -> AsyncIterator[KubeCluster]:
    # Long enough that a call is heard by the server also where the machine is busy: the tests count calls.
    cluster = KubeCluster(ClusterConnection(name="main", url=kube.url, deadline=DEADLINE))
    await cluster.connect()
    yield cluster
    await cluster.close()


async def test_failures_of_two_workers_open_one_breaker_and_one_probe_closes_it(
    kube: ScriptedKube, stores: OpenStores, client: KubeCluster
) -> None:
    """Fault 22."""
    first, second, later = await stores.open(), await stores.open(), await stores.later(31)
    one, two = (GuardedCluster(client, s.breakers, FakeClock(), policy=POLICY) for s in (first, second))
    kube.script(status(503, "ServiceUnavailable"))
    for worker in (one, two, one, two):
        with pytest.raises(KubeUnavailable):
            await worker.get(WEB)
    for worker in (one, two):
        with pytest.raises(CircuitOpen) as caught:
            await worker.get(WEB)
        assert 0 < (caught.value.delay or 0) <= 30
    assert len(kube.seen) == 4

    # After the cooldown, of twenty calls one goes through; it still fails, and the breaker stays open.
    kube.script(hang)
    after = [GuardedCluster(client, later.breakers, FakeClock(), policy=POLICY) for _ in range(20)]
    results = await asyncio.gather(*(worker.get(WEB) for worker in after), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["CircuitOpen"] * 19 + ["KubeUnavailable"]
    assert len(kube.seen) == 5

    kube.script(FINE)
    much_later = (await stores.later(70)).breakers
    healed = GuardedCluster(client, much_later, FakeClock(), policy=POLICY)
    await healed.get(WEB)
    assert (await much_later.states())["cluster:main"] is BreakerState.CLOSED
    await GuardedCluster(client, much_later, FakeClock(), policy=POLICY).get(WEB)


async def test_lost_replies_and_hung_calls_count_and_refusals_do_not(
    kube: ScriptedKube, stores: OpenStores, client: KubeCluster
) -> None:
    """Faults 22, 23, 26 and 28."""
    breakers = (await stores.open()).breakers
    cluster = GuardedCluster(client, breakers, FakeClock(), policy=POLICY)
    kube.script(status(403, "Forbidden"))
    for _ in range(6):
        with pytest.raises(KubeForbidden):
            await cluster.patch(WEB, {})
    assert (await breakers.states()).get("cluster:main", BreakerState.CLOSED) is BreakerState.CLOSED
    kube.script(reset, hang, reset, reset)
    for _ in range(4):
        with pytest.raises(KubeReplyLost):
            await cluster.patch(WEB, {})
    with pytest.raises(CircuitOpen):
        await cluster.patch(WEB, {})
    assert len(kube.seen) == 10


async def test_cancelled_calls_never_open_it(kube: ScriptedKube, stores: OpenStores, client: KubeCluster) -> None:
    """Fault 61."""
    breakers = (await stores.open()).breakers
    cluster = GuardedCluster(client, breakers, FakeClock(), policy=POLICY)
    kube.script(hang)
    for _ in range(6):
        call = asyncio.create_task(cluster.get(WEB))
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    kube.script(FINE)
    assert (await cluster.get(WEB))["metadata"]["name"] == "web"
