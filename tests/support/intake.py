"""Stores of the receiver in memory: what it is handed is kept, and its store can be told to fail or to wait."""

from __future__ import annotations

import asyncio
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
    def __init__(self) -> None:
        self.records: list[Refusal] = []

    async def record(self, refusals: Sequence[Refusal]) -> None:
        self.records += refusals

    async def recent(self, *, limit: int) -> list[Refusal]:
        return self.records[: -limit - 1 : -1]


class MemoryReplays:
    def __init__(self) -> None:
        self.known: dict[str, float] = {}

    async def remember(self, signature: str, seconds: float) -> bool:
        new = signature not in self.known
        self.known.setdefault(signature, seconds)
        return new

    async def forget(self, signature: str) -> None:
        self.known.pop(signature, None)
