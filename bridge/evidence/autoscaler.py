"""Collector `hpa`: the autoscaler that owns a workload's count, if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import KubeNotFound
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import ObjectParams, meta, object_ref
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, at, condition, number
from bridge.ports import ActionContext

AUTOSCALING = "autoscaling/v2"
_MOST = 500


class AutoscalerFacts(Facts):
    found: bool = Field(description="Whether the workload has an autoscaler; the rest is empty if not.")
    name: str = Field(description="Its name.")
    min: int = Field(description="The fewest replicas that it sets.")
    max: int = Field(description="The most replicas that it sets.")
    current: int = Field(description="Replicas that there are, as it sees them.")
    desired: int = Field(description="Replicas that it wants.")
    at_max: bool = Field(description="Whether there are as many as it may set.")
    active: bool = Field(description="Whether it can scale at all: its metrics answer.")
    cpu_target: int = Field(description="Percent of the requested CPU that it holds on average; 0: not by CPU.")
    cpu_current: int = Field(description="Percent of the requested CPU that is used on average; 0: not known.")
    message: str = Field(description="Why it cannot scale, or what limits it, in its own words.")


class Autoscaler(BaseCollector):
    name = "hpa"
    summary = "The HorizontalPodAutoscaler of a workload: its limits and whether it is at the upper one."
    params: type[BaseModel] = ObjectParams
    result: type[BaseModel] = AutoscalerFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [autoscaler_permission()]

    async def gather(self, context: ActionContext, params: ObjectParams) -> AutoscalerFacts:
        """Return its state; `found` is false and the rest empty where there is none."""
        ref = object_ref(context, params, "apps/v1", ("Deployment", "StatefulSet"))
        found = await find_autoscaler(context, ref)
        most, current = number(found, "spec", "maxReplicas"), number(found, "status", "currentReplicas")
        active = condition(found or {}, "ScalingActive")
        return AutoscalerFacts(
            found=found is not None,
            name=meta(found, "name") if found else "",
            min=(number(found, "spec", "minReplicas") or 1) if found else 0,
            max=most,
            current=current,
            desired=number(found, "status", "desiredReplicas"),
            at_max=found is not None and current >= most,
            active=active.get("status") == "True",
            cpu_target=_cpu(at(found, "spec", "metrics"), "target"),
            cpu_current=_cpu(at(found, "status", "currentMetrics"), "current"),
            message=_message(found or {}, active),
        )


def autoscaler_permission() -> Permission:
    """Return what `find_autoscaler` asks for."""
    return permit(AUTOSCALING, "HorizontalPodAutoscaler", "list")


async def find_autoscaler(context: ActionContext, ref: ObjectRef) -> dict[str, Any] | None:
    """Return the autoscaler whose target the workload is; None also where the cluster has no such API."""
    try:
        found = await context.reach.cluster.list(AUTOSCALING, "HorizontalPodAutoscaler", ref.namespace, limit=_MOST)
    except KubeNotFound:
        return None
    for autoscaler in found:
        scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
        if (scaled.get("kind"), scaled.get("name")) == (ref.kind, ref.name):
            return autoscaler
    return None


def _cpu(metrics: object, side: str) -> int:
    for metric in metrics if isinstance(metrics, list) else []:
        if at(metric, "resource", "name") == "cpu":
            return number(metric, "resource", side, "averageUtilization")
    return 0


def _message(autoscaler: Document, active: Mapping[str, Any]) -> str:
    if active.get("status") == "False":
        return str(active.get("message") or "")[:400]
    limited = condition(autoscaler, "ScalingLimited")
    return str(limited.get("message") or "")[:400] if limited.get("status") == "True" else ""
