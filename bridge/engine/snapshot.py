"""One look at a cluster: what collectors, plans and guards of a run read again within a moment is read once.

Made by execute for each run. Nothing here answers for the time after a write: the applier reads for itself, and
every look of a verification begins with `forget`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any

from bridge.model.outside import ExecReply, HttpReply, HttpRequest, Message, SqlReply
from bridge.model.target import ObjectRef
from bridge.ports import Clock, Cluster, Connections

BELIEVED = 2.0
"""Seconds for which something that was read is not read again."""


class Snapshot:
    """Implements ports.Cluster over another. What it returns is shared: nobody changes it."""

    def __init__(self, inner: Cluster, clock: Clock) -> None:
        self.name = inner.name
        self._inner = inner
        self._clock = clock
        self._read: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    def forget(self) -> None:
        """Read everything anew from now on."""
        self._read.clear()

    async def get(self, ref: ObjectRef) -> dict[str, Any]:
        key = ("get", ref.api_version, ref.kind, ref.namespace, ref.name)
        found: dict[str, Any] = await self._once(key, lambda: self._inner.get(ref))
        return found

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
        key = ("list", api_version, kind, namespace, _frozen(labels), _frozen(fields), limit, everywhere)
        found: list[dict[str, Any]] = await self._once(
            key,
            lambda: self._inner.list(
                api_version, kind, namespace, labels=labels, fields=fields, limit=limit, everywhere=everywhere
            ),
        )
        return found

    async def wait_for(
        self, ref: ObjectRef, holds: Callable[[dict[str, Any] | None], bool], *, deadline: float
    ) -> dict[str, Any] | None:
        found = await self._inner.wait_for(ref, holds, deadline=deadline)
        # What was read before the wait is older than what was waited for.
        self.forget()
        return found

    async def patch(
        self, ref: ObjectRef, body: Mapping[str, Any], *, subresource: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        self.forget()
        return await self._inner.patch(ref, body, subresource=subresource, dry_run=dry_run)

    async def create(self, ref: ObjectRef, manifest: Mapping[str, Any], *, dry_run: bool = False) -> dict[str, Any]:
        self.forget()
        return await self._inner.create(ref, manifest, dry_run=dry_run)

    async def apply(
        self, ref: ObjectRef, manifest: Mapping[str, Any], *, force: bool = False, dry_run: bool = False
    ) -> dict[str, Any]:
        self.forget()
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
        self.forget()
        await self._inner.delete(
            ref, resource_version=resource_version, grace=grace, propagation=propagation, dry_run=dry_run
        )

    async def evict(self, ref: ObjectRef, *, grace: int | None = None, dry_run: bool = False) -> None:
        self.forget()
        await self._inner.evict(ref, grace=grace, dry_run=dry_run)

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        self.forget()
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
        return await self._inner.logs(
            namespace, pod, container=container, previous=previous, lines=lines, since=since
        )

    async def service_get(self, namespace: str, service: str, port: str, path: str) -> int:
        return await self._inner.service_get(namespace, service, port, path)

    async def service_text(self, namespace: str, service: str, port: str, path: str) -> HttpReply:
        return await self._inner.service_text(namespace, service, port, path)

    async def health(self, path: str) -> HttpReply:
        return await self._inner.health(path)

    async def _once(self, key: Hashable, read: Callable[[], Awaitable[Any]]) -> Any:
        now = self._clock.monotonic()
        at, task = self._read.get(key, (0.0, None))
        if task is None or now - at > BELIEVED or _failed(task):
            task = asyncio.ensure_future(_run(read))
            # Its readers may all have run out of time: then nobody else asks what became of it.
            task.add_done_callback(_failed)
            self._read[key] = (now, task)
        # Shielded: one reader that runs out of time takes nothing from the others.
        return await asyncio.shield(task)


class SnapshotReach:
    """Implements ports.Connections: another's, with the snapshot in the cluster's place."""

    def __init__(self, inner: Connections, cluster: Snapshot) -> None:
        self.clock = inner.clock
        self.cluster: Cluster = cluster
        self.copies = inner.copies
        self._snapshot = cluster
        self._inner = inner

    def check(self, sort: str, name: str, arguments: Sequence[str] = ()) -> None:
        self._inner.check(sort, name, arguments)

    async def promql(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        return await self._inner.promql(query)

    async def http_status(self, url: str) -> int:
        return await self._inner.http_status(url)

    async def http(self, request: HttpRequest) -> HttpReply:
        return await self._inner.http(request)

    async def sql(
        self,
        connection: str,
        statement: str,
        arguments: Sequence[Any] = (),
        *,
        deadline: float = 30.0,
        read_only: bool = False,
    ) -> SqlReply:
        return await self._inner.sql(connection, statement, arguments, deadline=deadline, read_only=read_only)

    async def redis(self, connection: str, command: Sequence[str], *, address: str = "") -> Any:
        return await self._inner.redis(connection, command, address=address)

    async def command(self, name: str, arguments: Sequence[str], *, deadline: float = 30.0) -> ExecReply:
        return await self._inner.command(name, arguments, deadline=deadline)

    async def exec(
        self, namespace: str, pod: str, command: Sequence[str], *, container: str, deadline: float = 30.0
    ) -> ExecReply:
        self._snapshot.forget()
        return await self._inner.exec(namespace, pod, command, container=container, deadline=deadline)

    async def notify(self, channel: str, message: Message) -> None:
        await self._inner.notify(channel, message)

    async def served_certificate(self, url: str) -> str:
        return await self._inner.served_certificate(url)

    async def tls_pair(self, name: str) -> tuple[bytes, bytes]:
        return await self._inner.tls_pair(name)


async def _run(read: Callable[[], Awaitable[Any]]) -> Any:
    return await read()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _frozen(value: Mapping[str, str] | str | None) -> Hashable:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value
