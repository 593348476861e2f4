"""The named clusters of the configuration. Made by app; asked by the engine for a remediation's cluster."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import InvalidInput
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.kube.guarded import GuardedCluster
from bridge.kube.retry import ReadRetry, RetryingCluster
from bridge.kube.transport import Observe
from bridge.model.breaker import BreakerPolicy
from bridge.ports import Breakers, Clock, Cluster


class KubeClusters:
    """Implements bridge.ports.Clusters: each cluster with retried reads, a shared breaker and its own credentials."""

    def __init__(
        self,
        connections: Sequence[ClusterConnection],
        *,
        breakers: Breakers,
        clock: Clock,
        breaker_policy: BreakerPolicy | None = None,
        read_retry: ReadRetry | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._raw = [KubeCluster(connection, observe=observe) for connection in connections]
        self._clusters: dict[str, Cluster] = {
            raw.name: RetryingCluster(
                GuardedCluster(raw, breakers, clock, policy=breaker_policy), clock, policy=read_retry
            )
            for raw in self._raw
        }

    @property
    def names(self) -> list[str]:
        return list(self._clusters)

    def get(self, name: str) -> Cluster:
        """Return the named connection; raise InvalidInput when there is none."""
        if name not in self._clusters:
            raise InvalidInput(f"no cluster is called {name!r}; configured are {', '.join(self._clusters) or 'none'}")
        return self._clusters[name]

    async def connect(self) -> None:
        """Load the client library and the credentials ahead of the first alert. Raises KubeUnavailable."""
        for raw in self._raw:
            await raw.connect()

    async def close(self) -> None:
        for raw in self._raw:
            await raw.close()
