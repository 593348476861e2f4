"""Collector `nodes`: which nodes are ready, what presses them, and how much of them is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import age, meta, worth
from bridge.evidence.requests import percent, requested
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name
from bridge.model.workload import Document, at, condition, labels_of, parse_time
from bridge.ports import ActionContext

_MOST_NODES = 1000
_MOST_PODS = 5000
_MOST_ITEMS = 100
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_ROLE = "node-role.kubernetes.io/"


class NodesParams(Strict):
    name: str | None = Field(default=None, description="Only this node.")
    labels: dict[str, str] = Field(default={}, description="Only nodes with these labels.")
    requested: bool = Field(
        default=True, description="Whether to add up what pods ask for: all pods of the cluster are read."
    )


class NodeItem(Facts):
    name: str = Field(description="Its name.")
    ready: bool = Field(description="Whether it is ready.")
    schedulable: bool = Field(description="Whether new pods may come: it is not cordoned.")
    pressures: list[str] = Field(description="What presses it: MemoryPressure, DiskPressure, PIDPressure, …")
    message: str = Field(description="Why it is not ready, or what presses it.")
    roles: list[str] = Field(description="Its roles.")
    taints: list[str] = Field(description="Its taints, as `key=value:effect`.")
    version: str = Field(description="Its kubelet's version.")
    age_seconds: float = Field(description="How long ago it joined.")
    pods: int = Field(description="Pods on it that are not done; 0 without `requested`.")
    pods_allocatable: int = Field(description="Pods that it can take.")
    cpu_allocatable: float = Field(description="Cores that pods can have.")
    cpu_requested: float = Field(description="Cores that its pods ask for.")
    cpu_percent: float = Field(description="That in percent.")
    memory_allocatable: float = Field(description="Bytes that pods can have.")
    memory_requested: float = Field(description="Bytes that its pods ask for.")
    memory_percent: float = Field(description="That in percent.")


class NodesFacts(Facts):
    total: int = Field(description="Nodes that there are.")
    ready: int = Field(description="Those that are ready.")
    not_ready: int = Field(description="Those that are not.")
    cordoned: int = Field(description="Those that take no new pods.")
    memory_pressure: int = Field(description="Those that are short of memory.")
    disk_pressure: int = Field(description="Those that are short of disk space.")
    pid_pressure: int = Field(description="Those that are short of process ids.")
    network_unavailable: int = Field(description="Those without a network.")
    cpu_allocatable: float = Field(description="Cores of the nodes that are ready and not cordoned.")
    cpu_requested: float = Field(description="Cores that pods ask these for.")
    cpu_percent: float = Field(description="That in percent.")
    memory_allocatable: float = Field(description="Bytes of the nodes that are ready and not cordoned.")
    memory_requested: float = Field(description="Bytes that pods ask these for.")
    memory_percent: float = Field(description="That in percent.")
    cpu_free: float = Field(description="Cores that are left on the node that has most of them left.")
    memory_free: float = Field(description="Bytes that are left on the node that has most of them left.")
    truncated: bool = Field(description="Whether there are more nodes or pods than were read.")
    items: list[NodeItem] = Field(description="The nodes, the worst first, 100 at most.")


class Nodes(BaseCollector):
    name = "nodes"
    summary = "Nodes: ready, cordoned, under pressure, and how much of what they have is asked for."
    params: type[BaseModel] = NodesParams
    result: type[BaseModel] = NodesFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        nodes = permit("v1", "Node", "get" if params.get("name") else "list", namespace="")
        return [nodes, permit("v1", "Pod", "list", namespace="")] if params.get("requested", True) else [nodes]

    async def gather(self, context: ActionContext, params: NodesParams) -> NodesFacts:
        """Return the nodes; raise KubeNotFound when the one that is asked for is not there."""
        cluster = context.reach.cluster
        if params.name:
            nodes = [await cluster.get(ObjectRef("v1", "Node", "", check_name(params.name), cluster=cluster.name))]
        else:
            nodes = await cluster.list("v1", "Node", "", labels=params.labels or None, limit=_MOST_NODES)
        pods = await _pods(context, params)
        now = context.reach.clock.now()
        items = [_item(node, pods.get(meta(node, "name"), []), now) for node in nodes]
        items.sort(key=lambda item: (item.ready, not item.pressures, item.schedulable, item.name))
        usable = [item for item in items if item.ready and item.schedulable]
        cpu, memory = sum(i.cpu_allocatable for i in usable), sum(i.memory_allocatable for i in usable)
        asked_cpu, asked_memory = sum(i.cpu_requested for i in usable), sum(i.memory_requested for i in usable)
        return NodesFacts(
            total=len(items),
            ready=sum(item.ready for item in items),
            not_ready=sum(not item.ready for item in items),
            cordoned=sum(not item.schedulable for item in items),
            memory_pressure=_pressed(items, "MemoryPressure"),
            disk_pressure=_pressed(items, "DiskPressure"),
            pid_pressure=_pressed(items, "PIDPressure"),
            network_unavailable=_pressed(items, "NetworkUnavailable"),
            cpu_allocatable=round(cpu, 3),
            cpu_requested=round(asked_cpu, 3),
            cpu_percent=percent(asked_cpu, cpu),
            memory_allocatable=memory,
            memory_requested=asked_memory,
            memory_percent=percent(asked_memory, memory),
            cpu_free=round(max((i.cpu_allocatable - i.cpu_requested for i in usable), default=0.0), 3),
            memory_free=max((i.memory_allocatable - i.memory_requested for i in usable), default=0.0),
            truncated=len(nodes) >= _MOST_NODES or sum(map(len, pods.values())) >= _MOST_PODS,
            items=items[:_MOST_ITEMS],
        )


async def _pods(context: ActionContext, params: NodesParams) -> dict[str, list[dict[str, Any]]]:
    """Return the pods that count by the name of their node."""
    if not params.requested:
        return {}
    fields = {"spec.nodeName": params.name} if params.name else None
    found = await context.reach.cluster.list("v1", "Pod", "", fields=fields, limit=_MOST_PODS, everywhere=True)
    placed: dict[str, list[dict[str, Any]]] = {}
    for pod in found:
        if at(pod, "status", "phase") not in ("Succeeded", "Failed"):
            placed.setdefault(str(at(pod, "spec", "nodeName") or ""), []).append(pod)
    return placed


def _pressed(items: list[NodeItem], pressure: str) -> int:
    return sum(pressure in item.pressures for item in items)


def _item(node: Document, pods: list[dict[str, Any]], now: float) -> NodeItem:
    ready = condition(node, "Ready")
    pressures = [name for name in _PRESSURES if condition(node, name).get("status") == "True"]
    wrong = [condition(node, name) for name in pressures]
    if ready.get("status") != "True":
        wrong.insert(0, ready)
    cpu, memory = worth(at(node, "status", "allocatable", "cpu")), worth(at(node, "status", "allocatable", "memory"))
    asked_cpu, asked_memory = (sum(requested(pod, what) for pod in pods) for what in ("cpu", "memory"))
    return NodeItem(
        name=meta(node, "name"),
        ready=ready.get("status") == "True",
        schedulable=not at(node, "spec", "unschedulable"),
        pressures=pressures,
        message="; ".join(str(item.get("message") or "") for item in wrong if item)[:400],
        roles=[key.removeprefix(_ROLE) for key in sorted(labels_of(node)) if key.startswith(_ROLE)],
        taints=[_taint(taint) for taint in (at(node, "spec", "taints") or [])[:20]],
        version=str(at(node, "status", "nodeInfo", "kubeletVersion") or ""),
        age_seconds=age(parse_time(meta(node, "creationTimestamp")), now),
        pods=len(pods),
        pods_allocatable=int(worth(at(node, "status", "allocatable", "pods"))),
        cpu_allocatable=cpu,
        cpu_requested=round(asked_cpu, 3),
        cpu_percent=percent(asked_cpu, cpu),
        memory_allocatable=memory,
        memory_requested=asked_memory,
        memory_percent=percent(asked_memory, memory),
    )


def _taint(taint: Document) -> str:
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key')}{value}:{taint.get('effect')}"
