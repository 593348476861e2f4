"""What tests of single actions start from: a run's context over a fake cluster, workloads and pods as documents."""

from __future__ import annotations

from typing import Any

from bridge.engine.context import RunContext
from bridge.model.target import Target
from bridge.model.workload import format_time
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import Cluster
from tests.support.clock import START, FakeClock
from tests.support.cluster import deployment

DAY = 86400.0


def context(cluster: Cluster, kind: str = "Deployment", name: str = "web") -> RunContext:
    return RunContext(
        remediation="rem-1",
        planned_at=START,
        target=Target("test", kind, "shop", name),
        reach=Reach(cluster, FakeClock(), Outside(OutsideSettings())),
    )


def web(replicas: int = 3, ready: int = 3, **spec: Any) -> dict[str, Any]:
    """A Deployment called `web`, rolled out, with so many of its pods ready."""
    document = deployment("web", "web:1", replicas, **spec)
    document["metadata"] |= {"generation": 1, "uid": "web-uid"}
    document["status"] = {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    return document


def containers(*found: dict[str, Any], kind: str = "Deployment", ready: int = 3, **pod: Any) -> dict[str, Any]:
    """A workload called `web` with these containers in its template."""
    document = {**web(ready=ready), "kind": kind}
    document["spec"]["template"]["spec"] = {"containers": list(found), **pod}
    return document


def pod(
    name: str,
    *,
    ready: bool = True,
    owner: tuple[str, str, str] | None = ("ReplicaSet", "web-1", "rs-1"),
    labels: dict[str, str] | None = None,
    born: float = -100.0,
    leaving: bool = False,
    **container: Any,
) -> dict[str, Any]:
    """A pod of the workload `web`; `owner` is kind, name and uid of its controller."""
    meta: dict[str, Any] = {
        "name": name,
        "uid": f"uid-{name}",
        "labels": {"app": "web", **(labels or {})},
        "creationTimestamp": format_time(START + born),
    }
    if owner is not None:
        kind, called, uid = owner
        meta["ownerReferences"] = [{"kind": kind, "name": called, "uid": uid, "controller": True}]
    if leaving:
        meta["deletionTimestamp"] = format_time(START)
    return {
        "kind": "Pod",
        "metadata": meta,
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "main", "ready": ready, "restartCount": 0, **container}],
        },
    }
