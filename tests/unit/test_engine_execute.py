"""One run of a runbook: what it changes, when it touches nothing, and how it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.engine import journal as kinds
from bridge.errors import (
    CircuitOpen,
    KubeBusy,
    KubeForbidden,
    KubeReplyLost,
    KubeUnavailable,
    PermanentError,
    PlanError,
    TemporaryError,
)
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.pause import PauseGuard
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.plan import Repeat
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from tests.support.bench import (
    FIXED,
    NOT_FIXED,
    NOT_YET,
    OTHER,
    REF,
    RUNBOOK_BREAKER,
    UNKNOWN,
    Bench,
    SetField,
    runbook,
)
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")

SUCCEEDED = (Outcome.SUCCEEDED, Reason.VERIFIED)
AWAY = KubeUnavailable("no connection", what="get deployment/shop/web")
TWO_STEPS = [{"action": "set"}, {"action": "set", "with": {"value": 7, "names": ["worker"]}}]
FACTS = {"facts": {"collect": "facts"}}


@pytest.fixture
def bench() -> Bench:
    return Bench()


class Judge:
    """A plan guard that answers what it is told, and remembers the plans it saw."""

    name = "judge"

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict or Verdict.allow()
        self.saw: list[str] = []

    async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
        self.saw.append(plan.summary)
        return self.verdict


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
    assert await bench.run() == (Outcome.OBSERVED, Reason.APPROVAL_NEEDED)
    assert bench.cluster.patches == []
    assert bench.view().escalated


async def test_a_plan_that_would_be_denied_is_denied_when_only_observed_too(bench: Bench) -> None:
    bench.plan_guards = [Judge(Verdict.deny(Reason.PROTECTED_NAMESPACE, "kube-system"))]
    bench.add(mode=Mode.OBSERVE)
    assert await bench.run() == (Outcome.DENIED, Reason.PROTECTED_NAMESPACE)


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
    assert await bench.run() == SUCCEEDED
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


# -- writes


async def test_a_stale_plan_is_planned_again(bench: Bench) -> None:
    bench.cluster.between = [lambda: bench.cluster.edit(REF, {"spec": {"value": 3}})]
    bench.add()
    assert await bench.run() == SUCCEEDED
    assert (bench.action.plans, bench.writes) == (2, [5])
    assert kinds.STALE in bench.kinds()


async def test_a_later_step_whose_plan_is_stale_is_planned_again_without_repeating_the_first(bench: Bench) -> None:
    bench.cluster.between = [lambda: None, lambda: bench.cluster.edit(OTHER, {"spec": {"value": 3}})]
    judge = Judge()
    bench.plan_guards = [judge]
    bench.add(runbook(steps=TWO_STEPS))
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 7]
    assert judge.saw == ["set ['web'] to 5", "set ['worker'] to 7", "set ['worker'] to 7"]


async def test_an_object_that_keeps_changing_is_given_up_after_a_bounded_number_of_plans(bench: Bench) -> None:
    count = iter(range(100, 9999))
    bench.cluster.between = [lambda: bench.cluster.edit(REF, {"spec": {"value": next(count)}})] * 500
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_STALE)
    assert bench.action.plans == 1 + bench.limits.retries
    assert bench.writes == []


async def test_a_target_that_was_made_again_is_left_alone(bench: Bench) -> None:
    """Fault 27."""

    def replace() -> None:
        bench.cluster.add(type(REF)("apps/v1", "Deployment", "shop", "web", uid="uid-2"), spec={"value": 1})

    bench.cluster.between = [replace]
    bench.add()
    assert await bench.run() == (Outcome.CANCELLED, Reason.TARGET_REPLACED)
    assert bench.value() == 1


async def test_a_missing_permission_ends_the_run_and_is_named(bench: Bench) -> None:
    """Fault 26."""
    words = "deployments.apps is forbidden: cannot patch in namespace shop"
    bench.cluster.faults = [Fault("patch", KubeForbidden(words, status=403))]
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.FORBIDDEN)
    assert words in bench.view().detail
    assert bench.view().escalated


async def test_a_cluster_that_is_away_is_waited_for_with_growing_delays_and_then_given_up(bench: Bench) -> None:
    """Fault 22."""
    bench.cluster.faults = [Fault("get", AWAY)] * 1000
    bench.add()
    delays = []
    while (view := await bench.stretch()).state is not State.DONE:
        assert view.due_at is not None
        delays.append(view.due_at - bench.clock.now())
        bench.clock.advance(delays[-1])
    assert delays == [5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0, 120.0]
    assert (view.outcome, view.reason, view.escalated) == (Outcome.FAILED, "cluster_unavailable", True)


async def test_a_cluster_whose_breaker_stays_open_ends_with_a_person_too(bench: Bench) -> None:
    bench.cluster.faults = [Fault("get", CircuitOpen("cluster: is open", delay=30.0))] * 1000
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.CLUSTER_UNAVAILABLE)
    assert bench.view().escalated


async def test_a_cluster_that_comes_back_is_healed_without_a_person(bench: Bench) -> None:
    """Fault 22."""
    bench.cluster.faults = [Fault("get", AWAY)] * 9
    bench.add()
    assert await bench.run() == SUCCEEDED
    assert all(not page for _, page in bench.told.said)


async def test_a_retry_after_is_obeyed_through_parking(bench: Bench) -> None:
    """Fault 21."""
    bench.cluster.faults = [Fault("patch", KubeBusy("too many requests", retry_after=300.0))]
    bench.add()
    began = bench.clock.now()
    assert await bench.run() == SUCCEEDED
    assert bench.clock.now() - began >= 300.0
    assert bench.writes == [5]


async def test_a_server_that_fails_every_write_leaves_the_outcome_unknown(bench: Bench) -> None:
    """A 500 does not say that nothing happened."""
    bench.cluster.faults = [Fault("patch", KubeUnavailable("etcd", status=500)) for _ in range(1000)]
    bench.add()
    assert (await bench.run())[0] is Outcome.UNKNOWN


async def test_a_refusal_says_nothing_about_an_earlier_write_whose_reply_was_lost(bench: Bench) -> None:
    """Fault 23."""
    lost = KubeReplyLost("no answer", what="patch deployment/shop/web")

    def fail_reads() -> None:
        bench.cluster.faults.append(Fault("get", AWAY))

    bench.cluster.between = [fail_reads]
    bench.cluster.faults = [Fault("patch", lost, applied=True)]
    bench.add()
    assert (await bench.stretch()).state is State.PARKED
    bench.cluster.faults = [Fault("get", KubeForbidden("token expired", status=403))]
    assert (await bench.run())[0] is Outcome.UNKNOWN


async def test_an_object_that_another_run_has_locked_is_waited_for(bench: Bench) -> None:
    bench.locks.held[REF.lock_key] = "somebody"
    bench.add()
    view = await bench.stretch()
    assert (view.state, bench.cluster.patches) == (State.PARKED, [])
    bench.locks.held.clear()
    assert await bench.run() == SUCCEEDED


async def test_a_wait_for_a_lock_ends_when_the_run_is_out_of_date(bench: Bench) -> None:
    """Every wait has a deadline."""
    bench.entry_guards = [FreshnessGuard()]
    bench.locks.held[REF.lock_key] = "somebody"
    bench.add(runbook(expires="60s"))
    assert await bench.run() == (Outcome.SUPPRESSED, Reason.OUT_OF_DATE)


# -- proof


async def test_an_unknown_verification_touches_nothing_more_and_escalates(bench: Bench) -> None:
    """Decision 8: undo needs positive evidence."""
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [UNKNOWN]
    bench.add(runbook(steps=TWO_STEPS))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [5]
    assert bench.view().escalated


@pytest.mark.parametrize("error", [AWAY, PermanentError("no Prometheus"), KeyError("x"), TimeoutError()], ids=repr)
async def test_a_verification_that_cannot_be_asked_is_unknown_and_never_failed(
    bench: Bench, error: Exception
) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [error]
    bench.add()
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)
    assert bench.writes == [5]


async def test_a_verification_that_hangs_is_unknown_and_never_failed(bench: Bench) -> None:
    bench.limits = type(bench.limits)(call=0.01)

    async def hang() -> Any:
        await asyncio.Event().wait()

    bench.action.answers = [hang]
    bench.add(runbook(steps=[{"action": "set", "verify_within": "3s"}]))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)


async def test_what_is_not_fixed_is_put_back_where_that_is_safe(bench: Bench) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [FIXED, NOT_FIXED]
    bench.add(runbook(steps=TWO_STEPS))
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.writes == [5, 7, 1, 1]
    assert (bench.value(), bench.value(OTHER)) == (1, 1)
    assert bench.view().escalated


async def test_what_is_not_fixed_is_left_where_undoing_is_not_wanted(bench: Bench) -> None:
    bench.action.answers = [NOT_FIXED]
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert bench.writes == [5]


async def test_what_somebody_changed_meanwhile_is_not_put_back(bench: Bench) -> None:
    bench.actions["set"] = bench.action = SetField(undo_failed=True)

    async def meddled() -> Any:
        bench.cluster.edit(REF, {"spec": {"value": 9}})
        return NOT_FIXED

    bench.action.answers = [meddled]
    bench.add()
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert "somebody changed it" in bench.view().detail
    assert bench.value() == 9


async def test_what_somebody_else_had_done_already_is_not_ours_to_put_back(bench: Bench) -> None:
    """Between plan and write an operator did the same: the undo must not take that away."""
    bench.actions["set"] = bench.action = SetField(undo_failed=True)
    bench.action.answers = [NOT_FIXED]
    bench.locks.held[REF.lock_key] = "somebody"
    bench.add()
    acquire = bench.locks.acquire

    async def meanwhile(*args: Any, **kwargs: Any) -> str | None:
        bench.cluster.edit(REF, {"spec": {"value": 5}})
        bench.locks.held.clear()
        return await acquire(*args, **kwargs)

    bench.locks.acquire = meanwhile  # type: ignore[method-assign]
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert bench.writes == []
    assert bench.value() == 5


async def test_the_proof_of_the_runbook_is_asked_with_fresh_evidence_only(bench: Bench) -> None:
    """Evidence of before the change must not answer for what is there now, also where `verify` doesn't name it."""

    async def now() -> dict[str, Any]:
        return {"value": bench.value()}

    bench.facts.facts = now
    bench.add(runbook(evidence=FACTS, verify={"fixed": "evidence.facts.value == 5"}))
    assert await bench.run() == SUCCEEDED


async def test_evidence_that_cannot_be_gathered_any_more_proves_nothing(bench: Bench) -> None:
    async def broken() -> Any:
        bench.facts.facts = PermanentError("gone")
        return FIXED

    bench.action.answers = [broken]
    bench.add(runbook(evidence=FACTS, verify={"fixed": "evidence.facts.value == 1", "within": "10s"}))
    assert await bench.run() == (Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN)


async def test_the_proof_ends_when_its_time_is_over_through_all_parking(bench: Bench) -> None:
    began = bench.clock.now()
    bench.add(runbook(verify={"fixed": "false", "within": "15m"}))
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert 900 <= bench.clock.now() - began < 1000
    assert bench.kinds().count(kinds.PARKED) > 5
    assert bench.writes == [5]


async def test_the_locks_are_prolonged_as_long_as_the_proof_takes(bench: Bench) -> None:
    bench.add(runbook(verify={"fixed": "false", "within": "15m"}))
    await bench.run()
    assert len(bench.locks.acquired) > bench.kinds().count(kinds.PARKED)


async def test_an_undo_after_a_long_proof_holds_the_locks_first(bench: Bench) -> None:
    """No change without a lock: one that lapsed and was taken by another run is waited for."""
    bench.actions["set"] = bench.action = SetField(undo_failed=True)

    async def lapsed() -> Any:
        bench.locks.held[REF.lock_key] = "somebody"
        return NOT_FIXED

    bench.action.answers = [lapsed]
    bench.add()
    assert (await bench.stretch()).state is State.PARKED
    assert bench.value() == 5
    bench.locks.held.clear()
    bench.action.answers = [NOT_FIXED]
    assert await bench.run() == (Outcome.UNDONE, Reason.NOT_FIXED)
    assert bench.value() == 1


# -- deaths


async def test_an_action_that_must_not_be_repeated_ends_as_unknown_after_a_death_in_its_midst(bench: Bench) -> None:
    """Fault 4."""
    bench.actions["set"] = bench.action = SetField(repeat=Repeat.NEVER)
    kill(bench, 1, "before patch")
    bench.add()
    with pytest.raises(Killed):
        await bench.stretch()
    assert await bench.run() == (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN)
    assert bench.cluster.patches == []
    assert bench.view().escalated


class Killed(BaseException):
    """A process that is gone: nothing of it runs any more."""


def kill(bench: Bench, at: int, only: str = "") -> None:
    """Kill the run at the n-th point that it passes (of those called `only`), and no other run after it."""
    count = 0

    async def point(name: str) -> None:
        nonlocal count
        count += name.startswith(only)
        if count == at and name.startswith(only):
            raise Killed(name)

    bench.work.point = bench.cluster.point = point


async def interrupted(at: int, book: Any, action: SetField) -> tuple[Bench, bool, tuple[Outcome, Reason]]:
    """Return the bench after a run that was killed at the n-th point, whether it was, and how it ended."""
    bench = Bench()
    bench.actions["set"] = bench.action = action
    kill(bench, at)
    bench.add(book)
    try:
        return bench, False, await bench.run()
    except Killed:
        return bench, True, await bench.run() if bench.view().state is not State.DONE else done(bench)


def done(bench: Bench) -> tuple[Outcome, Reason]:
    view = bench.view()
    assert view.outcome is not None
    return view.outcome, Reason.of(view.reason)


async def test_wherever_a_worker_dies_another_finishes_and_each_change_is_made_once() -> None:
    """Faults 3 and 4: before and after every journal entry and every call to the cluster."""
    for at in range(1, 500):
        book = runbook(evidence=FACTS, steps=TWO_STEPS, verify={"fixed": "true"})
        bench, killed, end = await interrupted(at, book, SetField())
        assert end == SUCCEEDED, f"killed at point {at}: {bench.kinds()}"
        assert bench.writes == [5, 7], f"killed at point {at}"
        if not killed:
            break
    assert at > 35


async def test_wherever_a_worker_dies_an_undo_puts_everything_back_once() -> None:
    """Faults 3 and 4, in a run that does not help: also where the write was made and its record was not."""
    for at in range(1, 500):
        action = SetField(undo_failed=True)
        book = runbook(steps=[{"action": "set", "with": {"names": ["web", "worker"]}}], verify=None)
        action.answers = [NOT_FIXED]
        bench, killed, end = await interrupted(at, book, action)
        assert end == (Outcome.UNDONE, Reason.NOT_FIXED), f"killed at point {at}: {bench.kinds()}"
        assert bench.writes == [5, 5, 1, 1], f"killed at point {at}"
        if not killed:
            break
    assert at > 35


async def test_a_stop_hands_over_between_two_changes_and_the_next_worker_makes_the_rest(bench: Bench) -> None:
    """Fault 61."""
    bench.cluster.between = [bench.stopping.set]
    bench.add(runbook(steps=[{"action": "set", "with": {"names": ["web", "worker"]}}]))
    view = await bench.stretch()
    assert (view.state, bench.writes) == (State.QUEUED, [5])
    assert bench.kinds()[-1] == kinds.HANDED_OVER
    bench.stopping.clear()
    assert await bench.run() == SUCCEEDED
    assert bench.writes == [5, 5]


async def test_a_remediation_that_is_done_or_gone_is_let_go_without_a_word(bench: Bench) -> None:
    bench.add()
    await bench.run()
    before = list(bench.entries())
    await bench.stretch()
    assert bench.entries() == before
    bench.work.rows["r1"].view = None  # type: ignore[assignment]
    assert bench.told.said == [("succeeded: every step was verified", False)]


async def test_a_stored_runbook_that_cannot_be_read_ends_with_a_person(bench: Bench) -> None:
    bench.add(runbook_doc={"name": "from a newer version"})
    assert await bench.run() == (Outcome.FAILED, Reason.INTERNAL_ERROR)
    assert bench.view().escalated


async def test_what_happens_is_counted(bench: Bench) -> None:
    bench.add()
    await bench.run()
    text = bench.metrics.render()[0].decode()
    for line in (
        'alertbridge_remediations_started_total{runbook="test/web"} 1.0',
        'alertbridge_steps_total{action="set",result="fixed"} 1.0',
        'alertbridge_remediations_total{outcome="succeeded",runbook="test/web"} 1.0',
        'alertbridge_writes_total{cluster="",kind="Deployment"} 1.0',
    ):
        assert line in text
