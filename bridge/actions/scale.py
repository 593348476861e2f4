"""`kubectl scale`, clamped, and never behind the back of an autoscaler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.autoscalers import AUTOSCALING, HPA, refuse_autoscaled
from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import APPS, TargetParams, object_ref, refuse_deleted
from bridge.errors import InvalidInput, KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field, Plan
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at, number, ref_of, selector_of
from bridge.ports import ActionContext

POINTER = "/spec/replicas"
_KINDS = ("Deployment", "StatefulSet")
_MOST_PODS = 1000


class ScaleParams(TargetParams):
    """Exactly one of `replicas`, `by` and `factor`; the result is kept between `min` and `max`."""

    api_version: str | None = ParamField(
        default=None,
        max_length=253,
        description="Of another kind than Deployment and StatefulSet, which is scaled by its scale subresource, e.g. "
        "`argoproj.io/v1alpha1`; then `kind` says which.",
    )
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
        if self.api_version is not None and self.kind is None:
            raise ValueError("say by `kind` of which kind it is")
        return self


class Scaled(msgspec.Struct, frozen=True):
    """Something with replicas, as it was read."""

    ref: ObjectRef
    document: Document

    @property
    def count(self) -> int:
        """How many it is to have; a count that is left out is 1."""
        found = at(self.document, "spec", "replicas")
        return 1 if found is None else int(found)

    @property
    def ready(self) -> int:
        """How many are ready; kinds that do not say so count all that there are."""
        status = at(self.document, "status") or {}
        says = "readyReplicas" in status or self.ref.kind in _KINDS
        return number(status, "readyReplicas") if says else number(status, "replicas")

    @property
    def observed(self) -> bool:
        """Whether its controller has seen the newest spec; those that do not say so are taken to have."""
        seen = at(self.document, "status", "observedGeneration")
        # Some controllers keep it as a text.
        return not isinstance(seen, int) or seen >= number(self.document, "metadata", "generation")


class Scale(BaseAction):
    """Another count, within limits."""

    name = "scale"
    summary = "Set the replicas of anything that can be scaled, clamped; refused when an autoscaler owns the count."
    params: type[BaseModel] = ScaleParams
    example: Mapping[str, Any] = {"namespace": "o2ims-system", "name": "netweave-gateway", "replicas": 5, "max": 10}
    # Replicas that did not help only cost: they go back.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        kind, api_version = kind_of(kind, params), str(params.get("api_version") or APPS)
        autoscalers = permit(AUTOSCALING, HPA, "list")
        if kind in _KINDS:
            return (permit(APPS, kind, "get", "patch"), permit("v1", "Pod", "list"), autoscalers)
        return (
            permit(api_version, kind, "get"),
            permit(api_version, kind, "patch", subresource="scale"),
            autoscalers,
        )

    async def plan(self, context: ActionContext, params: ScaleParams) -> Plan:
        """Plan the count; raise PlanError where an autoscaler owns it, it is off or the limits forbid it."""
        scaled = await _read(context, params)
        ref, current = scaled.ref, scaled.count
        await refuse_autoscaled(context, ref)
        if not current and params.replicas is None:
            # More of nothing: whoever switched it off is to say that it should run.
            raise PlanError(f"{ref} is switched off (0 replicas): only `replicas` switches it on")
        wanted = _wanted(params, current)
        target = min(max(wanted, params.min, 0 if params.allow_zero else 1), params.max)
        if target == current == wanted:
            return self.planned(f"{ref} has {current} replicas already")
        if (wanted - current) * (target - current) <= 0:
            raise PlanError(
                f"{ref} has {current} replicas and would need {wanted}, "
                f"but the limits are {params.min} to {params.max}: raise `max`, or look for another cause"
            )
        notes = (
            () if target == wanted else (f"clamped from {wanted} to {target} (limits {params.min}, {params.max})",)
        )
        summary = f"scale {ref} from {current} to {target} replicas"
        change = Change(
            ref=ref,
            subresource="" if ref.kind in _KINDS else "scale",
            fields=(Field(POINTER, at(scaled.document, "spec", "replicas"), target),),
            summary=summary,
            disruption=_disruption(scaled, target),
        )
        return self.planned(summary, change, notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: ScaleParams) -> Verification:
        """Fixed when as many pods are ready as were planned and, when it was switched off, none is left."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        planned = plan.changes[0].ref
        try:
            document = await context.reach.cluster.get(planned)
        except KubeNotFound:
            return Verification(Answer.NOT_FIXED, f"{planned} does not exist any more", final=True)
        if at(document, "metadata", "uid") != planned.uid:
            return Verification(Answer.NOT_FIXED, f"{planned} was deleted and made again", final=True)
        scaled, wanted = Scaled(planned, document), plan.changes[0].fields[0].after
        if scaled.count != wanted:
            text = f"somebody set {scaled.count} replicas instead of {wanted}"
            return Verification(Answer.NOT_FIXED, text, final=True)
        if not wanted and planned.kind in _KINDS and (left := await _still_there(context, scaled)):
            return Verification(Answer.NOT_FIXED, f"{left} pods are still ending")
        fixed = scaled.observed and scaled.ready >= wanted
        return Verification(Answer.FIXED if fixed else Answer.NOT_FIXED, f"{scaled.ready} of {wanted} pods are ready")


async def _still_there(context: ActionContext, scaled: Scaled) -> int:
    """Return how many pods are left, those that end included: a restore has to find nobody at work."""
    pods = await context.reach.cluster.list(
        "v1", "Pod", scaled.ref.namespace, labels=selector_of(scaled.document), limit=_MOST_PODS
    )
    return sum(at(pod, "status", "phase") not in ("Succeeded", "Failed") for pod in pods)


async def _read(context: ActionContext, params: ScaleParams) -> Scaled:
    """Return what is to be scaled; raise InvalidInput for a kind that nobody can scale."""
    kind = params.kind or context.target.kind
    if params.api_version is None:
        asked = object_ref(context, params, APPS, _KINDS)
    else:
        asked = object_ref(context, params, params.api_version, (kind,))
    document = await context.reach.cluster.get(asked)
    ref = ref_of(document, asked.api_version, kind, asked.cluster)
    refuse_deleted(ref, document)
    if ref.kind not in _KINDS and not isinstance(at(document, "spec", "replicas"), int):
        raise InvalidInput(f"{ref} has no spec.replicas: it cannot be scaled from here")
    return Scaled(ref, document)


def _wanted(params: ScaleParams, current: int) -> int:
    if params.replicas is not None:
        return params.replicas
    if params.by is not None:
        return current + params.by
    return math.ceil(current * (params.factor or 1.0))


def _disruption(scaled: Scaled, target: int) -> Disruption:
    """Return what fewer replicas take away, at worst: pods that are ready now."""
    lost = min(max(scaled.count - target, 0), scaled.ready)
    return Disruption(lost, round(100 * lost / scaled.count, 1) if scaled.count else 0.0)
