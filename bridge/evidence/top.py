"""Collectors `top` and `top_nodes`: what is used now, where metrics-server answers. Where not, that is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.errors import KubeNotFound, KubeUnavailable, PermanentError
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import MOST_PODS, PodParams, find_pods, meta, pod_permissions, worth
from bridge.evidence.requests import limited, percent, requested
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.runbook import Strict
from bridge.model.workload import Document, at
from bridge.ports import ActionContext

METRICS = "metrics.k8s.io/v1beta1"
_MOST_ITEMS = 50
_MOST_NODES = 1000


class UsageItem(Facts):
    name: str = Field(description="The pod's name.")
    namespace: str = Field(description="Its namespace.")
    cpu: float = Field(description="Cores that it uses.")
    memory: float = Field(description="Bytes that it uses.")
    cpu_request: float = Field(description="Cores that it asks for; 0: none.")
    cpu_limit: float = Field(description="Cores that it may use; 0: no limit.")
    memory_request: float = Field(description="Bytes that it asks for; 0: none.")
    memory_limit: float = Field(description="Bytes that it may use; 0: no limit.")
    cpu_percent: float = Field(description="Cores that it uses in percent of its limit, or of what it asks for.")
    memory_percent: float = Field(description="Bytes that it uses in percent of its limit, or of what it asks for.")


class UsageFacts(Facts):
    pods: int = Field(description="Pods whose use is known.")
    unknown: int = Field(description="Pods whose use is not known: they are too young, or not running.")
    cpu: float = Field(description="Cores that all of them use.")
    memory: float = Field(description="Bytes that all of them use.")
    cpu_highest: float = Field(description="Cores of the pod that uses most.")
    memory_highest: float = Field(description="Bytes of the pod that uses most.")
    cpu_percent: float = Field(description="The highest percentage among them; 0: none has a limit or a request.")
    memory_percent: float = Field(description="The highest percentage among them; 0: none has a limit or a request.")
    items: list[UsageItem] = Field(description="The pods, those that use most memory first, 50 at most.")


class NodeUsageItem(Facts):
    name: str = Field(description="The node's name.")
    cpu: float = Field(description="Cores that are used.")
    memory: float = Field(description="Bytes that are used.")
    cpu_percent: float = Field(description="Cores in percent of what pods can have.")
    memory_percent: float = Field(description="Bytes in percent of what pods can have.")


class NodeUsageFacts(Facts):
    nodes: int = Field(description="Nodes whose use is known.")
    cpu_percent: float = Field(description="The highest percentage among them.")
    memory_percent: float = Field(description="The highest percentage among them.")
    items: list[NodeUsageItem] = Field(description="The nodes, those that use most memory first, 50 at most.")


class NodeUsageParams(Strict):
    labels: dict[str, str] = Field(default={}, description="Only nodes with these labels.")


class Top(BaseCollector):
    """Missing where metrics-server does not answer, or knows none of the pods."""

    name = "top"
    summary = "Cores and memory that pods use, with their limits, as `kubectl top pods` shows them."
    params: type[BaseModel] = PodParams
    result: type[BaseModel] = UsageFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        pods = list(pod_permissions(kind, params))
        return [*pods, permit(METRICS, "PodMetrics", "list", namespace=pods[-1].namespace)]

    async def gather(self, context: ActionContext, params: PodParams) -> UsageFacts:
        """Return what the pods use. Raises PermanentError when nobody knows."""
        pods = await find_pods(context, params, limit=MOST_PODS)
        places = {meta(pod, "namespace") for pod in pods}
        wide = len(places) > 1
        place = "" if wide else next(iter(places), params.namespace or context.target.namespace)
        used = await _figures(context, "PodMetrics", place, everywhere=wide, labels=params.labels)
        known = {(meta(one, "namespace"), meta(one, "name")): one for one in used}
        items = [
            _item(pod, found) for pod in pods if (found := known.get((meta(pod, "namespace"), meta(pod, "name"))))
        ]
        if pods and not items:
            raise PermanentError("metrics-server has no figures of these pods yet")
        items.sort(key=lambda item: (-item.memory, item.name))
        return UsageFacts(
            pods=len(items),
            unknown=len(pods) - len(items),
            cpu=round(sum(item.cpu for item in items), 3),
            memory=sum(item.memory for item in items),
            cpu_highest=max((item.cpu for item in items), default=0.0),
            memory_highest=max((item.memory for item in items), default=0.0),
            cpu_percent=max((item.cpu_percent for item in items), default=0.0),
            memory_percent=max((item.memory_percent for item in items), default=0.0),
            items=items[:_MOST_ITEMS],
        )


class TopNodes(BaseCollector):
    """Missing where metrics-server does not answer."""

    name = "top_nodes"
    summary = "Cores and memory that nodes use, as `kubectl top nodes` shows them."
    params: type[BaseModel] = NodeUsageParams
    result: type[BaseModel] = NodeUsageFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [permit("v1", "Node", "list", namespace=""), permit(METRICS, "NodeMetrics", "list", namespace="")]

    async def gather(self, context: ActionContext, params: NodeUsageParams) -> NodeUsageFacts:
        """Return what the nodes use. Raises PermanentError when nobody knows."""
        labels = params.labels or None
        nodes = await context.reach.cluster.list("v1", "Node", "", labels=labels, limit=_MOST_NODES)
        known = {meta(one, "name"): one for one in await _figures(context, "NodeMetrics", "", labels=params.labels)}
        items = [_node(node, known[meta(node, "name")]) for node in nodes if meta(node, "name") in known]
        if nodes and not items:
            raise PermanentError("metrics-server has no figures of these nodes yet")
        items.sort(key=lambda item: (-item.memory_percent, item.name))
        return NodeUsageFacts(
            nodes=len(items),
            cpu_percent=max((item.cpu_percent for item in items), default=0.0),
            memory_percent=max((item.memory_percent for item in items), default=0.0),
            items=items[:_MOST_ITEMS],
        )


async def _figures(
    context: ActionContext, kind: str, namespace: str, *, labels: Mapping[str, str], everywhere: bool = False
) -> list[dict[str, Any]]:
    try:
        return await context.reach.cluster.list(
            METRICS, kind, namespace, labels=labels or None, limit=MOST_PODS, everywhere=everywhere
        )
    except (KubeNotFound, KubeUnavailable) as error:
        # An aggregated API without its server is a 503, one that was never installed a 404.
        raise PermanentError(f"metrics-server does not answer here: {error}") from error


def _item(pod: Document, figures: Document) -> UsageItem:
    cpu, memory = (
        sum(worth(at(c, "usage", what)) for c in figures.get("containers") or []) for what in ("cpu", "memory")
    )
    cpu_request, memory_request = requested(pod, "cpu"), requested(pod, "memory")
    cpu_limit, memory_limit = limited(pod, "cpu"), limited(pod, "memory")
    return UsageItem(
        name=meta(pod, "name"),
        namespace=meta(pod, "namespace"),
        cpu=round(cpu, 3),
        memory=memory,
        cpu_request=cpu_request,
        cpu_limit=cpu_limit,
        memory_request=memory_request,
        memory_limit=memory_limit,
        cpu_percent=percent(cpu, cpu_limit or cpu_request),
        memory_percent=percent(memory, memory_limit or memory_request),
    )


def _node(node: Document, figures: Document) -> NodeUsageItem:
    cpu, memory = worth(at(figures, "usage", "cpu")), worth(at(figures, "usage", "memory"))
    return NodeUsageItem(
        name=meta(node, "name"),
        cpu=round(cpu, 3),
        memory=memory,
        cpu_percent=percent(cpu, worth(at(node, "status", "allocatable", "cpu"))),
        memory_percent=percent(memory, worth(at(node, "status", "allocatable", "memory"))),
    )
