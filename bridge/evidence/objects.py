"""What the collectors share: parameters that name an object or pods, and reading them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from bridge.errors import InvalidInput
from bridge.model.controller_revisions import controller_revisions_of
from bridge.model.permission import Permission
from bridge.model.permits import kind_of, permit
from bridge.model.quantity import parse_quantity
from bridge.model.revisions import Revision, revisions_of
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.workload import WORKLOADS, Document, at, selector_of
from bridge.ports import ActionContext

APPS = "apps/v1"
MOST_PODS = 1000
_MOST_REVISIONS = 500
_SELECTING = {**dict.fromkeys(WORKLOADS, APPS), "Job": "batch/v1"}
"""Kinds that select pods, by their API version."""
POD_KINDS = (*_SELECTING, "Pod", "Node")


class PlaceParams(Strict):
    """Where to look."""

    namespace: str | None = Field(default=None, description="Namespace to look in; left out: the target's.")


class ObjectParams(PlaceParams):
    """Which object; what is left out is the remediation's target."""

    kind: str | None = Field(default=None, description="Kind of the object; left out: the target's.")
    name: str | None = Field(default=None, description="Name of the object; left out: the target's.")


class PodParams(ObjectParams):
    """Which pods: those of an object, those with labels, or all."""

    labels: dict[str, str] = Field(
        default={}, description="Only pods with these labels, whoever owns them; `kind` and `name` count for nothing."
    )
    scope: Literal["object", "namespace", "cluster"] = Field(
        default="object",
        description="`object`: those of a workload, Job, Pod or Node; `namespace`, `cluster`: all that are there.",
    )


def object_ref(context: ActionContext, params: ObjectParams, api_version: str, kinds: Collection[str]) -> ObjectRef:
    """Return the object that parameters and target name; raise InvalidInput when it cannot be it."""
    kind = params.kind or context.target.kind
    if kind not in kinds:
        raise InvalidInput(f"{kind} is not supported here: {', '.join(kinds)} are; set `kind` and `name`")
    name = check_name(params.name or context.target.name)
    return ObjectRef(api_version, kind, place(context, params), name, cluster=context.target.cluster)


def place(context: ActionContext, params: PlaceParams) -> str:
    """Return the namespace to look in; raise InvalidInput when it is none."""
    return check_namespace(params.namespace or context.target.namespace)


async def read_workload(
    context: ActionContext, params: ObjectParams, kinds: Collection[str] = WORKLOADS
) -> tuple[ObjectRef, dict[str, Any]]:
    """Return the workload; raise KubeError or InvalidInput."""
    ref = object_ref(context, params, APPS, kinds)
    return ref, await context.reach.cluster.get(ref)


async def read_revisions(context: ActionContext, ref: ObjectRef, workload: Document) -> list[Revision]:
    """Return a workload's revisions, newest first."""
    cluster, selector = context.reach.cluster, selector_of(workload)
    if ref.kind == "Deployment":
        sets = await cluster.list(APPS, "ReplicaSet", ref.namespace, labels=selector, limit=_MOST_REVISIONS)
        return revisions_of(workload, sets)
    kept = await cluster.list(APPS, "ControllerRevision", ref.namespace, labels=selector, limit=_MOST_REVISIONS)
    return controller_revisions_of(workload, kept, await read_pods(context, ref, workload, limit=MOST_PODS))


async def read_pods(
    context: ActionContext, ref: ObjectRef, workload: Document, *, limit: int
) -> list[dict[str, Any]]:
    """Return the pods that the workload selects."""
    return await context.reach.cluster.list("v1", "Pod", ref.namespace, labels=selector_of(workload), limit=limit)


async def find_pods(context: ActionContext, params: PodParams, *, limit: int) -> list[dict[str, Any]]:
    """Return the pods that the parameters ask for, `limit` at most. Raises KubeError, InvalidInput."""
    cluster = context.reach.cluster
    if params.labels or params.scope != "object":
        everywhere = params.scope == "cluster"
        namespace = "" if everywhere else place(context, params)
        labels = params.labels or None
        return await cluster.list("v1", "Pod", namespace, labels=labels, limit=limit, everywhere=everywhere)
    kind = params.kind or context.target.kind
    if kind == "Node":
        name = check_name(params.name or context.target.name)
        # Its pods alone would not tell a node that is empty from one that is not there.
        await cluster.get(ObjectRef("v1", "Node", "", name, cluster=context.target.cluster))
        return await cluster.list("v1", "Pod", "", fields={"spec.nodeName": name}, limit=limit, everywhere=True)
    ref = object_ref(context, params, _SELECTING.get(kind, "v1"), POD_KINDS)
    document = await cluster.get(ref)
    return [document] if kind == "Pod" else await read_pods(context, ref, document, limit=limit)


def pod_permissions(kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
    """Return what `find_pods` asks for."""
    if params.get("labels") or params.get("scope", "object") != "object":
        return [permit("v1", "Pod", "list", namespace="" if params.get("scope") == "cluster" else None)]
    of = kind_of(kind, params)
    if of == "Node":
        return [permit("v1", "Node", "get", namespace=""), permit("v1", "Pod", "list", namespace="")]
    if of == "Pod":
        return [permit("v1", "Pod", "get")]
    return [permit(_SELECTING.get(of, APPS), of, "get"), permit("v1", "Pod", "list")]


def workload_permission(kind: str, params: Mapping[str, Any]) -> Permission:
    """Return what `read_workload` asks for."""
    return permit(APPS, kind_of(kind, params), "get")


def revision_permissions(kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
    """Return what `read_revisions` asks for."""
    if kind_of(kind, params) == "Deployment":
        return [permit(APPS, "ReplicaSet", "list")]
    return [permit(APPS, "ControllerRevision", "list"), permit("v1", "Pod", "list")]


def worth(quantity: object) -> float:
    """Return bytes, cores or a plain number of a Kubernetes quantity; 0 where there is none."""
    try:
        return float(parse_quantity(quantity))
    except ValueError:
        return 0.0


def age(seconds: float, now: float) -> float:
    """Return the age in seconds of a moment, 0 for one that is not known."""
    return round(max(0.0, now - seconds), 3) if seconds else 0.0


def meta(document: Document, key: str) -> str:
    value = at(document, "metadata", key)
    return value if isinstance(value, str) else ""
