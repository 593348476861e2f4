"""A plan that cannot be finished is put back before the run ends, but for what somebody changed since."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import KubeBusy, KubeForbidden, KubeReplyLost, KubeUnavailable
from bridge.model import kinds
from bridge.model.plan import Change, Field, Operation, Plan, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.model.target import ObjectRef
from bridge.model.verification import Verification
from tests.support.bench import FIXED, OTHER, REF, Bench, NoParams, runbook
from tests.support.flaky_cluster import Fault

pytestmark = pytest.mark.usefixtures("quiet_log")

THIRD = ObjectRef("apps/v1", "Deployment", "shop", "third", uid="uid-third")
FORBIDDEN = KubeForbidden("cannot patch third", status=403)


class SetAll:
    """Sets /spec/value of three deployments to 5: one plan."""

    name = "all"
    summary = "Set all."
    params = NoParams

    def __init__(self, **more: Any) -> None:
        self._more = more
        self.repeat, self.undo, self.undo_failed = Plan(action="", summary="").repeat, Plan.undo, False

    async def plan(self, context: Any, params: Any) -> Plan:
        refs = (REF, OTHER, THIRD)
        changes = tuple(
            Change(ref=ref, fields=(Field("/spec/value", 1, 5),), summary=f"set {ref.name}") for ref in refs
        )
        return Plan(action=self.name, summary="set all", changes=changes, **self._more)

    async def verify(self, context: Any, plan: Plan, params: Any) -> Verification:
        return FIXED


@pytest.fixture
def bench() -> Bench:
    return ready(SetAll())


def ready(action: SetAll) -> Bench:
    bench = Bench()
    bench.cluster.add(THIRD, spec={"value": 1})
    bench.actions["all"] = action
    bench.add(runbook(steps=[{"action": "all"}]))
    return bench


def values(bench: Bench) -> list[Any]:
    return [bench.value(ref) for ref in (REF, OTHER, THIRD)]


def refuse_third(bench: Bench, error: Exception = FORBIDDEN) -> None:
    """Every write to the third one fails."""

    def look() -> None:
        writes = len(bench.cluster.patches)
        if writes == 2:
            bench.cluster.faults = [Fault("patch", error)]

    bench.cluster.between = [lambda: None, lambda: None, look]


async def test_what_was_made_of_a_plan_that_cannot_be_finished_is_put_back(bench: Bench) -> None:
    refuse_third(bench)
    assert await bench.run() == (Outcome.FAILED, Reason.FORBIDDEN)
    assert values(bench) == [1, 1, 1]
    assert "what was made of all is put back" in bench.view().detail
    assert bench.view().escalated


async def test_a_plan_that_says_so_is_left_half_made() -> None:
    bench = ready(SetAll(undo_half=False))
    refuse_third(bench)
    assert await bench.run() == (Outcome.FAILED, Reason.FORBIDDEN)
    assert values(bench) == [5, 5, 1]


async def test_a_stale_last_change_puts_the_first_ones_back(bench: Bench) -> None:
    bench.cluster.between = [lambda: None, lambda: bench.cluster.edit(THIRD, {"spec": {"value": 8}})]
    assert await bench.run() == (Outcome.FAILED, Reason.PLAN_STALE)
    assert values(bench) == [1, 1, 8]


async def test_what_somebody_changed_since_is_reported_and_the_others_go_back(bench: Bench) -> None:
    def meddle() -> None:
        bench.cluster.edit(REF, {"spec": {"value": 9}})
        bench.cluster.faults = [Fault("patch", FORBIDDEN)]

    bench.cluster.between = [lambda: None, lambda: None, meddle]
    assert (await bench.run())[0] is Outcome.FAILED
    assert values(bench) == [9, 1, 1]
    assert "somebody changed it since: deployment/shop/web /spec/value is 9" in bench.view().detail


async def test_what_may_pass_is_waited_for_with_the_half_made_plan(bench: Bench) -> None:
    """Fault 22."""
    refuse_third(bench, KubeUnavailable("no connection"))
    bench.cluster.between.append(lambda: None)
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert values(bench) == [5, 5, 5]
    assert bench.writes == [5, 5, 5]


async def test_a_write_whose_fate_is_unknown_puts_nothing_back(bench: Bench) -> None:
    """What is not known is no reason to change more."""

    def lose() -> None:
        bench.cluster.faults = [Fault("patch", KubeReplyLost("cut"))]
        bench.cluster.faults += [Fault("get", KubeUnavailable("away"))] * 1000

    bench.cluster.between = [lambda: None, lambda: None, lose]
    assert (await bench.run())[0] is Outcome.UNKNOWN
    assert values(bench) == [5, 5, 1]


class Killed(BaseException):
    """The process died here."""


POINTS = [f"after {kinds.UNDOING}", f"before {kinds.FINISHED}"]
POINTS += [f"{side} {kind}" for side in ("before", "after") for kind in (kinds.PUTTING_BACK, kinds.UNDONE)]


@pytest.mark.parametrize("where", POINTS)
async def test_killed_while_putting_back_another_worker_puts_back_the_rest(bench: Bench, where: str) -> None:
    """Faults 3, 4. The run ends as it would have."""
    refuse_third(bench)
    deaths = 0

    async def die(point: str) -> None:
        nonlocal deaths
        if point == where and not deaths:
            deaths += 1
            raise Killed

    bench.work.point = die
    with pytest.raises(Killed):
        await bench.run()
    assert await bench.run() == (Outcome.FAILED, Reason.FORBIDDEN)
    assert values(bench) == [1, 1, 1]
    assert bench.writes == [5, 5, 1, 1]


async def test_a_cluster_that_goes_away_while_it_is_put_back_is_waited_for(bench: Bench) -> None:
    """Fault 22."""
    refuse_third(bench)

    async def away(point: str) -> None:
        if point == f"after {kinds.UNDOING}":
            bench.cluster.faults = [Fault("get", KubeUnavailable("away"))] * 5

    bench.work.point = away
    states = []
    while (view := await bench.stretch()).state is not State.DONE:
        states.append(view.state)
        bench.clock.advance(120)
    assert states
    assert view.outcome is Outcome.FAILED
    assert values(bench) == [1, 1, 1]


# -- a drain in small: out of service, and then empty


POD = ObjectRef("v1", "Pod", "shop", "web-0", uid="uid-pod")
BUDGET = KubeBusy(
    "Cannot evict pod as it would violate the pod's disruption budget. "
    "The disruption budget web needs 2 healthy pods and has 2 currently",
    status=429,
    retry_after=30.0,
)


class Empty(SetAll):
    """Sets a field, and evicts a pod."""

    async def plan(self, context: Any, params: Any) -> Plan:
        out = Change(ref=REF, fields=(Field("/spec/value", 1, 5),), summary="out of service")
        away = Change(ref=POD, operation=Operation.EVICT, summary="evict web-0")
        return Plan(action=self.name, summary="empty it", changes=(out, away), undo=Undo.COMPENSATING)


def emptying() -> Bench:
    bench = ready(Empty())
    bench.cluster.add(POD, spec={})
    return bench


async def test_a_disruption_budget_is_waited_for_with_its_own_delay_and_the_pod_goes_then() -> None:
    """Fault 21."""
    bench = emptying()
    bench.cluster.faults = [Fault("evict", BUDGET)] * 3
    began = bench.clock.now()
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert bench.clock.now() - began >= 90.0
    assert [sent.verb for sent in bench.cluster.effective] == ["patch", "evict"]


async def test_a_budget_that_never_allows_it_is_never_bypassed_named_and_the_half_is_put_back() -> None:
    """Faults 21, 67."""
    bench = emptying()
    bench.cluster.faults = [Fault("evict", BUDGET)] * 1000
    assert await bench.run() == (Outcome.FAILED, Reason.DISRUPTION_BUDGET)
    view = bench.view()
    assert view.detail.startswith("failed: disruption budget web allows no disruption")
    assert view.escalated
    assert bench.value() == 1, "back in service"
    assert {sent.verb for sent in bench.cluster.patches} == {"patch"}, "nothing but evictions was tried on the pod"
