"""The kinds of journal entries that a run writes, and what they add up to. Read by execute when it resumes.

Every entry about a step names it by its key (see places.py), so that several may be under way at once. Records of
the version before have the step's number there, and only ever one step under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bridge.engine.places import place_of, proof_key, step_key
from bridge.model import approval
from bridge.model.approval import Standing
from bridge.model.breaker import Permit
from bridge.model.plan import Change, Plan
from bridge.model.plan import Undo as UndoKind
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome

STARTED = "started"
EVIDENCE = "evidence"
SCENARIO = "scenario"
TRYING = "trying"
TRIED = "tried"
SKIPPED = "skipped"
PASSED = "passed_over"
ITEMS = "items"
PLANNED = "planned"
FORESEEN = "foreseen"
GUARD = "guard"
ADMITTED = "admitted"
SETTLED = "settled"
APPLYING = "applying"
APPLIED = "applied"
NOT_MADE = "not_made"
VERIFYING = "verifying"
VERIFIED = "verified"
WAITING = "waiting"
WAITED = "waited"
ROUND = "round"
STALE = "stale"
REFUSED = "refused"
UNDOING = "undoing"
PUTTING_BACK = "putting_back"
UNDONE = "undone"
RETRY = "retry"
PARKED = "parked"
HANDED_OVER = "handed_over"
FINISHED = "finished"


class Left(msgspec.Struct, frozen=True):
    """A change that was not put back, and why."""

    why: str
    unknown: bool = False
    """Whether it may have been put back all the same."""


class Failure(msgspec.Struct, frozen=True):
    """How the run ends where nothing else can be tried."""

    outcome: Outcome
    reason: Reason
    detail: str


class Undo(msgspec.Struct):
    """What is being put back: all of an attempt, or what was made of one plan that could not be finished."""

    key: str
    """The attempt's place, or the key of the plan."""
    reason: str
    detail: str = ""
    done: int = 0
    """How many changes were put back, refused to be, or are not to be because of one that was."""
    in_flight: bool = False
    """Putting a change back was announced and its end never recorded."""
    left: list[Left] = []
    """What could not be put back."""


class Piece(msgspec.Struct, kw_only=True):
    """One plan of a run and how far it is: of a step, of one of its items, or of one of its rounds."""

    key: str
    place: str
    """The attempt that it is of."""
    plan: Plan
    params: dict[str, Any] = {}
    """The parameters that the plan was made with: evidence that they were taken from is not gathered again."""
    applied: int = 0
    """How many of the plan's changes were made."""
    in_flight: bool = False
    """A write was announced and its end never recorded."""
    doubtful: bool = False
    """The write in flight was interrupted: it may have been made, whatever is said about a later try."""
    since: float = 0.0
    """When the write in flight was announced for the first time (unix seconds)."""
    made: list[Change] = []
    """Changes that this run wrote, as they were made; those that were so already belong to somebody else."""
    results: list[dict[str, Any]] = []
    """What each change returned: empty but for calls."""
    answer: str = ""
    """Of its verification, once that is over."""
    failure: Failure | None = None
    """Why the rest of it could not be made."""
    back: bool = False
    """Whether what was made of it is put back, all of it that could be."""

    @property
    def begun(self) -> bool:
        return bool(self.applied or self.in_flight or self.answer or self.failure)

    @property
    def complete(self) -> bool:
        return self.applied == len(self.plan.changes)

    @property
    def as_made(self) -> Plan:
        """The plan with what this run wrote: what an undo inverts."""
        return msgspec.structs.replace(self.plan, changes=tuple(self.made))


class Progress(msgspec.Struct, kw_only=True):
    """Where a remediation stands, rebuilt from its journal alone."""

    writing: bool = False
    """A write may have reached the cluster: from here on it is carried on, not begun again."""
    changed: bool = False
    """Whether anything was written at all."""
    begun: bool = False
    """Something is waited for, or an attempt is over: the scenario stays chosen, also before a first write."""
    scenario: str = ""
    place: str = ""
    """The attempt that is under way."""
    tried: dict[str, Failure] = {}
    """Attempts that did not help or were left out, by their place, oldest first."""
    pieces: dict[str, Piece] = {}
    """By their key, in the order in which they were planned."""
    items: dict[str, list[Any]] = {}
    """The items of steps with `for_each`, by the step's key."""
    rounds: dict[str, int] = {}
    """How many rounds of a loop are over, by the step's key."""
    over: dict[str, dict[str, Any]] = {}
    """Steps that are over without a plan of their own (left out, waited, looped), with what expressions see."""
    deadlines: dict[str, float] = {}
    """Key to the unix time at which a verification or a wait gives up."""
    own_time: dict[str, tuple[float, float]] = {}
    """Key to when a proof began, and when its own time is over, which a rule that looks back may prolong."""
    fixed_since: dict[str, float] = {}
    """Key to since when a verification that has not settled yet says fixed (unix seconds)."""
    permit: Permit | None = None
    approval: Standing = msgspec.field(default_factory=Standing)
    """What people were asked, and what they answered."""
    undo: Undo | None = None
    """What is being put back, or was last."""
    retries: int = 0
    latest: str = ""
    """Key of what was planned or verified last: entries of the version before don't say what they are about."""

    @property
    def in_flight(self) -> bool:
        return any(piece.in_flight for piece in self.pieces.values())

    @property
    def doubtful(self) -> bool:
        return any(piece.doubtful for piece in self.pieces.values())

    def done_plans(self, place: str | None = None) -> list[Plan]:
        """Return the plans whose changes were all made, oldest first, with what this run wrote; of one attempt."""
        return [
            piece.as_made
            for piece in self.pieces.values()
            if piece.applied and piece.complete and place in (None, piece.place)
        ]

    def staying(self) -> list[Plan]:
        """Return the plans whose changes no undo of the run puts back, though something of them lasts."""
        return [piece.as_made for piece in self.pieces.values() if _stays(piece)]

    def changed_in(self, place: str) -> bool:
        return any(piece.made for piece in self.pieces.values() if piece.place == place)


def _stays(piece: Piece) -> bool:
    plan = piece.as_made
    if not piece.made or plan.harmless:
        return False
    if plan.undo is UndoKind.NONE:
        return True
    goes_back = plan.undo_failed if piece.complete else piece.back
    return bool(plan.inverses) and not goes_back


def progress_of(entries: Iterable[Entry]) -> Progress:
    """Return where the run stands. Entries of kinds that are not known here change nothing."""
    state = Progress()
    for entry in entries:
        state = after(state, entry)
    return state


def after(state: Progress, entry: Entry) -> Progress:
    """Return where the run stands after one entry more; `state` itself is used up."""
    kind, data = entry.kind, entry.data
    if kind == STARTED:
        return _taken_up(state)
    if kind == ADMITTED:
        state.permit = msgspec.convert(data["permit"], Permit)
    elif kind in (PARKED, HANDED_OVER):
        state.fixed_since = _fixed_since(state, data.get("fixed_since"))
    elif kind == RETRY:
        state.retries += 1
    elif kind in approval.KINDS:
        state.approval = approval.after(state.approval, kind, data)
        if kind == approval.ASKED:
            _planned_anew(state)
    if kind in _GOING_ON:
        state.approval.open = False
    if kind in _WAYS:
        _WAYS[kind](state, data)
    elif kind in _ABOUT_STEPS:
        key = _key(state, data.get("step"))
        if kind == APPLYING and key in state.pieces and not state.pieces[key].in_flight:
            state.pieces[key].since = entry.at
        _ABOUT_STEPS[kind](state, key, data)
    return state


def _key(state: Progress, step: str | int | None) -> str:
    if isinstance(step, int):
        return proof_key(state.place) if step < 0 else step_key(state.place, step)
    return step or state.latest


def _fixed_since(state: Progress, said: Any) -> dict[str, float]:
    if isinstance(said, dict):
        return said
    return {} if said is None else {state.latest: said}


def _taken_up(state: Progress) -> Progress:
    if state.writing:
        for piece in state.pieces.values():
            piece.doubtful = piece.in_flight
        return state
    # Nothing was written: after a wait or a death everything is looked at afresh. What a verification had left of
    # its time stays, or a run that has nothing to write would look for ever.
    anew = Progress(
        retries=state.retries,
        permit=state.permit,
        approval=state.approval,
        deadlines=state.deadlines,
        fixed_since=state.fixed_since,
        own_time=state.own_time,
    )
    if state.begun:
        anew.begun, anew.scenario, anew.place = True, state.scenario, state.place
        anew.tried, anew.rounds, anew.over = state.tried, state.rounds, state.over
    return anew


def _planned_anew(state: Progress) -> None:
    """What was not begun is planned, and looked at by the guards, again after people were asked."""
    state.pieces = {key: piece for key, piece in state.pieces.items() if piece.begun or piece.plan.empty}


# -- the way through the runbook


def _scenario(state: Progress, data: dict[str, Any]) -> None:
    state.scenario, state.place = data["name"], place_of(data["name"])


def _trying(state: Progress, data: dict[str, Any]) -> None:
    state.place = data["place"]


def _tried(state: Progress, data: dict[str, Any]) -> None:
    state.tried[data["place"]] = _failure(data)
    state.begun = True
    state.undo = None


def _undoing(state: Progress, data: dict[str, Any]) -> None:
    if state.undo is not None and state.undo.key in state.pieces:
        # One undo follows another: the one before is over.
        state.pieces[state.undo.key].back = True
    left = [] if state.undo is None else state.undo.left
    state.undo = Undo(data.get("key", state.place), data["reason"], data.get("detail", ""), left=left)


def _putting_back(state: Progress, data: dict[str, Any]) -> None:
    state.writing = True
    if state.undo is not None:
        state.undo.in_flight = True


def _undone(state: Progress, data: dict[str, Any]) -> None:
    if state.undo is None:
        return
    state.undo.in_flight = False
    state.undo.done += 1 + int(data.get("skipped", 0))
    if "refused" in data:
        state.undo.left.append(Left(data["refused"], data.get("unknown", False)))


def _failure(data: dict[str, Any]) -> Failure:
    return Failure(Outcome(data["outcome"]), Reason.of(data["reason"]), data["detail"])


# -- the steps


def _planned(state: Progress, key: str, data: dict[str, Any]) -> None:
    if data.get("foreseen"):
        return
    plan = msgspec.convert(data["plan"], Plan)
    state.pieces[key] = Piece(key=key, place=state.place, plan=plan, params=data.get("params", {}))
    state.latest = key


def _applying(state: Progress, key: str, data: dict[str, Any]) -> None:
    state.writing = True
    state.deadlines.pop(proof_key(state.place), None)
    if key in state.pieces:
        state.pieces[key].in_flight = True


def _applied(state: Progress, key: str, data: dict[str, Any]) -> None:
    piece = state.pieces.get(key)
    if piece is None:
        return
    piece.in_flight = piece.doubtful = False
    if data["wrote"]:
        state.changed = True
        made = data.get("made")
        piece.made.append(msgspec.convert(made, Change) if made else piece.plan.changes[piece.applied])
        # The server takes writes again: waits that are over don't count against those to come.
        state.retries = 0
    piece.results.append(data.get("result", {}))
    piece.applied += 1


def _not_made(state: Progress, key: str, data: dict[str, Any]) -> None:
    piece = state.pieces.get(key)
    if piece is not None:
        piece.in_flight = piece.doubtful = False
        piece.failure = _failure(data)
    state.writing = state.changed or state.in_flight


def _stale(state: Progress, key: str, data: dict[str, Any]) -> None:
    """The precondition, or a server that let nothing in, refused the write: nothing of this change was made."""
    if state.undo is not None and state.undo.in_flight:
        state.undo.in_flight = False
        return
    piece = state.pieces.get(key)
    if piece is not None:
        piece.in_flight = piece.doubtful = False
        if not piece.applied:
            del state.pieces[key]
    state.writing = state.changed or state.in_flight


def _verifying(state: Progress, key: str, data: dict[str, Any]) -> None:
    state.deadlines[key] = data["until"]
    if "own" in data:
        state.own_time[key] = (data["began"], data["own"])
    state.fixed_since.pop(key, None)
    state.latest = key
    state.begun = state.begun or key in state.pieces


def _verified(state: Progress, key: str, data: dict[str, Any]) -> None:
    if key in state.pieces:
        state.pieces[key].answer = data["answer"]


def _waiting(state: Progress, key: str, data: dict[str, Any]) -> None:
    _verifying(state, key, data)
    state.begun = True


def _over(state: Progress, key: str, data: dict[str, Any]) -> None:
    state.over[key] = data["result"]


def _items(state: Progress, key: str, data: dict[str, Any]) -> None:
    state.items[key] = data["items"]


def _round(state: Progress, key: str, data: dict[str, Any]) -> None:
    state.rounds[key] = data["round"]
    if data["met"]:
        state.over[key] = {"rounds": data["round"]}
    state.begun = True


_GOING_ON = frozenset({APPLYING, VERIFYING, WAITING})
"""After these nobody is waited for any more."""
_WAYS = {
    SCENARIO: _scenario,
    TRYING: _trying,
    TRIED: _tried,
    UNDOING: _undoing,
    PUTTING_BACK: _putting_back,
    UNDONE: _undone,
}
_ABOUT_STEPS = {
    PLANNED: _planned,
    APPLYING: _applying,
    APPLIED: _applied,
    NOT_MADE: _not_made,
    STALE: _stale,
    REFUSED: _stale,
    VERIFYING: _verifying,
    VERIFIED: _verified,
    WAITING: _waiting,
    WAITED: _over,
    SKIPPED: _over,
    PASSED: _over,
    ITEMS: _items,
    ROUND: _round,
}
