"""Puts objects into the store: uid, times, generation, managedFields. Used by verbs and controllers."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random

from bridge.demo.fieldsets import record_update
from bridge.demo.objects import Obj, clone, name_of, namespace_of, timestamp
from bridge.demo.resources import Resource
from bridge.demo.store import Store
from bridge.demo.structure import zero

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Writes:
    """The one way into the store. Time and randomness are passed in."""

    def __init__(self, store: Store, now: Callable[[], float], rng: Random) -> None:
        self._store = store
        self._now = now
        self._rng = rng

    def suffix(self, length: int = 5) -> str:
        """Random letters as generated names end in."""
        return "".join(self._rng.choice(_ALPHABET) for _ in range(length))

    def new_uid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))

    def stamp(self, resource: Resource, obj: Obj) -> Obj:
        """Give a new object its identity: uid, creation time, generation. Returns the same object."""
        metadata = obj["metadata"]
        metadata.setdefault("uid", self.new_uid())
        metadata["creationTimestamp"] = timestamp(self._now())
        if resource.generation:
            metadata["generation"] = 1
        return obj

    def track(
        self,
        resource: Resource,
        before: Obj | None,
        after: Obj,
        manager: str,
        subresource: str = "",
        api_version: str = "",
    ) -> None:
        """Write down in `after` who set what."""
        fields = record_update(
            before or zero(resource.built_in_kind),
            after,
            manager=manager,
            api_version=api_version or resource.api_version,
            now=timestamp(self._now()),
            subresource=subresource,
            kind=resource.built_in_kind,
        )
        if fields:
            after["metadata"]["managedFields"] = fields

    def insert(self, resource: Resource, obj: Obj, manager: str) -> Obj:
        """A new object from a controller: tracked, stamped and stored."""
        obj = {"kind": resource.kind, "apiVersion": resource.api_version, **obj}
        self.track(resource, None, obj, manager)
        self.stamp(resource, obj)
        return self._store.put(resource.key, obj)

    def save(self, resource: Resource, after: Obj, manager: str, subresource: str = "") -> Obj:
        """A changed object from a controller. Nothing is written when nothing changed."""
        before = self._store.get(resource.key, namespace_of(after), name_of(after))
        if before is None or before["metadata"]["uid"] != after["metadata"]["uid"]:
            return after
        return self.store_change(resource, before, after, manager, subresource)

    def store_change(
        self,
        resource: Resource,
        before: Obj,
        after: Obj,
        manager: str,
        subresource: str = "",
        *,
        tracked: bool = False,
    ) -> Obj:
        """Store `after` in place of `before`, unless they are the same."""
        prepared = self.prepare_change(resource, before, after, manager, subresource, tracked=tracked)
        return before if prepared is None else self._store.put(resource.key, prepared)

    def prepare_change(
        self, resource: Resource, before: Obj, after: Obj, manager: str, subresource: str, *, tracked: bool
    ) -> Obj | None:
        """What would be stored for a change; None when there is none. Nothing is written."""
        if _same(before, after):
            return None
        after = {**after, "metadata": dict(after["metadata"])}
        if resource.generation and _spec_of(before) != _spec_of(after):
            after["metadata"]["generation"] = int(before["metadata"].get("generation", 0)) + 1
        if not tracked:
            self.track(resource, before, after, manager, subresource)
        return after

    def mark_deleted(self, resource: Resource, obj: Obj, grace: int) -> Obj:
        """Write the deletion's time into an object that something must still happen for."""
        marked: Obj = clone(obj)
        marked["metadata"]["deletionTimestamp"] = timestamp(self._now() + grace)
        if resource.kind != "Namespace":
            marked["metadata"]["deletionGracePeriodSeconds"] = grace
            if "generation" in marked["metadata"]:
                marked["metadata"]["generation"] += 1
        return self._store.put(resource.key, marked)

    def remove(self, resource: Resource, obj: Obj) -> Obj:
        return self._store.delete(resource.key, obj)


def _same(before: Obj, after: Obj) -> bool:
    for key in before.keys() | after.keys():
        if key == "metadata":
            ignored = ("managedFields", "resourceVersion", "generation")
            old = {name: value for name, value in before[key].items() if name not in ignored}
            new = {name: value for name, value in after[key].items() if name not in ignored}
            if old != new:
                return False
        elif before.get(key) != after.get(key):
            return False
    return True


def _spec_of(obj: Obj) -> Obj:
    """Everything that counts for the generation: all but metadata and status."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}
