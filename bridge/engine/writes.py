"""How each operation of a plan looks at what is there, and what it sends. Called by apply alone.

Every object that is created or changed carries the mark of its remediation.
"""

from __future__ import annotations

import copy
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec

from bridge.errors import DisruptionRefused, KubeBusy, PlanStale, TargetReplaced
from bridge.model.marks import REMEDIATION
from bridge.model.metadata import SERVERS_OWN
from bridge.model.plan import Change, Field, Operation, read_pointer, write_pointer
from bridge.model.redact import mask
from bridge.ports import Cluster

MARK = REMEDIATION
Existing = dict[str, Any] | None
"""The object as it was read; None: there is none."""

_BUDGET = re.compile(r"disruption budget (\S+) needs", re.I)
_BUSY_WITH_A_BUDGET = re.compile("disruption budget", re.I)


class Write(ABC):
    """One change on its way."""

    looks_first = True
    """Whether the object is read before anything is sent."""
    removes = False
    """Whether it is made when the object is gone."""

    def __init__(self, change: Change, remediation: str) -> None:
        self.change = change
        self.remediation = remediation
        self.ours = False
        """Whether what was found made can only be the work of this remediation."""
        self.version = ""
        """resourceVersion of the object with the change, once that is known."""

    @abstractmethod
    def settled(self, current: Existing) -> Change | None:
        """Return the change as made when nothing is left to do, None when it is to be sent.

        Raises PlanStale, TargetReplaced when it must not be.
        """

    @abstractmethod
    async def send(self, cluster: Cluster, current: Existing) -> Change:
        """Send it, and return it as it was made."""

    def _answered(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the object as the server answered it, its version noted."""
        self.version = str(document.get("metadata", {}).get("resourceVersion", ""))
        return document

    def _same(self, current: Existing) -> dict[str, Any]:
        """Return the object when it is the planned one."""
        ref = self.change.ref
        if current is None:
            raise TargetReplaced(f"{ref} does not exist any more")
        if ref.uid and _uid(current) != ref.uid:
            raise TargetReplaced(f"{ref} was made again since planning: uid {_uid(current)}, planned {ref.uid}")
        return current

    def _check_fields(self, current: dict[str, Any]) -> None:
        for field in self.change.fields:
            found = read_pointer(current, field.pointer)
            if found != field.before:
                raise PlanStale(
                    f"{self.change.ref} {field.pointer} is {_shown(found, field, self.change)}, "
                    f"it was {_shown(field.before, field, self.change)} when planned"
                )

    def _marked(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Return the manifest as it is sent: with our mark, and without what a server writes."""
        sent = copy.deepcopy({key: value for key, value in manifest.items() if key != "status"})
        meta = {key: value for key, value in sent.get("metadata", {}).items() if key not in SERVERS_OWN}
        meta["annotations"] = {**(meta.get("annotations") or {}), MARK: self.remediation}
        ref = self.change.ref
        place = {"namespace": ref.namespace} if ref.namespace else {}
        meta = {**meta, "name": ref.name, **place}
        return {**sent, "apiVersion": ref.api_version, "kind": ref.kind, "metadata": meta}


class PatchWrite(Write):
    """Fields get other values."""

    def settled(self, current: Existing) -> Change | None:
        found = self._same(current)
        changing = [field for field in self.change.fields if field.change]
        if changing and all(f.is_made(read_pointer(found, f.pointer)) for f in changing):
            return self._as_taken(found)
        self._check_fields(found)
        # Where nothing is to be changed, it is enough that what is relied on holds.
        return None if changing else self.change

    async def send(self, cluster: Cluster, current: Existing) -> Change:
        assert current is not None
        patch = _patch(current, self.change, self.remediation)
        made = await cluster.patch(self.change.ref, patch, subresource=self.change.subresource)
        return self._as_taken(self._answered(made))

    def _as_taken(self, found: dict[str, Any]) -> Change:
        """Return the change with the values that the server filled in, for the undo to compare with."""
        if not any(field.filled for field in self.change.fields):
            return self.change
        fields = tuple(
            msgspec.structs.replace(f, after=copy.deepcopy(read_pointer(found, f.pointer)), filled=False)
            if f.filled and f.change
            else f
            for f in self.change.fields
        )
        return msgspec.structs.replace(self.change, fields=fields)


class ApplyWrite(PatchWrite):
    """A manifest is merged in by server-side apply; its fields say what that changes."""

    async def send(self, cluster: Cluster, current: Existing) -> Change:
        assert current is not None
        manifest = self._marked(self.change.manifest or {})
        manifest["metadata"]["resourceVersion"] = current["metadata"]["resourceVersion"]
        return self._as_taken(self._answered(await cluster.apply(self.change.ref, manifest, force=self.change.force)))


class CreateWrite(Write):
    """An object is made. It is sent first: who may make one need not be allowed to read it."""

    looks_first = False

    def settled(self, current: Existing) -> Change | None:
        if current is None:
            return None
        ref = self.change.ref
        if read_pointer(current, _MARK_POINTER) != self.remediation:
            raise PlanStale(f"{ref} was made by somebody else since planning")
        if current["metadata"].get("deletionTimestamp"):
            raise PlanStale(f"{ref} is being deleted")
        self.ours = True
        return self._made(current)

    async def send(self, cluster: Cluster, current: Existing) -> Change:
        manifest = self._marked(self.change.manifest or {})
        return self._made(self._answered(await cluster.create(self.change.ref, manifest)))

    def _made(self, current: dict[str, Any]) -> Change:
        """Return the change with what the server made of it, for the undo to compare with."""
        ref = msgspec.structs.replace(self.change.ref, uid=_uid(current))
        wanted = self._marked(self.change.manifest or {})
        # A Secret's values are in the plan, and not written down a second time.
        manifest = wanted if ref.kind == "Secret" else _as_made(wanted, current)
        return msgspec.structs.replace(self.change, ref=ref, manifest=manifest)


class DeleteWrite(Write):
    """The object goes."""

    removes = True

    def settled(self, current: Existing) -> Change | None:
        if current is None:
            return self.change
        if self.change.ref.kind == "Pod" and _uid(current) != self.change.ref.uid:
            # The pod is gone; what is there now is its successor, e.g. of a StatefulSet.
            return self.change
        found = self._same(current)
        if found["metadata"].get("deletionTimestamp"):
            return self.change
        self._check_fields(found)
        return None

    async def send(self, cluster: Cluster, current: Existing) -> Change:
        assert current is not None
        change = self.change
        version = current["metadata"]["resourceVersion"] if change.fields else ""
        ref = msgspec.structs.replace(change.ref, uid=_uid(current))
        await cluster.delete(
            ref, resource_version=version, grace=change.grace_seconds, propagation=change.propagation
        )
        return change


class EvictWrite(DeleteWrite):
    """The pod goes, if its disruption budget allows that."""

    async def send(self, cluster: Cluster, current: Existing) -> Change:
        change = self.change
        try:
            await cluster.evict(change.ref, grace=change.grace_seconds)
        except KubeBusy as error:
            if not _BUSY_WITH_A_BUDGET.search(str(error)):
                raise
            named = _BUDGET.search(str(error))
            budget = f"disruption budget {named[1]}" if named else "a disruption budget"
            raise DisruptionRefused(
                f"{budget} allows no disruption: {change.ref} stays for now", delay=error.retry_after
            ) from error
        return change


_WRITES: Mapping[Operation, type[Write]] = {
    Operation.PATCH: PatchWrite,
    Operation.APPLY: ApplyWrite,
    Operation.CREATE: CreateWrite,
    Operation.DELETE: DeleteWrite,
    Operation.EVICT: EvictWrite,
}


def write_for(change: Change, remediation: str) -> Write:
    """Return the way in which a change is made; calls beyond Kubernetes have none here."""
    return _WRITES[change.operation](change, remediation)


def _patch(current: dict[str, Any], change: Change, remediation: str) -> dict[str, Any]:
    desired = copy.deepcopy(current)
    for field in change.fields:
        if field.change:
            write_pointer(desired, field.pointer, field.after)
    if not change.subresource:
        annotations = desired["metadata"].setdefault("annotations", {})
        annotations[MARK] = remediation
    patch = merge_patch(current, desired)
    patch.setdefault("metadata", {})["resourceVersion"] = current["metadata"]["resourceVersion"]
    return patch


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns `before` into `after`."""
    patch: dict[str, Any] = {}
    for key in before.keys() | after.keys():
        if key not in after:
            patch[key] = None
        elif key not in before:
            patch[key] = after[key]
        elif before[key] != after[key]:
            old, new = before[key], after[key]
            patch[key] = merge_patch(old, new) if isinstance(old, dict) and isinstance(new, dict) else new
    return patch


def _as_made(wanted: Any, made: Any) -> Any:
    """Return what is asked for in `wanted` with the values that the server gave it: it fills in and rewrites."""
    if isinstance(wanted, dict) and isinstance(made, dict):
        return {key: _as_made(value, made.get(key)) for key, value in wanted.items()}
    return copy.deepcopy(made)


def _uid(document: Mapping[str, Any]) -> str:
    return str(document.get("metadata", {}).get("uid", ""))


def _shown(value: Any, field: Field, change: Change) -> str:
    if change.ref.kind == "Secret":
        return "another value" if value is not None else "not there"
    # It is told to people and kept in logs: as an API shows a plan, without what is called like a credential.
    text = repr(mask({"pointer": field.pointer, "before": value})["before"])
    return text if len(text) <= 120 else f"{text[:117]}..."


_MARK_POINTER = "/metadata/annotations/" + MARK.replace("/", "~1")
