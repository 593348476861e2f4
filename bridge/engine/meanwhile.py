"""What else is so about what is to be put back: an alert that fires for the same target, a later change of ours on
top of it. Called by revert; reads only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bridge.engine.parts import Parts
from bridge.engine.temporary import made_plans, undo_id
from bridge.model import kinds
from bridge.model.plan import Change, Plan
from bridge.model.remediation import Entry, Remediation, RemediationView

_UNDO_ENDED = "undo_ended"
"""What the store writes into the journal of a run when what undoes it has ended."""
_MOST = 500
"""How many of the newest remediations are looked at: what is temporary is young."""


class Meanwhile(msgspec.Struct, frozen=True):
    """What is so now. The names are those of remediations."""

    ends_at: float
    """When what is to be put back ends at the latest (unix seconds); 0: not known."""
    firing: tuple[str, ...] = ()
    """Others of the same targets of which an alert still fires."""
    on_top: tuple[str, ...] = ()
    """Later ones that changed the same."""
    for_a_time: tuple[str, ...] = ()
    """Those of them whose change has an end by itself that is still to come."""

    def wait_for(self, now: float) -> str:
        """Return what is to be waited for before it is put back by itself; empty: nothing.

        What was made last goes first. And nothing is taken away early while the target has another incident.
        """
        if self.for_a_time:
            return f"{self.for_a_time[0]} changed the same since, for a time: that ends first"
        if self.firing and now < self.ends_at:
            return f"its time is not over, and an alert fires for the same target ({self.firing[0]})"
        return ""


async def look(parts: Parts, undo: Remediation, plans: Sequence[Plan], entries: Sequence[Entry]) -> Meanwhile:
    """Return what is so about what `undo` is to put back: `plans`, by the journal `entries` of their run."""
    changes = [change for plan in plans for change in plan.changes]
    firing, on_top, for_a_time = [], [], []
    for view in await parts.queue.list(limit=_MOST):
        if view.remediation.id == undo.undo_of:
            # What follows is older.
            break
        if view.remediation.undo_of or not set(view.remediation.all_targets) & set(undo.all_targets):
            continue
        if view.open_incidents and not view.remediation.requested_by:
            # What was asked for by hand, or by the clock, is ended by nobody.
            firing.append(view.remediation.id)
        if view.writing:
            theirs = await parts.journal.read(view.remediation.id)
            if _touch(changes, made_plans(theirs)):
                on_top.append(view.remediation.id)
            if any(_touch(changes, made_plans(theirs, step)) for step in _to_come(view, theirs)):
                for_a_time.append(view.remediation.id)
    ends = _temporary(entries).get(undo.undo_step, 0.0)
    return Meanwhile(ends, tuple(firing), tuple(on_top), tuple(for_a_time))


def _to_come(view: RemediationView, entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the steps whose changes end by themselves and have not yet."""
    name = view.remediation.id
    ended = {entry.data.get("undo") for entry in entries if entry.kind == _UNDO_ENDED}
    if undo_id(name) not in ended:
        yield from (step for step in _temporary(entries) if undo_id(name, step) not in ended)


def _temporary(entries: Sequence[Entry]) -> dict[str, float]:
    """Return when what each step changed for a time ends at the latest (unix seconds): its first change says so."""
    ends: dict[str, float] = {}
    for entry in entries:
        if entry.kind == kinds.APPLIED and "temporary" in entry.data:
            ends.setdefault(str(entry.data["step"]), entry.at + entry.data["temporary"])
    return ends


def _touch(changes: Sequence[Change], plans: Sequence[Plan]) -> bool:
    return any(_same(one, other) for plan in plans for other in plan.changes for one in changes)


def _same(one: Change, other: Change) -> bool:
    if one.external or other.external or one.ref.lock_key != other.ref.lock_key:
        return False
    return bool(_pointers(one) & _pointers(other))


def _pointers(change: Change) -> set[str]:
    return {field.pointer for field in change.fields if field.change}
