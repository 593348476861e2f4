"""The kinds of journal entries that a run writes, and what they add up to. Read by execute when it resumes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bridge.model.breaker import Permit
from bridge.model.plan import Change, Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome

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
REFUSED = "refused"
UNDOING = "undoing"
PUTTING_BACK = "putting_back"
UNDONE = "undone"
RETRY = "retry"
PARKED = "parked"
HANDED_OVER = "handed_over"
FINISHED = "finished"

RUNBOOK_STEP = -1
"""The step number of the runbook's own verification."""


class Left(msgspec.Struct, frozen=True):
    """A change that was not put back, and why."""

    why: str
    unknown: bool = False
    """Whether it may have been put back all the same."""


class Half(msgspec.Struct, frozen=True):
    """How the run would have ended when the rest of a plan could not be made."""

    outcome: Outcome
    reason: Reason
    detail: str


class Progress(msgspec.Struct, kw_only=True):
    """Where a remediation stands, rebuilt from its journal alone."""

    writing: bool = False
    """A write may have reached the cluster: from here on it is carried on, not begun again."""
    scenario: str = ""
    step: int = 0
    """The step that is being worked on."""
    plan: Plan | None = None
    """The plan of that step, once journalled; None again when it was stale before anything of it was made."""
    params: dict[str, Any] = {}
    """The parameters that the plan was made with: evidence that they were taken from is not gathered again."""
    applied: int = 0
    """How many of the plan's changes were made."""
    in_flight: bool = False
    """A write was announced and its end never recorded."""
    doubtful: bool = False
    """The write in flight was interrupted: it may have been made, whatever is said about a later try."""
    made: list[Change] = []
    """Changes of the plan that this run wrote, as they were made; those that were so already belong to somebody
    else."""
    results: list[dict[str, Any]] = []
    """What each change of the plan returned: empty but for calls."""
    done_plans: list[Plan] = []
    """Plans whose changes were all made, oldest first, with what this run wrote: what an undo inverts."""
    deadlines: dict[int, float] = {}
    """Step number to the unix time at which its verification gives up."""
    fixed_since: float | None = None
    """Since when a verification that has not settled yet says fixed (unix seconds)."""
    verified: set[int] = set()
    changed: bool = False
    """Whether anything was written at all."""
    permit: Permit | None = None
    undoing: str = ""
    """Why an undo began (value of a Reason), or empty."""
    undone: int = 0
    """How many changes were put back, or refused to be."""
    undo_in_flight: bool = False
    """Putting a change back was announced and its end never recorded."""
    left: list[Left] = []
    """What could not be put back."""
    half: Half | None = None
    """Set when only the plan that could not be finished is put back."""
    retries: int = 0


def progress_of(entries: Iterable[Entry]) -> Progress:
    """Return where the run stands. Entries of kinds that are not known here change nothing."""
    state = Progress()
    for entry in entries:
        state = _after(state, entry.kind, entry.data)
    return state


def _after(state: Progress, kind: str, data: dict[str, Any]) -> Progress:
    if kind == STARTED:
        return _taken_up(state)
    if kind == SCENARIO:
        if data["name"] != state.scenario:
            # Another scenario's steps have their own time.
            state.deadlines = {step: until for step, until in state.deadlines.items() if step == RUNBOOK_STEP}
        state.scenario = data["name"]
    elif kind == ADMITTED:
        state.permit = msgspec.convert(data["permit"], Permit)
    elif kind == PLANNED:
        state.step, state.applied, state.made, state.results = data["step"], 0, [], []
        state.plan, state.params = msgspec.convert(data["plan"], Plan), data.get("params", {})
    elif kind == APPLYING:
        state.writing = state.in_flight = True
        state.deadlines.pop(RUNBOOK_STEP, None)
    elif kind == APPLIED:
        _applied(state, data)
    elif kind in (STALE, REFUSED):
        _stale(state)
    elif kind == VERIFYING:
        state.deadlines[data["step"]] = data["until"]
        state.fixed_since = None
    elif kind == VERIFIED and data["answer"] == "fixed":
        state.verified.add(data["step"])
    elif kind in (PARKED, HANDED_OVER):
        state.fixed_since = data.get("fixed_since")
    elif kind == UNDOING:
        state.undoing, state.undone, state.left = data["reason"], 0, []
        state.half = _half(data)
    elif kind == PUTTING_BACK:
        state.undo_in_flight = True
    elif kind == UNDONE:
        _undone(state, data)
    elif kind == RETRY:
        state.retries += 1
    return state


def _taken_up(state: Progress) -> Progress:
    if state.writing:
        state.doubtful = state.in_flight
        return state
    # Nothing was written: after a wait or a death everything is looked at afresh. What the runbook's own
    # verification, or a step that only waits, had left of its time stays, or a run that has nothing to write would
    # look for ever.
    waits = state.plan is not None and state.plan.waits
    kept = {RUNBOOK_STEP, state.step} if waits else {RUNBOOK_STEP}
    proof = {step: until for step, until in state.deadlines.items() if step in kept}
    return Progress(
        retries=state.retries,
        permit=state.permit,
        scenario=state.scenario if waits else "",
        deadlines=proof,
        fixed_since=state.fixed_since if proof else None,
    )


def _applied(state: Progress, data: dict[str, Any]) -> None:
    state.in_flight = state.doubtful = False
    if state.plan is None:
        return
    if data["wrote"]:
        state.changed = True
        made = data.get("made")
        state.made.append(msgspec.convert(made, Change) if made else state.plan.changes[state.applied])
        # The server takes writes again: waits that are over don't count against those to come.
        state.retries = 0
    state.results.append(data.get("result", {}))
    state.applied += 1
    if state.applied == len(state.plan.changes):
        state.done_plans.append(msgspec.structs.replace(state.plan, changes=tuple(state.made)))


def _half(data: dict[str, Any]) -> Half | None:
    if "outcome" not in data:
        return None
    return Half(Outcome(data["outcome"]), Reason.of(data["reason"]), data["detail"])


def _undone(state: Progress, data: dict[str, Any]) -> None:
    state.undo_in_flight = False
    state.undone += 1 + int(data.get("skipped", 0))
    if "refused" in data:
        state.left.append(Left(data["refused"], data.get("unknown", False)))


def _stale(state: Progress) -> None:
    """The precondition, or a server that let nothing in, refused the write: nothing of this change was made."""
    if state.undoing:
        state.undo_in_flight = False
        return
    state.in_flight = state.doubtful = False
    state.writing = state.changed
    if state.applied == 0:
        state.plan = None
