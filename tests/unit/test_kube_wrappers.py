"""Retries of reads and the circuit breaker before a cluster, with a clock that the tests move."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.engine.snapshot import Snapshot
from bridge.errors import (
    CircuitOpen,
    KubeBusy,
    KubeError,
    KubeForbidden,
    KubeNotFound,
    KubeReplyLost,
    KubeUnavailable,
    StoreUnavailable,
)
from bridge.kube.guarded import GuardedCluster
from bridge.kube.retry import ReadRetry, RetryingCluster
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.target import ObjectRef
from bridge.ports import Cluster
from tests.support.breakers import MemoryBreakers
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
POLICY = BreakerPolicy(threshold=3, window=60, cooldown=30)


class Scripted(FakeCluster):
    """Raises what it is told, in turn, before it answers."""

    def __init__(self, *errors: Exception | None) -> None:
        super().__init__({"kind": "Deployment", "metadata": {"name": "web"}})
        self.script: list[Exception | None] = list(errors)

    def _called(self, verb: str, kind: str) -> None:
        super()._called(verb, kind)
        error = self.script.pop(0) if self.script else None
        if error is not None:
            raise error


async def test_a_read_is_tried_again_with_a_growing_pause() -> None:
    """Fault 22."""
    inner, clock = Scripted(KubeUnavailable("x"), KubeUnavailable("x")), FakeClock(auto=True)
    await RetryingCluster(inner, clock).get(WEB)
    assert len(inner.calls) == 3
    assert len(clock.slept) == 2


async def test_retry_after_is_obeyed() -> None:
    """Fault 21."""
    inner, clock = Scripted(KubeBusy("x", retry_after=2.5)), FakeClock(auto=True)
    await RetryingCluster(inner, clock).get(WEB)
    assert clock.slept == [2.5]


async def test_a_wait_beyond_the_cap_is_not_begun() -> None:
    """Fault 21: the engine parks the run for that long instead."""
    inner, clock = Scripted(KubeBusy("x", retry_after=60)), FakeClock(auto=True)
    with pytest.raises(KubeBusy) as caught:
        await RetryingCluster(inner, clock).get(WEB)
    assert (clock.slept, caught.value.retry_after) == ([], 60)


async def test_attempts_are_capped() -> None:
    inner, clock = Scripted(*[KubeUnavailable("x")] * 9), FakeClock(auto=True)
    with pytest.raises(KubeUnavailable):
        await RetryingCluster(inner, clock, ReadRetry(attempts=4, total=60)).get(WEB)
    assert len(inner.calls) == 4


@pytest.mark.parametrize("error", [KubeNotFound("x"), KubeForbidden("x"), CircuitOpen("x")])
async def test_what_cannot_get_better_is_not_tried_again(error: Exception) -> None:
    """Fault 26."""
    inner = Scripted(error)
    with pytest.raises(type(error)):
        await RetryingCluster(inner, FakeClock(auto=True)).get(WEB)
    assert len(inner.calls) == 1


async def test_a_write_is_never_repeated() -> None:
    """Fault 28."""
    inner = Scripted(KubeReplyLost("x"), KubeUnavailable("x"))
    cluster = RetryingCluster(inner, FakeClock(auto=True))
    for expected in (KubeReplyLost, KubeUnavailable):
        with pytest.raises(expected):
            await cluster.patch(WEB, {})
    assert len(inner.calls) == 2


@pytest.mark.parametrize("verb", ["create", "apply", "delete", "evict", "exec"])
async def test_no_write_of_any_kind_is_repeated(verb: str) -> None:
    """Fault 28."""
    inner = Scripted(KubeUnavailable("x"), KubeBusy("x", retry_after=0.1))
    cluster = RetryingCluster(inner, FakeClock(auto=True))
    for expected in (KubeUnavailable, KubeBusy):
        with pytest.raises(expected):
            await write(cluster, verb)
    assert len(inner.calls) == 2


@pytest.mark.parametrize("verb", ["create", "apply", "delete", "evict", "exec"])
async def test_a_snapshot_forgets_what_it_read_before_any_write(verb: str) -> None:
    inner = Scripted()
    snapshot = Snapshot(inner, FakeClock())
    for _ in range(2):
        await snapshot.get(WEB)
    assert inner.calls == [("get", "Deployment")]
    with contextlib.suppress(KubeError):
        await write(snapshot, verb)
    await snapshot.get(WEB)
    assert inner.calls.count(("get", "Deployment")) == 2


async def test_a_snapshot_reads_anew_after_a_wait() -> None:
    inner = Scripted()
    snapshot = Snapshot(inner, FakeClock())
    await snapshot.get(WEB)
    await snapshot.wait_for(WEB, lambda found: True, deadline=5)
    await snapshot.get(WEB)
    assert [verb for verb, _ in inner.calls] == ["get", "watch", "get"]


async def write(cluster: Cluster, verb: str) -> object:
    settings, pod = ObjectRef("v1", "ConfigMap", "shop", "a", uid="u"), ObjectRef("v1", "Pod", "shop", "a", uid="u")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "create": lambda: cluster.create(settings, {}),
        "apply": lambda: cluster.apply(settings, {}),
        "delete": lambda: cluster.delete(settings),
        "evict": lambda: cluster.evict(pod),
        "exec": lambda: cluster.exec("shop", "a", ["true"], container="main"),
    }
    return await calls[verb]()


async def test_the_servers_health_is_asked_for_while_the_breaker_is_open_and_counts_for_nothing() -> None:
    """Fault 22: a run about a sick API server has to see how sick it is."""
    inner = Scripted(*[KubeUnavailable("x")] * 3)
    cluster, breakers = guarded(inner, FakeClock())
    for _ in range(3):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    assert (await cluster.health("/readyz")).status == 200
    with pytest.raises(CircuitOpen):
        await cluster.get(WEB)
    assert breakers.left == [True, True, True]


def guarded(inner: FakeCluster, clock: FakeClock) -> tuple[GuardedCluster, MemoryBreakers]:
    breakers = MemoryBreakers(clock)
    return GuardedCluster(inner, breakers, clock, policy=POLICY), breakers


async def test_failures_in_a_row_open_the_breaker_and_one_probe_closes_it() -> None:
    """Fault 22."""
    clock = FakeClock()
    inner = Scripted(*[KubeUnavailable("x")] * 3)
    cluster, breakers = guarded(inner, clock)
    for _ in range(3):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    with pytest.raises(CircuitOpen):
        await cluster.get(WEB)
    assert len(inner.calls) == 3
    clock.advance(POLICY.cooldown + 1)
    await cluster.get(WEB)
    assert (await breakers.states()).get("cluster:test", BreakerState.CLOSED) is BreakerState.CLOSED
    await cluster.get(WEB)


async def test_a_sick_service_or_node_behind_the_api_server_does_not_close_the_cluster_to_everybody() -> None:
    """Fault 22: a hung health check is about the workload, and a dead kubelet about its node."""
    inner = Scripted(*[KubeUnavailable("no answer")] * 30)
    cluster, breakers = guarded(inner, FakeClock())
    for _ in range(10):
        with pytest.raises(KubeUnavailable):
            await cluster.service_get("shop", "web", "http", "/healthz")
        with pytest.raises(KubeUnavailable):
            await cluster.logs("shop", "web-1", container="main")
        with pytest.raises(KubeUnavailable):
            await cluster.exec("shop", "web-1", ["true"], container="main")
    assert (await breakers.states()).get("cluster:test", BreakerState.CLOSED) is BreakerState.CLOSED
    await cluster.get(WEB)


async def test_a_probe_that_asked_a_sick_service_is_handed_back() -> None:
    """Fault 22."""
    clock = FakeClock()
    inner = Scripted(*[KubeUnavailable("x")] * 4)
    cluster, breakers = guarded(inner, clock)
    for _ in range(3):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    clock.advance(POLICY.cooldown + 1)
    with pytest.raises(KubeUnavailable):
        await cluster.service_get("shop", "web", "http", "/healthz")
    await cluster.get(WEB)
    assert (await breakers.states()).get("cluster:test", BreakerState.CLOSED) is BreakerState.CLOSED


async def test_only_one_probe_is_out_when_half_open() -> None:
    """Fault 22."""
    clock = FakeClock()
    gate = asyncio.Event()

    class Slow(Scripted):
        async def get(self, ref: ObjectRef) -> dict[str, Any]:
            document = await super().get(ref)
            await gate.wait()
            return document

    inner = Slow(*[KubeUnavailable("x")] * 3)
    cluster, _ = guarded(inner, clock)
    for _ in range(3):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    clock.advance(POLICY.cooldown + 1)
    probes = [asyncio.create_task(cluster.get(WEB)) for _ in range(20)]
    await asyncio.sleep(0.01)
    gate.set()
    results = await asyncio.gather(*probes, return_exceptions=True)
    assert sum(isinstance(result, CircuitOpen) for result in results) == 19


async def test_refusals_are_answers_and_no_failures() -> None:
    """Faults 20, 21 and 26."""
    clock = FakeClock()
    cluster, breakers = guarded(Scripted(*[KubeForbidden("x")] * 9), clock)
    for _ in range(9):
        with pytest.raises(KubeForbidden):
            await cluster.get(WEB)
    assert True not in breakers.left


async def test_a_cancellation_is_no_failure_and_hands_the_probe_back() -> None:
    """Fault 61."""
    clock = FakeClock()

    class Hung(Scripted):
        async def get(self, ref: ObjectRef) -> dict[str, Any]:
            document = await super().get(ref)
            await asyncio.Event().wait()
            return document

    inner = Hung(*[KubeUnavailable("x")] * 3)
    cluster, breakers = guarded(inner, clock)
    for _ in range(3):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    clock.advance(POLICY.cooldown + 1)
    probe = asyncio.create_task(cluster.get(WEB))
    await asyncio.sleep(0.01)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    assert breakers.left == [True, True, True, None]
    assert (await breakers.enter("cluster:test", POLICY)).probe


async def test_while_closed_the_store_is_asked_once_a_second() -> None:
    clock = FakeClock()
    cluster, breakers = guarded(Scripted(), clock)
    for _ in range(100):
        await cluster.get(WEB)
    assert breakers.entered == 1
    clock.advance(1.1)
    await cluster.get(WEB)
    assert breakers.entered == 2


async def test_a_success_after_a_failure_is_told_at_once() -> None:
    clock = FakeClock()
    cluster, breakers = guarded(Scripted(None, KubeUnavailable("x")), clock)
    await cluster.get(WEB)
    with pytest.raises(KubeUnavailable):
        await cluster.get(WEB)
    await cluster.get(WEB)
    assert breakers.left == [False, True, False]


async def test_a_store_that_went_away_does_not_undo_a_call_that_worked() -> None:
    clock = FakeClock()

    class Away(MemoryBreakers):
        async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
            raise StoreUnavailable("redis is away")

    inner = Scripted()
    cluster = GuardedCluster(inner, Away(clock), clock, policy=POLICY)
    assert await cluster.patch(WEB, {"spec": {"replicas": 1}})
