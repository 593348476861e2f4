"""Try reads again that failed for now. Wrapped around a cluster by bridge.kube.clusters.

Writes pass through untouched: whether a write may be repeated is for the engine to say, which journals it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from bridge.errors import KubeBusy, KubeError, KubeUnavailable
from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef
from bridge.ports import Clock, Cluster

T = TypeVar("T")


class ReadRetry(msgspec.Struct, frozen=True):
    """Caps on attempts and on total seconds, and the back-off's first and longest wait in seconds.

    Small on purpose: the engine tries whole steps again, and parks a run whose cluster stays away.
    """

    attempts: int = 3
    total: float = 4.0
    first: float = 0.1
    longest: float = 1.0


class RetryingCluster:
    """Implements bridge.ports.Cluster: repeats reads on KubeBusy and KubeUnavailable, with jitter and caps.

    Retry-After is obeyed in full, or the error is raised at once where that would pass the cap on total time.
    """

    def __init__(self, inner: Cluster, clock: Clock, policy: ReadRetry | None = None) -> None:
        self.name = inner.name
        self._inner = inner
        self._clock = clock
        self._policy = policy or ReadRetry()

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        return await self._read(lambda: self._inner.get(ref))

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
        return await self._read(
            lambda: self._inner.list(
                api_version, kind, namespace, labels=labels, fields=fields, limit=limit, everywhere=everywhere
            )
        )

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        # It has a back-off of its own.
        return await self._inner.wait_for(ref, holds, deadline=deadline)

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run)

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        return await self._inner.create(ref, manifest, dry_run=dry_run)

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._inner.apply(ref, manifest, force=force, dry_run=dry_run)

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        await self._inner.delete(
            ref, resource_version=resource_version, grace=grace, propagation=propagation, dry_run=dry_run
        )

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        await self._inner.evict(ref, grace=grace, dry_run=dry_run)

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        return await self._inner.exec(namespace, pod, command, container=container, deadline=deadline)

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
        return await self._read(
            lambda: self._inner.logs(namespace, pod, container=container, previous=previous, lines=lines, since=since)
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        return await self._read(lambda: self._inner.service_get(namespace, service, port, path))

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        return await self._read(lambda: self._inner.service_text(namespace, service, port, path))

    async def health(self, path: str) -> HttpReply:
        return await self._read(lambda: self._inner.health(path))

    async def _read(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            # Nearly every read succeeds at once: the machinery below is not free.
            return await call()
        except (KubeBusy, KubeUnavailable) as error:
            if self._policy.attempts < 2:
                raise
            first = error
        return await self._again(call, first)

    async def _again(self, call: Callable[[], Awaitable[T]], first: KubeError) -> T:
        policy = self._policy
        started = self._clock.monotonic()
        jitter = wait_random_exponential(multiplier=policy.first, max=policy.longest)
        pending: list[KubeError] = [first]

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.retry_after if isinstance(error, KubeError) else None
            return max(jitter(state), asked or 0.0)

        def stop(state: RetryCallState) -> bool:
            spent = self._clock.monotonic() - started
            return state.attempt_number >= policy.attempts or spent + (state.upcoming_sleep or 0.0) > policy.total

        retry = AsyncRetrying(
            retry=retry_if_exception_type((KubeBusy, KubeUnavailable)),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            reraise=True,
        )
        async for attempt in retry:
            with attempt:
                if pending:
                    # The call that failed already is the first attempt.
                    raise pending.pop()
                return await call()
        raise AssertionError("unreachable: tenacity re-raises the last error")
