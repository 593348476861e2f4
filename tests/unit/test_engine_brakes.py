"""Until the very write a person can say no: by a pause, or by the mode. After it, what was begun is carried on."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.engine.retry import RetryPolicy, asked_delay
from bridge.errors import CircuitOpen, KubeBusy, KubeUnavailable
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.pause import PauseGuard
from bridge.model import kinds
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.plan import Change, Field, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from tests.support.bench import FIXED, TWO_STEPS, Bench, SetField, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

PAUSED = (Outcome.SUPPRESSED, Reason.PAUSED)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.entry_guards = [PauseGuard(), CooldownGuard(), AttemptsGuard()]
    return bench


async def pause(bench: Bench) -> None:
    await bench.guardbook.pause(Pause(scope="all", by="ann", why="freeze", since=bench.clock.now()))


class Meanwhile:
    """A plan guard that allows everything, and does something else."""

    name = "meanwhile"

    def __init__(self, act: Any) -> None:
        self._act = act

    async def check(self, remediation: Any, plan: Any, context: Any) -> Verdict:
        await self._act()
        return Verdict.allow()


async def test_a_pause_between_plan_and_write_stops_the_write(bench: Bench) -> None:
    bench.plan_guards = [Meanwhile(lambda: pause(bench))]
    bench.add()
    assert await bench.run() == PAUSED
    assert bench.cluster.patches == []


@pytest.mark.parametrize(
    ("scope", "stopped"), [("namespace:bank", True), ("cluster:test", True), ("namespace:x", False)]
)
async def test_a_pause_holds_for_every_object_of_the_plan_and_not_for_the_target_alone(
    bench: Bench, scope: str, stopped: bool
) -> None:
    """A drain's target is a node, in no namespace; what it evicts is in many."""
    there = ObjectRef("apps/v1", "Deployment", "bank", "ledger", uid="uid-ledger", cluster=bench.cluster.name)
    bench.cluster.add(there, spec={"value": 1})

    class Elsewhere(SetField):
        async def plan(self, context: Any, params: Any) -> Plan:
            field = Field("/spec/value", 1, 5)
            place = msgspec.structs.replace(there, cluster="test" if scope == "cluster:test" else there.cluster)
            return Plan(action="set", summary="s", changes=(Change(ref=place, fields=(field,), summary="s"),))

    bench.actions["set"] = Elsewhere()
    await bench.guardbook.pause(Pause(scope=scope, by="ann", why="freeze", since=bench.clock.now()))
    bench.add()
    assert (await bench.run() == PAUSED) is stopped
    assert (bench.value(there) == 1) is stopped


async def test_an_operator_who_overrides_the_pause_is_not_stopped_by_it(bench: Bench) -> None:
    await pause(bench)
    bench.add(override=("paused",))
    assert (await bench.run())[0] is Outcome.SUCCEEDED


async def test_a_mode_that_gets_stricter_between_plan_and_write_stops_the_write(bench: Bench) -> None:
    """Fault 70."""

    async def stricter() -> None:
        bench.mode = Mode.OBSERVE

    bench.plan_guards = [Meanwhile(stricter)]
    bench.add()
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert bench.cluster.patches == []


@pytest.mark.parametrize("how", ["pause", "mode"])
async def test_what_a_person_says_in_mid_run_holds_for_the_next_step(bench: Bench, how: str) -> None:
    async def verify() -> Verification:
        if how == "pause":
            await pause(bench)
        bench.mode = Mode.AUTO if how == "pause" else Mode.OBSERVE
        return FIXED

    bench.action.answers = [verify]
    bench.add(runbook(steps=TWO_STEPS), max_attempts=1)
    outcome, reason = await bench.run()
    assert reason is (Reason.PAUSED if how == "pause" else Reason.OBSERVE_ONLY)
    assert outcome is Outcome.FAILED, "it is half made, and would be begun anew were it only put off"
    assert bench.writes == [5]


async def test_the_runs_own_attempt_does_not_stop_its_second_step(bench: Bench) -> None:
    bench.add(runbook(steps=TWO_STEPS), max_attempts=1)
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert bench.writes == [5, 7]


NOT_LET_IN = [
    KubeBusy("slow down", status=429, retry_after=60),
    CircuitOpen("the circuit breaker cluster:test is open", delay=60),
    KubeUnavailable("no connection"),
]


def refuse(bench: Bench, error: Exception) -> None:
    """Let writes fail so, before they reach the cluster, until the run is parked."""
    # What names a delay is not tried again before it.
    patch, left = bench.cluster.patch, [error] * (1 if asked_delay(error) else RetryPolicy().attempts)

    async def refusing(*args: Any, **more: Any) -> Any:
        if left:
            raise left.pop()
        return await patch(*args, **more)

    bench.cluster.patch = refusing  # type: ignore[method-assign]


@pytest.mark.parametrize("error", NOT_LET_IN, ids=lambda error: type(error).__name__)
async def test_a_write_that_was_not_let_in_is_planned_and_guarded_again_after_the_wait(
    bench: Bench, error: Exception
) -> None:
    """Decision 9: minutes later the alert may have resolved, a person may have mended it or said stop."""
    refuse(bench, error)
    bench.add()
    view = await bench.stretch()
    assert view.state is State.PARKED
    await pause(bench)
    bench.clock.advance(200)
    assert await bench.run() == PAUSED
    assert bench.cluster.effective == []


@pytest.mark.parametrize("error", NOT_LET_IN, ids=lambda error: type(error).__name__)
async def test_after_the_wait_it_is_planned_on_what_is_there_then(bench: Bench, error: Exception) -> None:
    refuse(bench, error)
    bench.add()
    await bench.stretch()
    bench.clock.advance(200)
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert (bench.action.plans, bench.writes) == (2, [5])
    assert bench.kinds().count(kinds.PLANNED) == 2


async def test_a_server_that_failed_may_have_written_so_that_the_same_plan_is_carried_on(bench: Bench) -> None:
    """Fault 22."""
    refuse(bench, KubeUnavailable("boom", status=503))
    bench.add()
    await bench.stretch()
    bench.clock.advance(200)
    assert (await bench.run())[0] is Outcome.SUCCEEDED
    assert bench.action.plans == 1


async def test_what_was_well_without_a_write_was_not_healed_by_us(bench: Bench) -> None:
    bench.add(runbook(steps=[{"action": "set", "with": {"value": 1}}]))
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO)
