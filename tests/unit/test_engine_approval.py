"""The engine asks people: what an approval covers, and what becomes of it wherever a worker dies."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.approval import MOST_QUESTIONS
from bridge.errors import KubeUnavailable
from bridge.guards.pause import PauseGuard
from bridge.guards.reversible import ReversibleGuard
from bridge.model import kinds
from bridge.model.approval import APPROVED, ASKED, Answer, Said
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.plan import Undo
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from bridge.model.trust import Lowered, Trust
from tests.support.bench import OTHER, REF, Bench, SetField, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

SUCCEEDED = (Outcome.SUCCEEDED, Reason.VERIFIED)
TWO = [{"action": "set"}, {"action": "set", "with": {"value": 6, "names": ["worker"]}}]


@pytest.fixture
def bench() -> Bench:
    return Bench()


class _Death(BaseException):
    """The worker's process is gone."""


async def say(bench: Bench, by: str = "ann", agree: bool = True) -> Said:
    return (await bench.work.answer("r1", Answer(by=by, agree=agree), f"{by} answered")).said


async def asked(bench: Bench, **more: Any) -> None:
    bench.add(runbook(steps=more.pop("steps", TWO)), mode=Mode.APPROVE, **more)
    assert (await bench.stretch()).state is State.PARKED


@pytest.mark.parametrize(
    "place",
    [kinds.STARTED, kinds.PLANNED, APPROVED, kinds.ADMITTED, kinds.APPLYING, kinds.APPLIED, kinds.VERIFIED],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_approval_outlives_the_worker_that_goes_by_it(bench: Bench, place: str, when: str) -> None:
    """Faults 3 and 4: asked once, answered once, made once."""
    await asked(bench)
    assert await say(bench) is Said.TAKEN
    left = [f"{when} {place}"]

    async def die(now: str) -> None:
        if left == [now]:
            left.clear()
            raise _Death

    bench.work.point = die
    with pytest.raises(_Death):
        await bench.stretch()
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6]
    assert bench.kinds().count(ASKED) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_worker_that_dies_while_it_asks_asks_nobody_twice(bench: Bench, when: str) -> None:
    left = [f"{when} {ASKED}"]

    async def die(now: str) -> None:
        if left == [now]:
            left.clear()
            raise _Death

    bench.work.point = die
    bench.add(mode=Mode.APPROVE)
    with pytest.raises(_Death):
        await bench.stretch()
    await bench.stretch()
    questions = [entry.data["question"] for entry in bench.entries() if entry.kind == ASKED]
    assert len({str(question["plans"]) for question in questions}) == 1
    assert len({question["until"] for question in questions}) == 1
    assert await say(bench) is Said.TAKEN
    assert await bench.run() == SUCCEEDED


async def test_people_are_told_once_and_paged_since_they_are_waited_for(bench: Bench) -> None:
    await asked(bench, approvers=2)
    await say(bench)
    await bench.stretch()
    assert [page for text, page in bench.told.said if "agree" in text] == [True]


async def test_nothing_is_held_while_people_are_asked(bench: Bench) -> None:
    await asked(bench)
    assert bench.locks.held == {}
    assert not bench.view().writing


@pytest.mark.parametrize("where", ["process", "runbook", "step"])
async def test_the_strictest_mode_asks(bench: Bench, where: str) -> None:
    steps = [{"action": "set", **({"mode": "approve"} if where == "step" else {})}]
    more = {"mode": "approve"} if where == "runbook" else {}
    bench.mode = Mode.APPROVE if where == "process" else Mode.AUTO
    bench.add(runbook(steps=steps, **more))
    assert (await bench.stretch()).state is State.PARKED
    await say(bench)
    assert await bench.run() == SUCCEEDED


async def test_a_person_may_agree_to_what_nothing_undoes_wherever_the_mode_comes_from(bench: Bench) -> None:
    bench.actions["set"] = SetField(undo=Undo.NONE)
    bench.plan_guards = [ReversibleGuard()]
    bench.add(runbook(mode="approve"))
    assert (await bench.stretch()).state is State.PARKED
    await say(bench)
    assert await bench.run() == SUCCEEDED


async def test_what_has_nothing_to_change_asks_nobody(bench: Bench) -> None:
    bench.cluster.edit(REF, {"spec": {"value": 5}})
    bench.add(mode=Mode.APPROVE)
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)
    assert ASKED not in bench.kinds()


async def test_a_plan_that_changes_again_and_again_is_given_up(bench: Bench) -> None:
    await asked(bench)
    for value in range(10, 10 + MOST_QUESTIONS + 1):
        bench.cluster.edit(OTHER, {"spec": {"value": value}})
        await say(bench)
        if (await bench.stretch()).state is State.DONE:
            break
    assert (bench.view().outcome, bench.view().reason) == (Outcome.DENIED, Reason.PLAN_STALE.value)
    assert bench.writes == []


async def test_mode_auto_meanwhile_goes_on_and_old_questions_end_nothing(bench: Bench) -> None:
    bench.mode = Mode.APPROVE
    bench.add(runbook(steps=TWO))
    assert (await bench.stretch()).state is State.PARKED
    bench.mode = Mode.AUTO
    await bench.work.wake("r1")
    bench.clock.advance(60.0)
    assert await bench.run() == SUCCEEDED


async def test_mode_observe_meanwhile_ends_it_without_a_write(bench: Bench) -> None:
    await asked(bench)
    bench.mode = Mode.OBSERVE
    await say(bench)
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert bench.writes == []


async def test_a_cluster_that_is_away_when_people_answer_is_waited_for_and_they_are_not_asked_again(
    bench: Bench,
) -> None:
    await asked(bench)
    await say(bench)
    bench.action.planning = [KubeUnavailable("away")] * 4
    assert await bench.run() == SUCCEEDED
    assert bench.kinds().count(ASKED) == 1


class Deferring:
    """A plan guard that puts everything off until the test says otherwise."""

    name = "deferring"
    until = 0.0

    async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
        if context.reach.clock.now() >= self.until:
            return Verdict.allow()
        return Verdict.defer(Reason.BUDGET_SPENT, "no room now", retry_at=self.until)


async def test_a_guard_that_puts_it_off_costs_nobody_a_second_answer(bench: Bench) -> None:
    guard = Deferring()
    bench.plan_guards = [guard]
    await asked(bench)
    guard.until = bench.clock.now() + 600.0
    await say(bench)
    assert (await bench.stretch()).state is State.PARKED
    assert bench.writes == []
    assert await bench.run() == SUCCEEDED
    assert bench.clock.now() >= guard.until
    assert bench.kinds().count(ASKED) == 1


async def test_nobodys_yes_is_good_for_ever(bench: Bench) -> None:
    guard = Deferring()
    bench.plan_guards = [guard]
    await asked(bench)
    guard.until = bench.clock.now() + 86400.0
    await say(bench)
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.BUDGET_SPENT)
    assert bench.writes == []


async def test_what_is_held_up_for_days_fills_no_journal(bench: Bench) -> None:
    bench.entry_guards = [PauseGuard()]
    await asked(bench, approve_within=86400.0)
    await say(bench)
    await bench.guardbook.pause(Pause(scope="all", by="ann", why="", since=0.0, until=None))
    assert await bench.run(stretches=1000) == (Outcome.SUPPRESSED, Reason.PAUSED)
    assert bench.clock.now() >= 2 * 86400.0
    assert len(bench.entries()) < 2000


async def test_who_triggered_it_is_not_its_only_approver_where_two_are_wanted(bench: Bench) -> None:
    await asked(bench, approvers=2, requested_by="ann")
    assert await say(bench, "ann") is Said.TAKEN
    assert await say(bench, "ann") is Said.ALREADY
    assert (await bench.stretch()).state is State.PARKED
    assert await say(bench, "bob") is Said.TAKEN
    assert await bench.run() == SUCCEEDED


class Lowering:
    """A trustbook by which the runbook has to be agreed to each time."""

    async def judge(self, runbook: str, alert: str, policy: Any) -> Trust:
        return Trust(lowered=Lowered(mode=Mode.APPROVE, helped=1, runs=5, at=0.0))


@pytest.mark.parametrize("woken", [True, False])
async def test_what_a_runbook_that_seldom_helped_does_is_agreed_to_also_after_a_first_write(
    bench: Bench, woken: bool
) -> None:
    """The end of its alert wakes a run that asks about a later step; a death has another worker take it up."""
    bench.trust = Lowering()  # type: ignore[assignment]
    bench.add(runbook(steps=TWO))
    assert (await bench.stretch()).state is State.PARKED
    await say(bench)

    async def moved(now: str) -> None:
        if now == f"after {kinds.VERIFIED}" and bench.writes == [5]:
            # The second step would change something else by now than what was agreed to.
            bench.cluster.edit(OTHER, {"spec": {"value": 3}})
            if not woken:
                raise _Death

    bench.work.point = moved
    if woken:
        assert (await bench.stretch()).state is State.PARKED
        await bench.work.wake("r1")
    else:
        with pytest.raises(_Death):
            await bench.stretch()
    view = await bench.stretch(worker="w2")
    assert (view.state, view.reason, bench.writes) == (State.PARKED, "approval_needed", [5])
    await say(bench)
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6]


async def test_a_yes_counts_no_more_when_its_credential_was_taken_back(bench: Bench) -> None:
    """Between the first answer and the last the configuration may change; nothing is written then."""
    bench.operators = {"ann", "bob"}
    await asked(bench, approvers=2)
    await say(bench, "ann")
    bench.operators = {"bob"}
    await say(bench, "bob")
    assert await bench.run() == (Outcome.DENIED, Reason.APPROVAL_TIMED_OUT)
    assert bench.writes == []
    assert "ann agreed, and may not any more" in bench.view().detail
    assert "1 of 2 agree" in bench.view().detail


async def test_what_was_agreed_to_stays_so_when_the_credential_goes_afterwards(bench: Bench) -> None:
    bench.operators = {"ann"}
    await asked(bench)
    await say(bench)

    async def taken_back(now: str) -> None:
        if now == f"after {APPROVED}":
            bench.operators = set()

    bench.work.point = taken_back
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6]


async def test_who_may_agree_no_more_has_said_no_all_the_same(bench: Bench) -> None:
    await asked(bench, approvers=2)
    await say(bench, "ann", agree=False)
    bench.operators = set()
    assert await bench.run() == (Outcome.DENIED, Reason.APPROVAL_DENIED)
