"""Keep copies of ConfigMaps: of each before we change it, and of configured ones while their workload is well.

Called by make before a write, and by app as a periodic job. A copy is proven good when the workload that depends on
the ConfigMap was fully ready for a while, with pods that started when it held that already. Secrets are never copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from bridge.errors import AlertbridgeError, KubeError, StoreUnavailable
from bridge.model.outside import Copy
from bridge.model.permission import Permission
from bridge.model.permits import permit
from bridge.model.plan import Change, Operation
from bridge.model.pod import is_leaving
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, at, parse_time, rollout_of, selector_of
from bridge.ports import Cluster, Clusters, Connections, Copies

log = structlog.get_logger(__name__)

KIND = "ConfigMap"
EVERY = 60.0
"""Seconds between two looks at each configured ConfigMap, whatever the number of workers."""
_CHANGES_ONE = frozenset({Operation.PATCH, Operation.APPLY, Operation.DELETE})
_ENDED = frozenset({"Succeeded", "Failed"})
_MOST_PODS = 1000


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A ConfigMap whose copies are to be proven, and by what."""

    ref: ObjectRef
    workload: ObjectRef
    after: float
    """Seconds that the workload has to be fully ready with it."""
    reloads: bool = False
    """Whether its pods take a new content up while they run: then they need not have started after it."""


def content_of(document: Document) -> dict[str, Any]:
    """Return what is kept of a ConfigMap: what it holds and is called, not the server's bookkeeping."""
    meta = document["metadata"]
    named = {key: meta[key] for key in ("name", "namespace", "labels") if meta.get(key)}
    held = {key: document[key] for key in ("data", "binaryData", "immutable") if document.get(key)}
    return {"apiVersion": "v1", "kind": KIND, "metadata": named, **held}


async def keep_before(reach: Connections, change: Change, remediation: str) -> None:
    """Keep what a change of a ConfigMap is about to replace. Raises StoreUnavailable: then nothing is written."""
    ref = change.ref
    if (ref.api_version, ref.kind) != ("v1", KIND) or change.operation not in _CHANGES_ONE:
        return
    try:
        document = await reach.cluster.get(ref)
    except KubeError:
        # The write will meet it too, and say so.
        return
    why = f"before remediation {remediation} changed it"
    copy = Copy(taken_at=reach.clock.now(), manifest=content_of(document), good=False, why=why)
    if not await reach.copies.keep(ref, copy):
        log.warning("too large for a copy", object=str(ref))


class CopyKeeper:
    """Looks at the configured ConfigMaps, and keeps a copy of each content that proved good."""

    def __init__(self, watched: Callable[[], Sequence[Watched]], clusters: Clusters, copies: Copies) -> None:
        """`watched` is asked each time: the configuration may change."""
        self._watched = watched
        self._clusters = clusters
        self._copies = copies

    async def look(self) -> None:
        """Look at each, if no other process has just done so. Raises StoreUnavailable."""
        watched = self._watched()
        if not watched or not await self._copies.take_turn(EVERY * 0.8):
            return
        for each in watched:
            try:
                await self._look_at(each)
            except StoreUnavailable:
                raise
            except AlertbridgeError as error:
                # The others are looked at all the same; a cluster that is away proves nothing.
                log.warning("no copy could be proven", object=str(each.ref), error=str(error))

    async def _look_at(self, each: Watched) -> None:
        cluster = self._clusters.get(each.ref.cluster)
        document = await cluster.get(each.ref)
        content = content_of(document)
        well = await _is_well(cluster, each, document)
        seconds = await self._copies.watched(each.ref, content, well=well, gap=EVERY * 3)
        if well and seconds >= each.after:
            why = f"{each.workload} was fully ready with it for {each.after:.0f} s"
            await self._copies.keep(each.ref, Copy(taken_at=0.0, manifest=content, good=True, why=why))


async def _is_well(cluster: Cluster, each: Watched, document: Document) -> bool:
    """Whether every pod that is wished for is ready, and started when the ConfigMap held what it holds."""
    workload = await cluster.get(each.workload)
    rollout = rollout_of(each.workload.kind, workload)
    if not (rollout.complete and rollout.desired and rollout.ready >= rollout.desired):
        return False
    if each.reloads:
        return True
    selector = selector_of(workload)
    if not selector:
        return False
    pods = await cluster.list("v1", "Pod", each.workload.namespace, labels=selector, limit=_MOST_PODS)
    running = [pod for pod in pods if not is_leaving(pod) and at(pod, "status", "phase") not in _ENDED]
    since = changed_at(document)
    return bool(running) and all(parse_time(at(pod, "status", "startTime")) >= since for pod in running)


def changed_at(document: Document) -> float:
    """Return when somebody last changed what a ConfigMap holds (unix seconds), as the server keeps it by manager.

    Source: Kubernetes, server-side apply, `managedFields`: an entry's time moves when a value of its fields changes.
    """
    entries: Iterable[Mapping[str, Any]] = at(document, "metadata", "managedFields") or []
    holding = [e for e in entries if {"f:data", "f:binaryData"} & (e.get("fieldsV1") or {}).keys()]
    times = [parse_time(entry.get("time")) for entry in holding]
    return max(times, default=parse_time(at(document, "metadata", "creationTimestamp")))


def permissions(watched: Iterable[Watched]) -> list[Permission]:
    """Return what the job asks of the API servers."""
    found: list[Permission] = []
    for each in watched:
        workload = each.workload
        found += [
            permit("v1", KIND, "get", namespace=each.ref.namespace, names=[each.ref.name]),
            permit(workload.api_version, workload.kind, "get", namespace=workload.namespace, names=[workload.name]),
        ]
        if not each.reloads:
            found.append(permit("v1", "Pod", "list", namespace=workload.namespace))
    return found
