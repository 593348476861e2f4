"""Where a run stands follows from its journal alone, wherever that ends."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.journal import after, progress_of
from bridge.engine.places import item_key, place_of, proof_key, round_key, step_key
from bridge.engine.progress import Progress
from bridge.model import kinds
from bridge.model.breaker import Permit
from bridge.model.plan import Change, Field, Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome
from bridge.model.target import ObjectRef

PLACE = place_of("only")
FIRST = step_key(PLACE, 0)


def plan(name: str, changes: int) -> Plan:
    refs = [ObjectRef("apps/v1", "Deployment", "shop", f"{name}-{number}") for number in range(changes)]
    made = tuple(Change(ref=ref, fields=(Field("/spec/replicas", 1, 2),), summary="scale") for ref in refs)
    return Plan(action="scale", summary="scale", changes=made, undo_failed=True)


def entry(kind: str, **data: Any) -> Entry:
    """Return an entry as it comes back from the store."""
    return msgspec.json.decode(msgspec.json.encode(Entry(kind=kind, data=msgspec.to_builtins(data))), type=Entry)


def planned(key: str | int, changes: int) -> Entry:
    return entry(kinds.PLANNED, step=key, plan=plan(f"d{key}", changes), params={"replicas": 2}, hash="")


def applying(key: str | int, change: int) -> Entry:
    return entry(kinds.APPLYING, step=key, change=change)


def applied(key: str | int, change: int, *, wrote: bool = True) -> Entry:
    return entry(kinds.APPLIED, step=key, change=change, wrote=wrote)


def tried(place: str) -> Entry:
    return entry(kinds.TRIED, place=place, outcome="failed", reason="not_fixed", detail="2 of 3 ready")


STARTED = entry(kinds.STARTED)
PREPARED = [
    STARTED,
    entry(kinds.SCENARIO, name="only"),
    entry(kinds.ADMITTED, permit=Permit("runbook:x", True, "t")),
    planned(FIRST, 2),
]


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    """Journals as runs write them: attempts with several steps, waits, deaths and parking anywhere, stale plans,
    attempts that are put back."""
    found: list[Entry] = [STARTED]

    def interruption() -> None:
        if draw(st.integers(0, 5)) == 0:
            end = draw(st.sampled_from(["death", kinds.PARKED, kinds.RETRY, kinds.HANDED_OVER]))
            if end != "death":
                since = {"somewhere": draw(st.floats(1.0, 9.0))} if draw(st.booleans()) else {}
                found.append(entry(end, fixed_since=since))
            found.append(STARTED)

    found.append(entry(kinds.SCENARIO, name="only"))
    found.append(entry(kinds.ADMITTED, permit=Permit("runbook:x", False, "t")))
    for attempt in range(draw(st.integers(1, 3))):
        place = place_of("only", f"try {attempt}")
        found.append(entry(kinds.TRYING, place=place))
        for step in range(draw(st.integers(0, 3))):
            key = step_key(place, step)
            if draw(st.integers(0, 3)) == 0:
                found.append(entry(kinds.WAITING, step=key, until=draw(st.floats(10.0, 99.0))))
                interruption()
                found.append(entry(kinds.WAITED, step=key, result={"met": draw(st.booleans())}))
                continue
            changes = draw(st.integers(0, 3))
            found.append(planned(key, changes))
            for change in range(changes):
                found.append(applying(key, change))
                interruption()
                if draw(st.integers(0, 6)) == 0:
                    found.append(entry(kinds.STALE, step=key))
                    return found
                found.append(applied(key, change, wrote=draw(st.booleans())))
            found.append(entry(kinds.VERIFYING, step=key, until=draw(st.floats(10.0, 99.0))))
            interruption()
            found.append(entry(kinds.VERIFIED, step=key, answer=draw(st.sampled_from(["fixed", "not_fixed"]))))
            found.append(entry("a_kind_of_a_later_version", whatever=draw(st.integers())))
        if draw(st.booleans()):
            found.append(entry(kinds.UNDOING, key=place, reason="not_fixed"))
            for _ in range(draw(st.integers(0, 3))):
                found += [entry(kinds.PUTTING_BACK), entry(kinds.UNDONE, wrote=True)]
        found.append(tried(place))
    return found


def cut(journal: list[Entry], share: float) -> list[Entry]:
    return journal[: round(share * len(journal))]


@given(journals(), st.floats(0, 1))
def test_any_prefix_of_a_journal_says_where_the_run_stood(journal: list[Entry], share: float) -> None:
    prefix = cut(journal, share)
    state = progress_of(prefix)
    announced = [e for e in prefix if e.kind in (kinds.APPLYING, kinds.PUTTING_BACK)]
    assert not (state.in_flight and not state.writing), "a write in flight is carried on, not begun again"
    assert not (state.doubtful and not state.in_flight)
    assert not (state.writing and not announced)
    assert not (state.changed and not state.writing), "what was changed is never forgotten"
    assert all(piece.applied <= len(piece.plan.changes) for piece in state.pieces.values())
    if prefix and prefix[-1].kind == kinds.TRIED:
        assert state.undo is None, "the next attempt puts back its own"


@given(journals(), st.floats(0, 1))
def test_what_was_written_is_known_for_the_undo_whoever_died_when(journal: list[Entry], share: float) -> None:
    """Only what this run wrote, all of it, once each, under the attempt that wrote it."""
    prefix = cut(journal, share)
    state = progress_of(prefix)
    if not state.changed:
        return
    wrote = [(e.data["step"], e.data["change"]) for e in prefix if e.kind == kinds.APPLIED and e.data["wrote"]]
    known = [change.ref.name for piece in state.pieces.values() for change in piece.made]
    first = next(place for place, _ in wrote)
    of_this_run = wrote[[place for place, _ in wrote].index(first) :]
    assert known == [f"d{step}-{change}" for step, change in of_this_run]
    for piece in state.pieces.values():
        assert piece.key.startswith(f"{piece.place}/")
        if piece.applied and piece.complete:
            assert piece.as_made in state.done_plans(piece.place)


@given(journals(), st.floats(0, 1))
def test_taking_up_a_run_again_forgets_nothing_once_it_writes_and_begins_anew_before(
    journal: list[Entry], share: float
) -> None:
    prefix = cut(journal, share)
    before, after = progress_of(prefix), progress_of([*prefix, STARTED])
    if before.writing:
        for piece in before.pieces.values():
            piece.doubtful = piece.in_flight
        assert after == before
        return
    assert (after.pieces, after.undo, after.changed) == ({}, None, False)
    kept = ("retries", "permit", "deadlines", "fixed_since", "begun")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    way = ("scenario", "place", "tried", "over", "rounds")
    assert [getattr(after, name) for name in way] == [
        getattr(before if before.begun else Progress(), name) for name in way
    ]


@given(journals(), st.floats(0, 1))
def test_reading_a_journal_at_once_or_entry_by_entry_gives_the_same(journal: list[Entry], share: float) -> None:
    state = progress_of(cut(journal, share))
    for each in journal[len(cut(journal, share)) :]:
        state = after(state, each)
    assert state == progress_of(journal)


def test_nothing_is_known_of_an_empty_journal() -> None:
    assert progress_of([]) == Progress()


def test_an_announced_write_without_its_end_is_in_flight() -> None:
    state = progress_of([*PREPARED, applying(FIRST, 0)])
    assert (state.writing, state.in_flight, state.doubtful, state.changed) == (True, True, False, False)


def test_a_write_in_flight_is_doubtful_for_whoever_takes_over() -> None:
    journal = [*PREPARED, applying(FIRST, 0), STARTED]
    assert progress_of(journal).doubtful
    assert progress_of([*journal, applying(FIRST, 0)]).doubtful, "another try does not settle the first"
    assert not progress_of([*journal, applying(FIRST, 0), applied(FIRST, 0)]).doubtful


def test_of_several_items_under_way_only_those_in_flight_are_doubtful() -> None:
    one, other = item_key(FIRST, 0), item_key(FIRST, 1)
    journal = [*PREPARED[:3], planned(one, 1), planned(other, 2), applying(one, 0), applying(other, 0)]
    state = progress_of([*journal, applied(one, 0), STARTED])
    assert [piece.doubtful for piece in state.pieces.values()] == [False, True]
    assert [len(piece.made) for piece in state.pieces.values()] == [1, 0]
    stale = progress_of([*journal, applied(one, 0), entry(kinds.STALE, step=other)])
    assert (list(stale.pieces), stale.in_flight, stale.writing) == ([one], False, True)


def test_a_stale_plan_of_which_nothing_was_made_is_dropped_and_the_run_begins_anew() -> None:
    state = progress_of([*PREPARED, applying(FIRST, 0), entry(kinds.STALE, step=FIRST)])
    assert (state.pieces, state.writing, state.in_flight) == ({}, False, False)
    assert progress_of([*PREPARED, applying(FIRST, 0), entry(kinds.STALE, step=FIRST), STARTED]).scenario == ""


def test_a_stale_plan_of_which_something_was_made_is_kept_and_carried_on() -> None:
    half = [*PREPARED, applying(FIRST, 0), applied(FIRST, 0), applying(FIRST, 1)]
    state = progress_of([*half, entry(kinds.STALE, step=FIRST)])
    assert (state.writing, state.pieces[FIRST].applied, state.changed) == (True, 1, True)


def test_the_permit_and_the_count_of_retries_survive_a_new_beginning() -> None:
    state = progress_of([*PREPARED, entry(kinds.RETRY), STARTED])
    assert (state.permit, state.retries, state.pieces) == (Permit("runbook:x", True, "t"), 1, {})


def test_a_write_gives_the_proof_its_full_time_again() -> None:
    proof = proof_key(PLACE)
    verifying = entry(kinds.VERIFYING, step=proof, until=99.0)
    assert progress_of([*PREPARED, verifying, STARTED]).deadlines == {proof: 99.0}
    assert progress_of([*PREPARED, verifying, STARTED, *PREPARED[1:], applying(FIRST, 0)]).deadlines == {}


def test_since_when_it_is_fixed_is_known_after_parking_and_not_in_the_next_verification() -> None:
    verifying = entry(kinds.VERIFYING, step=FIRST, until=99.0)
    parked = entry(kinds.PARKED, fixed_since={FIRST: 50.0})
    journal = [*PREPARED, applying(FIRST, 0), verifying, parked, STARTED]
    assert progress_of(journal).fixed_since == {FIRST: 50.0}
    assert progress_of([*journal, entry(kinds.PARKED)]).fixed_since == {}
    assert progress_of([*journal, entry(kinds.VERIFYING, step=FIRST, until=99.0)]).fixed_since == {}


def test_a_choice_stands_once_something_is_waited_for() -> None:
    """What was waited for may be why no scenario would hold any more."""
    key = step_key(PLACE, 1)
    chosen = [*PREPARED[:2], entry(kinds.SKIPPED, step=FIRST, result={"skipped": True})]
    assert progress_of([*chosen, STARTED]).scenario == ""
    waits = progress_of([*chosen, entry(kinds.WAITING, step=key, until=99.0), STARTED])
    assert (waits.scenario, waits.deadlines, list(waits.over)) == ("only", {key: 99.0}, [FIRST])


def test_an_attempt_that_is_over_is_not_begun_again_and_its_undo_is_not_the_next_one_s() -> None:
    one = place_of("only", "restart")
    journal = [*PREPARED, applying(FIRST, 0), applied(FIRST, 0), entry(kinds.UNDOING, key=one, reason="not_fixed")]
    assert (progress_of(journal).undo or kinds.Undo("", "")).key == one
    state = progress_of([*journal, tried(one), STARTED])
    assert list(state.tried) == [one]
    assert (state.tried[one].outcome, state.tried[one].reason) == (Outcome.FAILED, Reason.NOT_FIXED)
    assert state.undo is None


def test_what_could_not_be_put_back_of_a_half_is_known_in_the_undo_of_its_attempt() -> None:
    journal = [*PREPARED, applying(FIRST, 0), applied(FIRST, 0), applying(FIRST, 1)]
    half = [
        entry(kinds.NOT_MADE, step=FIRST, outcome="failed", reason="forbidden", detail="no"),
        entry(kinds.UNDOING, key=FIRST, reason="forbidden"),
        entry(kinds.PUTTING_BACK),
        entry(kinds.UNDONE, wrote=False, refused="somebody changed it"),
    ]
    state = progress_of([*journal, *half, entry(kinds.UNDOING, key=PLACE, reason="forbidden")])
    assert state.undo is not None
    assert ([left.why for left in state.undo.left], state.undo.done) == (["somebody changed it"], 0)
    assert state.pieces[FIRST].back
    assert not state.in_flight


def test_rounds_of_a_loop_are_counted_and_a_met_one_ends_it() -> None:
    keys = [round_key(FIRST, number) for number in (1, 2)]
    one = [*PREPARED[:3], planned(keys[0], 1), applying(keys[0], 0), applied(keys[0], 0)]
    one.append(entry(kinds.ROUND, step=FIRST, round=1, met=False))
    assert (progress_of(one).rounds, progress_of(one).over) == ({FIRST: 1}, {})
    two = progress_of([*one, planned(keys[1], 0), entry(kinds.ROUND, step=FIRST, round=2, met=True)])
    assert (two.rounds, two.over) == ({FIRST: 2}, {FIRST: {"rounds": 2}})


def test_only_the_answer_of_its_verification_says_how_a_step_ended() -> None:
    keys = [step_key(PLACE, number) for number in range(3)]
    journal = [*PREPARED[:3], *(planned(key, 1) for key in keys)]
    answers = [entry(kinds.VERIFIED, step=k, answer=a) for k, a in zip(keys, ["fixed", "not_fixed", ""], strict=True)]
    assert [p.answer for p in progress_of([*journal, *answers]).pieces.values()] == ["fixed", "not_fixed", ""]


def test_a_journal_of_the_version_before_is_carried_on() -> None:
    """Decision 13: its steps have numbers, -1 is the runbook's proof, and one step is under way at a time."""
    old = [
        *PREPARED[:3],
        planned(0, 1),
        applying(0, 0),
        applied(0, 0),
        entry(kinds.VERIFYING, step=0, until=50.0),
        entry(kinds.VERIFIED, step=0, answer="fixed"),
        planned(1, 2),
        applying(1, 0),
    ]
    state = progress_of(old)
    assert {key: piece.answer for key, piece in state.pieces.items()} == {FIRST: "fixed", step_key(PLACE, 1): ""}
    assert (state.in_flight, state.place, state.writing) == (True, PLACE, True)
    assert step_key(PLACE, 1) not in progress_of([*old, entry(kinds.STALE)]).pieces, "a stale entry named no step"
    proof = [*old, applied(1, 0), applying(1, 1), applied(1, 1), entry(kinds.VERIFYING, step=-1, until=99.0)]
    state = progress_of([*proof, entry(kinds.PARKED, fixed_since=60.0), STARTED])
    assert (state.deadlines[proof_key(PLACE)], state.fixed_since) == (99.0, {proof_key(PLACE): 60.0})
    undoing = progress_of([*proof, entry(kinds.UNDOING, reason="not_fixed"), entry(kinds.UNDONE, wrote=True)])
    assert undoing.undo is not None
    assert (undoing.undo.key, undoing.undo.done) == (PLACE, 1)


def test_a_step_that_only_waits_keeps_its_deadline_and_its_scenario() -> None:
    waits = msgspec.structs.replace(plan("w", 0), waits=True)
    journal = [*PREPARED[:3], entry(kinds.PLANNED, step=FIRST, plan=waits, params={}, hash="")]
    journal += [entry(kinds.VERIFYING, step=FIRST, until=99.0), entry(kinds.PARKED), STARTED]
    state = progress_of(journal)
    assert (state.deadlines, state.scenario, state.writing) == ({FIRST: 99.0}, "only", False)
