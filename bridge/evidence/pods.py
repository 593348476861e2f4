"""Collector `pods`: how a workload's pods are."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bridge.evidence.objects import ObjectParams, age, meta, read_pods, read_workload
from bridge.model.workload import Document, at, condition, number, parse_time
from bridge.ports import ActionContext

_MOST_PODS = 1000
_MOST_ITEMS = 50
_IMAGE_ERRORS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
)


class Pods:
    """Implements bridge.ports.Collector."""

    name = "pods"
    summary = "Counts of a workload's pods by what is wrong with them, and the pods themselves."
    params: type[BaseModel] = ObjectParams

    async def collect(self, context: ActionContext, params: ObjectParams) -> dict[str, Any]:
        """Return counts (pods on their way out are only in `terminating`) and up to 50 items, the worst first."""
        ref, workload = await read_workload(context, params)
        found = await read_pods(context, ref, workload, limit=_MOST_PODS)
        now = context.reach.clock.now()
        items = [_item(pod, now) for pod in found if not at(pod, "metadata", "deletionTimestamp")]
        items.sort(key=lambda item: (item["ready"], -item["restarts"], item["name"]))
        return {
            "total": len(items),
            "ready": sum(item["ready"] for item in items),
            "crashlooping": sum(item["crashlooping"] for item in items),
            "oom_killed": sum(item["oom_killed"] for item in items),
            "image_pull_errors": sum(item["image_pull_error"] for item in items),
            "pending": sum(item["phase"] == "Pending" for item in items),
            "unschedulable": sum(item["unschedulable"] for item in items),
            "failed": sum(item["phase"] == "Failed" for item in items),
            "terminating": len(found) - len(items),
            "restarts": sum(item["restarts"] for item in items),
            "truncated": len(found) >= _MOST_PODS,
            "items": items[:_MOST_ITEMS],
        }


def _item(pod: Document, now: float) -> dict[str, Any]:
    statuses = [
        *(at(pod, "status", "initContainerStatuses") or []),
        *(at(pod, "status", "containerStatuses") or []),
    ]
    waiting = {str(at(s, "state", "waiting", "reason") or "") for s in statuses} - {""}
    ended = [
        found for s in statuses for found in (at(s, "state", "terminated"), at(s, "lastState", "terminated")) if found
    ]
    scheduled = condition(pod, "PodScheduled")
    return {
        "name": meta(pod, "name"),
        "phase": str(at(pod, "status", "phase") or ""),
        "ready": condition(pod, "Ready").get("status") == "True",
        "reason": _reason(pod, waiting, ended),
        "restarts": sum(number(s, "restartCount") for s in statuses),
        "crashlooping": _crashlooping(statuses),
        "oom_killed": any(found.get("reason") == "OOMKilled" for found in ended),
        "image_pull_error": bool(waiting & _IMAGE_ERRORS),
        "unschedulable": scheduled.get("status") == "False" and scheduled.get("reason") == "Unschedulable",
        "age_seconds": age(parse_time(meta(pod, "creationTimestamp")), now),
        "node": str(at(pod, "spec", "nodeName") or ""),
        "images": [str(c.get("image", "")) for c in at(pod, "spec", "containers") or []],
    }


def _crashlooping(statuses: list[dict[str, Any]]) -> bool:
    """Whether a container waits to be restarted after crashes, or is just between two of them."""
    return any(
        at(s, "state", "waiting", "reason") == "CrashLoopBackOff"
        or (not s.get("ready") and number(s, "restartCount") >= 2 and bool(at(s, "lastState", "terminated")))
        for s in statuses
    )


def _reason(pod: Document, waiting: set[str], ended: list[dict[str, Any]]) -> str:
    """Return what `kubectl get pods` would show as the pod's state, roughly."""
    if waiting:
        return sorted(waiting)[0]
    if own := at(pod, "status", "reason"):
        return str(own)
    if condition(pod, "Ready").get("status") != "True" and ended:
        return str(ended[0].get("reason") or "Error")
    return str(condition(pod, "PodScheduled").get("reason") or "")
