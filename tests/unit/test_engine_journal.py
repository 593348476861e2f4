"""Where a run stands follows from its journal alone, wherever that ends."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine import journal as kinds
from bridge.engine.journal import RUNBOOK_STEP, Progress, progress_of
from bridge.model.breaker import Permit
from bridge.model.plan import Change, Field, Plan
from bridge.model.remediation import Entry
from bridge.model.target import ObjectRef


def plan(step: int, changes: int) -> Plan:
    refs = [ObjectRef("apps/v1", "Deployment", "shop", f"d{step}-{number}") for number in range(changes)]
    made = tuple(Change(ref=ref, fields=(Field("/spec/replicas", 1, 2),), summary="scale") for ref in refs)
    return Plan(action="scale", summary="scale", changes=made, undo_failed=True)


def entry(kind: str, **data: Any) -> Entry:
    """Return an entry as it comes back from the store."""
    return msgspec.json.decode(msgspec.json.encode(Entry(kind=kind, data=msgspec.to_builtins(data))), type=Entry)


def planned(step: int, changes: int) -> Entry:
    return entry(kinds.PLANNED, step=step, plan=plan(step, changes), params={"replicas": 2}, hash="")


STARTED = entry(kinds.STARTED)
PREPARED = [
    STARTED,
    entry(kinds.SCENARIO, name="only"),
    entry(kinds.ADMITTED, permit=Permit("runbook:x", True, "t")),
    planned(0, 2),
]


def applying(step: int, change: int) -> Entry:
    return entry(kinds.APPLYING, step=step, change=change)


def applied(step: int, change: int, *, wrote: bool = True) -> Entry:
    return entry(kinds.APPLIED, step=step, change=change, wrote=wrote)


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    """Journals as runs write them: several steps, deaths and parking anywhere, stale plans, an undo at the end."""
    found: list[Entry] = [STARTED]

    def interruption() -> None:
        if draw(st.integers(0, 5)) == 0:
            end = draw(st.sampled_from(["death", kinds.PARKED, kinds.RETRY, kinds.HANDED_OVER]))
            if end != "death":
                found.append(entry(end, fixed_since=draw(st.none() | st.floats(1.0, 9.0))))
            found.append(STARTED)

    found.append(entry(kinds.SCENARIO, name="only"))
    found.append(entry(kinds.ADMITTED, permit=Permit("runbook:x", False, "t")))
    for step in range(draw(st.integers(0, 3))):
        changes = draw(st.integers(0, 3))
        found.append(planned(step, changes))
        for change in range(changes):
            found.append(applying(step, change))
            interruption()
            if draw(st.integers(0, 6)) == 0:
                found.append(entry(kinds.STALE))
                return found
            found.append(applied(step, change, wrote=draw(st.booleans())))
        found.append(entry(kinds.VERIFYING, step=step, until=draw(st.floats(10.0, 99.0))))
        interruption()
        found.append(entry(kinds.VERIFIED, step=step, answer=draw(st.sampled_from(["fixed", "not_fixed"]))))
        found.append(entry("a_kind_of_a_later_version", whatever=draw(st.integers())))
    if draw(st.booleans()):
        found.append(entry(kinds.UNDOING, reason="not_fixed"))
        found.extend(entry(kinds.UNDONE, wrote=True) for _ in range(draw(st.integers(0, 3))))
    return found


def cut(journal: list[Entry], share: float) -> list[Entry]:
    return journal[: round(share * len(journal))]


@given(journals(), st.floats(0, 1))
def test_any_prefix_of_a_journal_says_where_the_run_stood(journal: list[Entry], share: float) -> None:
    prefix = cut(journal, share)
    state = progress_of(prefix)
    announced = [e for e in prefix if e.kind == kinds.APPLYING]
    assert not (state.in_flight and not state.writing), "a write in flight is carried on, not begun again"
    assert not (state.doubtful and not state.in_flight)
    assert not (state.writing and not announced)
    assert not (state.changed and not state.writing), "what was changed is never forgotten"
    if state.plan is not None:
        assert state.applied <= len(state.plan.changes)
    assert state.undone == sum(e.kind == kinds.UNDONE for e in prefix)


@given(journals(), st.floats(0, 1))
def test_what_was_written_is_known_for_the_undo_whoever_died_when(journal: list[Entry], share: float) -> None:
    """Only what this run wrote, all of it, once each."""
    prefix = cut(journal, share)
    state = progress_of(prefix)
    if not state.changed:
        return
    wrote = [(e.data["step"], e.data["change"]) for e in prefix if e.kind == kinds.APPLIED and e.data["wrote"]]
    known = [change.ref.name for done in state.done_plans for change in done.changes]
    if state.plan is not None and state.applied < len(state.plan.changes):
        known += [change.ref.name for change in state.made]
    first = next(step for step, _ in wrote)
    assert known == [f"d{step}-{change}" for step, change in wrote if step >= first]


@given(journals(), st.floats(0, 1))
def test_taking_up_a_run_again_forgets_nothing_once_it_writes_and_begins_anew_before(
    journal: list[Entry], share: float
) -> None:
    prefix = cut(journal, share)
    before, after = progress_of(prefix), progress_of([*prefix, STARTED])
    if before.writing:
        assert after == msgspec.structs.replace(before, doubtful=before.in_flight)
    else:
        proof = {step: until for step, until in before.deadlines.items() if step == RUNBOOK_STEP}
        fixed_since = before.fixed_since if proof else None
        assert after == Progress(
            retries=before.retries, permit=before.permit, deadlines=proof, fixed_since=fixed_since
        )


@given(journals())
def test_reading_the_same_journal_twice_gives_the_same(journal: list[Entry]) -> None:
    assert progress_of(journal) == progress_of(journal)


def test_nothing_is_known_of_an_empty_journal() -> None:
    assert progress_of([]) == Progress()


def test_an_announced_write_without_its_end_is_in_flight() -> None:
    state = progress_of([*PREPARED, applying(0, 0)])
    assert (state.writing, state.in_flight, state.doubtful, state.changed) == (True, True, False, False)


def test_a_write_in_flight_is_doubtful_for_whoever_takes_over() -> None:
    journal = [*PREPARED, applying(0, 0), STARTED]
    assert progress_of(journal).doubtful
    assert progress_of([*journal, applying(0, 0)]).doubtful, "another try does not settle the first"
    assert not progress_of([*journal, applying(0, 0), applied(0, 0)]).doubtful


def test_a_stale_plan_of_which_nothing_was_made_is_dropped_and_the_run_begins_anew() -> None:
    state = progress_of([*PREPARED, applying(0, 0), entry(kinds.STALE)])
    assert (state.plan, state.writing, state.in_flight) == (None, False, False)
    assert progress_of([*PREPARED, applying(0, 0), entry(kinds.STALE), STARTED]).scenario == ""


def test_a_stale_plan_of_which_something_was_made_is_kept_and_carried_on() -> None:
    state = progress_of([*PREPARED, applying(0, 0), applied(0, 0), applying(0, 1), entry(kinds.STALE)])
    assert state.plan is not None
    assert (state.writing, state.applied, state.changed) == (True, 1, True)


def test_the_permit_and_the_count_of_retries_survive_a_new_beginning() -> None:
    state = progress_of([*PREPARED, entry(kinds.RETRY), STARTED])
    assert (state.permit, state.retries, state.plan) == (Permit("runbook:x", True, "t"), 1, None)


def test_a_write_gives_the_proof_its_full_time_again() -> None:
    verifying = entry(kinds.VERIFYING, step=RUNBOOK_STEP, until=99.0)
    assert progress_of([*PREPARED, verifying, STARTED]).deadlines == {RUNBOOK_STEP: 99.0}
    assert progress_of([*PREPARED, verifying, STARTED, *PREPARED[1:], applying(0, 0)]).deadlines == {}


def test_since_when_it_is_fixed_is_known_after_parking_and_not_in_the_next_verification() -> None:
    verifying = entry(kinds.VERIFYING, step=0, until=99.0)
    journal = [*PREPARED, applying(0, 0), verifying, entry(kinds.PARKED, fixed_since=50.0), STARTED]
    assert progress_of(journal).fixed_since == 50.0
    assert progress_of([*journal, entry(kinds.PARKED)]).fixed_since is None
    assert progress_of([*journal, entry(kinds.VERIFYING, step=1, until=99.0)]).fixed_since is None


def test_only_a_step_that_is_fixed_counts_as_verified() -> None:
    answers = [entry(kinds.VERIFIED, step=n, answer=a) for n, a in enumerate(["fixed", "not_fixed", "unknown"])]
    assert progress_of([*PREPARED, *answers]).verified == {0}


def test_a_step_that_only_waits_keeps_its_deadline_and_another_scenario_gets_its_own() -> None:
    waiting = Plan(action="rollout_status", summary="wait", waits=True)
    prepared = [STARTED, entry(kinds.SCENARIO, name="only"), entry(kinds.PLANNED, step=0, plan=waiting, hash="")]
    parked = [*prepared, entry(kinds.VERIFYING, step=0, until=50.0), entry(kinds.PARKED), STARTED]
    assert progress_of([*parked, entry(kinds.SCENARIO, name="only")]).deadlines == {0: 50.0}
    assert progress_of([*parked, entry(kinds.SCENARIO, name="other")]).deadlines == {}
