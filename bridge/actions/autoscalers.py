"""HorizontalPodAutoscalers as the actions need them: a workload's own, and its metrics by resource. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.errors import KubeNotFound, PlanError
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, at
from bridge.ports import ActionContext

AUTOSCALING = "autoscaling/v2"
HPA = "HorizontalPodAutoscaler"
_MOST = 500


async def autoscalers_of(context: ActionContext, ref: ObjectRef) -> list[dict[str, Any]]:
    """Return the autoscalers that own the replicas of `ref`; none where the kind is not served."""
    try:
        found = await context.reach.cluster.list(AUTOSCALING, HPA, ref.namespace, limit=_MOST)
    except KubeNotFound:
        return []
    return [document for document in found if scaled_by(document) == (ref.kind, ref.name)]


async def refuse_autoscaled(context: ActionContext, ref: ObjectRef) -> None:
    """Raise PlanError where an autoscaler owns the count: it would set it back."""
    for document in await autoscalers_of(context, ref):
        name, most = document["metadata"]["name"], at(document, "spec", "maxReplicas")
        raise PlanError(
            f"HorizontalPodAutoscaler {name} owns the replicas of {ref} and would set them back: "
            f"change its limits instead (`hpa_patch`; maxReplicas is {most}), e.g. `kubectl patch hpa {name} "
            f'-n {ref.namespace} --type merge -p \'{{"spec":{{"maxReplicas":…}}}}\'`'
        )


def scaled_by(autoscaler: Document) -> tuple[str, str]:
    """Return kind and name of what it scales."""
    scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
    return str(scaled.get("kind", "")), str(scaled.get("name", ""))


def resource_metric(resource: str, percent: int) -> dict[str, Any]:
    """Return a metric of `autoscaling/v2`: mean use of a resource in percent of what the pods request."""
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": resource, "target": target}}


def place_of(metrics: Sequence[Mapping[str, Any]], resource: str) -> int | None:
    """Return where in the list the metric of a resource is, None when it has none."""
    for place, metric in enumerate(metrics):
        if metric.get("type") == "Resource" and at(metric, "resource", "name") == resource:
            return place
    return None
