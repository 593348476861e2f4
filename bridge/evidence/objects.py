"""What the collectors share: parameters that name an object, and reading it. They return plain JSON values."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bridge.errors import InvalidInput
from bridge.model.revisions import Revision, revisions_of
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.workload import WORKLOADS, Document, at, selector_of
from bridge.ports import ActionContext

APPS = "apps/v1"
_MOST_REPLICA_SETS = 500


class ObjectParams(Strict):
    """Which object; what is left out is the remediation's target."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


def object_ref(context: ActionContext, params: ObjectParams, api_version: str, kinds: Collection[str]) -> ObjectRef:
    """Return the object that parameters and target name; raise InvalidInput when it cannot be it."""
    kind = params.kind or context.target.kind
    if kind not in kinds:
        raise InvalidInput(f"{kind} is not supported here: {', '.join(kinds)} are; set `kind` and `name`")
    namespace = check_namespace(params.namespace or context.target.namespace)
    name = check_name(params.name or context.target.name)
    return ObjectRef(api_version, kind, namespace, name, cluster=context.target.cluster)


async def read_workload(
    context: ActionContext, params: ObjectParams, kinds: Collection[str] = WORKLOADS
) -> tuple[ObjectRef, dict[str, Any]]:
    """Return the workload; raise KubeError or InvalidInput."""
    ref = object_ref(context, params, APPS, kinds)
    return ref, await context.reach.cluster.get(ref)


async def read_revisions(context: ActionContext, ref: ObjectRef, workload: Document) -> list[Revision]:
    """Return a Deployment's revisions, newest first; none for other kinds."""
    if ref.kind != "Deployment":
        return []
    found = await context.reach.cluster.list(
        APPS, "ReplicaSet", ref.namespace, labels=selector_of(workload), limit=_MOST_REPLICA_SETS
    )
    return revisions_of(workload, found)


async def read_pods(
    context: ActionContext, ref: ObjectRef, workload: Document, *, limit: int
) -> list[dict[str, Any]]:
    """Return the pods that the workload selects."""
    return await context.reach.cluster.list("v1", "Pod", ref.namespace, labels=selector_of(workload), limit=limit)


def age(seconds: float, now: float) -> float:
    """Return the age in seconds of a moment, 0 for one that is not known."""
    return round(max(0.0, now - seconds), 3) if seconds else 0.0


def meta(document: Document, key: str) -> str:
    value = at(document, "metadata", key)
    return value if isinstance(value, str) else ""
