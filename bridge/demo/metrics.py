"""What pods and nodes use, as a metrics server tells it. Read by `watch`, `api` and the autoscaler; kept nowhere.

A cluster has it or not (`SimulatedCluster.set_metrics`): without it the API group is not there, as in a cluster where
no metrics server is installed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from bridge.demo.objects import Obj, dig, labels_of, name_of, namespace_of, timestamp
from bridge.demo.quantities import value_of
from bridge.demo.resources import Resource

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

GROUP = "metrics.k8s.io"
_READING = ("get", "list")
RESOURCES = (
    Resource(GROUP, "v1beta1", "nodes", "NodeMetrics", False, verbs=_READING),
    Resource(GROUP, "v1beta1", "pods", "PodMetrics", verbs=_READING),
)
_WINDOW = "15s"
_IDLE = ("1m", "8Mi")


def objects(cluster: SimulatedCluster, resource: Resource, namespace: str) -> list[Obj]:
    """What is told now: one object for each running pod, or for each node."""
    if resource.kind == "PodMetrics":
        return [_of_pod(cluster, pod) for pod in cluster.store.list("pods", namespace) if _runs(pod)]
    return [_of_node(cluster, node) for node in cluster.store.list("nodes")]


def usage_of(cluster: SimulatedCluster, pod: Obj, container: Obj) -> tuple[Decimal, Decimal]:
    """Cores and bytes that a container uses: as the behaviour says, else half of what it asks for."""
    told = cluster.behavior.usage(pod, container["name"]) if cluster.behavior.usage else None
    if told is not None:
        return value_of(told[0]), value_of(told[1])
    asked = dig(container, "resources", "requests", default={})
    cpu, memory = (value_of(asked.get(name, idle)) for name, idle in zip(("cpu", "memory"), _IDLE, strict=True))
    return (cpu / 2 if "cpu" in asked else cpu), (memory / 2 if "memory" in asked else memory)


def _runs(pod: Obj) -> bool:
    return bool(dig(pod, "status", "phase") == "Running")


def _of_pod(cluster: SimulatedCluster, pod: Obj) -> Obj:
    containers = [
        {"name": entry["name"], "usage": _shown(*usage_of(cluster, pod, entry))}
        for entry in pod["spec"]["containers"]
    ]
    metadata = {"name": name_of(pod), "namespace": namespace_of(pod)}
    return {**_head(cluster, "PodMetrics", metadata, labels_of(pod)), "containers": containers}


def _of_node(cluster: SimulatedCluster, node: Obj) -> Obj:
    cpu, memory = Decimal(0), Decimal(0)
    for pod in cluster.store.list("pods"):
        if pod["spec"].get("nodeName") == name_of(node) and _runs(pod):
            for entry in pod["spec"]["containers"]:
                more_cpu, more_memory = usage_of(cluster, pod, entry)
                cpu, memory = cpu + more_cpu, memory + more_memory
    return {**_head(cluster, "NodeMetrics", {"name": name_of(node)}, labels_of(node)), "usage": _shown(cpu, memory)}


def _head(cluster: SimulatedCluster, kind: str, metadata: Obj, labels: dict[str, str]) -> Obj:
    when = timestamp(cluster.now())
    metadata = {**metadata, "creationTimestamp": when, **({"labels": dict(labels)} if labels else {})}
    return {
        "kind": kind,
        "apiVersion": f"{GROUP}/v1beta1",
        "metadata": metadata,
        "timestamp": when,
        "window": _WINDOW,
    }


def _shown(cpu: Decimal, memory: Decimal) -> Obj:
    """As metrics servers write it: billionths of a core, and kibibytes."""
    return {"cpu": f"{int(cpu * 1_000_000_000)}n", "memory": f"{int(memory / 1024)}Ki"}
