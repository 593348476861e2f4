"""Stores of the receiver in memory: what it is handed is kept, and its store can be told to fail or to wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from bridge.errors import StoreUnavailable
from bridge.model.alert import Alert
from bridge.model.intake import Seen
from bridge.model.refusal import Refusal


class MemoryIntake:
    """Knows alerts by source, fingerprint and start, which is enough for the receiver's own promises."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.known: set[str] = set()
        self.fails = False
        self.gate: asyncio.Event | None = None

    async def accept(self, alerts: Sequence[Alert]) -> list[Seen]:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails:
            raise StoreUnavailable("redis://user:secret@10.0.0.1 is away")
        seen = []
        for alert in alerts:
            key = f"{alert.incident_id}/{alert.status}"
            seen.append(Seen.DUPLICATE if key in self.known else Seen.NEW)
            if key not in self.known:
                self.alerts.append(alert)
            self.known.add(key)
        return seen


class MemoryRefusals:
    """Implements ports.Refusals; keeps the newest `most`."""

    def __init__(self, most: int = 1000) -> None:
        self.records: list[Refusal] = []
        self._most = most

    async def record(self, refusals: Sequence[Refusal]) -> None:
        self.records = [*self.records, *refusals][-self._most :]

    async def recent(self, *, limit: int) -> list[Refusal]:
        return self.records[: -limit - 1 : -1]


class MemoryReplays:
    """Implements ports.ReplayMemory, by the clock of this machine."""

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self._until: dict[str, float] = {}

    async def remember(self, signature: str, seconds: float) -> bool:
        now = time.monotonic()
        new = self._until.get(signature, now) <= now
        if new:
            self.known[signature], self._until[signature] = seconds, now + seconds
        return new

    async def forget(self, signature: str) -> None:
        self.known.pop(signature, None)
        self._until.pop(signature, None)


class MemoryHealth:
    """Implements ports.StoreHealth; `error` is raised where it is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def ping(self) -> None:
        if self.error is not None:
            raise self.error

    async def time(self) -> float:
        await self.ping()
        return time.time()
