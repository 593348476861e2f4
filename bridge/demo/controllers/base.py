"""What all controllers of the simulated cluster share. A controller reads the store and writes through `writes`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bridge.demo.objects import Obj, name_of, namespace_of, timestamp, uid_of

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

MANAGER = "kube-controller-manager"
KUBELET = "kubelet"
Seen = tuple[str | int, ...]
"""The versions of what an object was looked at with."""


class Controller(ABC):
    """Brings one kind of thing closer to what is wished for.

    `sync` is called when something of `watches` changed, and at the time that it returned last.
    """

    watches: frozenset[str] = frozenset()

    def __init__(self, cluster: SimulatedCluster) -> None:
        self.cluster = cluster
        self.store = cluster.store
        self.writes = cluster.writes
        self._events: dict[tuple[str, str, str], str] = {}
        self._settled: dict[str, tuple[Seen, float | None]] = {}
        self.refused = False
        """Set by what `unless_settled` calls: the server did not let it be done, so that it is tried again."""

    def unless_settled(
        self, obj: Obj, around: Iterable[str], now: float, sync: Callable[[], float | None]
    ) -> float | None:
        """Call `sync` for one object, unless it was called with just this before and is not due. Returns when it is.

        `around` are the resources of the object's namespace that it depends on beside the object itself.
        """
        namespace = namespace_of(obj)
        seen = (obj["metadata"]["resourceVersion"], *(self.store.touched(key, namespace) for key in around))
        known, due = self._settled.get(uid_of(obj), (None, None))
        if known != seen or (due is not None and due <= now):
            self.refused = False
            due = sync()
            self._settled[uid_of(obj)] = (() if self.refused else seen, due)
        return due

    @abstractmethod
    def sync(self, now: float) -> float | None:
        """Do what there is to do at this time. Returns when to be called again, None for not before a change."""

    def record(self, obj: Obj, reason: str, message: str, component: str, *, warning: bool = False) -> None:
        """An Event about an object; the same again counts up."""
        now = self.cluster.now()
        events = self.cluster.resource("v1", "Event")
        seen = (uid_of(obj), reason, message)
        namespace = namespace_of(obj) or "default"
        known = self.store.get(events.key, namespace, self._events.get(seen, ""))
        if known is not None:
            again = {**known, "count": known["count"] + 1, "lastTimestamp": timestamp(now)}
            self.writes.save(events, again, component)
            return
        name = f"{name_of(obj)}.{int(now * 1e9) + len(self._events):x}"
        self._events[seen] = name
        about = {
            "kind": obj["kind"],
            "namespace": namespace_of(obj),
            "name": name_of(obj),
            "uid": uid_of(obj),
            "apiVersion": obj["apiVersion"],
            "resourceVersion": obj["metadata"].get("resourceVersion", ""),
        }
        event = {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {key: value for key, value in about.items() if value},
            "reason": reason,
            "message": message,
            "source": {"component": component},
            "firstTimestamp": timestamp(now),
            "lastTimestamp": timestamp(now),
            "count": 1,
            "type": "Warning" if warning else "Normal",
            "eventTime": None,
            "reportingComponent": component,
            "reportingInstance": "",
        }
        manager = component if component == KUBELET else MANAGER
        self.writes.insert(events, event, manager)


def earliest(*times: float | None) -> float | None:
    """The first of the times that are set."""
    return min((time for time in times if time is not None), default=None)


def set_condition(conditions: list[Obj], new: Obj) -> list[Obj]:
    """The conditions with one of them new; its transition time stays while its status does."""
    old = next((entry for entry in conditions if entry["type"] == new["type"]), None)
    if old is not None and old["status"] == new["status"]:
        new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
        if {**old, **new} == old:
            return conditions
    return [entry for entry in conditions if entry["type"] != new["type"]] + [new]
