"""The node controller: a node that takes no pods says so by a taint as well."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER, Controller
from bridge.demo.objects import Obj, clone

CORDONED = "node.kubernetes.io/unschedulable"


class Cordons(Controller):
    """Keeps the taint of cordoned nodes."""

    watches = frozenset({"nodes"})

    def sync(self, now: float) -> float | None:
        if self.cluster.behavior.taint_cordoned:
            for node in self.store.list("nodes"):
                self._sync_one(node)
        return None

    def _sync_one(self, node: Obj) -> None:
        taints = node["spec"].get("taints") or []
        has = any(taint["key"] == CORDONED for taint in taints)
        if has == bool(node["spec"].get("unschedulable")):
            return
        tainted: Obj = clone(node)
        if has:
            left = [taint for taint in taints if taint["key"] != CORDONED]
            tainted["spec"]["taints"] = left
            if not left:
                del tainted["spec"]["taints"]
        else:
            tainted["spec"]["taints"] = [*clone(taints), {"key": CORDONED, "effect": "NoSchedule"}]
        self.writes.save(self.cluster.resource("v1", "Node"), tainted, MANAGER)
