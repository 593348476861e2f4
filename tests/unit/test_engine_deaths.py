"""Wherever a worker dies or stops, another one carries on from the journal, and each change is made once."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.model import kinds
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from tests.support.bench import FACTS, FIXED, NOT_FIXED, SUCCEEDED, TWO_STEPS, Bench, NoParams, SetField, runbook
from tests.support.deaths import Killed, kill

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
def bench() -> Bench:
    return Bench()


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


class RunJob:
    """Makes a Job that the cluster removes ten minutes after its end."""

    name = "job"
    summary = "Run a Job."
    params = NoParams
    repeat, undo, undo_failed = Repeat.SAFE, Undo.NONE, False

    async def plan(self, context: Any, params: Any) -> Plan:
        manifest = {"apiVersion": "batch/v1", "kind": "Job", "spec": {"ttlSecondsAfterFinished": 600}}
        change = Change(ref=JOB, operation=Operation.CREATE, manifest=manifest, summary="run it")
        return Plan(action=self.name, summary="run it", changes=(change,), undo=Undo.NONE)

    async def verify(self, context: Any, plan: Plan, params: Any) -> Verification:
        return FIXED


JOB = ObjectRef("batch/v1", "Job", "shop", "restore-1")


@pytest.mark.parametrize(
    ("where", "away", "end", "made"),
    [
        ("before create", 5, SUCCEEDED, 1),
        ("after create", 5, SUCCEEDED, 1),
        ("after create", 601, (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN), 1),
        ("before create", 601, (Outcome.UNKNOWN, Reason.WRITE_UNKNOWN), 0),
    ],
)
async def test_a_job_that_may_have_come_and_gone_is_not_run_again(
    bench: Bench, where: str, away: int, end: tuple[Outcome, Reason], made: int
) -> None:
    """Faults 4 and 69. The cluster removes Jobs that have ended: that none is there tells nothing after a while."""
    bench.actions["job"] = RunJob()
    kill(bench, 1, where)
    bench.add(runbook(steps=[{"action": "job"}]))
    with pytest.raises(Killed):
        await bench.stretch()
    if away > 600 and bench.cluster.effective:
        bench.cluster.remove(JOB)
    bench.clock.advance(away)
    assert await bench.run() == end
    assert len(bench.cluster.effective) == made
