"""What the entries of a run's journal add up to. Read by record when a run is taken up, and at each entry more.

Every entry about a step names it by its key (see places.py), so that several may be under way at once. Records of
the version before have the step's number there, and only ever one step under way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from bridge.engine.places import place_of, proof_key, step_key
from bridge.engine.progress import PUT_OFF, Failure, Left, Piece, Progress, Undo
from bridge.model import approval, kinds
from bridge.model.breaker import Permit
from bridge.model.plan import Change, Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome


def progress_of(entries: Iterable[Entry]) -> Progress:
    """Return where the run stands. Entries of kinds that are not known here change nothing."""
    state = Progress()
    for entry in entries:
        state = after(state, entry)
    return state


def after(state: Progress, entry: Entry) -> Progress:
    """Return where the run stands after one entry more; `state` itself is used up."""
    kind, data = entry.kind, entry.data
    if kind == kinds.STARTED:
        state = _taken_up(state)
        state.idle = data.get("idle", state.idle)
        return state
    if kind == kinds.ADMITTED:
        state.permit = msgspec.convert(data["permit"], Permit)
    elif kind in (kinds.PARKED, kinds.HANDED_OVER):
        state.fixed_since = _fixed_since(state, data.get("fixed_since"))
        if state.changed and entry.reason in {reason.value for reason in PUT_OFF}:
            state.put_off_since = state.put_off_since or entry.at
    elif kind == kinds.RETRY:
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
        if kind == kinds.APPLYING and key in state.pieces and not state.pieces[key].in_flight:
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
    """What was not begun is planned, and looked at by the guards, again after a long wait."""
    state.pieces = {key: piece for key, piece in state.pieces.items() if piece.begun or piece.plan.empty}


def _looked_again(state: Progress, data: dict[str, Any]) -> None:
    state.idle = 0.0
    if data["goes_on"]:
        _planned_anew(state)
    else:
        state.rest_left = data["why"]


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
        state.retries, state.put_off_since = 0, 0.0
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


_GOING_ON = frozenset({kinds.APPLYING, kinds.VERIFYING, kinds.WAITING})
"""After these nobody is waited for any more."""
_WAYS = {
    kinds.LOOKED_AGAIN: _looked_again,
    kinds.SCENARIO: _scenario,
    kinds.TRYING: _trying,
    kinds.TRIED: _tried,
    kinds.UNDOING: _undoing,
    kinds.PUTTING_BACK: _putting_back,
    kinds.UNDONE: _undone,
}
_ABOUT_STEPS = {
    kinds.PLANNED: _planned,
    kinds.APPLYING: _applying,
    kinds.APPLIED: _applied,
    kinds.NOT_MADE: _not_made,
    kinds.STALE: _stale,
    kinds.REFUSED: _stale,
    kinds.VERIFYING: _verifying,
    kinds.VERIFIED: _verified,
    kinds.WAITING: _waiting,
    kinds.WAITED: _over,
    kinds.SKIPPED: _over,
    kinds.PASSED: _over,
    kinds.ITEMS: _items,
    kinds.ROUND: _round,
}
