"""What a Kubernetes workload's JSON says: its selector, how far its rollout is, its pods. Pure functions.

Used by actions, evidence and guards, which must agree on what "complete" and "ready" mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bridge.model.target import ObjectRef

Document = Mapping[str, Any]
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")


def parse_time(text: object) -> float:
    """Return unix seconds of an RFC 3339 time, 0.0 when there is none or it cannot be read."""
    if not isinstance(text, str) or not text:
        return 0.0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def format_time(seconds: float) -> str:
    """Return unix seconds as the API server writes times: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def at(document: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None where there is none."""
    for key in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def number(document: Any, *path: str) -> int:
    """Return the count at a path of keys; the API leaves zeros out."""
    value = at(document, *path)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def annotations_of(document: Document) -> Mapping[str, str]:
    return at(document, "metadata", "annotations") or {}


def labels_of(document: Document) -> Mapping[str, str]:
    return at(document, "metadata", "labels") or {}


def ref_of(document: Document, api_version: str, kind: str, cluster: str) -> ObjectRef:
    """Return the reference of an object that was read, with its uid."""
    meta = document["metadata"]
    return ObjectRef(api_version, kind, meta.get("namespace", ""), meta["name"], meta.get("uid", ""), cluster)


def condition(document: Document, type_: str) -> Mapping[str, Any]:
    """Return the condition of that type, empty when it is not there."""
    for item in at(document, "status", "conditions") or []:
        if item.get("type") == type_:
            return item  # type: ignore[no-any-return]
    return {}


def selector_of(workload: Document) -> str:
    """Return `spec.selector` in the form that lists take; empty when it selects nothing.

    Source: Kubernetes API conventions, set-based label selectors.
    """
    selector = at(workload, "spec", "selector") or {}
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(expression.get("values") or [])
        written = {
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }
        terms.append(written[expression["operator"]])
    return ",".join(terms)


def owned_by(document: Document, uid: str) -> bool:
    """Whether the object's controller is the one with `uid`."""
    owners = at(document, "metadata", "ownerReferences") or []
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How far a workload's newest revision is."""

    desired: int
    updated: int
    ready: int
    available: int
    observed: bool
    """Whether the controller has seen the newest spec: before that the counts are about an older one."""
    complete: bool
    """As `kubectl rollout status` says it: all replicas are new and available, no old one is left."""
    failed: bool
    """The Deployment controller gave up waiting (ProgressDeadlineExceeded)."""

    @property
    def text(self) -> str:
        if not self.observed:
            return "its controller has not taken up the newest version yet"
        return f"{self.updated} of {self.desired} updated, {self.ready} ready, {self.available} available"


def rollout_of(kind: str, workload: Document) -> Rollout:
    """Return the rollout of a Deployment, StatefulSet or DaemonSet.

    Source: kubectl, pkg/polymorphichelpers/rollout_status.go.
    """
    observed = number(workload, "status", "observedGeneration") >= number(workload, "metadata", "generation")
    if kind == "DaemonSet":
        return _daemon_set(workload, observed)
    replicas = at(workload, "spec", "replicas")
    desired = 1 if replicas is None else int(replicas)
    updated = number(workload, "status", "updatedReplicas")
    available = number(workload, "status", "availableReplicas")
    ready = number(workload, "status", "readyReplicas")
    if kind == "StatefulSet":
        status = at(workload, "status") or {}
        if status.get("currentRevision") == status.get("updateRevision"):
            updated = number(status, "currentReplicas") or updated
        # Pods below the partition keep the old template on purpose.
        partition = min(number(workload, "spec", "updateStrategy", "rollingUpdate", "partition"), desired)
        complete = ready == desired and updated >= desired - partition
        failed = False
    else:
        left = number(workload, "status", "replicas") - updated
        complete = updated >= desired and left <= 0 and available >= updated
        failed = condition(workload, "Progressing").get("reason") == "ProgressDeadlineExceeded"
    return Rollout(
        desired=desired,
        updated=updated,
        ready=ready,
        available=available,
        observed=observed,
        complete=observed and complete,
        failed=observed and failed,
    )


def _daemon_set(workload: Document, observed: bool) -> Rollout:
    desired = number(workload, "status", "desiredNumberScheduled")
    updated = number(workload, "status", "updatedNumberScheduled")
    available = number(workload, "status", "numberAvailable")
    return Rollout(
        desired=desired,
        updated=updated,
        ready=number(workload, "status", "numberReady"),
        available=available,
        observed=observed,
        complete=observed and updated >= desired and available >= desired,
        failed=False,
    )


def images(template: Document) -> tuple[str, ...]:
    """Return the images of a pod template's containers, in order."""
    return tuple(str(c.get("image", "")) for c in at(template, "spec", "containers") or [])
