"""One look at a cluster: what collectors, plans and guards of a run read again within a moment is read once.

Made by execute for each run. Nothing here answers for the time after a write: the applier reads for itself, and
every look of a verification begins with `forget`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any, TypeVar

from bridge.model.target import ObjectRef
from bridge.ports import Clock, Cluster
from bridge.ports.layer import ClusterLayer, Way

T = TypeVar("T")

BELIEVED = 2.0
"""Seconds for which something that was read is not read again."""


class Snapshot(ClusterLayer):
    """Implements ports.Cluster over another. What it returns is shared: nobody changes it."""

    def __init__(self, inner: Cluster, clock: Clock) -> None:
        super().__init__(inner)
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

    async def _pass(self, way: Way, call: Callable[[], Awaitable[T]]) -> T:
        if way.writes:
            self.forget()
        found = await call()
        if way is Way.WAIT:
            # What was read before the wait is older than what was waited for.
            self.forget()
        return found

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


async def _run(read: Callable[[], Awaitable[Any]]) -> Any:
    return await read()


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _frozen(value: Mapping[str, str] | str | None) -> Hashable:
    return tuple(sorted(value.items())) if isinstance(value, Mapping) else value
