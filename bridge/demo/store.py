"""The objects of the simulated cluster, their resourceVersions and their history. Pure state, no I/O.

Objects handed out are never changed in place: a write puts a new dict in, so readers may keep what they got.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bridge.demo.objects import Obj, name_of, namespace_of

_HISTORY = 20_000


@dataclass(frozen=True)
class Change:
    """One write. `before` is None for a creation; `obj` is the last state for a deletion."""

    revision: int
    type: str
    key: str
    obj: Obj
    before: Obj | None


Objects = list[Obj]
Changes = list[Change]


class Store:
    """Objects by resource, with one revision counter, a bounded history and listeners."""

    def __init__(self) -> None:
        self.revision = 1
        self.compacted = 0
        """Changes up to this revision are forgotten: a watch from before it has expired."""
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {}
        self._touched: dict[tuple[str, str], int] = {}
        self._history: list[Change] = []
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` after every write. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def get(self, key: str, namespace: str, name: str) -> Obj | None:
        return self._objects.get(key, {}).get((namespace, name))

    def list(self, key: str, namespace: str = "") -> Objects:
        """All objects of a resource, of one namespace or of all, in the order of their keys."""
        found = self._objects.get(key, {})
        if namespace:
            return [found[place] for place in sorted(found) if place[0] == namespace]
        return [found[place] for place in sorted(found)]

    def touched(self, key: str, namespace: str) -> int:
        """The revision of the last change of a resource in a namespace: while it stays, so does what is there."""
        return self._touched.get((key, namespace), 0)

    def everything(self) -> Iterator[tuple[str, Obj]]:
        for key, objects in self._objects.items():
            for obj in list(objects.values()):
                yield key, obj

    def put(self, key: str, obj: Obj) -> Obj:
        """Create or replace; gives the object its resourceVersion. The caller has checked what there is to."""
        place = (namespace_of(obj), name_of(obj))
        objects = self._objects.setdefault(key, {})
        before = objects.get(place)
        obj["metadata"]["resourceVersion"] = self._next()
        objects[place] = obj
        self._record(Change(self.revision, "ADDED" if before is None else "MODIFIED", key, obj, before))
        return obj

    def delete(self, key: str, obj: Obj) -> Obj:
        """Take an object out. Returns its last state, with the revision of the deletion."""
        before = self._objects[key].pop((namespace_of(obj), name_of(obj)))
        metadata = before["metadata"] | {"resourceVersion": self._next()}
        last = before | {"metadata": metadata}
        self._record(Change(self.revision, "DELETED", key, last, before))
        return last

    def since(self, key: str, revision: int) -> Changes:
        """The changes of a resource after a revision, oldest first."""
        start = bisect_right(self._history, revision, key=lambda change: change.revision)
        return [change for change in self._history[start:] if change.key == key]

    def compact(self) -> None:
        """Forget the history, as etcd does from time to time: what watches from before gets 410."""
        self._history.clear()
        self.compacted = self.revision

    def _next(self) -> str:
        self.revision += 1
        return str(self.revision)

    def _record(self, change: Change) -> None:
        self._history.append(change)
        self._touched[change.key, namespace_of(change.obj)] = self.revision
        if len(self._history) > _HISTORY:
            dropped = self._history[: _HISTORY // 2]
            del self._history[: len(dropped)]
            self.compacted = dropped[-1].revision
        for listener in tuple(self._listeners):
            listener(change)
