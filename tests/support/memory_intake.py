"""The dispatcher's store in memory, as ports.IntakeQueue has it; for tests of the engine alone."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.model.intake import Dispatch, Dispatched, IntakeEntry, Transition
from bridge.model.reason import Reason
from bridge.ports import Clock


class MemoryIntake:
    """Implements ports.IntakeQueue. `broken` raises for the alerts (by fingerprint) that it names."""

    def __init__(self, clock: Clock) -> None:
        self.new: list[IntakeEntry] = []
        self.pending: dict[str, IntakeEntry] = {}
        self.waiting: list[Transition] = []
        self.dispatched: list[Dispatch] = []
        self.dead: list[tuple[str, int, str]] = []
        self.tries: dict[tuple[str, int], int] = {}
        self.broken: dict[str, Exception] = {}
        self.error: Exception | None = None
        """Raised by every call while it is set."""
        self._seqs: dict[str, int] = {}
        self._clock = clock

    async def read(self, worker: str, *, count: int, block: float) -> list[IntakeEntry]:
        self._up()
        if not self.new:
            await self._clock.sleep(block)
        taken, self.new = self.new[:count], self.new[count:]
        self.pending |= {entry.id: entry for entry in taken}
        return taken

    async def reclaim(self, worker: str) -> list[IntakeEntry]:
        self._up()
        again = [
            IntakeEntry(id=entry.id, transitions=entry.transitions, deliveries=entry.deliveries + 1)
            for entry in self.pending.values()
        ]
        self.pending = {entry.id: entry for entry in again}
        return again

    async def begin_alert(self, entry: str, index: int) -> int:
        self.tries[entry, index] = self.tries.get((entry, index), 0) + 1
        return self.tries[entry, index]

    async def dispatch(self, dispatch: Dispatch) -> Dispatched:
        self._up()
        alert = dispatch.transition.alert
        if alert.fingerprint in self.broken:
            raise self.broken[alert.fingerprint]
        if self._seqs.get(alert.key, 0) >= dispatch.transition.seq:
            return Dispatched(stale=True)
        self._seqs[alert.key] = dispatch.transition.seq
        self.dispatched.append(dispatch)
        created = tuple(assignment.remediation.id for assignment in dispatch.assignments)
        return Dispatched(created=created)

    async def dead_letter(self, entry: str, index: int, transition: Transition, error: str) -> None:
        self._up()
        self.dead.append((entry, index, error))

    async def done(self, entries: Sequence[str]) -> None:
        self._up()
        for entry in entries:
            self.pending.pop(entry, None)

    async def due(self, *, limit: int) -> list[Transition]:
        self._up()
        due, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return due

    async def wake(self, reasons: Sequence[Reason]) -> int:
        return 0

    async def expire(self, *, limit: int) -> list[str]:
        return []

    def _up(self) -> None:
        if self.error is not None:
            raise self.error
