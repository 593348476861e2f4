"""`kubectl scale`, clamped, and never behind the back of an autoscaler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import APPS, TargetParams, Workload, look, read_workload
from bridge.errors import KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field, Plan
from bridge.model.verification import Answer, Verification
from bridge.model.workload import at
from bridge.ports import ActionContext

POINTER = "/spec/replicas"
_MOST_AUTOSCALERS = 500


class ScaleParams(TargetParams):
    """Exactly one of `replicas`, `by` and `factor`; the result is kept between `min` and `max`."""

    replicas: int | None = ParamField(default=None, ge=0, description="The count itself.")
    by: int | None = ParamField(
        default=None, description="Added to the current count; a negative number scales down."
    )
    factor: float | None = ParamField(
        default=None, gt=0, le=100, description="The current count is multiplied by it and rounded up."
    )
    min: int = ParamField(default=1, ge=0, description="The result is not below this.")
    max: int = ParamField(default=10, ge=1, le=1000, description="The result is not above this.")
    allow_zero: bool = ParamField(
        default=False, description="Whether the workload may be switched off; `min` has to be 0 then as well."
    )

    @model_validator(mode="after")
    def _one_way(self) -> ScaleParams:
        if sum(value is not None for value in (self.replicas, self.by, self.factor)) != 1:
            raise ValueError("give exactly one of replicas, by and factor")
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class Scale(BaseAction):
    """Another count, within limits."""

    name = "scale"
    summary = "Set the replicas of a Deployment or StatefulSet, clamped; refused when an autoscaler owns the count."
    params: type[BaseModel] = ScaleParams
    example: Mapping[str, Any] = {"namespace": "o2ims-system", "name": "netweave-gateway", "replicas": 5, "max": 10}
    # Replicas that did not help only cost: they go back.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (
            permit(APPS, kind_of(kind, params), "get", "patch"),
            permit("autoscaling/v2", "HorizontalPodAutoscaler", "list"),
        )

    async def plan(self, context: ActionContext, params: ScaleParams) -> Plan:
        """Plan the count; raise PlanError where an autoscaler owns it, it is off or the limits forbid it."""
        workload = await read_workload(context, params, ("Deployment", "StatefulSet"))
        await _refuse_autoscaled(context, workload)
        current = workload.rollout.desired
        if not current and params.replicas is None:
            # More of nothing: whoever switched it off is to say that it should run.
            raise PlanError(f"{workload.ref} is switched off (0 replicas): only `replicas` switches it on")
        wanted = _wanted(params, current)
        target = min(max(wanted, params.min, 0 if params.allow_zero else 1), params.max)
        if target == current == wanted:
            return self.planned(f"{workload.ref} has {current} replicas already")
        if (wanted - current) * (target - current) <= 0:
            raise PlanError(
                f"{workload.ref} has {current} replicas and would need {wanted}, "
                f"but the limits are {params.min} to {params.max}: raise `max`, or look for another cause"
            )
        notes = (
            () if target == wanted else (f"clamped from {wanted} to {target} (limits {params.min}, {params.max})",)
        )
        summary = f"scale {workload.ref} from {current} to {target} replicas"
        before = at(workload.document, "spec", "replicas")
        lost = min(max(current - target, 0), workload.rollout.ready)
        change = Change(
            ref=workload.ref,
            fields=(Field(POINTER, before, target),),
            summary=summary,
            disruption=Disruption(lost, round(100 * lost / current, 1) if current else 0.0),
        )
        return self.planned(summary, change, notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: ScaleParams) -> Verification:
        """Fixed when as many pods are ready as were planned."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        if workload is None:
            return answer
        wanted, found = plan.changes[0].fields[0].after, workload.rollout.desired
        if found != wanted:
            return Verification(Answer.NOT_FIXED, f"somebody set {found} replicas instead of {wanted}", final=True)
        if workload.rollout.observed and workload.rollout.ready >= wanted:
            return Verification(Answer.FIXED, f"{workload.rollout.ready} of {wanted} pods are ready")
        return Verification(Answer.NOT_FIXED, f"{workload.rollout.ready} of {wanted} pods are ready")


def _wanted(params: ScaleParams, current: int) -> int:
    if params.replicas is not None:
        return params.replicas
    if params.by is not None:
        return current + params.by
    return math.ceil(current * (params.factor or 1.0))


async def _refuse_autoscaled(context: ActionContext, workload: Workload) -> None:
    ref = workload.ref
    try:
        found = await context.reach.cluster.list(
            "autoscaling/v2", "HorizontalPodAutoscaler", ref.namespace, limit=_MOST_AUTOSCALERS
        )
    except KubeNotFound:
        return
    for autoscaler in found:
        scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
        if (scaled.get("kind"), scaled.get("name")) == (ref.kind, ref.name):
            name, most = autoscaler["metadata"]["name"], at(autoscaler, "spec", "maxReplicas")
            raise PlanError(
                f"HorizontalPodAutoscaler {name} owns the replicas of {ref} and would set them back: "
                f"change its limits instead (maxReplicas is {most}), e.g. `kubectl patch hpa {name} "
                f'-n {ref.namespace} --type merge -p \'{{"spec":{{"maxReplicas":…}}}}\'`'
            )
