"""Collector `pvc`: volume claims, whether they may grow, and how full they are where that is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from bridge.errors import AlertbridgeError, KubeNotFound
from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import APPS, MOST_PODS, ObjectParams, meta, object_ref, place, read_pods, worth
from bridge.evidence.requests import percent
from bridge.model.permission import Permission
from bridge.model.permits import kind_of, permit
from bridge.model.target import ObjectRef
from bridge.model.workload import WORKLOADS, Document, annotations_of, at, condition
from bridge.ports import ActionContext

STORAGE = "storage.k8s.io/v1"
CLAIM = "PersistentVolumeClaim"
_MOST_CLAIMS = 500
_MOST_ITEMS = 50
_USAGE = "max by (persistentvolumeclaim) (kubelet_volume_stats_{what}_bytes{where})"
_USAGE_SECONDS = 3.0
_RESIZES = ("Resizing", "FileSystemResizePending", "ControllerResizeError")
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class ClaimsParams(ObjectParams):
    scope: Literal["object", "namespace"] = Field(
        default="object",
        description="`object`: the claim itself, or those of a workload's pods; `namespace`: all that are there.",
    )
    usage: bool = Field(default=True, description="Whether to ask Prometheus how full they are.")


class ClaimItem(Facts):
    name: str = Field(description="Its name.")
    phase: str = Field(description="Pending, Bound or Lost; `missing`: a pod asks for it and it is not there.")
    storage_class: str = Field(description="Its StorageClass.")
    expandable: bool | None = Field(description="Whether its StorageClass lets it grow; null: not known.")
    requested: float = Field(description="Bytes that it asks for.")
    capacity: float = Field(description="Bytes that it has.")
    used: float | None = Field(description="Bytes that are used; null: nobody knows.")
    used_percent: float | None = Field(description="That in percent of its file system; null: nobody knows.")
    resizing: bool = Field(description="Whether it is being made larger.")
    restart_needed: bool = Field(description="Whether its pod has to be started anew for it to become larger.")
    message: str = Field(description="Why it does not become larger, in Kubernetes' words.")
    volume: str = Field(description="The volume that it is bound to.")
    modes: list[str] = Field(description="Its access modes.")


class ClaimsFacts(Facts):
    total: int = Field(description="Claims that there are.")
    bound: int = Field(description="Those that have their volume.")
    pending: int = Field(description="Those that wait for one.")
    lost: int = Field(description="Those whose volume is gone, and those that are not there at all.")
    expandable: int = Field(description="Those that may grow.")
    used_percent: float | None = Field(description="How full the fullest one is; null: nobody knows.")
    usage_error: str = Field(description="Why it is not known how full they are; empty: it is known.")
    items: list[ClaimItem] = Field(description="The claims, the fullest first, 50 at most.")


class Claims(BaseCollector):
    """How full they are is only known where Prometheus scrapes the kubelets."""

    name = "pvc"
    summary = "Volume claims of a workload or a namespace: bound, size, whether they may grow, how full they are."
    params: type[BaseModel] = ClaimsParams
    result: type[BaseModel] = ClaimsFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        shared = [permit("v1", CLAIM, "get", "list"), permit(STORAGE, "StorageClass", "get", namespace="")]
        of = kind_of(kind, params)
        if of not in WORKLOADS or params.get("scope", "object") != "object":
            return shared
        return [permit(APPS, of, "get"), permit("v1", "Pod", "list"), *shared]

    async def gather(self, context: ActionContext, params: ClaimsParams) -> ClaimsFacts:
        """Return the claims; raise KubeNotFound for a claim, or a workload, that is not there."""
        namespace = place(context, params)
        found, absent = await _claims(context, params, namespace)
        growing = await _growing(context, {_class(claim) for claim in found})
        used, error = await _used(context, namespace) if params.usage and found else ({}, "")
        items = [_item(claim, growing, used.get(meta(claim, "name"))) for claim in found]
        items += [_absent(name) for name in absent]
        items.sort(key=lambda item: (item.phase == "Bound", -(item.used_percent or 0.0), item.name))
        known = [item.used_percent for item in items if item.used_percent is not None]
        return ClaimsFacts(
            total=len(items),
            bound=sum(item.phase == "Bound" for item in items),
            pending=sum(item.phase == "Pending" for item in items),
            lost=sum(item.phase in ("Lost", "missing") for item in items),
            expandable=sum(item.expandable is True for item in items),
            used_percent=max(known, default=None),
            usage_error=error or ("" if known or not found else "Prometheus has no figures of these claims"),
            items=items[:_MOST_ITEMS],
        )


async def _claims(
    context: ActionContext, params: ClaimsParams, namespace: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the claims that are asked for, and the names of those that should be there and are not."""
    cluster = context.reach.cluster
    if params.scope == "object":
        ref = object_ref(context, params, APPS, (*WORKLOADS, CLAIM))
        if ref.kind == CLAIM:
            return [await cluster.get(ObjectRef("v1", CLAIM, namespace, ref.name, cluster=ref.cluster))], []
        workload = await cluster.get(ref)
        wanted = _wanted(workload, await read_pods(context, ref, workload, limit=MOST_PODS))
        there = {meta(one, "name"): one for one in await cluster.list("v1", CLAIM, namespace, limit=_MOST_CLAIMS)}
        return [there[name] for name in wanted if name in there], [name for name in wanted if name not in there]
    return await cluster.list("v1", CLAIM, namespace, limit=_MOST_CLAIMS), []


def _wanted(workload: Document, pods: Sequence[Document]) -> list[str]:
    """Return the names of the claims that the workload's pods use, or would."""
    specs = [at(workload, "spec", "template", "spec"), *(at(pod, "spec") for pod in pods)]
    names = {
        str(name)
        for spec in specs
        for volume in at(spec, "volumes") or []
        if (name := at(volume, "persistentVolumeClaim", "claimName"))
    }
    return sorted(names)


async def _growing(context: ActionContext, classes: set[str]) -> dict[str, bool | None]:
    """Return for each StorageClass whether it lets claims grow; None where that cannot be read."""
    known: dict[str, bool | None] = {}
    for name in sorted(classes - {""})[:20]:
        try:
            document = await context.reach.cluster.get(ObjectRef(STORAGE, "StorageClass", "", name))
            known[name] = bool(document.get("allowVolumeExpansion"))
        except KubeNotFound:
            known[name] = False
        except AlertbridgeError:
            known[name] = None
    return known


async def _used(context: ActionContext, namespace: str) -> tuple[dict[str, tuple[float, float]], str]:
    """Return used bytes and size by the claim's name, and why they are not known."""
    where = f'{{namespace="{namespace}"}}'
    try:
        # Whatever Prometheus does, the claims themselves are known.
        async with asyncio.timeout(_USAGE_SECONDS):
            used, size = [
                await context.reach.promql(
                    f"max by (persistentvolumeclaim) (kubelet_volume_stats_{what}_bytes{where})"
                )
                for what in ("used", "capacity")
            ]
    except TimeoutError:
        return {}, f"Prometheus: no answer within {_USAGE_SECONDS:g} s"
    except AlertbridgeError as error:
        return {}, str(error)
    sizes = {labels.get("persistentvolumeclaim", ""): value for labels, value in size}
    return {
        name: (value, sizes.get(name, 0.0)) for labels, value in used if (name := labels.get("persistentvolumeclaim"))
    }, ""


def _class(claim: Document) -> str:
    return str(at(claim, "spec", "storageClassName") or annotations_of(claim).get(_OLD_CLASS, ""))


def _item(claim: Document, growing: Mapping[str, bool | None], used: tuple[float, float] | None) -> ClaimItem:
    capacity = worth(at(claim, "status", "capacity", "storage"))
    states = {
        name: condition(claim, name) for name in ("Resizing", "FileSystemResizePending", "ControllerResizeError")
    }
    message = next((str(state.get("message")) for state in states.values() if state.get("message")), "")
    return ClaimItem(
        name=meta(claim, "name"),
        phase=str(at(claim, "status", "phase") or "Pending"),
        storage_class=_class(claim),
        expandable=growing.get(_class(claim), False),
        requested=worth(at(claim, "spec", "resources", "requests", "storage")),
        capacity=capacity,
        used=used[0] if used else None,
        used_percent=percent(used[0], used[1] or capacity) if used and (used[1] or capacity) else None,
        resizing=states["Resizing"].get("status") == "True",
        restart_needed=states["FileSystemResizePending"].get("status") == "True",
        message=message[:400],
        volume=str(at(claim, "spec", "volumeName") or ""),
        modes=[str(mode) for mode in at(claim, "spec", "accessModes") or []],
    )


def _absent(name: str) -> ClaimItem:
    return ClaimItem(
        name=name,
        phase="missing",
        storage_class="",
        expandable=False,
        requested=0.0,
        capacity=0.0,
        used=None,
        used_percent=None,
        resizing=False,
        restart_needed=False,
        message="a pod asks for it and it is not there",
        volume="",
        modes=[],
    )
