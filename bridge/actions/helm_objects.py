"""What a Helm rollback does to the objects of a release: create, change, delete, as a plan. Called by helm_rollback.

Only reads. The three-way merge is Helm's; what it must not touch without being told, it names with the mend. Objects
of kind Secret become calls, which find their content in the release's records when they are made: it is neither
shown nor stored with the plan.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.actions.helm_kinds import allowed
from bridge.actions.workloads import refuse_deleted
from bridge.errors import KubeNotFound, PlanError
from bridge.model.helm import Release
from bridge.model.helm_manifest import (
    POLICY,
    RELEASE_NAME,
    RELEASE_NAMESPACE,
    Key,
    Manifest,
    as_sent,
    objects_of,
    removed,
)
from bridge.model.plan import Change, Disruption, Field, Operation
from bridge.model.target import ObjectRef, check_name
from bridge.model.three_way import fields_between, is_built_in, three_way
from bridge.model.workload import WORKLOADS, Document, annotations_of, at, rollout_of
from bridge.ports import ActionContext

_LASTING = frozenset({"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"})
"""Kinds that take something with them which no manifest brings back."""
_MOST_AUTOSCALERS = 500
_AUTOSCALING = "autoscaling/v2"
_SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet"})


class Rules(msgspec.Struct, frozen=True):
    """What a rollback may do."""

    kinds: tuple[str, ...]
    allow_data_loss: bool


class Difference(msgspec.Struct, frozen=True):
    """What is between two revisions, at this cluster."""

    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        counts = {"created": 0, "changed": 0, "removed": 0}
        for change in self.changes:
            counts[_done(change)] += 1
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "no object differs"


def _done(change: Change) -> str:
    what = change.call.get("what") if change.operation is Operation.CALL else change.operation.value
    return {"create": "created", "delete": "removed"}.get(str(what), "changed")


async def difference(context: ActionContext, current: Release, target: Release, rules: Rules) -> Difference:
    """Return what turns the objects of `current` into those of `target`, in the order in which Helm makes it.

    Raises PlanError and InvalidInput, which name the mend, and KubeError.
    """
    # A manifest may be large, and reading YAML takes its time.
    known: dict[str, Any] = {}
    old = await asyncio.to_thread(objects_of, current.manifest, current.namespace, known=known)
    new = await asyncio.to_thread(objects_of, target.manifest, current.namespace, known=known)
    work = _Work(context, current, rules, old, new)
    for key, manifest in new.items():
        await work.bring(key, manifest)
    for key in removed(old, new):
        await work.remove(key)
    return Difference(tuple(work.changes), tuple(work.notes))


class _Work:
    """One plan in the making."""

    def __init__(
        self,
        context: ActionContext,
        current: Release,
        rules: Rules,
        old: Mapping[Key, Manifest],
        new: Mapping[Key, Manifest],
    ) -> None:
        self.changes: list[Change] = []
        self.notes: list[str] = []
        self._context = context
        self._release = current
        self._rules = rules
        self._old = old
        self._new = new
        self._autoscalers: list[dict[str, Any]] | None = None

    async def bring(self, key: Key, manifest: Manifest) -> None:
        """Plan that the object is as the manifest says."""
        before = self._old.get(key)
        if self._skipped(key, unchanged=before is not None and before.document == manifest.document):
            return
        ref = self._ref(key, manifest.api_version)
        live = await self._read(ref)
        wanted = as_sent(manifest, self._release.name, self._release.namespace)
        if live is None:
            self._create(ref, wanted)
            return
        refuse_deleted(ref, live)
        if before is None and not self._is_own(live):
            raise PlanError(
                f"{ref} is there and not of release {self._release.name}: Helm would refuse it; remove it, or "
                f"annotate it with {RELEASE_NAME} and {RELEASE_NAMESPACE}"
            )
        merged = three_way(before.document if before else {}, wanted, live, built_in=is_built_in(key.group, key.kind))
        await self._change(msgspec.structs.replace(ref, uid=live["metadata"]["uid"]), live, merged)

    async def remove(self, key: Key) -> None:
        """Plan that the object goes, unless it is to be kept."""
        self._skipped(key, unchanged=False)
        manifest = self._old[key]
        ref = self._ref(key, manifest.api_version)
        live = await self._read(ref)
        if live is None or at(live, "metadata", "deletionTimestamp"):
            return
        if annotations_of(live).get(POLICY) == "keep" or annotations_of(manifest.document).get(POLICY) == "keep":
            self.notes.append(f"{ref} stays: it has {POLICY}: keep")
            return
        if key.kind in _LASTING and not self._rules.allow_data_loss:
            raise PlanError(
                f"{ref} would be deleted with all that is in it, which no undo brings back: set `allow_data_loss: "
                f"true` on the step, or annotate it with {POLICY}: keep"
            )
        ref = msgspec.structs.replace(ref, uid=live["metadata"]["uid"])
        if key.kind == "Secret":
            self._call(ref, "delete", f"delete {ref}", live)
            return
        kept = {k: v for k, v in live.items() if k != "status"}
        kept["metadata"] = {k: v for k, v in live["metadata"].items() if k != "managedFields"}
        self._add(
            ref,
            operation=Operation.DELETE,
            manifest=kept,
            summary=f"delete {ref}",
            disruption=_disruption(key.kind, live, all_pods=True),
        )

    def _create(self, ref: ObjectRef, wanted: dict[str, Any]) -> None:
        if ref.kind == "Secret":
            self._call(ref, "create", f"create {ref}", None)
            return
        manifest = {key: value for key, value in wanted.items() if key != "status"}
        self._add(ref, operation=Operation.CREATE, manifest=manifest, summary=f"create {ref}")

    async def _change(self, ref: ObjectRef, live: dict[str, Any], merged: dict[str, Any]) -> None:
        if ref.kind in _SCALED:
            merged = await self._leave_scaled(ref, live, merged)
        fields = [_filled(field) for field in fields_between(live, merged)]
        changed = [field for field in fields if field.change]
        if not changed:
            return
        if ref.kind == "Secret":
            names = ", ".join(sorted({field.pointer.split("/")[-1] for field in changed}))
            self._call(ref, "change", f"change {names} of {ref}", live)
            return
        places = ", ".join(field.pointer for field in changed[:3]) + (" …" if len(changed) > 3 else "")
        replaced = any(field.pointer.startswith("/spec/template") for field in changed)
        self._add(
            ref,
            fields=tuple(fields),
            summary=f"change {places} of {ref}",
            disruption=_disruption(ref.kind, live, all_pods=replaced, wanted=at(merged, "spec", "replicas")),
        )

    async def _leave_scaled(self, ref: ObjectRef, live: Document, merged: dict[str, Any]) -> dict[str, Any]:
        """Return the object with the number of pods that an autoscaler gave it."""
        count = at(live, "spec", "replicas")
        if at(merged, "spec", "replicas") == count:
            return merged
        if self._autoscalers is None:
            self._autoscalers = await self._context.reach.cluster.list(
                _AUTOSCALING, "HorizontalPodAutoscaler", self._release.namespace, limit=_MOST_AUTOSCALERS
            )
        for autoscaler in self._autoscalers:
            scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
            if (scaled.get("kind"), scaled.get("name")) == (ref.kind, ref.name):
                self.notes.append(f"{ref} keeps {count} replicas: an autoscaler has its number")
                merged = copy.deepcopy(merged)
                merged["spec"]["replicas"] = count
        return merged

    def _skipped(self, key: Key, *, unchanged: bool) -> bool:
        """Whether the object is none of ours to touch; raise PlanError when it would have to be."""
        release = self._release
        if key.namespace not in ("", release.namespace):
            place = key.namespace
            if unchanged:
                return True
            raise PlanError(
                f"release {release.name} has {key} in namespace {place}: a rollback here stays in "
                f"{release.namespace}; use `helm rollback {release.name} -n {release.namespace}`"
            )
        if allowed(self._rules.kinds, key.group, key.kind):
            return False
        if unchanged:
            self.notes.append(f"{key} is not looked at: its kind is not among the step's `kinds`")
            return True
        named = f"{key.group}/{key.kind}" if key.group else key.kind
        raise PlanError(f"{key} differs between the revisions: add {named} to the step's `kinds`")

    def _is_own(self, live: Document) -> bool:
        notes = annotations_of(live)
        own = (self._release.name, self._release.namespace)
        return (notes.get(RELEASE_NAME), notes.get(RELEASE_NAMESPACE)) == own

    def _ref(self, key: Key, api_version: str) -> ObjectRef:
        return ObjectRef(
            api_version, key.kind, key.namespace, check_name(key.name), cluster=self._context.target.cluster
        )

    async def _read(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self._context.reach.cluster.get(ref)
        except KubeNotFound:
            return None

    def _call(self, ref: ObjectRef, what: str, summary: str, live: Document | None) -> None:
        """Plan a call for a Secret; see helm_secrets."""
        release, version = self._release, self._release.version
        call: dict[str, Any] = {"do": "secret", "release": release.name, "namespace": release.namespace, "what": what}
        call |= {"old": version, "new": version + 1}
        seen = str(at(live, "metadata", "resourceVersion") or "") if live else ""
        self._add(
            ref,
            operation=Operation.CALL,
            call={**call, "resource_version": seen},
            inverse_call={**call, "old": version + 1, "new": version, "resource_version": ""},
            summary=summary,
        )

    def _add(self, ref: ObjectRef, **more: Any) -> None:
        self.changes.append(Change(ref=ref, as_owner="Helm", **more))


def _filled(field: Field) -> Field:
    """Return the field as one that the server may fill in: where a whole part of an object is new."""
    whole = field.change and isinstance(field.after, dict | list)
    return msgspec.structs.replace(field, filled=True) if whole else field


def _disruption(kind: str, live: Document, *, all_pods: bool, wanted: int | None = None) -> Disruption:
    """Return what it does to pods that are ready now: all of them where they are replaced, else those too many."""
    if kind not in WORKLOADS:
        return Disruption()
    rollout = rollout_of(kind, live)
    ready = rollout.ready
    if not all_pods:
        ready = max(0, ready - wanted) if wanted is not None and wanted < rollout.desired else 0
    total = max(rollout.desired, rollout.ready)
    return Disruption(ready, round(100 * ready / total, 1) if total else 0.0)
