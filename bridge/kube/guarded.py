"""A circuit breaker before a cluster, shared by all workers. Wrapped around a cluster by bridge.kube.clusters.

While the breaker is known to be closed, its state is believed for a second: a call then costs no round trip to the
store. What a worker must not miss goes there at once: each failure, and the first success after one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from bridge.errors import CircuitOpen, KubeReplyLost, KubeUnavailable, StoreUnavailable
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.target import ObjectRef
from bridge.ports import Breakers, Clock, Cluster

T = TypeVar("T")

FAILURES = (KubeUnavailable, KubeReplyLost)
"""5xx, no connection, no answer in time. What the API server refuses (4xx) is an answer: it works."""


class GuardedCluster:
    """Implements bridge.ports.Cluster; every call may raise CircuitOpen."""

    def __init__(
        self,
        inner: Cluster,
        breakers: Breakers,
        clock: Clock,
        *,
        policy: BreakerPolicy | None = None,
        believe: float = 1.0,
    ) -> None:
        """`believe`: seconds for which a closed breaker is not asked about again."""
        self.name = inner.name
        self.breaker = f"cluster:{inner.name}"
        self._inner = inner
        self._breakers = breakers
        self._clock = clock
        self._policy = policy or BreakerPolicy()
        self._believe = believe
        self._closed_until = float("-inf")

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        return await self._call(lambda: self._inner.get(ref))

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
        return await self._call(
            lambda: self._inner.list(api_version, kind, namespace, labels=labels, fields=fields, limit=limit)
        )

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._call(lambda: self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run))

    async def logs(
        self, namespace: str, pod: str, *, container: str, previous: bool = False, lines: int = 100
    ) -> str:
        return await self._call(
            lambda: self._inner.logs(namespace, pod, container=container, previous=previous, lines=lines)
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        return await self._call(lambda: self._inner.service_get(namespace, service, port, path))

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        permit = await self._enter()
        try:
            result = await call()
        except FAILURES:
            await self._failed(permit)
            raise
        except asyncio.CancelledError:
            # A cancellation says nothing about the cluster; a probe must be handed back all the same.
            if permit is not None:
                await asyncio.shield(self._leave(permit, failed=None))
            raise
        except Exception:
            if permit is not None:
                await self._leave(permit, failed=False)
            raise
        if permit is not None:
            await self._leave(permit, failed=False)
        return result

    async def _enter(self) -> Permit | None:
        """Return leave, None when the breaker was closed a moment ago. Raises CircuitOpen, StoreUnavailable."""
        if self._clock.monotonic() < self._closed_until:
            return None
        return await self._breakers.enter(self.breaker, self._policy)

    async def _failed(self, permit: Permit | None) -> None:
        self._closed_until = float("-inf")
        try:
            permit = permit or await self._breakers.enter(self.breaker, self._policy)
        except (StoreUnavailable, CircuitOpen):
            return
        await self._leave(permit, failed=True)

    async def _leave(self, permit: Permit, *, failed: bool | None) -> None:
        """Report; a store that is away must not turn a call that worked into one that failed."""
        try:
            state = await self._breakers.leave(permit, self._policy, failed=failed)
        except StoreUnavailable:
            return
        if failed is False and state is BreakerState.CLOSED:
            self._closed_until = self._clock.monotonic() + self._believe
