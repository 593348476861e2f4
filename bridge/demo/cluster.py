"""The simulated cluster: its objects, its controllers and its clock. No I/O; `server` puts HTTP before it.

Tests that need no HTTP use it directly: seed with `apply`, move time with `step` or `settle`, look with `get`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

from bridge.demo import metrics
from bridge.demo.admission import prepare_new
from bridge.demo.behavior import Behavior
from bridge.demo.controllers import Controller, all_controllers
from bridge.demo.defaults import apply_defaults
from bridge.demo.exec import Programs
from bridge.demo.logs import Logs
from bridge.demo.objects import Obj, clone, name_of, namespace_of, timestamp, without_nulls
from bridge.demo.resources import Registry, Resource
from bridge.demo.store import Change, Store
from bridge.demo.structure import fill, zero
from bridge.demo.writes import Writes

_MOST_ROUNDS = 200
SEEDER = "kubectl-client-side-apply"


class SimulatedCluster:
    """State and controllers.

    Parameters: `clock` gives unix seconds; `nodes` is how many nodes there are at the start (named node-0, …);
    `seed` makes uids and generated names repeatable.
    """

    def __init__(self, clock: Callable[[], float] = time.time, *, nodes: int = 3, seed: int = 0) -> None:
        self._clock = clock
        self._ahead = 0.0
        self._travelling: float | None = None
        self.rng = Random(seed)  # noqa: S311 - names and uids of a simulation
        self.behavior = Behavior()
        self.registry = Registry()
        self.store = Store()
        self.writes = Writes(self.store, self.now, self.rng)
        self.logs = Logs(self.now)
        self.programs = Programs()
        """What commands in containers do."""
        self.unwell: set[str] = set()
        """Checks of the server's own health that fail (`etcd`): /readyz and /livez say so."""
        self.tokens: dict[str, str] = {}
        """Bearer tokens of users that RBAC is asked about."""
        self._dirty: set[str] = set()
        self.store.listen(self._mark)
        self._controllers: list[Controller] = all_controllers(self)
        self._due: dict[Controller, float | None] = dict.fromkeys(self._controllers)
        for name in ("default", "kube-system", "kube-public"):
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for index in range(nodes):
            self.apply(node_manifest(f"node-{index}", self.now()))

    # Time

    def now(self) -> float:
        """Unix seconds: the clock's, ahead by what `step` and `settle` let pass; another time within `travel`."""
        if self._travelling is not None:
            return self._travelling
        return self._clock() + self._ahead

    @contextmanager
    def travel(self, start: float) -> Iterator[None]:
        """Let things happen at another time, for seeds with a history. `settle` moves the time within."""
        self._travelling = start
        try:
            yield
        finally:
            self._travelling = None
            self._due = dict.fromkeys(self._controllers, 0.0)

    def step(self, now: float | None = None) -> None:
        """Run the controllers until nothing is left to do at this time, or at `now` if that is later.

        Time goes on from there, as the clock does.
        """
        if now is not None:
            if self._travelling is not None:
                self._travelling = now
            else:
                self._ahead += max(now - self.now(), 0.0)
        for _ in range(_MOST_ROUNDS):
            if not self._round():
                return

    def settle(self, seconds: float = 60.0) -> None:
        """Let simulated time run for so long, from one thing that is due to the next."""
        end = self.now() + seconds
        self.step()
        while (due := self.next_due()) is not None and due <= end:
            self.step(due + 0.001)
        self.step(end)

    def next_due(self) -> float | None:
        """When a controller wants to run next: now if something changed, None if nothing is to be done."""
        if self._dirty:
            return self.now()
        return min((due for due in self._due.values() if due is not None), default=None)

    def _round(self) -> bool:
        dirty, self._dirty = self._dirty, set()
        now = self.now()
        ran = False
        for controller in self._controllers:
            due = self._due[controller]
            if (due is not None and due <= now) or not dirty.isdisjoint(controller.watches):
                self._due[controller] = controller.sync(now)
                ran = True
        return ran and bool(self._dirty)

    def _mark(self, change: Change) -> None:
        self._dirty.add(change.key)

    # Seeding and looking

    def apply(self, manifest: Obj) -> Obj:
        """Create or replace from a manifest, its status included if it has one. Returns what is stored."""
        resource = self.resource(manifest["apiVersion"], manifest["kind"])
        obj = fill(
            zero(resource.built_in_kind),
            clone(manifest) if resource.custom else without_nulls(manifest),
        )
        if resource.namespaced:
            obj["metadata"].setdefault("namespace", "default")
            self._ensure_namespace(obj["metadata"]["namespace"])
        apply_defaults(resource.kind, obj)
        before = self.store.get(resource.key, namespace_of(obj), name_of(obj))
        if before is None:
            stored = self.store.put(resource.key, self._new(resource, obj, manifest.get("status")))
            if resource.kind == "CustomResourceDefinition":
                self.registry.add_definition(stored)
            return stored
        obj["metadata"] = {**before["metadata"], **obj["metadata"]}
        if "status" in before and not manifest.get("status"):
            obj["status"] = before["status"]
        return self.writes.store_change(resource, before, obj, SEEDER)

    def _new(self, resource: Resource, obj: Obj, status: Obj | None) -> Obj:
        """A seeded object; its status counts as set by whoever keeps it, not by the one who created it."""
        seeded = obj.get("status")
        empty = zero(resource.built_in_kind).get("status")
        bare = {key: value for key, value in obj.items() if key != "status"}
        if empty is not None:
            bare["status"] = empty
        self.writes.track(resource, None, bare, SEEDER)
        obj["metadata"] = bare["metadata"]
        prepare_new(self, resource, obj)
        if status:
            obj["status"] = seeded
            self.writes.track(resource, {**bare, "metadata": dict(bare["metadata"])}, obj, "kubelet", "status")
        return self.writes.stamp(resource, obj)

    def _ensure_namespace(self, name: str) -> None:
        if self.store.get("namespaces", "", name) is None:
            self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def resource(self, api_version: str, kind: str) -> Resource:
        """The served resource of a kind. Raises LookupError."""
        found = self.registry.of_kind(api_version, kind)
        if found is None:
            raise LookupError(f"{api_version} {kind} is not served")
        return found

    def get(self, key: str, namespace: str, name: str) -> Obj | None:
        """One object, by `deployments.apps` or `pods`; read it, don't change it."""
        return self.store.get(key, namespace, name)

    def list(self, key: str, namespace: str = "") -> list[Obj]:
        """The objects of a resource, of one namespace or of all."""
        return self.store.list(key, namespace)

    def set_behavior(self, **changes: Any) -> None:
        """Change what `Behavior` says from here on: `set_behavior(ready_delay=5, images={"web:slow": "never"})`."""
        self.behavior = replace(self.behavior, **changes)
        self._due = dict.fromkeys(self._controllers, 0.0)

    def set_metrics(self, installed: bool) -> None:
        """Have a metrics server, or have none any more. There is none at the start."""
        for resource in metrics.RESOURCES:
            if installed:
                self.registry.add(resource)
            else:
                self.registry.remove(resource)

    @property
    def has_metrics(self) -> bool:
        return self.registry.of_kind(f"{metrics.GROUP}/v1beta1", "PodMetrics") is not None

    def issue_token(self, namespace: str, service_account: str) -> str:
        """A bearer token of a service account, for which RBAC is then enforced."""
        token = f"simulated-{self.writes.suffix(20)}"
        self.tokens[token] = f"system:serviceaccount:{namespace}:{service_account}"
        return token

    def compact(self) -> None:
        """Forget the history: watches and continued lists from before get 410."""
        self.store.compact()


def node_manifest(name: str, now: float) -> Obj:
    """A node that is ready, with four cores and 8 GiB."""
    size = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    ready = {
        "type": "Ready",
        "status": "True",
        "lastHeartbeatTime": timestamp(now),
        "lastTransitionTime": timestamp(now),
        "reason": "KubeletReady",
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {
            "capacity": dict(size),
            "allocatable": dict(size),
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }
