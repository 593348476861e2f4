"""A circuit breaker before a cluster, shared by all workers. Wrapped around a cluster by bridge.kube.clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.errors import KubeReplyLost, KubeUnavailable
from bridge.kube.circuit import Circuit
from bridge.model.breaker import BreakerPolicy
from bridge.model.outside import ExecReply, HttpReply
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
        everywhere: bool = False,
    ) -> list[dict[str, Any]]:
        return await self._circuit.call(
            lambda: self._inner.list(
                api_version, kind, namespace, labels=labels, fields=fields, limit=limit, everywhere=everywhere
            )
        )

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        return await self._circuit.call(lambda: self._inner.wait_for(ref, holds, deadline=deadline))

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._circuit.call(
            lambda: self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run)
        )

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        return await self._circuit.call(lambda: self._inner.create(ref, manifest, dry_run=dry_run))

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._circuit.call(lambda: self._inner.apply(ref, manifest, force=force, dry_run=dry_run))

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        await self._circuit.call(
            lambda: self._inner.delete(
                ref, resource_version=resource_version, grace=grace, propagation=propagation, dry_run=dry_run
            )
        )

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        await self._circuit.call(lambda: self._inner.evict(ref, grace=grace, dry_run=dry_run))

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        # A kubelet or a command that hangs says nothing about the API server, as with logs.
        return await self._circuit.call(
            lambda: self._inner.exec(namespace, pod, command, container=container, deadline=deadline), blame=False
        )

    async def logs(
        self,
        namespace: str,
        pod: str,
        *,
        container: str,
        previous: bool = False,
        lines: int = 100,
        since: float | None = None,
    ) -> str:
        # A node whose kubelet is away, as below: the API server only passes the question on.
        return await self._circuit.call(
            lambda: self._inner.logs(
                namespace, pod, container=container, previous=previous, lines=lines, since=since
            ),
            blame=False,
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        # A service that hangs is what is being mended; it must not keep everybody else from this cluster.
        return await self._circuit.call(lambda: self._inner.service_get(namespace, service, port, path), blame=False)

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        return await self._circuit.call(lambda: self._inner.service_text(namespace, service, port, path), blame=False)

    async def health(self, path: str) -> HttpReply:
        # How the server is can be asked just when the breaker is open, and the answer counts for nothing.
        return await self._inner.health(path)
