"""The audit trail in memory: what a MemoryWork's journals hold, and what people did."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from bridge.model.audit import Happened, Note
from bridge.model.remediation import Decision
from bridge.ports import Clock
from tests.support.memory_stores import MemoryWork


class MemoryAudit:
    """Implements ports.Audit."""

    def __init__(self, clock: Clock, work: MemoryWork | None = None) -> None:
        self._clock = clock
        self._work = work
        self.notes: list[Happened] = []
        self.decisions: dict[str, list[Decision]] = {}

    async def record(self, note: Note) -> None:
        self.notes.append(Happened(at=self._clock.now(), remediation=note.remediation, note=note))

    async def read(self, *, since: float, until: float) -> AsyncIterator[Happened]:
        found = [*self.notes, *self._journals(), *_decided(self.decisions)]
        for one in sorted(found, key=lambda each: each.at):
            if since <= one.at < until:
                yield one

    def _journals(self) -> list[Happened]:
        rows = self._work.rows if self._work is not None else {}
        return [
            Happened(at=entry.at, remediation=name, number=number, entry=entry)
            for name, row in rows.items()
            for number, entry in enumerate(row.entries)
        ]


def _decided(decisions: Mapping[str, list[Decision]]) -> list[Happened]:
    return [
        Happened(at=each.at, remediation=each.remediation, fingerprint=name, decision=each)
        for name, several in decisions.items()
        for each in several
    ]
