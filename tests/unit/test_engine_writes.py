"""Every write of a run: planned again when stale, waited with when the cluster is away, proved, and put back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import (
    CircuitOpen,
    KubeBusy,
    KubeForbidden,
    KubeReplyLost,
    KubeUnavailable,
    LeaseLost,
    PermanentError,
)
from bridge.guards.freshness import FreshnessGuard
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from tests.support.bench import (
    AWAY,
    FACTS,
    FIXED,
    NOT_FIXED,
    OTHER,
    REF,
    SUCCEEDED,
    TWO_STEPS,
    UNKNOWN,
    Bench,
    Judge,
    SetField,
    runbook,
)
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
def bench() -> Bench:
    return Bench()


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


async def test_a_write_that_the_server_failed_and_that_cannot_be_read_back_is_unknown(bench: Bench) -> None:
    """Faults 22 and 26. A refusal to look says nothing about the write before it."""
    refused = Fault("get", KubeForbidden("cannot get deployments", status=403))
    bench.cluster.between = [lambda: bench.cluster.faults.extend([refused] * 100)]
    bench.cluster.faults = [Fault("patch", KubeUnavailable("etcd", status=500), applied=True)]
    bench.add()
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert bench.value() == 5


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


async def test_a_worker_that_was_frozen_between_two_tries_of_a_write_writes_nothing_more(bench: Bench) -> None:
    """Fault 5. Whoever took over may have made it, and put it back: it looks as it did when it was planned."""

    def frozen() -> None:
        bench.clock.advance(60)
        bench.work.take("r1", "w2")
        bench.cluster.edit(REF, {"metadata": {"labels": {"touched": "yes"}}})

    bench.cluster.between = [frozen]
    bench.add()
    with pytest.raises(LeaseLost):
        await bench.stretch()
    assert bench.cluster.effective == []
