"""What a pod's JSON says about how it fares. Pure functions for actions and evidence, which must agree on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.model.workload import Document, annotations_of, at, condition, number

STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
"""Reasons for which a container waits that are no failure."""
MIRROR = "kubernetes.io/config.mirror"


def container_statuses(pod: Document) -> list[dict[str, Any]]:
    """Return the statuses of all containers, the initialising ones first."""
    return [*(at(pod, "status", "initContainerStatuses") or []), *(at(pod, "status", "containerStatuses") or [])]


def is_ready(pod: Document) -> bool:
    return condition(pod, "Ready").get("status") == "True"


def is_leaving(pod: Document) -> bool:
    """Whether somebody has deleted it and it only ends its work."""
    return bool(at(pod, "metadata", "deletionTimestamp"))


def is_done(pod: Document) -> bool:
    """Whether it came to its end as it should, like a Job's pod: it is not ready, and nothing is wrong with it."""
    return bool(at(pod, "status", "phase") == "Succeeded")


def is_mirror(pod: Document) -> bool:
    """Whether it only shows a static pod of its node: deleting it does nothing to what runs there."""
    return MIRROR in annotations_of(pod)


def is_crashlooping(pod: Document) -> bool:
    """Whether a container waits to be restarted after crashes, or is just between two of them."""
    return any(
        at(s, "state", "waiting", "reason") == "CrashLoopBackOff"
        or (not s.get("ready") and number(s, "restartCount") >= 2 and bool(at(s, "lastState", "terminated")))
        for s in container_statuses(pod)
    )


def is_oom_killed(pod: Document) -> bool:
    """Whether a container was ended for want of memory, now or the time before."""
    return any(
        at(s, moment, "terminated", "reason") == "OOMKilled"
        for s in container_statuses(pod)
        for moment in ("state", "lastState")
    )


def is_failing(pod: Document) -> bool:
    """Whether a container was restarted, ended with an error or cannot be started."""
    return at(pod, "status", "phase") == "Failed" or any(
        number(s, "restartCount")
        or number(s, "state", "terminated", "exitCode")
        or str(at(s, "state", "waiting", "reason") or "") not in STARTING
        for s in container_statuses(pod)
    )


def controller_of(document: Document) -> Mapping[str, Any]:
    """Return the owner reference of the object's controller, empty when it has none."""
    owners = at(document, "metadata", "ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), {})
