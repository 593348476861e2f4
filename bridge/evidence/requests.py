"""What pods ask a node for: cores and bytes. Pure functions.

Source: Kubernetes, KEP-753 and the resource helpers of kube-scheduler: the containers' sum, or the largest that the
beginning of the pod needs, whichever is more; containers of the beginning that go on running count with the others.
"""

from __future__ import annotations

from bridge.evidence.objects import worth
from bridge.model.workload import Document, at


def requested(pod: Document, resource: str) -> float:
    """Return what the pod asks for of `cpu` (cores) or `memory` (bytes)."""
    running = sum(_of(c, "requests", resource) for c in at(pod, "spec", "containers") or [])
    most = beside = 0.0
    for container in at(pod, "spec", "initContainers") or []:
        wanted = _of(container, "requests", resource)
        if container.get("restartPolicy") == "Always":
            beside += wanted
        most = max(most, beside + (0.0 if container.get("restartPolicy") == "Always" else wanted))
    return max(running + beside, most) + worth(at(pod, "spec", "overhead", resource))


def limited(pod: Document, resource: str) -> float:
    """Return what its containers may use together; 0 where one of them has no limit."""
    limits = [_of(c, "limits", resource) for c in at(pod, "spec", "containers") or []]
    return sum(limits) if all(limits) else 0.0


def percent(part: float, whole: float) -> float:
    """Return `part` of `whole` in percent; 0 where there is no whole."""
    return round(100 * part / whole, 1) if whole else 0.0


def _of(container: Document, what: str, resource: str) -> float:
    return worth(at(container, "resources", what, resource))
