"""A worker holds what it works on, lets go when it has lost it, and leaves nothing behind when it stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.engine.lease import Lease
from bridge.engine.worker import Worker
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import kinds
from bridge.model.intake import Claim
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef, Target
from tests.support.bench import FIXED, NOT_FIXED, NOT_YET, RUNBOOK_BREAKER, Bench, runbook
from tests.support.clock import FakeClock

pytestmark = pytest.mark.usefixtures("quiet_log")

AWAY = StoreUnavailable("redis is away")


class Crew:
    """A bench with a worker that runs. Leave it with `stop`."""

    def __init__(self, **options: Any) -> None:
        self.bench = Bench()
        self.worker: Worker = self.bench.worker(**options)
        self.task = asyncio.create_task(self.worker.run())

    async def until(self, condition: Any) -> None:
        for _ in range(20000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it never came true")

    async def stop(self) -> None:
        self.worker.stop()
        await self.task

    def add(self, name: str, **fields: Any) -> None:
        self.bench.add(name=name, target=Target("", "Deployment", "shop", name), **fields)

    def state(self, name: str) -> State:
        return self.bench.view(name).state

    def counted(self, line: str) -> bool:
        return line in self.bench.metrics.render()[0].decode()


def hold(crew: Crew) -> asyncio.Event:
    """Make every verification wait until the event is set."""
    release = asyncio.Event()

    async def wait() -> Any:
        await release.wait()
        return FIXED

    crew.bench.action.answers = [wait]
    return release


async def test_it_takes_what_is_there_and_what_comes() -> None:
    crew = Crew()
    crew.add("a")
    await crew.until(lambda: crew.state("a") is State.DONE)
    crew.add("b")
    await crew.until(lambda: crew.state("b") is State.DONE)
    await crew.stop()
    assert crew.bench.view("b").outcome is Outcome.SUCCEEDED


async def test_a_claim_is_renewed_as_long_as_its_run_takes() -> None:
    crew = Crew(claim=4.0)
    release = hold(crew)
    crew.add("a")
    await crew.until(lambda: crew.bench.work.renewals > 20)
    assert crew.state("a") is State.RUNNING
    release.set()
    await crew.until(lambda: crew.state("a") is State.DONE)
    await crew.stop()
    assert 4.0 / 3 in crew.bench.clock.slept


async def test_no_more_run_at_a_time_than_there_are_slots() -> None:
    crew = Crew(concurrency=3)
    release = hold(crew)
    for number in range(8):
        crew.bench.cluster.add(ObjectRef("apps/v1", "Deployment", "shop", f"d{number}"), spec={"value": 1})
        crew.add(f"r{number}", book=runbook(steps=[{"action": "set", "with": {"names": [f"d{number}"]}}]))
    await crew.until(lambda: crew.bench.work.renewals > 20)
    assert sum(crew.state(f"r{n}") is State.RUNNING for n in range(8)) == 3
    release.set()
    await crew.until(lambda: all(crew.state(f"r{n}") is State.DONE for n in range(8)))
    await crew.stop()
    assert crew.bench.work.max_out == 3


async def test_two_runs_for_one_target_go_one_after_the_other() -> None:
    """Fault 68."""
    crew = Crew()
    release = hold(crew)
    for name in ("a", "b"):
        crew.bench.add(name=name)
    await crew.until(lambda: crew.bench.work.renewals > 5)
    assert (crew.state("a"), crew.state("b")) == (State.RUNNING, State.QUEUED)
    release.set()
    await crew.until(lambda: crew.state("b") is State.DONE)
    await crew.stop()


@pytest.mark.parametrize("slots", [1, 16])
async def test_it_takes_over_from_the_dead_also_with_a_single_slot(slots: int) -> None:
    """Fault 3. Within the length of a claim."""
    crew = Crew(concurrency=slots, claim=4.0)
    crew.add("a")
    dead = crew.bench.work.take("a", "dead")
    began = crew.bench.clock.monotonic()
    crew.bench.work.lapse(dead)
    await crew.until(lambda: crew.state("a") is State.DONE)
    assert crew.bench.clock.monotonic() - began <= 4.0
    assert crew.bench.view("a").deaths == 1
    await crew.stop()


async def test_a_run_that_keeps_killing_its_workers_is_set_aside_and_people_are_told() -> None:
    """Fault 56."""
    crew = Crew()
    crew.add("a", created_at=0.0)
    crew.bench.work.rows["a"].change(deaths=3)
    crew.bench.work.lapse(crew.bench.work.take("a", "dead"))
    await crew.until(lambda: crew.bench.told.said)
    await crew.stop()
    assert crew.bench.told.said == [("its workers died too often: set aside for a person", True)]
    assert crew.counted('alertbridge_dead_letters_total{what="remediation"} 1.0')
    assert crew.counted('alertbridge_escalations_total{reason="dead_letter"} 1.0')


async def test_a_run_whose_claim_is_lost_stops_at_once_and_writes_nothing_more() -> None:
    """Fault 5."""
    crew = Crew()
    hold(crew)
    crew.bench.add(runbook(steps=[{"action": "set"}, {"action": "set", "with": {"value": 7}}]), name="a")
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    crew.bench.work.take("a", "other")
    await crew.until(lambda: crew.counted("alertbridge_leases_lost_total 1.0"))
    assert crew.bench.writes == [5]
    assert crew.bench.kinds("a")[-1] == kinds.VERIFYING
    assert crew.bench.view("a").worker == "other"
    await crew.stop()


async def test_a_worker_that_was_frozen_past_its_claim_finds_out_before_it_writes() -> None:
    """Fault 5: its clock went on while it stood still, and somebody else has taken over."""
    bench = Bench()
    bench.add()
    claim = bench.work.take("r1")
    frozen = Lease(claim, bench.work, bench.clock, seconds=4.0, stopping=asyncio.Event())

    async def freeze() -> Any:
        bench.clock.advance(60.0)
        bench.work.take("r1", "other")
        return {}

    bench.facts.facts = freeze
    bench.work.rows["r1"].view.remediation.runbook_doc.update(
        runbook(evidence={"facts": {"collect": "facts"}}).model_dump(mode="json", by_alias=True)
    )
    with pytest.raises(LeaseLost):
        await bench.worker()._work(frozen)
    assert bench.cluster.patches == []


async def test_a_write_is_preceded_by_a_look_at_a_claim_that_was_not_renewed_lately() -> None:
    clock = FakeClock()
    bench = Bench()
    bench.add()
    lease = Lease(bench.work.take("r1"), bench.work, clock, seconds=4.0, stopping=asyncio.Event())
    await lease.confirm()
    assert bench.work.renewals == 0
    clock.advance(2.5)
    await lease.confirm()
    assert bench.work.renewals == 1
    bench.work.take("r1", "other")
    await lease.confirm()
    clock.advance(2.5)
    with pytest.raises(LeaseLost):
        await lease.confirm()


async def test_a_store_that_is_away_does_not_end_the_renewal() -> None:
    clock = FakeClock()
    bench = Bench()
    bench.add()
    lease = Lease(bench.work.take("r1"), bench.work, clock, seconds=3.0, stopping=asyncio.Event())
    keep = asyncio.create_task(lease.keep())
    bench.work.error = AWAY
    await clock.pass_time(10.0)
    assert not keep.done()
    bench.work.error = None
    await clock.pass_time(1.0)
    assert bench.work.renewals == 1
    keep.cancel()


async def test_a_stop_takes_no_more_and_hands_over_what_waits() -> None:
    """Fault 61."""
    crew = Crew()
    crew.bench.action.answers = [NOT_YET]
    crew.add("a", book=runbook(steps=[{"action": "set", "verify_within": "1h"}]))
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    crew.worker.stop()
    crew.add("b")
    await crew.task
    assert (crew.state("a"), crew.state("b")) == (State.QUEUED, State.QUEUED)
    assert crew.bench.kinds("a")[-1] == kinds.HANDED_OVER
    assert crew.bench.view("a").deaths == 0
    assert crew.bench.kinds("b") == []


async def test_a_stop_lets_what_is_nearly_done_finish() -> None:
    crew = Crew()
    release = hold(crew)
    crew.add("a")
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    crew.worker.stop()
    release.set()
    await crew.task
    assert crew.state("a") is State.DONE


async def test_what_does_not_end_within_the_grace_period_is_left_to_lapse_and_tells_no_breaker() -> None:
    """Fault 61: a cancellation is no failure."""
    crew = Crew(grace=0.01)
    hold(crew)
    crew.add("a")
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    await crew.stop()
    assert crew.state("a") is State.RUNNING
    assert crew.bench.breakers.left == []
    assert len(asyncio.all_tasks()) <= 2, "nothing is left running but this test and its clock"


async def test_the_next_worker_carries_on_where_a_stopped_one_was_cut_off() -> None:
    crew = Crew(grace=0.01)
    release = hold(crew)
    crew.add("a")
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    await crew.stop()
    release.set()
    view = await crew.bench.stretch("a", "w2")
    assert (view.outcome, crew.bench.writes) == (Outcome.SUCCEEDED, [5])


async def test_a_store_that_is_away_ends_neither_the_loop_nor_a_run() -> None:
    crew = Crew()
    crew.bench.work.error = AWAY
    await crew.until(lambda: crew.bench.clock.slept.count(1.0) > 3)
    assert not crew.task.done()
    crew.bench.work.error = None
    release = hold(crew)
    crew.add("a")
    await crew.until(lambda: kinds.VERIFYING in crew.bench.kinds("a"))
    crew.bench.work.error = AWAY
    release.set()
    slept = len(crew.bench.clock.slept)
    await crew.until(lambda: len(crew.bench.clock.slept) > slept + 20)
    crew.bench.work.error = None
    await crew.until(lambda: crew.state("a") is State.DONE)
    await crew.stop()
    assert crew.bench.view("a").outcome is Outcome.SUCCEEDED
    assert crew.bench.writes == [5]


async def test_a_mistake_of_ours_ends_neither_the_loop_nor_other_runs() -> None:
    crew = Crew()
    crew.bench.work.error = TypeError("a mistake of ours")
    await crew.until(lambda: crew.bench.clock.slept.count(1.0) > 3)
    crew.bench.work.error = None
    crew.add("a")
    await crew.until(lambda: crew.state("a") is State.DONE)
    await crew.stop()


async def test_an_end_whose_reply_was_lost_is_told_once_and_counted_once() -> None:
    """The end is in the store: a second try must not take it for a lost claim and tell nobody."""
    bench = Bench()
    bench.action.answers = [NOT_FIXED]
    bench.add()
    read, bench.work.lost_replies = bench.work.read, 1
    bench.work.error = None

    async def recover(remediation: str) -> Any:
        bench.work.error = None
        return await read(remediation)

    finish = bench.work.finish

    async def lost(*args: Any, **kwargs: Any) -> None:
        bench.work.error = AWAY
        try:
            await finish(*args, **kwargs)
        finally:
            bench.work.error = None

    bench.work.finish = lost  # type: ignore[method-assign]
    bench.work.read = recover  # type: ignore[method-assign]
    view = await bench.stretch()
    assert view.outcome is Outcome.FAILED
    assert bench.kinds().count(kinds.FINISHED) == 1
    assert bench.told.said == [("failed: 2 of 3 ready", True)]
    assert bench.breakers.left == [(RUNBOOK_BREAKER, True)]


async def test_a_renewal_that_comes_after_the_end_silences_nobody() -> None:
    """Finished means that the claim is gone: the run must not be taken for lost before people are told."""
    crew = Crew(claim=3.0)
    told = crew.bench.told.notify

    async def slow(*args: Any, **kwargs: Any) -> None:
        await crew.bench.clock.sleep(30.0)
        await told(*args, **kwargs)

    crew.bench.told.notify = slow  # type: ignore[method-assign]
    crew.add("a")
    await crew.until(lambda: crew.bench.told.said)
    await crew.stop()
    assert crew.counted("alertbridge_leases_lost_total 0.0")


async def test_a_breaker_that_cannot_be_told_keeps_nobody_from_being_told() -> None:
    bench = Bench()
    bench.add()

    async def away(*args: Any, **kwargs: Any) -> Any:
        raise AWAY

    bench.breakers.leave = away  # type: ignore[method-assign]
    await bench.stretch()
    assert len(bench.told.said) == 1


async def test_a_claim_on_what_is_gone_is_let_go() -> None:
    crew = Crew()
    crew.add("a")
    claim = Claim(entry="9-0", remediation="gone", token=99, worker="w1")
    await crew.worker._work(Lease(claim, crew.bench.work, crew.bench.clock, seconds=4.0, stopping=asyncio.Event()))
    await crew.until(lambda: crew.state("a") is State.DONE)
    await crew.stop()


async def test_how_many_are_in_work_is_counted_up_and_down() -> None:
    crew = Crew()
    release = hold(crew)
    crew.add("a")
    await crew.until(lambda: crew.counted("alertbridge_worker_busy 1.0"))
    release.set()
    await crew.until(lambda: crew.state("a") is State.DONE)
    await crew.stop()
    assert crew.counted("alertbridge_worker_busy 0.0")
