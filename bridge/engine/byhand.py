"""A person asks that what a remediation changed is put back. Called by api; the work is done by a worker (revert).

Twice is once: one record undoes all that a remediation changed, and a second wish finds it. Where that is over and
could not put back everything, a further wish is another try at what is left. What undoes its temporary changes by
themselves is moot from then on.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bridge.engine.putback import inverses
from bridge.engine.temporary import in_doubt, made_plans, undo_id, undo_record
from bridge.model import kinds
from bridge.model.plan import Plan
from bridge.model.remediation import Entry, Outcome, RemediationView, State, Undoing
from bridge.ports import Journal, WorkQueue

UNDO_ASKED = "undo_asked"
MOST_TRIES = 9
"""How often an undo can be asked for that does not put everything back."""


class NothingToUndo(Exception):
    """Why nothing of a remediation can be put back, or not now."""


class ByHand:
    """Undoes remediations for people."""

    def __init__(self, queue: WorkQueue, journal: Journal) -> None:
        self._queue = queue
        self._journal = journal

    async def undo(self, view: RemediationView, *, by: str, why: str) -> tuple[str, bool]:
        """Have it put back; return the id of the remediation that does it, and whether it was asked for before.

        Raises NothingToUndo.
        """
        of = view.remediation
        if of.undo_of:
            again = f"`undo {of.undo_of}` asks again for what could not be put back"
            raise NothingToUndo(f"{of.id} is an undo itself, what it put back is not made again; {again}")
        if view.state is not State.DONE:
            raise NothingToUndo(f"{of.id} is {view.state.value}: only what is over can be undone; cancel it, or wait")
        for number in range(1, MOST_TRIES + 1):
            before = await self._queue.get(undo_id(of.id, number=number))
            if before is None:
                break
            if before.state is not State.DONE or before.outcome is Outcome.UNDONE:
                return before.remediation.id, True
        else:
            raise NothingToUndo(f"{of.id}: {MOST_TRIES} tries did not put everything back: the rest is left to you")
        record = undo_record(of, "", why=why or f"asked for by {by}", number=number)
        record = msgspec.structs.replace(record, requested_by=by)
        entries = await self._journal.read(of.id)
        await self._check(of.id, entries)
        text = f"{by} asked for it: {why}" if why else f"{by} asked for it"
        asked = Entry(kind=UNDO_ASKED, text=text, data={"by": by, "why": why})
        moot = [undo_id(of.id, step) for step in _steps(entries)]
        said = await self._queue.undo(record, asked, moot)
        if said is Undoing.GONE:
            raise NothingToUndo(f"{of.id} is not kept any more: what it changed has to be put back by hand")
        if said is Undoing.NOT_DONE:
            raise NothingToUndo(f"{of.id} is not over: only what is over can be undone")
        return record.id, said is Undoing.AGAIN

    async def _check(self, remediation: str, entries: list[Entry]) -> None:
        if not entries:
            raise NothingToUndo(f"the journal of {remediation} is gone: what it changed has to be put back by hand")
        made = (await Undone.read(self._journal, remediation, entries)).left()
        if not made:
            raise NothingToUndo(f"{remediation} changed nothing that is not put back already")
        if not inverses(made):
            actions = ", ".join(dict.fromkeys(plan.action for plan in made))
            raise NothingToUndo(f"nothing undoes {actions}")


class Undone(msgspec.Struct, frozen=True, kw_only=True):
    """What a remediation changed, and what was put back of it: by itself, and by every other that undoes it."""

    entries: list[Entry]
    doubts: frozenset[str]
    """Digests of changes that may be put back, or not."""

    @classmethod
    async def read(cls, journal: Journal, remediation: str, entries: list[Entry], *, but: str = "") -> Undone:
        """Read the journals of what undoes it; `but` is left out."""
        found, doubts = list(entries), in_doubt(entries)
        for name in _names(remediation, entries):
            there = await journal.read(name) if name != but else []
            found += [entry for entry in there if entry.kind == kinds.UNDONE]
            doubts |= in_doubt(there)
        return cls(entries=found, doubts=doubts)

    def left(self, step: str = "") -> list[Plan]:
        """Return the plans with what is not put back of them, oldest first; with `step` only those of that step."""
        return made_plans(self.entries, step)


def _names(remediation: str, entries: Iterable[Entry]) -> list[str]:
    tries = [undo_id(remediation, number=number) for number in range(1, MOST_TRIES + 1)]
    return [*tries, *(undo_id(remediation, step) for step in _steps(entries))]


def _steps(entries: Iterable[Entry]) -> list[str]:
    """Return the steps that wrote something, oldest first."""
    wrote = (str(e.data["step"]) for e in entries if e.kind == kinds.APPLIED and e.data["wrote"])
    return list(dict.fromkeys(wrote))
