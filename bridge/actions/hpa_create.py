"""An autoscaler for a workload that has none, as `kubectl autoscale` makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, model_validator
from pydantic import Field as ParamField

from bridge.actions.autoscalers import AUTOSCALING, HPA, autoscalers_of, resource_metric
from bridge.actions.base import BaseAction
from bridge.actions.hpa_patch import SCALABLE, Percent, permissions_for_scaled, within_bounds
from bridge.actions.permits import permit
from bridge.actions.workloads import TargetParams, Workload, read_workload
from bridge.errors import KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import at
from bridge.ports import ActionContext


class HpaCreateParams(TargetParams):
    min: int = ParamField(ge=1, le=1000, description="The fewest replicas.")
    max: int = ParamField(ge=1, le=1000, description="The most replicas.")
    cpu: Percent = ParamField(default=80, description="Target use of CPU, in percent of what the pods request.")

    @model_validator(mode="after")
    def _in_order(self) -> HpaCreateParams:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        return self


class HpaCreate(BaseAction):
    """A new object of the workload's name; unlike any object, it is refused where it could not work."""

    name = "hpa_create"
    summary = "Give a Deployment or StatefulSet a HorizontalPodAutoscaler by CPU, where it has none."
    params: type[BaseModel] = HpaCreateParams
    example: Mapping[str, Any] = {"kind": "Deployment", "name": "netweave-gateway", "min": 3, "max": 10}
    # An autoscaler that did not help would fight whoever scales by hand next.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        own = permit(AUTOSCALING, HPA, "create", "delete", "get", "list")
        return (own, *permissions_for_scaled(kind, params))

    async def plan(self, context: ActionContext, params: HpaCreateParams) -> Plan:
        """Plan the object; empty when there is one like it, PlanError when there is another or it could not work."""
        workload = await read_workload(context, params, SCALABLE)
        ref = ObjectRef(AUTOSCALING, HPA, workload.ref.namespace, workload.ref.name, cluster=workload.ref.cluster)
        spec = _spec(workload, params)
        for found in await autoscalers_of(context, workload.ref):
            name = found["metadata"]["name"]
            if all(at(found, "spec", key) == spec[key] for key in ("minReplicas", "maxReplicas", "metrics")):
                return self.planned(f"{workload.ref} has such an autoscaler already: {name}")
            raise PlanError(f"{workload.ref} has the autoscaler {name} already: change it by `hpa_patch`")
        _refuse_without_requests(workload)
        current = workload.rollout.desired
        if current > params.max:
            raise PlanError(
                f"{workload.ref} has {current} replicas, and max {params.max} would end some: raise `max`"
            )
        manifest = {
            "apiVersion": AUTOSCALING,
            "kind": HPA,
            "metadata": {"name": ref.name, "namespace": ref.namespace},
            "spec": spec,
        }
        bounds = f"{params.min} and {params.max} replicas at {params.cpu} % CPU"
        summary = f"let an autoscaler keep {workload.ref} between {bounds}"
        change = Change(ref=ref, operation=Operation.CREATE, manifest=manifest, summary=summary)
        notes = () if current else (f"{workload.ref} is switched off: an autoscaler leaves it alone",)
        return self.planned(summary, change, notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: HpaCreateParams) -> Verification:
        """Fixed when it is there and the count is within its bounds."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        ref = plan.changes[0].ref
        try:
            document = await context.reach.cluster.get(ref)
        except KubeNotFound:
            # Before it is made as well as after somebody has deleted it.
            return Verification(Answer.NOT_FIXED, f"{ref} is not there")
        return await within_bounds(context, document, ref)


def _spec(workload: Workload, params: HpaCreateParams) -> dict[str, Any]:
    ref = workload.ref
    return {
        "scaleTargetRef": {"apiVersion": ref.api_version, "kind": ref.kind, "name": ref.name},
        "minReplicas": params.min,
        "maxReplicas": params.max,
        "metrics": [resource_metric("cpu", params.cpu)],
    }


def _refuse_without_requests(workload: Workload) -> None:
    """Raise PlanError where the utilisation cannot be computed: it is a share of what every container requests."""
    containers = at(workload.document, "spec", "template", "spec", "containers") or []
    for container in containers:
        own = container.get("resources") or {}
        # A limit alone counts: the server takes it for the request.
        if not at(own, "requests", "cpu") and not at(own, "limits", "cpu"):
            raise PlanError(
                f"{container.get('name')} of {workload.ref} requests no CPU, of which the utilisation would be a "
                "share: give it one by `set_resources` first"
            )
