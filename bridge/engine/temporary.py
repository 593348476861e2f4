"""Temporary changes: what a journal says was made and is not put back, and the record that undoes it. Pure.

Called by steps when a temporary change is made, and by revert when its time is over.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.plan import Change, Plan
from bridge.model.remediation import Entry, Remediation


def undo_record(of: Remediation, step: str, *, why: str, number: int = 1) -> Remediation:
    """Return the remediation that puts back what step `step` of another one changed (empty: all of its steps).

    `number`: which try it is.

    It has the id, target and labels of the original to be found by, and none of the limits that would keep us from
    mending what we did ourselves.
    """
    return msgspec.structs.replace(
        of,
        id=undo_id(of.id, step, number),
        undo_of=of.id,
        undo_step=step,
        mode=Mode.AUTO,
        cooldown=0.0,
        allow_drift=True,
        allow_irreversible=True,
        requested_by="alertbridge",
        why=why,
        override=(),
        created_at=0.0,
    )


def undo_id(remediation: str, step: str = "", number: int = 1) -> str:
    """Return the id of the record that undoes a step of a remediation (empty: all of them); it fits into a URL.

    What could not be put back can be asked for again: each try is a record of its own.
    """
    name = hashlib.sha256(step.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    more = f"-{number}" if number > 1 else ""
    return f"{remediation}-undo-{name}" if step else f"{remediation}-undo{more}"


def digest(change: Change) -> str:
    """Return what stands in a journal for a change that puts one back."""
    return hashlib.sha256(msgspec.json.encode(change, order="deterministic")).hexdigest()[:16]


def made_plans(entries: Iterable[Entry], step: str = "") -> list[Plan]:
    """Return the plans of a journal with those of their changes that were made and are not put back, oldest first.

    With `step` only those of that step.
    """
    found: list[tuple[str, Plan, list[Change]]] = []
    back: Counter[str] = Counter()
    for entry in entries:
        if entry.kind == kinds.PLANNED:
            found.append((str(entry.data["step"]), msgspec.convert(entry.data["plan"], Plan), []))
        elif entry.kind == kinds.APPLIED and entry.data["wrote"]:
            _made(found, entry.data)
        elif entry.kind == kinds.UNDONE and "refused" not in entry.data:
            back[entry.data.get("undid", "")] += 1
    left = [(name, plan, _left(changes, back)) for name, plan, changes in reversed(found)][::-1]
    return [
        msgspec.structs.replace(plan, changes=changes)
        for name, plan, changes in left
        if changes and (not step or name == step)
    ]


def in_doubt(entries: Iterable[Entry]) -> frozenset[str]:
    """Return the digests of changes of which one journal does not say whether they were put back."""
    doubts: set[str] = set()
    begun = ""
    for entry in entries:
        if entry.kind == kinds.PUTTING_BACK:
            begun = str(entry.data.get("undoes", ""))
        elif begun and entry.kind in (kinds.UNDONE, kinds.REFUSED):
            if entry.data.get("unknown"):
                doubts.add(begun)
            elif entry.kind == kinds.UNDONE:
                doubts.discard(begun)
            begun = ""
    return frozenset(doubts | {begun} if begun else doubts)


def _made(found: list[tuple[str, Plan, list[Change]]], data: dict[str, Any]) -> None:
    place = str(data["step"])
    for name, plan, changes in reversed(found):
        if name == place:
            made = data.get("made")
            changes.append(msgspec.convert(made, Change) if made else plan.changes[data["change"]])
            return


def _left(changes: list[Change], back: Counter[str]) -> tuple[Change, ...]:
    """Return the changes that are not put back; each putting back counts for the newest one that it fits."""
    left: list[Change] = []
    for change in reversed(changes):
        inverse = change.inverse
        name = digest(inverse) if inverse is not None else ""
        if inverse is not None and back[name]:
            back[name] -= 1
        else:
            left.append(change)
    return tuple(reversed(left))
