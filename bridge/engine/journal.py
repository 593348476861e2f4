"""The kinds of journal entries that a run writes, and what they add up to. Read by execute when it resumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bridge.model.breaker import Permit
from bridge.model.plan import Plan
from bridge.model.remediation import Entry

STARTED = "started"
EVIDENCE = "evidence"
SCENARIO = "scenario"
PLANNED = "planned"
GUARD = "guard"
ADMITTED = "admitted"
APPLYING = "applying"
APPLIED = "applied"
VERIFYING = "verifying"
VERIFIED = "verified"
STALE = "stale"
UNDOING = "undoing"
UNDONE = "undone"
RETRY = "retry"
PARKED = "parked"
HANDED_OVER = "handed_over"
FINISHED = "finished"

RUNBOOK_STEP = -1
"""The step number of the runbook's own verification."""


class Progress(msgspec.Struct, kw_only=True):
    """Where a remediation stands, rebuilt from its journal alone."""

    writing: bool = False
    """A write may have reached the cluster: from here on it is carried on, not begun again."""
    scenario: str = ""
    step: int = 0
    """The step that is being worked on."""
    plan: Plan | None = None
    """The plan of that step, once journalled."""
    applied: int = 0
    """How many of the plan's changes were made."""
    in_flight: bool = False
    """A write was announced and its end never recorded."""
    done_plans: list[Plan] = []
    """Plans whose changes were all made, oldest first: what an undo inverts."""
    deadlines: dict[int, float] = {}
    """Step number to the unix time at which its verification gives up."""
    verified: set[int] = set()
    changed: bool = False
    """Whether anything was written at all."""
    permit: Permit | None = None
    undoing: str = ""
    """Why an undo began (value of a Reason), or empty."""
    undone: int = 0
    """How many changes were put back."""
    retries: int = 0


def progress_of(entries: Iterable[Entry]) -> Progress:
    """Return where the run stands. Entries of kinds that are not known here change nothing."""
    state = Progress()
    for entry in entries:
        state = _after(state, entry.kind, entry.data)
    return state


def _after(state: Progress, kind: str, data: dict[str, Any]) -> Progress:
    if kind == STARTED and not state.writing:
        # Nothing was written: after a wait or a death everything is looked at afresh.
        return Progress(retries=state.retries, permit=state.permit)
    if kind == SCENARIO:
        state.scenario = data["name"]
    elif kind == ADMITTED:
        state.permit = msgspec.convert(data["permit"], Permit)
    elif kind == PLANNED:
        state.step, state.applied = data["step"], 0
        state.plan = msgspec.convert(data["plan"], Plan)
    elif kind == APPLYING:
        state.writing = state.in_flight = True
    elif kind == APPLIED:
        _applied(state, data)
    elif kind == STALE:
        # The precondition refused the write: nothing of this change was made.
        state.in_flight = False
        state.writing = state.changed
    elif kind == VERIFYING:
        state.deadlines[data["step"]] = data["until"]
    elif kind == VERIFIED and data["answer"] == "fixed":
        state.verified.add(data["step"])
    elif kind == UNDOING:
        state.undoing = data["reason"]
    elif kind == UNDONE:
        state.undone += 1
    elif kind == RETRY:
        state.retries += 1
    return state


def _applied(state: Progress, data: dict[str, Any]) -> None:
    state.in_flight = False
    state.applied += 1
    state.changed = state.changed or data["wrote"]
    if state.plan is not None and state.applied == len(state.plan.changes):
        state.done_plans.append(state.plan)
