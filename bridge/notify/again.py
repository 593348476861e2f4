"""One page for one cause: what an alert that comes and goes means for who is called. Pure; called by decide, crier.

A cause is an alert and how its runs end, or for what keeps a runbook from running at all, the runbook and its target.
Of the remediations of one cause one, the holder, calls people; the others leave it to that one. A ladder that nobody
answered goes on with the next firing where the last one left it.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from bridge.model.notice import Ack, Paged, Severity, Told
from bridge.model.reason import TOLD_ONCE
from bridge.model.remediation import Outcome, RemediationView, State
from bridge.model.telling import TellAgain

GOES_ON = 900.0
"""Seconds between two firings in which a ladder that nobody answered is still the same one: as long as all alerts of
a repair have to stay resolved before it counts as over."""
_LOOK = 900.0
"""Seconds after which whoever leaves it to a holder that still calls looks again, whatever happens."""
_MOST_OTHERS = 50
_WORST_FIRST = tuple(Severity)
_ONCE = frozenset(reason.value for reason in TOLD_ONCE)


class Stance(Enum):
    """What a remediation does about calling people."""

    ANEW = "anew"
    GO_ON = "go on"
    """It takes up the ladder where the last firing left it."""
    LEAVE = "leave"
    """People know of it, or another one calls them."""


def cause_of(view: RemediationView) -> str:
    """Return what people would be called for; empty: nobody is, or it is not the end of what an alert asked for."""
    made = view.remediation
    if view.state is not State.DONE or made.undo_of or made.requested_by or not view.incidents:
        return ""
    once = view.reason in _ONCE
    if not view.escalated and not (once and view.outcome is Outcome.DENIED and not made.parents):
        return ""
    if once:
        return f"{view.reason}|{made.runbook}|{made.target.cluster}|{made.target}"
    alerts = sorted({incident.rpartition("/")[0] for incident in view.incidents})
    return "|".join((view.reason, made.runbook, *alerts))


def stance(paged: Paged | None, severity: Severity, spec: TellAgain, now: float) -> tuple[Stance, float]:
    """Return what holds by what is remembered, and until when at most (unix seconds)."""
    if paged is None or _WORST_FIRST.index(severity) < _WORST_FIRST.index(paged.severity):
        return Stance.ANEW, now
    if paged.seen is not None and now - paged.seen > spec.quiet:
        return Stance.ANEW, now
    if paged.ack is not None:
        return _until(paged.ack.at + spec.acknowledged, now)
    if paged.call_at is None:
        return _until(paged.at + spec.every, now)
    if paged.seen is None:
        return Stance.LEAVE, now + _LOOK
    # Who was reached a while ago, and saw it end, is called before the next one is; who was not is passed over.
    goes_on = now - paged.seen <= GOES_ON or paged.heard_by is not None
    return (Stance.GO_ON if goes_on else Stance.ANEW), now


def _until(at: float, now: float) -> tuple[Stance, float]:
    return (Stance.LEAVE, at) if now < at else (Stance.ANEW, now)


def remembered(
    before: Paged | None,
    told: Told,
    name: str,
    *,
    severity: Severity,
    fresh: bool,
    anew: bool,
    over: bool,
    now: float,
) -> Paged:
    """Return what is to be remembered after a look at a remediation of the cause.

    `told` says where its own ladder stands, or stood when the end of its alerts stopped it; `fresh`: it has just
    ended; `anew`: people are called for it anew with this look; `over`: its alerts have ended.
    """
    if before is None or anew:
        others = () if before is None else _with(before.others, before.holder)
        found = Paged(at=now, severity=severity, holder=name, others=_without(others, name))
        return _stands(found, told, over, now)
    if before.holder == name:
        return before if before.seen is not None else _stands(before, told, over, now)
    if before.seen is not None and (fresh or not over):
        found = msgspec.structs.replace(before, holder=name, seen=None, others=_without(before.others, name))
        return _stands(found, told, over, now)
    others = _without(before.others, name) if over else _with(before.others, name)
    return msgspec.structs.replace(before, others=others)


def with_ack(paged: Paged, ack: Ack | None) -> Paged:
    """Return it with who took it on: whoever said so of one of its remediations since people were called for it."""
    if ack is None or paged.ack is not None or ack.at < paged.at:
        return paged
    return msgspec.structs.replace(paged, ack=ack)


def to_wake(before: Paged | None, after: Paged, name: str) -> tuple[str, ...]:
    """Return the remediations that have to look because of what has changed."""
    if before is not None and (before.holder, before.seen, before.ack) == (after.holder, after.seen, after.ack):
        return ()
    return _without((*after.others, after.holder), name)


def _stands(paged: Paged, told: Told, over: bool, now: float) -> Paged:
    """Return it with where the holder's ladder stands; one that leaves it to what was done before has none."""
    seen = now if over else None
    if told.waits:
        return msgspec.structs.replace(paged, seen=seen)
    return msgspec.structs.replace(
        paged, seen=seen, level=told.level, calls=told.calls, call_at=told.call_at, heard_by=told.heard_by
    )


def _with(others: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*others, name)))[-_MOST_OTHERS:]


def _without(others: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(each for each in others if each != name)
