"""The scheduler: gives pods a node that is ready, takes them and has room. A pod that fits nowhere stays pending."""

from __future__ import annotations

from decimal import Decimal

from bridge.demo.controllers.base import Controller
from bridge.demo.defaults import containers_of
from bridge.demo.objects import Obj, clone, condition, dig, is_terminating, name_of, timestamp
from bridge.demo.quantities import value_of

_COMPONENT = "default-scheduler"


class Scheduler(Controller):
    """Binds pods to nodes, in turn."""

    watches = frozenset({"pods", "nodes"})

    def sync(self, now: float) -> float | None:
        waiting = [
            pod for pod in self.store.list("pods") if not pod["spec"].get("nodeName") and not is_terminating(pod)
        ]
        if waiting:
            nodes = self.store.list("nodes")
            used = self._used()
            for pod in waiting:
                self._place(pod, nodes, used, now)
        return None

    def _used(self) -> dict[str, tuple[Decimal, Decimal, int]]:
        used: dict[str, tuple[Decimal, Decimal, int]] = {}
        for pod in self.store.list("pods"):
            node = pod["spec"].get("nodeName")
            if node and pod["status"].get("phase") not in ("Succeeded", "Failed"):
                cpu, memory, count = used.get(node, (Decimal(0), Decimal(0), 0))
                more_cpu, more_memory = requested(pod)
                used[node] = (cpu + more_cpu, memory + more_memory, count + 1)
        return used

    def _place(self, pod: Obj, nodes: list[Obj], used: dict[str, tuple[Decimal, Decimal, int]], now: float) -> None:
        cpu, memory = requested(pod)
        refusals: dict[str, int] = {}
        fitting: list[tuple[int, str]] = []
        for node in nodes:
            why = self._refusal(pod, node) or _lack(node, used.get(name_of(node)), cpu, memory)
            if why:
                refusals[why] = refusals.get(why, 0) + 1
            else:
                fitting.append((used.get(name_of(node), (0, 0, 0))[2], name_of(node)))
        if not fitting:
            self._unschedulable(pod, len(nodes), refusals, now)
            return
        node_name = min(fitting)[1]
        old = used.get(node_name, (Decimal(0), Decimal(0), 0))
        used[node_name] = (old[0] + cpu, old[1] + memory, old[2] + 1)
        self._bind(pod, node_name, now)

    @staticmethod
    def _refusal(pod: Obj, node: Obj) -> str:
        wanted = pod["spec"].get("nodeSelector") or {}
        if not wanted.items() <= (node["metadata"].get("labels") or {}).items():
            return "node(s) didn't match Pod's node affinity/selector"
        if node["spec"].get("unschedulable"):
            return "node(s) were unschedulable"
        ready = condition(node, "Ready")
        if ready is None or ready["status"] != "True":
            return "node(s) were not ready"
        for taint in node["spec"].get("taints") or ():
            tolerations = pod["spec"].get("tolerations") or ()
            if taint["effect"] != "PreferNoSchedule" and not any(tolerates(entry, taint) for entry in tolerations):
                return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
        return ""

    def _bind(self, pod: Obj, node: str, now: float) -> None:
        bound: Obj = clone(pod)
        bound["spec"]["nodeName"] = node
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": timestamp(now),
        }
        others = [entry for entry in bound["status"].get("conditions") or () if entry["type"] != "PodScheduled"]
        bound["status"]["conditions"] = [*others, scheduled]
        # A binding leaves no trace in managedFields.
        self.store.put("pods", bound)
        text = f"Successfully assigned {pod['metadata']['namespace']}/{name_of(pod)} to {node}"
        self.record(pod, "Scheduled", text, _COMPONENT)

    def _unschedulable(self, pod: Obj, nodes: int, refusals: dict[str, int], now: float) -> None:
        listed = ", ".join(f"{count} {why}" for why, count in sorted(refusals.items()))
        message = f"0/{nodes} nodes are available: {listed}."
        old = condition(pod, "PodScheduled")
        if old is not None and old.get("message") == message:
            return
        waiting: Obj = clone(pod)
        waiting["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": timestamp(now),
                "reason": "Unschedulable",
                "message": message,
            }
        ]
        pods = self.cluster.resource("v1", "Pod")
        self.writes.save(pods, waiting, "kube-scheduler", "status")
        self.record(pod, "FailedScheduling", message, _COMPONENT, warning=True)


def requested(pod: Obj) -> tuple[Decimal, Decimal]:
    """The cores and bytes that a pod asks for."""
    cpu = memory = Decimal(0)
    for container in containers_of(pod["spec"]):
        requests = dig(container, "resources", "requests", default={})
        cpu += value_of(requests.get("cpu", 0))
        memory += value_of(requests.get("memory", 0))
    return cpu, memory


def _lack(node: Obj, used: tuple[Decimal, Decimal, int] | None, cpu: Decimal, memory: Decimal) -> str:
    used_cpu, used_memory, count = used or (Decimal(0), Decimal(0), 0)
    room = dig(node, "status", "allocatable", default={})
    if used_cpu + cpu > value_of(room.get("cpu", "4")):
        return "Insufficient cpu"
    if used_memory + memory > value_of(room.get("memory", "8Gi")):
        return "Insufficient memory"
    return "Too many pods" if count + 1 > int(room.get("pods", 110)) else ""


def tolerates(toleration: Obj, taint: Obj) -> bool:
    """Whether a toleration takes a taint."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    same_value = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same_value)
