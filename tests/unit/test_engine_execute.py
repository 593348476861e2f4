"""One run of a runbook: what it changes, when it touches nothing, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import PermanentError, PlanError, TemporaryError
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.pause import PauseGuard
from bridge.model import kinds
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from tests.support.bench import (
    AWAY,
    FACTS,
    FIXED,
    NOT_FIXED,
    NOT_YET,
    REF,
    RUNBOOK_BREAKER,
    SUCCEEDED,
    TWO_STEPS,
    UNKNOWN,
    Bench,
    Judge,
    runbook,
)

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
def bench() -> Bench:
    return Bench()


# -- modes


async def test_auto_heals_and_the_journal_tells_it_in_order(bench: Bench) -> None:
    bench.add(runbook(evidence=FACTS))
    assert await bench.run() == SUCCEEDED
    assert bench.value() == 5
    assert bench.kinds() == [
        kinds.STARTED,
        kinds.EVIDENCE,
        kinds.SCENARIO,
        kinds.ADMITTED,
        kinds.PLANNED,
        kinds.APPLYING,
        kinds.APPLIED,
        kinds.VERIFYING,
        kinds.VERIFIED,
        kinds.FINISHED,
    ]
    assert bench.told.said == [("succeeded: every step was verified", False)]


async def test_what_is_announced_is_journalled_before_it_is_written(bench: Bench) -> None:
    """Journalled before written, and locked before that."""
    seen: list[tuple[list[str], dict[str, str]]] = []
    bench.cluster.between = [lambda: seen.append((bench.kinds(), dict(bench.locks.held)))]
    bench.add()
    await bench.run()
    ((written, locked),) = seen
    assert written[-2:] == [kinds.PLANNED, kinds.APPLYING]
    assert locked == {REF.lock_key: "r1"}


@pytest.mark.parametrize("where", ["process", "route", "runbook", "step", "later step"])
async def test_the_strictest_mode_wins_and_observe_writes_nothing(bench: Bench, where: str) -> None:
    """Fault 70. A scenario with one step that may not act is not begun."""
    bench.mode = Mode.OBSERVE if where == "process" else Mode.AUTO
    steps: list[dict[str, Any]] = [{**step} for step in TWO_STEPS]
    if "step" in where:
        steps[1 if where == "later step" else 0]["mode"] = "observe"
    more = {"mode": "observe"} if where == "runbook" else {}
    bench.add(runbook(steps=steps, **more), mode=Mode.OBSERVE if where == "route" else Mode.AUTO)
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert bench.cluster.patches == []
    assert bench.kinds().count(kinds.PLANNED) == 2
    assert not bench.view().writing


async def test_approve_plans_and_asks_and_writes_nothing(bench: Bench) -> None:
    bench.add(mode=Mode.APPROVE)
    assert await bench.run() == (Outcome.DENIED, Reason.APPROVAL_TIMED_OUT)
    assert bench.cluster.patches == []
    assert bench.view().escalated


async def test_a_plan_that_would_be_denied_is_denied_when_only_observed_too(bench: Bench) -> None:
    bench.plan_guards = [Judge(Verdict.deny(Reason.PROTECTED_NAMESPACE, "kube-system"))]
    bench.add(mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.DENIED, Reason.PROTECTED_NAMESPACE)
    assert bench.kinds().count(kinds.PLANNED) == 1, "whoever is to allow it wants to see it"
    assert bench.cluster.patches == []


async def test_an_object_that_is_not_there_is_said_with_what_to_correct(bench: Bench) -> None:
    bench.add(runbook(steps=[{"action": "set", "with": {"names": ["wbe"]}}]))
    assert await bench.run() == (Outcome.FAILED, Reason.TARGET_GONE)
    assert "correct what set or the alert's labels name" in bench.entries()[-1].text


# -- guards


async def test_a_refusal_before_evidence_reads_nothing(bench: Bench) -> None:
    bench.entry_guards = [PauseGuard()]
    await bench.guardbook.pause(Pause(scope="all", by="ann", why="move", since=0.0, until=bench.clock.now() + 60))
    bench.add(runbook(evidence=FACTS))
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.PAUSED)
    assert (bench.facts.count, bench.cluster.reads) == (0, 0)
    assert bench.work.rows["r1"].wait_until == bench.clock.now() + 60
    assert bench.breakers.left == []


async def test_a_denied_plan_is_not_written_and_costs_the_breaker_nothing(bench: Bench) -> None:
    bench.plan_guards = [Judge(Verdict.deny(Reason.OWN_PART, "that is me"))]
    bench.add()
    assert await bench.run() == (Outcome.DENIED, Reason.OWN_PART)
    assert (bench.cluster.patches, bench.breakers.entered) == ([], 0)


async def test_an_operator_overrides_a_guard_by_its_reason_only(bench: Bench) -> None:
    bench.plan_guards = [Judge(Verdict.deny(Reason.OWNER_WOULD_REVERT, "helm"))]
    bench.add(override=("cooldown",))
    assert await bench.run() == (Outcome.DENIED, Reason.OWNER_WOULD_REVERT)
    bench.add(name="r2", override=("owner_would_revert",))
    assert await bench.run("r2") == SUCCEEDED


async def test_a_run_whose_alerts_have_all_resolved_is_cancelled_before_it_writes(bench: Bench) -> None:
    bench.add()
    bench.work.resolve("r1")
    assert await bench.run() == (Outcome.CANCELLED, Reason.RESOLVED)
    assert bench.cluster.reads == 0


async def test_a_run_that_has_begun_to_write_goes_on_when_its_alerts_resolve(bench: Bench) -> None:
    bench.action.answers = [lambda: resolved(bench), FIXED]
    bench.add(runbook(verify={"fixed": "alert.resolved"}))
    assert await bench.run() == SUCCEEDED


async def resolved(bench: Bench) -> Any:
    bench.work.resolve("r1")
    return NOT_YET


async def test_the_breaker_of_the_runbook_stops_what_keeps_failing_and_lets_it_probe_again(bench: Bench) -> None:
    bench.action.answers = [NOT_FIXED]
    for number in range(5):
        bench.add(runbook(steps=[{"action": "set", "with": {"value": 10 + number}}]), name=f"f{number}")
        assert (await bench.run(f"f{number}"))[0] is Outcome.FAILED
    bench.add(name="stopped")
    assert await bench.run("stopped") == (Outcome.SUPPRESSED, Reason.CIRCUIT_OPEN)
    wait = bench.work.rows["stopped"].wait_until
    assert wait is not None
    assert bench.value() == 14
    bench.clock.advance(wait - bench.clock.now())
    bench.action.answers = [FIXED]
    bench.add(name="probe")
    assert await bench.run("probe") == SUCCEEDED
    assert bench.breakers.open_until == {}


@pytest.mark.parametrize(
    ("answer", "told"), [(FIXED, False), (NOT_FIXED, True), (UNKNOWN, True)], ids=["fixed", "not fixed", "unknown"]
)
async def test_the_breaker_of_the_runbook_is_told_once_how_the_run_ended(
    bench: Bench, answer: Any, told: bool
) -> None:
    bench.action.answers = [answer]
    bench.add()
    await bench.run()
    assert bench.breakers.left == [(RUNBOOK_BREAKER, told)]


async def test_an_attempt_that_the_server_refused_does_not_speak_against_its_own_second_try(bench: Bench) -> None:
    """The store counts an attempt when a write is announced: the run that is planned again must not deny itself."""
    bench.entry_guards = [AttemptsGuard()]
    bench.guardbook.known["attempts"] = ()

    def meddle() -> None:
        bench.cluster.edit(REF, {"spec": {"value": 3}})
        bench.guardbook.known["attempts"] = (bench.clock.now(),)

    bench.cluster.between = [meddle]
    bench.add(max_attempts=1)
    assert await bench.run() == SUCCEEDED
    bench.add(name="r2", max_attempts=1)
    assert await bench.run("r2") == (Outcome.DENIED, Reason.ATTEMPTS_SPENT)


# -- evidence and choice


async def test_missing_evidence_leads_to_no_scenario_and_to_a_person(bench: Bench) -> None:
    bench.facts.facts = PermanentError("no such thing")
    scenarios = [
        {"name": "a", "when": "evidence.facts.value > 0", "steps": TWO_STEPS},
        {"name": "b", "otherwise": True, "steps": TWO_STEPS},
    ]
    bench.add(runbook(evidence=FACTS, scenarios=scenarios))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.cluster.patches == []
    assert bench.view().escalated


async def test_no_scenario_that_holds_is_told_and_nothing_is_done(bench: Bench) -> None:
    scenarios = [{"name": "a", "when": "evidence.facts.value > 9", "steps": TWO_STEPS}]
    bench.add(runbook(evidence=FACTS, scenarios=scenarios))
    assert await bench.run() == (Outcome.FAILED, Reason.NO_SCENARIO)


async def test_evidence_that_is_missing_because_the_cluster_is_away_is_waited_for(bench: Bench) -> None:
    """Fault 22. An API server that restarts for a minute is no reason to wake a person."""
    bench.facts.facts = AWAY
    scenarios = [{"name": "a", "when": "evidence.facts.value > 0", "steps": [{"action": "set"}]}]
    bench.add(runbook(evidence=FACTS, scenarios=scenarios))
    assert (await bench.stretch()).state is State.PARKED
    bench.facts.facts = {"value": 1}
    assert await bench.run() == SUCCEEDED


async def test_evidence_that_stays_away_ends_with_a_person(bench: Bench) -> None:
    bench.facts.facts = AWAY
    scenarios = [{"name": "a", "when": "evidence.facts.value > 0", "steps": [{"action": "set"}]}]
    bench.add(runbook(evidence=FACTS, scenarios=scenarios))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.EVIDENCE_MISSING)
    assert bench.facts.count == 1 + bench.limits.retries


async def test_a_collector_that_hangs_costs_its_piece_of_evidence_and_not_the_run(bench: Bench) -> None:
    async def hang() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    bench.facts.facts = hang
    bench.add(runbook(evidence={"facts": {"collect": "facts", "timeout": "10ms"}}))
    assert await bench.run() == SUCCEEDED
    assert "no answer within" in next(e for e in bench.entries() if e.kind == kinds.EVIDENCE).text


async def test_a_collector_that_is_not_there_costs_its_piece_of_evidence_and_not_the_run(bench: Bench) -> None:
    bench.add(runbook(evidence={"gone": {"collect": "a_plug_in_of_last_week"}}))
    assert await bench.run() == SUCCEEDED


async def test_an_action_that_is_not_there_cannot_be_planned(bench: Bench) -> None:
    bench.add(runbook(steps=[{"action": "a_plug_in_of_last_week"}]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert "a_plug_in_of_last_week" in bench.view().detail


# -- planning


async def test_a_plan_that_changes_nothing_writes_nothing_and_is_proved_all_the_same(bench: Bench) -> None:
    bench.add(runbook(steps=[{"action": "set", "with": {"value": 1}}], verify={"fixed": "true"}))
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)
    assert (bench.cluster.patches, bench.breakers.entered) == ([], 0)


async def test_a_run_with_nothing_to_write_that_is_not_fixed_ends_when_its_time_is_over(bench: Bench) -> None:
    """Its verification parks; each return must not begin the verification anew."""
    book = runbook(
        steps=[{"action": "set", "with": {"value": 1}}], verify={"fixed": "false", "within": "10m"}, expires="30d"
    )
    began = bench.clock.now()
    bench.add(book)
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 600 <= bench.clock.now() - began < 700


async def test_an_action_that_cannot_plan_ends_the_run_with_its_words(bench: Bench) -> None:
    bench.action.planning = [PlanError("there is no revision to go back to")]
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert "no revision" in bench.view().detail


async def test_a_permanent_error_of_a_plug_in_while_planning_is_no_failed_write(bench: Bench) -> None:
    bench.action.planning = [PermanentError("deployment not found")]
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)


async def test_a_plan_that_hangs_is_given_up_and_tried_again(bench: Bench) -> None:
    """Every wait has a deadline."""
    bench.limits = type(bench.limits)(call=0.01, retries=2)

    async def hang(*_: Any) -> Any:
        await asyncio.Event().wait()

    plan, bench.action.plan = bench.action.plan, hang  # type: ignore[method-assign]
    bench.add()
    assert (await bench.stretch()).state is State.PARKED
    bench.action.plan = plan  # type: ignore[method-assign]
    assert await bench.run() == SUCCEEDED


async def test_a_temporary_error_is_tried_again_not_before_the_time_that_it_names(bench: Bench) -> None:
    bench.action.planning = [TemporaryError("rollout still progressing", delay=90.0)]
    bench.add()
    began = bench.clock.now()
    assert await bench.run() == SUCCEEDED
    assert bench.clock.now() - began >= 90.0


async def test_a_step_is_verified_with_the_parameters_that_it_was_planned_with(bench: Bench) -> None:
    """After a death too, when the evidence that they were taken from is not gathered again."""
    bench.facts.facts = {"value": 8}
    bench.add(runbook(evidence=FACTS, steps=[{"action": "set", "with": {"value": "${evidence.facts.value}"}}]))
    bench.action.answers = [asyncio.CancelledError(), FIXED]
    with pytest.raises(asyncio.CancelledError):
        await bench.stretch()
    bench.facts.facts = PermanentError("gone")
    assert await bench.run() == SUCCEEDED
    assert [params.value for params in bench.action.seen_params] == [8, 8]


async def test_a_parameter_that_does_not_fit_is_named_with_what_is_wanted(bench: Bench) -> None:
    bench.add(runbook(steps=[{"action": "set", "with": {"names": "${target.name}"}}]))
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_FAILED)
    assert "set: names: " in bench.view().detail
    assert "validation error" not in bench.view().detail
