"""Waits, loops, conditions and results of steps: bounded, parked when long, carried on from the journal."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.engine.step_results import results_of
from bridge.errors import PermanentError
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.plan import Change, Operation, Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef
from tests.support.bench import FACTS, NOT_FIXED, OTHER, REF, SUCCEEDED, Bench, SetField, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

SET = {"action": "set"}
PARENT = ObjectRef("", "Postgres", "", "main")


@pytest.fixture
def bench() -> Bench:
    """`evidence.facts.value` is what web has, `evidence.facts.seconds` how long the run is under way."""
    bench = Bench()
    began = bench.clock.now()

    async def facts() -> dict[str, Any]:
        return {"value": bench.value(), "seconds": bench.clock.now() - began}

    bench.facts.facts = facts
    return bench


class Count(SetField):
    """A call that returns how many there are."""

    def __init__(self, number: int = 3) -> None:
        super().__init__("count")
        self.number = number

    async def plan(self, context: Any, params: Any) -> Plan:
        change = Change(ref=PARENT, operation=Operation.CALL, call={"count": 1}, summary="count")
        return Plan(action="count", summary="count", changes=(change,))

    async def perform(self, context: Any, change: Change) -> dict[str, Any]:
        return {"rows": self.number}


def waiting(*steps: dict[str, Any], **more: Any) -> Any:
    return runbook(evidence=FACTS, steps=list(steps), **more)


def texts(bench: Bench, kind: str) -> list[str]:
    return [entry.text for entry in bench.entries() if entry.kind == kind]


# -- waits


async def test_a_wait_passes_its_time_before_the_next_step(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(waiting({"wait": {"for": "10s"}}, SET))
    assert await bench.run() == SUCCEEDED
    assert 10 <= bench.clock.now() - began < 20
    assert kinds.PARKED not in bench.kinds()


async def test_a_long_wait_holds_no_slot_and_ends_when_it_should(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(waiting({"wait": {"for": "2h"}}, SET))
    view = await bench.stretch()
    assert (view.state, view.due_at) == (State.PARKED, began + 450), "locks have to be prolonged meanwhile"
    assert await bench.run() == SUCCEEDED
    assert 7200 <= bench.clock.now() - began < 7210
    assert bench.writes == [5]


async def test_a_wait_after_a_write_keeps_the_locks(bench: Bench) -> None:
    bench.add(waiting(SET, {"wait": {"for": "1h"}}, {"action": "set", "with": {"value": 6}}))
    assert await bench.run() == SUCCEEDED
    gaps = [keys for _, keys in bench.locks.acquired if REF.lock_key in keys]
    assert len(gaps) >= 3600 / 450
    assert bench.writes == [5, 6]


async def test_a_wait_until_something_is_so_ends_when_it_is(bench: Bench) -> None:
    bench.add(waiting({"wait": {"until": "evidence.facts.seconds > 40.0", "within": "2m"}}, SET))
    began = bench.clock.now()
    assert await bench.run() == SUCCEEDED
    assert 40 <= bench.clock.now() - began < 60
    assert bench.facts.count > 5, "each look gathers afresh"


async def test_a_wait_whose_time_is_over_did_not_help_unless_it_says_continue(bench: Bench) -> None:
    wait = {"until": "evidence.facts.value == 9", "within": "60s"}
    bench.add(waiting({"wait": wait}, SET))
    began = bench.clock.now()
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 60 <= bench.clock.now() - began < 70
    assert bench.writes == []
    bench.add(waiting({"wait": {**wait, "otherwise": "continue"}}, SET), name="r2")
    assert await bench.run("r2") == SUCCEEDED


async def test_a_wait_that_cannot_tell_is_a_person_s_unless_it_says_continue(bench: Bench) -> None:
    """Decision 8: not known is no reason to change more."""
    wait = {"until": "evidence.nothing == 9", "within": "5s", "otherwise": "continue"}
    bench.add(waiting({"wait": wait}, SET))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == []
    bench.add(waiting({"wait": {**wait, "on_unknown": "continue"}}, SET), name="r2")
    assert await bench.run("r2") == SUCCEEDED


async def test_automatic_failover_is_waited_for_and_only_forced_when_it_did_not_come(bench: Bench) -> None:
    wait = {"id": "auto", "wait": {"until": "evidence.facts.value == 7", "within": "60s", "otherwise": "continue"}}
    force = {"when": "!steps.auto.met", "action": "set", "with": {"value": 7}}
    book = waiting(wait, force, verify={"fixed": "evidence.facts.value == 7"})
    bench.add(book)
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [7], "forced after a minute"
    bench.cluster.edit(REF, {"spec": {"value": 1}})
    bench.add(book, name="r2")
    assert (await bench.stretch("r2")).state is State.PARKED
    bench.cluster.edit(REF, {"spec": {"value": 7}})
    assert await bench.run("r2") == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)
    assert [entry.kind for entry in bench.entries("r2")].count(kinds.SKIPPED) == 1
    assert bench.writes == [7]


async def test_what_was_waited_for_does_not_take_the_scenario_away(bench: Bench) -> None:
    """The evidence that chose it may be gone because the wait was worth it."""
    steps = [{"wait": {"until": "evidence.facts.value == 7", "within": "10m"}}]
    scenarios = [{"name": "down", "when": "evidence.facts.value == 1", "steps": steps}]
    bench.add(runbook(evidence=FACTS, scenarios=scenarios, verify={"fixed": "evidence.facts.value == 7"}))
    assert (await bench.stretch()).state is State.PARKED
    bench.cluster.edit(REF, {"spec": {"value": 7}})
    bench.clock.advance(60)
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)


async def test_a_wait_before_the_first_write_ends_when_every_alert_resolved(bench: Bench) -> None:
    bench.add(waiting({"wait": {"for": "1h"}}, SET))
    assert (await bench.stretch()).state is State.PARKED
    bench.work.resolve("r1")
    assert await bench.run() == (Outcome.CANCELLED, Reason.RESOLVED)


async def test_a_wait_is_carried_on_to_the_same_end_by_whoever_takes_over(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(waiting({"wait": {"for": "100s"}}, SET))
    for worker in ("w1", "w2", "w3"):
        assert (await bench.stretch(worker=worker)).state is State.PARKED
        bench.clock.advance(20)
    assert await bench.run() == SUCCEEDED
    assert 100 <= bench.clock.now() - began < 110


# -- conditions and results


async def test_a_step_whose_condition_is_false_is_left_out(bench: Bench) -> None:
    left_out = {"when": "evidence.facts.value == 2", "action": "set", "with": {"value": 9}}
    bench.add(waiting(left_out, SET))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5]
    assert texts(bench, kinds.SKIPPED) == ["set left out: evidence.facts.value == 2 is false"]


async def test_a_step_s_condition_is_asked_on_what_is_there_after_the_step_before(bench: Bench) -> None:
    then = {"when": "evidence.facts.value == 5", "action": "set", "with": {"value": 6}}
    bench.add(waiting(SET, then))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 6]


async def test_a_step_s_unknown_condition_changes_nothing_more(bench: Bench) -> None:
    bench.add(waiting(SET, {"when": "evidence.nothing == 5", "action": "set", "with": {"value": 6}}))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.writes == [5]


async def test_what_a_call_returned_is_seen_by_the_steps_after_it(bench: Bench) -> None:
    bench.actions["count"] = Count(3)
    steps = [
        {"id": "count", "action": "count"},
        {"id": "set", "when": "steps.count.rows > 2", "action": "set", "with": {"value": "${steps.count.rows + 4}"}},
        {"when": "steps.set.changed && steps.count.rows > 3", "action": "set", "with": {"value": 9}},
    ]
    bench.add(runbook(steps=steps))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [7]


async def test_results_survive_the_death_of_their_worker(bench: Bench) -> None:
    bench.actions["count"] = Count(3)
    bench.action.answers = [PermanentError("x"), NOT_FIXED]
    steps = [
        {"id": "count", "action": "count"},
        {"wait": {"for": "10m"}},
        {"action": "set", "with": {"value": "${steps.count.rows}"}},
    ]
    bench.action.answers = [bench.action.answers[0]]
    bench.add(runbook(steps=steps))
    assert (await bench.stretch()).state is State.PARKED
    bench.actions["count"] = Count(99)
    await bench.run()
    assert bench.writes == [3]


# -- loops


def loop(until: str = "evidence.facts.value >= 4", at_most: int = 5, **more: Any) -> dict[str, Any]:
    values = {"value": "${evidence.facts.value + 1}"}
    step = {"action": "set", "with": values, "loop": {"until": until, "at_most": at_most, "every": "30s"}}
    return {**step, **more}


async def test_a_loop_makes_its_step_until_it_is_so(bench: Bench) -> None:
    bench.add(waiting(loop()))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [2, 3, 4]
    assert bench.kinds().count(kinds.ROUND) == 3


async def test_a_loop_is_bounded_and_not_fixed_after_its_last_round(bench: Bench) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.add(waiting(loop("evidence.facts.value > 99", at_most=3)))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [2, 3, 4, 3, 2, 1]
    assert "after 3 rounds" in bench.view().detail


async def test_a_loop_gives_each_round_its_time(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(waiting(loop("evidence.facts.value > 99", at_most=3)))
    await bench.run()
    assert 90 <= bench.clock.now() - began < 110


async def test_a_loop_that_cannot_tell_ends_it(bench: Bench) -> None:
    bench.add(waiting(loop("evidence.nothing > 99", at_most=3)))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [2]


async def test_a_round_that_fails_ends_the_loop(bench: Bench) -> None:
    bench.action.answers = [NOT_FIXED]
    bench.add(waiting(loop()))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert bench.writes == [2]


async def test_a_loop_goes_on_where_the_worker_before_stopped(bench: Bench) -> None:
    bench.add(waiting(loop("evidence.facts.value >= 4", at_most=5)))
    bench.limits = type(bench.limits)(inline_wait=2.0)
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [2, 3, 4]
    assert bench.kinds().count(kinds.STARTED) > 3


async def test_a_loop_with_nothing_to_write_ends_too(bench: Bench) -> None:
    nothing = {"action": "set", "with": {"value": 1}}
    step = {**nothing, "loop": {"until": "evidence.facts.value == 9", "at_most": 4, "every": "60s"}}
    began = bench.clock.now()
    bench.add(waiting(step))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 240 <= bench.clock.now() - began < 300
    assert bench.writes == []


async def test_an_expression_may_read_how_many_rounds_there_were(bench: Bench) -> None:
    steps = [loop(id="grow"), {"action": "set", "with": {"value": "${steps.grow.rounds * 10}"}}]
    bench.add(waiting(*steps))
    assert await bench.run() == SUCCEEDED
    assert bench.writes[-1] == 30


# -- only planned


async def test_observe_tells_of_waits_and_loops_and_plans_what_can_be_planned(bench: Bench) -> None:
    bench.actions["count"] = Count(3)
    later = {"action": "set", "with": {"value": "${steps.count.rows}"}}
    steps = [{"id": "count", "action": "count"}, {"wait": {"for": "1m"}}, loop(at_most=3), later]
    bench.add(waiting(*steps), mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert bench.cluster.patches == []
    assert [entry.data["step"] for entry in bench.entries() if entry.kind == kinds.PLANNED] == ["only/0", "only/2#1"]
    said = texts(bench, kinds.FORESEEN)
    assert said[:2] == ["would wait for 60 s", "set at most 3 times, until evidence.facts.value >= 4"]
    assert said[2].startswith("set can only be planned when the steps before it are made")


def test_steps_without_an_id_give_no_result() -> None:
    book = waiting(SET)
    from bridge.engine.progress import Progress

    assert results_of(book.scenarios[0].steps, "only", Progress()) == {}


async def test_a_step_behind_others_is_not_planned_before_them(bench: Bench) -> None:
    bench.add(waiting(SET, {"action": "set", "with": {"value": 6, "names": ["worker"]}}))
    assert await bench.run() == SUCCEEDED
    order = [kind for kind in bench.kinds() if kind in (kinds.PLANNED, kinds.VERIFIED)]
    assert order == [kinds.PLANNED, kinds.VERIFIED] * 2
    assert bench.value(OTHER) == 6
