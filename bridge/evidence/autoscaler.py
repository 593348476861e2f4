"""Collector `hpa`: the autoscaler that owns a workload's count, if there is one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bridge.errors import KubeNotFound
from bridge.evidence.objects import ObjectParams, meta, object_ref
from bridge.model.target import ObjectRef
from bridge.model.workload import at, condition, number
from bridge.ports import ActionContext

_MOST = 500


class Autoscaler:
    """Implements bridge.ports.Collector."""

    name = "hpa"
    summary = "The HorizontalPodAutoscaler of a workload: its limits and whether it is at the upper one."
    params: type[BaseModel] = ObjectParams

    async def collect(self, context: ActionContext, params: ObjectParams) -> dict[str, Any]:
        """Return its state; `found` is false and the rest empty where there is none."""
        ref = object_ref(context, params, "apps/v1", ("Deployment", "StatefulSet"))
        autoscaler = await find_autoscaler(context, ref)
        most = number(autoscaler, "spec", "maxReplicas")
        current = number(autoscaler, "status", "currentReplicas")
        return {
            "found": autoscaler is not None,
            "name": meta(autoscaler, "name") if autoscaler else "",
            "min": (number(autoscaler, "spec", "minReplicas") or 1) if autoscaler else 0,
            "max": most,
            "current": current,
            "desired": number(autoscaler, "status", "desiredReplicas"),
            "at_max": autoscaler is not None and current >= most,
            "active": condition(autoscaler or {}, "ScalingActive").get("status") == "True",
        }


async def find_autoscaler(context: ActionContext, ref: ObjectRef) -> dict[str, Any] | None:
    """Return the autoscaler whose target the workload is; None also where the cluster has no such API."""
    try:
        found = await context.reach.cluster.list(
            "autoscaling/v2", "HorizontalPodAutoscaler", ref.namespace, limit=_MOST
        )
    except KubeNotFound:
        return None
    for autoscaler in found:
        scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
        if (scaled.get("kind"), scaled.get("name")) == (ref.kind, ref.name):
            return autoscaler
    return None
