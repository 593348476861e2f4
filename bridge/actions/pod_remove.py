"""`kubectl delete pod` and the eviction of `kubectl drain`, for pods whose controller makes new ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from bridge.actions.base import BaseAction
from bridge.actions.pod_choice import PodParams, choose, pod_permissions, removals, replaced
from bridge.model.permission import Permission
from bridge.model.plan import Operation, Plan, Undo
from bridge.model.pod import controller_of
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext


class _RemovePods(BaseAction):
    """What the two share: which pods, and the proof that their controllers have made new ones."""

    params: type[BaseModel] = PodParams
    # The controller makes up for it by a new pod: nothing is put back, and nothing has to be.
    undo = Undo.COMPENSATING
    undo_failed = False
    operation: ClassVar[Operation]

    async def plan(self, context: ActionContext, params: PodParams) -> Plan:
        """Plan the removal of the chosen pods; empty when none is as `only` wants it. Raises PlanError."""
        choice = await choose(context, params)
        notes = []
        if choice.leaving:
            notes.append(f"{choice.leaving} are ending already")
        if choice.matching > len(choice.pods):
            notes.append(f"{choice.matching - len(choice.pods)} more are left, beyond at_most")
        if not choice.pods:
            found = f"none of the {choice.found} {choice.where} is to go" if choice.found else f"no {choice.where}"
            return self.planned(found, notes=tuple(notes))
        summary = (
            f"{self.operation.value} {len(choice.pods)} of {choice.found} {choice.where} ({choice.ready} are ready)"
        )
        bare = any(not controller_of(pod) for pod in choice.pods)
        more: dict[str, Any] = {"undo": Undo.NONE} if bare else {}
        changes = removals(choice, context.target.cluster, self.operation, params)
        return self.planned(summary, *changes, notes=tuple(notes), **more)

    async def verify(self, context: ActionContext, plan: Plan, params: PodParams) -> Verification:
        """Fixed when the pods are gone and their controllers have as many ready ones as they want."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        return await replaced(context, plan.changes)


class PodEvict(_RemovePods):
    """By the eviction API: a disruption budget that is against it is waited for, never got round."""

    name = "pod_evict"
    summary = "Evict pods, as `kubectl drain` does: disruption budgets are respected."
    example: Mapping[str, Any] = {"kind": "Deployment", "name": "netweave-gateway", "only": "oom_killed"}
    operation = Operation.EVICT

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return pod_permissions("create", subresource="eviction")


class PodDelete(_RemovePods):
    """By an ordinary DELETE with the pod's grace, never by force: for pods that no budget should keep."""

    name = "pod_delete"
    summary = "Delete pods that are stuck, as `kubectl delete pod` does; `pod_evict` respects disruption budgets."
    example: Mapping[str, Any] = {"labels": {"k8s-app": "kube-dns"}, "namespace": "kube-system", "at_most": 2}
    operation = Operation.DELETE

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return pod_permissions("delete")
