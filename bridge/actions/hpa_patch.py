"""`kubectl patch hpa`: an autoscaler's bounds and target utilisation, clamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.autoscalers import AUTOSCALING, HPA, autoscalers_of, place_of, resource_metric, scaled_by
from bridge.actions.base import BaseAction
from bridge.actions.objects import find_object, missing
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import APPS, TargetParams, refuse_deleted
from bridge.errors import PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, read_pointer
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at, number, ref_of
from bridge.ports import ActionContext

MIN, MAX, METRICS = "/spec/minReplicas", "/spec/maxReplicas", "/spec/metrics"
SCALABLE = ("Deployment", "StatefulSet")
Percent = Annotated[int, ParamField(ge=1, le=1000)]


class HpaParams(TargetParams):
    """`kind` and `name` are the workload's, whose autoscaler is looked for, or those of the autoscaler itself."""

    min: int | None = ParamField(default=None, ge=1, le=1000, description="The fewest replicas.")
    max: int | None = ParamField(default=None, ge=1, le=1000, description="The most replicas.")
    max_by: int | None = ParamField(
        default=None, ge=1, le=1000, description="Added to the most replicas instead, as far as `at_most` allows."
    )
    utilization: dict[Literal["cpu", "memory"], Percent] = ParamField(
        default={},
        description="Target use by resource, in percent of what the pods request, e.g. `{cpu: 60}`; other metrics "
        "stay as they are.",
    )
    at_most: int = ParamField(default=20, ge=1, le=1000, description="`max` never becomes more than this.")
    allow_below_current: bool = ParamField(
        default=False, description="Whether `max` may be less than the replicas that there are: pods would be ended."
    )

    @model_validator(mode="after")
    def _something(self) -> HpaParams:
        if self.max is not None and self.max_by is not None:
            raise ValueError("give `max` or `max_by`, not both")
        if self.min is None and self.max is None and self.max_by is None and not self.utilization:
            raise ValueError("give at least one of `min`, `max`, `max_by` and `utilization`")
        if self.max is not None and self.max > self.at_most:
            raise ValueError(f"max {self.max} is above at_most {self.at_most}: raise that first")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class HpaPatch(BaseAction):
    """Other limits for an autoscaler, which then sets the count itself."""

    name = "hpa_patch"
    summary = "Change the bounds or the target utilisation of a HorizontalPodAutoscaler."
    params: type[BaseModel] = HpaParams
    example: Mapping[str, Any] = {"kind": "Deployment", "name": "omnimesh-gateway", "max": 10}
    # Room that did not help only costs: it goes back.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        own = permit(AUTOSCALING, HPA, "get", "list", "patch")
        return (own, *permissions_for_scaled(kind, params))

    async def plan(self, context: ActionContext, params: HpaParams) -> Plan:
        """Plan bounds and metrics; raise PlanError for bounds that cross, or that would end pods."""
        document = await _find(context, params)
        ref = ref_of(document, AUTOSCALING, HPA, context.target.cluster)
        refuse_deleted(ref, document)
        old_min, old_max = at(document, "spec", "minReplicas"), number(document, "spec", "maxReplicas")
        least = (1 if old_min is None else old_min) if params.min is None else params.min
        most, notes = _most(params, old_max, ref)
        if least > most:
            raise PlanError(f"{ref} would have min {least} above max {most}: give both `min` and `max`")
        current = number(document, "status", "currentReplicas")
        if most < current and most < old_max and not params.allow_below_current:
            raise PlanError(
                f"{ref} has {current} replicas now, and max {most} would end some: set `allow_below_current` if that "
                "is meant"
            )
        fields = [Field(MIN, old_min, least), Field(MAX, old_max, most)] if params.min is not None else []
        fields = fields or [Field(MAX, old_max, most)]
        fields += _metrics(document, params.utilization, ref)
        changed = [field for field in fields if field.change and field.before != field.after]
        if not changed:
            return self.planned(f"{ref} is so already", notes=notes)
        words = ", ".join(f"{_word(field)} from {field.before} to {field.after}" for field in changed)
        summary = f"set {words} of {ref}, which scales {'/'.join(scaled_by(document)).lower()}"
        kept = [field for field in fields if not field.change]
        return self.planned(summary, Change(ref=ref, fields=(*changed, *kept), summary=summary), notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: HpaParams) -> Verification:
        """Fixed when the autoscaler says so and what it scales is within the bounds."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        planned = plan.changes[0]
        document = await find_object(context, planned.ref)
        if (answer := missing(planned.ref, document)) is not None:
            return answer
        assert document is not None
        for field in planned.fields:
            found = read_pointer(document, field.pointer)
            if found != field.after:
                text = f"somebody set {_word(field)} to {found} instead of {field.after}"
                return Verification(Answer.NOT_FIXED, text, final=True)
        return await within_bounds(context, document, planned.ref)


def permissions_for_scaled(kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
    """Return what `within_bounds` asks for: of an autoscaler that is named itself, it is not known what it scales."""
    of = kind_of(kind, params)
    return [permit(APPS, scalable, "get") for scalable in ((of,) if of in SCALABLE else SCALABLE)]


async def within_bounds(context: ActionContext, autoscaler: Document, ref: ObjectRef) -> Verification:
    """Return whether the count of what is scaled is within the autoscaler's bounds."""
    least = number(autoscaler, "spec", "minReplicas") or 1
    most = number(autoscaler, "spec", "maxReplicas")
    kind, name = scaled_by(autoscaler)
    if kind in SCALABLE:
        scaled = await context.reach.cluster.get(ObjectRef(APPS, kind, ref.namespace, name, cluster=ref.cluster))
        wished = at(scaled, "spec", "replicas")
        count = 1 if wished is None else int(wished)
    else:
        count = number(autoscaler, "status", "currentReplicas")
    text = f"{kind.lower()}/{name} has {count} replicas, the bounds are {least} to {most}"
    if not count:
        return Verification(Answer.FIXED, f"{text}: it is switched off, and left alone")
    return Verification(Answer.FIXED if least <= count <= most else Answer.NOT_FIXED, text)


async def _find(context: ActionContext, params: HpaParams) -> dict[str, Any]:
    """Return the autoscaler that is named, or the one of the workload; raise PlanError unless there is one."""
    target = context.target
    kind, name = params.kind or target.kind, check_name(params.name or target.name)
    namespace = check_namespace(params.namespace or target.namespace)
    if kind == HPA:
        return await context.reach.cluster.get(ObjectRef(AUTOSCALING, HPA, namespace, name, cluster=target.cluster))
    ref = ObjectRef(APPS, kind, namespace, name, cluster=target.cluster)
    found = await autoscalers_of(context, ref)
    if not found:
        raise PlanError(f"{ref} has no HorizontalPodAutoscaler: make one by `hpa_create`, or use `scale`")
    if len(found) > 1:
        names = ", ".join(document["metadata"]["name"] for document in found)
        raise PlanError(f"{ref} has several autoscalers, which fight each other: name one of {names}")
    return found[0]


def _most(params: HpaParams, present: int, ref: ObjectRef) -> tuple[int, tuple[str, ...]]:
    """Return the planned maximum and what is to be said about it; raise PlanError when the clamp leaves nothing."""
    if params.max is not None:
        return params.max, ()
    if params.max_by is None:
        return present, ()
    if present >= params.at_most:
        raise PlanError(f"{ref} has max {present} already, and at_most is {params.at_most}: look for another cause")
    wanted = present + params.max_by
    most = min(wanted, params.at_most)
    return most, () if most == wanted else (f"clamped from {wanted} to {most} (at_most)",)


def _metrics(document: Document, wanted: Mapping[Any, int], ref: ObjectRef) -> list[Field]:
    """Return one field for each metric that is there, or the whole list where one has to be added."""
    metrics = at(document, "spec", "metrics") or []
    places = {resource: place_of(metrics, resource) for resource in wanted}
    for resource, place in places.items():
        kind = None if place is None else at(metrics[place], "resource", "target", "type")
        if kind not in (None, "Utilization"):
            raise PlanError(f"{ref} aims at a mean amount of {resource}, not at a utilisation: that is for a person")
    if None in places.values():
        after = [dict(metric) for metric in metrics]
        for resource, percent in wanted.items():
            place = places[resource]
            if place is None:
                after.append(resource_metric(resource, percent))
            else:
                after[place] = resource_metric(resource, percent)
        return [Field(METRICS, metrics or None, after)]
    fields = []
    for resource, place in places.items():
        pointer = f"{METRICS}/{place}/resource"
        before = at(metrics[place or 0], "resource", "target", "averageUtilization")
        fields.append(Field(f"{pointer}/target/averageUtilization", before, wanted[resource]))
        fields.append(Field(f"{pointer}/name", resource, resource, change=False, lasting=True))
    return fields


def _word(field: Field) -> str:
    return {MIN: "min", MAX: "max", METRICS: "metrics"}.get(field.pointer, "target utilisation")
