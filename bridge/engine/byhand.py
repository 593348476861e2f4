"""A person asks that what a remediation changed is put back. Called by api; the work is done by a worker (revert).

Twice is once: one record undoes all that a remediation changed, and a second wish finds it. What undoes its temporary
changes by themselves is moot from then on.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bridge.engine.putback import inverses
from bridge.engine.temporary import made_plans, undo_id, undo_record
from bridge.model import kinds
from bridge.model.remediation import Entry, RemediationView, State, Undoing
from bridge.ports import Journal, WorkQueue

UNDO_ASKED = "undo_asked"


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
            raise NothingToUndo(f"{of.id} is an undo itself, of {of.undo_of}: what it put back is not made again")
        if view.state is not State.DONE:
            raise NothingToUndo(f"{of.id} is {view.state.value}: only what is over can be undone; cancel it, or wait")
        record = undo_record(of, "", why=why or f"asked for by {by}")
        record = msgspec.structs.replace(record, requested_by=by)
        if await self._queue.get(record.id) is not None:
            return record.id, True
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
        made = made_plans([*entries, *await put_back_since(self._journal, remediation, entries)])
        if not made:
            raise NothingToUndo(f"{remediation} changed nothing that is not put back already")
        if not inverses(made):
            actions = ", ".join(dict.fromkeys(plan.action for plan in made))
            raise NothingToUndo(f"nothing undoes {actions}")


async def put_back_since(
    journal: Journal, remediation: str, entries: Iterable[Entry], *, but: str = ""
) -> list[Entry]:
    """Return what other remediations journalled of putting back this one's changes; `but` is left out."""
    names = [undo_id(remediation), *(undo_id(remediation, step) for step in _steps(entries))]
    found: list[Entry] = []
    for name in names:
        if name != but:
            found += [entry for entry in await journal.read(name) if entry.kind == kinds.UNDONE]
    return found


def _steps(entries: Iterable[Entry]) -> list[str]:
    """Return the steps that wrote something, oldest first."""
    wrote = (str(e.data["step"]) for e in entries if e.kind == kinds.APPLIED and e.data["wrote"])
    return list(dict.fromkeys(wrote))
