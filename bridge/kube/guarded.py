"""A circuit breaker before a cluster, shared by all workers. Wrapped around a cluster by bridge.kube.clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.errors import KubeReplyLost, KubeUnavailable
from bridge.kube.circuit import Circuit
from bridge.model.breaker import BreakerPolicy
from bridge.model.target import ObjectRef
from bridge.ports import Breakers, Clock, Cluster

FAILURES = (KubeUnavailable, KubeReplyLost)
"""5xx, no connection, no answer in time. What the API server refuses (4xx) is an answer: it works."""


class GuardedCluster:
    """Implements bridge.ports.Cluster; every call may raise CircuitOpen."""

    def __init__(
        self, inner: Cluster, breakers: Breakers, clock: Clock, *, policy: BreakerPolicy | None = None
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._circuit = Circuit(f"cluster:{inner.name}", breakers, clock, failures=FAILURES, policy=policy)

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        return await self._circuit.call(lambda: self._inner.get(ref))

    async def list(
        self,
        api_version: str,
        kind: str,
        namespace: str,
        *,
        labels: Mapping[str, str] | str | None = None,
        fields: Mapping[str, str] | None = None,
        limit: int = 500,
    ) -> list[dict[str, Any]]:
        return await self._circuit.call(
            lambda: self._inner.list(api_version, kind, namespace, labels=labels, fields=fields, limit=limit)
        )

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._circuit.call(
            lambda: self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run)
        )

    async def logs(
        self, namespace: str, pod: str, *, container: str, previous: bool = False, lines: int = 100
    ) -> str:
        # A node whose kubelet is away, as below: the API server only passes the question on.
        return await self._circuit.call(
            lambda: self._inner.logs(namespace, pod, container=container, previous=previous, lines=lines),
            blame=False,
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        # A service that hangs is what is being mended; it must not keep everybody else from this cluster.
        return await self._circuit.call(lambda: self._inner.service_get(namespace, service, port, path), blame=False)
