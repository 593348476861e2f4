"""What can be put around a cluster, and then is one: every method goes through one hook.

Derived from by what retries, breaks circuits, remembers or refuses (bridge.kube.retry, bridge.kube.guarded, and
snapshot and rehearse of bridge.engine), so that each says only what it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

from bridge.model.outside import ExecReply, HttpReply
from bridge.model.target import ObjectRef
from bridge.ports.cluster import Cluster

T = TypeVar("T")


class Way(Enum):
    """What a call does, as far as it matters to who stands in its way."""

    READ = "read"
    LOOK_BEHIND = "look behind"
    """A read that the API server passes on: to a kubelet (logs), or to a service."""
    HEALTH = "health"
    """How the server is."""
    WAIT = "wait"
    """A read that lasts, with a back-off of its own."""
    WRITE = "write"
    RUN = "run"
    """A command in a container, which the API server passes on."""

    @property
    def writes(self) -> bool:
        """Whether something may be other than it was afterwards."""
        return self in (Way.WRITE, Way.RUN)

    @property
    def behind(self) -> bool:
        """Whether it is somebody behind the API server who answers, or hangs."""
        return self in (Way.LOOK_BEHIND, Way.RUN)


class ClusterLayer:
    """Implements ports.Cluster over another one. Itself it changes nothing: override `_pass`."""

    def __init__(self, inner: Cluster) -> None:
        self.name = inner.name
        self._inner = inner

    async def _pass(self, way: Way, call: Callable[[], Awaitable[T]]) -> T:
        """Return what `call` returns: one request to the inner cluster, made anew each time it is called."""
        return await call()

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        return await self._pass(Way.READ, lambda: self._inner.get(ref))

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
        return await self._pass(
            Way.READ,
            lambda: self._inner.list(
                api_version, kind, namespace, labels=labels, fields=fields, limit=limit, everywhere=everywhere
            ),
        )

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        return await self._pass(Way.WAIT, lambda: self._inner.wait_for(ref, holds, deadline=deadline))

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._pass(
            Way.WRITE, lambda: self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run)
        )

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        return await self._pass(Way.WRITE, lambda: self._inner.create(ref, manifest, dry_run=dry_run))

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        return await self._pass(Way.WRITE, lambda: self._inner.apply(ref, manifest, force=force, dry_run=dry_run))

    async def delete(
        self,
        ref: ObjectRef,
        *,
        resource_version: str = "",
        grace: int | None = None,
        propagation: str = "Background",
        dry_run: bool = False,
    ) -> None:
        await self._pass(
            Way.WRITE,
            lambda: self._inner.delete(
                ref, resource_version=resource_version, grace=grace, propagation=propagation, dry_run=dry_run
            ),
        )

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        await self._pass(Way.WRITE, lambda: self._inner.evict(ref, grace=grace, dry_run=dry_run))

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        return await self._pass(
            Way.RUN, lambda: self._inner.exec(namespace, pod, command, container=container, deadline=deadline)
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
        return await self._pass(
            Way.LOOK_BEHIND,
            lambda: self._inner.logs(
                namespace, pod, container=container, previous=previous, lines=lines, since=since
            ),
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        return await self._pass(Way.LOOK_BEHIND, lambda: self._inner.service_get(namespace, service, port, path))

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        return await self._pass(Way.LOOK_BEHIND, lambda: self._inner.service_text(namespace, service, port, path))

    async def health(self, path: str) -> HttpReply:
        return await self._pass(Way.HEALTH, lambda: self._inner.health(path))
