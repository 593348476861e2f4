"""Plan guard: the disruption budget. What a plan disturbs is reserved before its first write, or it is deferred.

What is to be disturbed is what is ready now, by what the actions say of their changes; a plan that mends what is down
costs nothing, nor does putting back what we changed ourselves.
"""

from __future__ import annotations

from bridge.errors import KubeError
from bridge.model.budget import BudgetAnswer, BudgetSettings, Spend
from bridge.model.intake import Claim
from bridge.model.plan import Change, Plan
from bridge.model.pod import controller_of
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef
from bridge.model.workload import labels_of
from bridge.ports import ActionContext, Budgets

_HASH = "pod-template-hash"


class BudgetGuard:
    """Implements bridge.ports.ReservingGuard."""

    name = "budget"

    def __init__(self, budgets: Budgets, settings: BudgetSettings) -> None:
        self._budgets = budgets
        self._settings = settings

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Say what the budget would say now; keeps nothing."""
        spends = await _spends(remediation, plan, context)
        if not spends:
            return Verdict.allow()
        return verdict_of(await self._budgets.look(spends, self._settings.rules_for(spends)))

    async def reserve(
        self, claim: Claim, key: str, remediation: Remediation, plan: Plan, context: ActionContext, *, anew: bool
    ) -> Verdict:
        """Reserve what the plan disturbs under `key`; defer it when there is no room, deny it when there never is.

        Also what disturbs nothing is told: the plan that it takes the place of may have had something reserved.
        """
        spends = await _spends(remediation, plan, context)
        force = Reason.BUDGET_SPENT.value in remediation.override
        rules = self._settings.rules_for(spends)
        verdict = verdict_of(await self._budgets.reserve(claim, key, spends, rules, force=force, anew=anew))
        if verdict.reason is Reason.PAUSED and Reason.PAUSED.value in remediation.override:
            # Whoever passes a pause by hand does not pass the halt with it: nothing is reserved for him.
            return Verdict.defer(Reason.HALTED, verdict.detail)
        return verdict

    async def release(self, claim: Claim, key: str) -> None:
        """Give back what the plan has reserved: it is not made now, and planned again before it is."""
        await self._budgets.reserve(claim, key, (), self._settings.rules_for(()))


def verdict_of(answer: BudgetAnswer) -> Verdict:
    """Return the budget's answer as the guard says it."""
    if answer.granted:
        return Verdict.allow()
    if answer.halted or answer.paused:
        detail = f"{answer.asked:g} targets were to be disturbed in the window, halt_after is {answer.most:g}"
        if answer.paused:
            # Whoever pulls the brake calls a person, and none of those that come behind.
            return Verdict.defer(Reason.PAUSED, f"{detail}: everything is paused already")
        return Verdict.defer(Reason.HALTED, f"{detail}: everything is paused until a person resumes")
    detail = f"{answer.scope}: {answer.what} would be {answer.asked:g} in the window, at most {answer.most:g} may be"
    if answer.retry_at is None:
        return Verdict.deny(Reason.BUDGET_TOO_SMALL, f"{detail}: this run alone is more than that")
    return Verdict.defer(Reason.BUDGET_SPENT, f"{detail}; {answer.used:g} are used", retry_at=answer.retry_at)


async def _spends(remediation: Remediation, plan: Plan, context: ActionContext) -> tuple[Spend, ...]:
    """Return what the plan disturbs: nothing for what is not ready, or is put back."""
    if remediation.undo_of:
        return ()
    # A drain is one target, however many workloads have a pod on its node: those are counted by their percentage.
    on_nodes = any(change.disruption.nodes for change in plan.changes)
    found: dict[Spend, None] = {}
    percents: dict[ObjectRef, float] = {}
    for change in plan.changes:
        if change.disruption.nodes:
            ref = change.ref
            found[Spend(scopes=(f"cluster:{ref.cluster}",), target=ref.lock_key, node=ref.lock_key)] = None
        elif change.disruption.ready_pods:
            workload = await _workload(change, context)
            percents[workload] = percents.get(workload, 0.0) + change.disruption.percent
    for ref, percent in percents.items():
        found[_of(ref, percent, target="" if on_nodes else ref.lock_key)] = None
    return tuple(found)


def _of(ref: ObjectRef, percent: float, *, target: str) -> Spend:
    scopes = (f"cluster:{ref.cluster}", *((f"namespace:{ref.cluster}/{ref.namespace}",) if ref.namespace else ()))
    return Spend(scopes=scopes, target=target, workload=ref.lock_key, percent=round(percent, 1))


async def _workload(change: Change, context: ActionContext) -> ObjectRef:
    """Return the workload that a change disturbs: of a pod its owner, as far as that can be read."""
    ref = change.ref
    if ref.kind != "Pod":
        return _plain(ref)
    try:
        pod = await context.reach.cluster.get(ref)
    except KubeError:
        return _plain(ref)
    owner = controller_of(pod)
    if not owner:
        return _plain(ref)
    kind, name = str(owner.get("kind", "")), str(owner.get("name", ""))
    template = labels_of(pod).get(_HASH, "")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        kind, name = "Deployment", name.removesuffix(f"-{template}")
    version = str(owner.get("apiVersion", "apps/v1"))
    return ObjectRef(version, kind, ref.namespace, name, cluster=ref.cluster)


def _plain(ref: ObjectRef) -> ObjectRef:
    """Return it without its uid: made again it is the same target."""
    return ObjectRef(ref.api_version, ref.kind, ref.namespace, ref.name, cluster=ref.cluster)
