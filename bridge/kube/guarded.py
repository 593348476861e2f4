"""A circuit breaker before a cluster, shared by all workers. Wrapped around a cluster by bridge.kube.clusters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridge.errors import KubeReplyLost, KubeUnavailable
from bridge.kube.circuit import Circuit
from bridge.model.breaker import BreakerPolicy
from bridge.ports import Breakers, Clock, Cluster
from bridge.ports.layer import ClusterLayer, Way

T = TypeVar("T")

FAILURES = (KubeUnavailable, KubeReplyLost)
"""5xx, no connection, no answer in time. What the API server refuses (4xx) is an answer: it works."""


class GuardedCluster(ClusterLayer):
    """Implements bridge.ports.Cluster; every call but `health` may raise CircuitOpen."""

    def __init__(
        self, inner: Cluster, breakers: Breakers, clock: Clock, *, policy: BreakerPolicy | None = None
    ) -> None:
        super().__init__(inner)
        self._circuit = Circuit(f"cluster:{inner.name}", breakers, clock, failures=FAILURES, policy=policy)

    async def _pass(self, way: Way, call: Callable[[], Awaitable[T]]) -> T:
        if way is Way.HEALTH:
            # How the server is can be asked just when the breaker is open, and the answer counts for nothing.
            return await call()
        # A service, a kubelet or a command that hangs says nothing about the API server, which only passes it on: it
        # may be just what is being mended, and must not keep everybody else from this cluster.
        return await self._circuit.call(call, blame=not way.behind)
