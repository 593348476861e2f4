"""The disruption budget's guard: what a plan costs, and what the engine does when there is no room."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bridge.engine.context import RunContext
from bridge.guards.budget import BudgetGuard
from bridge.model import kinds
from bridge.model.approval import Answer
from bridge.model.budget import BudgetLimits, BudgetRules, BudgetSettings, Spend
from bridge.model.intake import Claim, Pause
from bridge.model.mode import Mode
from bridge.model.plan import Change, Disruption, Operation, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome, Remediation, State
from bridge.model.target import ObjectRef, Target
from bridge.model.verification import Verification
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import ActionContext
from tests.support.bench import FIXED, NOT_FIXED, OTHER, Bench, SetField, runbook
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster
from tests.support.memory_budgets import MemoryBudgets

CLAIM = Claim(entry="1-0", remediation="rem-k", token=1, worker="w")
WINDOW = 600.0


def settings(**limits: Any) -> BudgetSettings:
    no_limits = BudgetLimits()
    return BudgetSettings.model_validate({"cluster": no_limits, "namespace": no_limits, "halt_after": None, **limits})


def remediation(**fields: Any) -> Remediation:
    target = Target("c", "Deployment", "shop", "web")
    return Remediation(id="rem-1", runbook="r", target=target, mode=Mode.AUTO, **fields)


def change(name: str, *, kind: str = "Deployment", pods: int = 1, percent: float = 100.0, nodes: int = 0) -> Change:
    version = "apps/v1" if kind == "Deployment" else "v1"
    ref = ObjectRef(version, kind, "" if kind == "Node" else "shop", name, uid=f"uid-{name}", cluster="c")
    cost = Disruption(pods, percent, nodes)
    operation = Operation.EVICT if kind == "Pod" else Operation.PATCH
    return Change(ref=ref, operation=operation, summary="s", disruption=cost)


def pod(name: str, owner: str, template: str = "6d4cf56db6") -> dict[str, Any]:
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{owner}-{template}", "controller": True}
    meta = {"name": name, "uid": f"uid-{name}", "namespace": "shop", "labels": {"pod-template-hash": template}}
    return {"kind": "Pod", "metadata": {**meta, "ownerReferences": [reference]}}


class Till:
    """One guard over one budget in memory."""

    def __init__(self, rules: BudgetSettings, *documents: dict[str, Any]) -> None:
        self.clock = FakeClock()
        self.store = MemoryBudgets(self.clock)
        self.guard = BudgetGuard(self.store, rules)
        reach = Reach(FakeCluster(*documents), self.clock, Outside(OutsideSettings()))
        target = remediation().target
        self.context: ActionContext = RunContext(remediation="rem-1", planned_at=0, target=target, reach=reach)

    async def pay(self, *changes: Change, key: str = "k", rem: Remediation | None = None) -> Verdict:
        plan = Plan(action="a", summary="s", changes=changes)
        # Each key is a run of its own.
        claim = msgspec.structs.replace(CLAIM, remediation=f"rem-{key}")
        return await self.guard.reserve(claim, key, rem or remediation(), plan, self.context, anew=True)


async def test_pods_that_are_not_ready_cost_nothing() -> None:
    till = Till(settings(cluster=BudgetLimits(targets=0, percent=0, nodes=0)))
    assert (await till.pay(change("web", pods=0, percent=0.0))).allowed
    refused = await till.pay(change("web"))
    assert (refused.decision, refused.reason) == ("deny", Reason.BUDGET_TOO_SMALL)


async def test_spent_budget_defers_with_the_time_when_it_may_have_room() -> None:
    """Fault 65."""
    till = Till(settings(namespace=BudgetLimits(targets=1)))
    assert (await till.pay(change("web"))).allowed
    await till.store.settle(CLAIM, wrote=True)
    refused = await till.pay(change("api"), key="k2")
    assert (refused.decision, refused.reason) == ("defer", Reason.BUDGET_SPENT)
    assert refused.retry_at == till.clock.now() + WINDOW
    assert "namespace:c/shop: targets would be 2" in refused.detail


async def test_pods_of_one_workload_are_one_target_and_their_percentages_add_up() -> None:
    documents = [pod("web-1", "web"), pod("web-2", "web"), pod("web-3", "web")]
    till = Till(settings(namespace=BudgetLimits(targets=1, percent=50)), *documents)
    two = [change(name, kind="Pod", percent=25.0) for name in ("web-1", "web-2")]
    assert (await till.pay(*two)).allowed
    refused = await till.pay(change("web-3", kind="Pod", percent=25.0), key="k2")
    assert refused.reason is Reason.BUDGET_SPENT
    assert "Deployment|shop|web would be 75" in refused.detail


async def test_a_drain_is_one_node_however_many_workloads_have_pods_there() -> None:
    documents = [pod(f"{name}-1", name) for name in ("web", "api", "cart")]
    till = Till(settings(cluster=BudgetLimits(nodes=1), namespace=BudgetLimits(percent=60)), *documents)
    evictions = [change(f"{name}-1", kind="Pod", percent=50.0) for name in ("web", "api", "cart")]
    node = change("node-1", kind="Node", pods=0, percent=0.0, nodes=1)
    assert (await till.pay(node, *evictions)).allowed
    other = change("node-2", kind="Node", pods=0, percent=0.0, nodes=1)
    assert (await till.pay(other, key="k2")).reason is Reason.BUDGET_SPENT
    assert "percent of" in (await till.pay(evictions[0], key="k3")).detail


async def test_limits_of_a_named_cluster_or_namespace_take_the_place_of_the_general_ones() -> None:
    rules = settings(
        cluster=BudgetLimits(targets=9),
        clusters={"c": BudgetLimits(targets=2)},
        namespaces={"shop": BudgetLimits(targets=1)},
    )
    till = Till(rules)
    assert (await till.pay(change("web"))).allowed
    assert "namespace:c/shop" in (await till.pay(change("api"), key="k2")).detail
    assert (await till.pay(change("n1", kind="Node", pods=0, nodes=1), key="k3")).allowed
    assert "cluster:c" in (await till.pay(change("n2", kind="Node", pods=0, nodes=1), key="k4")).detail


async def test_what_is_put_back_costs_nothing_and_an_operator_may_go_beyond() -> None:
    till = Till(settings(cluster=BudgetLimits(targets=0)))
    assert (await till.pay(change("web"), rem=remediation(undo_of="r0"))).allowed
    by_hand = remediation(override=("budget_spent",))
    assert (await till.pay(change("web"), rem=by_hand)).allowed


def test_halt_after_has_to_be_above_the_limits() -> None:
    with pytest.raises(ValidationError, match="halt_after"):
        BudgetSettings.model_validate({"namespaces": {"shop": {"targets": 50}}, "halt_after": 50})
    assert BudgetSettings().halt_after == 50


# -- in the engine


class Disturbing(SetField):
    """Sets the field, and disturbs all ready pods with it."""

    async def plan(self, context: ActionContext, params: Any) -> Plan:
        plan = await super().plan(context, params)
        cost = Disruption(3, 100.0)
        changes = tuple(msgspec.structs.replace(each, disruption=cost) for each in plan.changes)
        return msgspec.structs.replace(plan, changes=changes)


class Purse(Bench):
    """A bench with a budget."""

    def __init__(self, **limits: Any) -> None:
        super().__init__()
        self.action = Disturbing()
        self.actions["set"] = self.action
        self.halts: list[Pause] = []
        self.budgets = MemoryBudgets(self.clock, self.halts.append)
        self.plan_guards = [BudgetGuard(self.budgets, settings(**limits))]


async def test_run_without_room_ends_deferred_and_changes_nothing() -> None:
    """Fault 65."""
    bench = Purse(cluster=BudgetLimits(targets=1))
    bench.add(name="r1")
    bench.add(runbook(steps=[{"action": "set", "with": {"names": ["worker"]}}]), name="r2")
    assert await bench.run("r1") == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert await bench.run("r2") == (Outcome.SUPPRESSED, Reason.BUDGET_SPENT)
    assert len(bench.writes) == 1
    assert bench.work.rows["r2"].wait_until is not None
    assert "budget:" in bench.entries("r2")[-1].text
    assert not bench.view("r2").escalated


TWO_TARGETS = [{"action": "set"}, {"action": "set", "with": {"names": ["worker"]}}]


async def spent_by_another(bench: Purse, *, ended: bool) -> None:
    """Have another run that disturbs one target of the cluster, or did just now."""
    claim, spend = msgspec.structs.replace(CLAIM, remediation="other"), Spend(scopes=("cluster:",), target="other")
    assert (await bench.budgets.reserve(claim, "k", [spend], BudgetRules(limits=(), window=WINDOW))).granted
    if ended:
        await bench.budgets.settle(claim, wrote=True)


async def test_run_that_changed_something_waits_for_room_for_its_next_step() -> None:
    bench = Purse(cluster=BudgetLimits(targets=2))
    await spent_by_another(bench, ended=True)
    bench.add(runbook(steps=TWO_TARGETS))
    view = await bench.stretch()
    assert (view.state, view.reason) == (State.PARKED, "")
    parked = bench.entries()[-1]
    assert (parked.kind, parked.reason) == (kinds.PARKED, "budget_spent")
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)


async def test_run_that_alone_needs_more_than_the_budget_does_not_wait_for_itself() -> None:
    bench = Purse(cluster=BudgetLimits(targets=1))
    bench.add(runbook(steps=TWO_TARGETS))
    view = await bench.stretch()
    assert (view.outcome, view.reason, view.escalated) == (Outcome.FAILED, "budget_too_small", True)
    assert bench.writes == [5]


async def test_half_made_run_that_finds_no_room_is_handed_to_a_person_and_does_not_wait_for_ever() -> None:
    """Two that are half made may each hold what the other one needs."""
    bench = Purse(cluster=BudgetLimits(targets=2))
    await spent_by_another(bench, ended=False)
    bench.add(runbook(steps=TWO_TARGETS))
    began = bench.clock.now()
    assert await bench.run() == (Outcome.FAILED, Reason.APPLY_FAILED)
    assert bench.view().escalated
    assert 7200 <= bench.clock.now() - began < 3 * 3600


async def test_plan_that_waits_for_people_keeps_nothing_reserved_and_reserves_when_they_agreed() -> None:
    bench = Purse(cluster=BudgetLimits(targets=2))

    async def verify() -> Verification:
        bench.cluster.edit(OTHER, {"spec": {"value": 3}})
        return FIXED

    async def agree() -> None:
        await bench.work.answer("r1", Answer(by="ann", agree=True), "ann agreed")

    bench.action.answers = [verify, FIXED]
    bench.add(runbook(steps=TWO_TARGETS), mode=Mode.APPROVE)
    assert (await bench.stretch()).state is State.PARKED
    assert bench.budgets.plans == {}
    await agree()
    assert (await bench.stretch()).state is State.PARKED, "the second step is another plan by now: asked again"
    (kept,) = bench.budgets.plans["r1"].values()
    assert [spend.workload for spend in kept] == ["|apps|Deployment|shop|web"]
    await agree()
    assert await bench.run() == (Outcome.SUCCEEDED, Reason.VERIFIED)
    assert len(bench.budgets.plans["r1"]) == 2


async def test_observing_reserves_nothing() -> None:
    bench = Purse(cluster=BudgetLimits(targets=1))
    bench.mode = Mode.OBSERVE
    bench.add()
    assert await bench.run() == (Outcome.OBSERVED, Reason.OBSERVE_ONLY)
    assert not bench.budgets.plans


async def test_run_that_is_carried_on_after_a_death_reserves_once() -> None:
    bench = Purse(cluster=BudgetLimits(targets=1))
    bench.action.answers = [NOT_FIXED]
    bench.add()
    claim = bench.work.take("r1")
    plan = await Disturbing().plan(_context(bench), Disturbing.params(value=5))
    guard = bench.plan_guards[0]
    assert isinstance(guard, BudgetGuard)
    rem = bench.view().remediation
    verdict = await guard.reserve(claim, "only/0", rem, plan, _context(bench), anew=True)
    assert verdict.allowed
    assert await bench.run() == (Outcome.FAILED, Reason.NOT_FIXED)
    assert len(bench.writes) == 1


async def test_too_many_targets_in_a_window_halt_and_page() -> None:
    """Fault 65."""
    bench = Purse(halt_after=1)
    bench.add(name="r1")
    bench.add(runbook(steps=[{"action": "set", "with": {"names": ["worker"]}}]), name="r2")
    await bench.run("r1")
    assert await bench.run("r2") == (Outcome.SUPPRESSED, Reason.HALTED)
    assert bench.view("r2").escalated
    assert [pause.scope for pause in bench.halts] == ["all"]


async def test_who_overrides_a_pause_by_hand_does_not_pass_the_halt_with_it() -> None:
    """Fault 65."""
    till = Till(settings(halt_after=1))
    await till.pay(change("web"), key="k1")
    assert (await till.pay(change("api"), key="k2")).reason is Reason.HALTED
    assert (await till.pay(change("cart"), key="k3")).reason is Reason.PAUSED
    by_hand = remediation(override=("paused",))
    assert (await till.pay(change("cart"), key="k4", rem=by_hand)).reason is Reason.HALTED
    assert list(till.store.plans) == ["rem-k1"]
    forced = remediation(override=("paused", "budget_spent"))
    assert (await till.pay(change("cart"), key="k5", rem=forced)).allowed


def _context(bench: Bench) -> RunContext:
    target = Target("", "Deployment", "shop", "web")
    return RunContext(remediation="r1", planned_at=0, target=target, reach=bench._reach(""))
