"""Second versions of a resource: a HorizontalPodAutoscaler is kept as v2 and can be read as v1. Called by `api`."""

from __future__ import annotations

import json

from bridge.demo.objects import Obj, drop_none

_PREFIX = "autoscaling.alpha.kubernetes.io/"


def as_version(obj: Obj, api_version: str) -> Obj:
    """The object as a client of that version sees it."""
    if obj.get("apiVersion") == api_version or api_version != "autoscaling/v1":
        return obj
    spec, status = obj["spec"], obj.get("status") or {}
    metrics = spec.get("metrics") or []
    target = next((entry for entry in metrics if _is_cpu(entry)), None)
    others = [entry for entry in metrics if entry is not target]
    annotations = dict(obj["metadata"].get("annotations") or {})
    for name, value in (
        ("metrics", others),
        ("conditions", status.get("conditions")),
        ("current-metrics", status.get("currentMetrics")),
    ):
        if value:
            annotations[_PREFIX + name] = json.dumps(value, separators=(",", ":"))
    metadata = {**obj["metadata"], **({"annotations": annotations} if annotations else {})}
    usage = target["resource"]["target"]["averageUtilization"] if target else None
    seen = drop_none(
        {
            "scaleTargetRef": spec["scaleTargetRef"],
            "minReplicas": spec.get("minReplicas"),
            "maxReplicas": spec["maxReplicas"],
            "targetCPUUtilizationPercentage": usage,
        }
    )
    counts = {
        "currentReplicas": status.get("currentReplicas", 0),
        "desiredReplicas": status.get("desiredReplicas", 0),
    }
    kept = drop_none({"lastScaleTime": status.get("lastScaleTime"), **counts})
    return {"kind": obj["kind"], "apiVersion": api_version, "metadata": metadata, "spec": seen, "status": kept}


def _is_cpu(entry: Obj) -> bool:
    resource = entry.get("resource") or {}
    return resource.get("name") == "cpu" and "averageUtilization" in (resource.get("target") or {})
