"""ReplicaSets: as many pods as wished for, and a status that counts them."""

from __future__ import annotations

from functools import partial

from bridge.demo.controllers.base import MANAGER, earliest
from bridge.demo.controllers.podsets import PodOwner, first_to_go, is_active
from bridge.demo.controllers.rollout import spec_replicas
from bridge.demo.objects import Obj, is_terminating, labels_of, parse_timestamp, pod_is_ready, timestamp


class ReplicaSets(PodOwner):
    """Keeps the pods and the status of every ReplicaSet."""

    watches = frozenset({"replicasets.apps", "pods"})
    component = "replicaset-controller"

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("apps/v1", "ReplicaSet")
        due: float | None = None
        for found in self.store.list("replicasets.apps"):
            if not is_terminating(found):
                sync = partial(self._sync_one, found, now)
                due = earliest(due, self.unless_settled(found, ("pods",), now, sync))
        return due

    def _sync_one(self, found: Obj, now: float) -> float | None:
        pods = self.pods_of(found)
        active = [pod for pod in pods if is_active(pod)]
        missing = spec_replicas(found) - len(active)
        refused = False
        for _ in range(missing):
            made = self.make_pod(found, found["spec"]["template"])
            if made is None:
                refused = self.refused = True
                break
            active.append(made)
        for pod in first_to_go(active)[: max(-missing, 0)]:
            self.drop_pod(found, pod)
        return self._report(found, now, refused)

    def _report(self, found: Obj, now: float, refused: bool) -> float | None:
        """Write the status. Returns when the next pod has been ready for long enough."""
        pods = self.pods_of(found)
        active = [pod for pod in pods if is_active(pod)]
        wanted_labels = found["spec"]["template"]["metadata"].get("labels") or {}
        ready = [pod for pod in active if pod_is_ready(pod)]
        available_at = [_available_at(pod, found) for pod in ready]
        counts = {
            "fullyLabeledReplicas": sum(wanted_labels.items() <= labels_of(pod).items() for pod in active),
            "readyReplicas": len(ready),
            "availableReplicas": sum(when <= now for when in available_at),
        }
        status: Obj = {"replicas": len(active), **{key: value for key, value in counts.items() if value}}
        status["terminatingReplicas"] = sum(is_terminating(pod) for pod in pods)
        status["observedGeneration"] = found["metadata"]["generation"]
        old = [entry for entry in found["status"].get("conditions") or () if entry["type"] == "ReplicaFailure"]
        if refused:
            status["conditions"] = old or [_failure(now)]
        if status != found["status"]:
            self.writes.save(self.resource, {**found, "status": status}, MANAGER, "status")
        return earliest(*(when for when in available_at if when > now))


def _available_at(pod: Obj, found: Obj) -> float:
    """From when on a ready pod counts as available."""
    least = found["spec"].get("minReadySeconds", 0)
    if not least:
        return 0.0
    since = next(entry["lastTransitionTime"] for entry in pod["status"]["conditions"] if entry["type"] == "Ready")
    return parse_timestamp(since) + float(least)


def _failure(now: float) -> Obj:
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "lastTransitionTime": timestamp(now),
        "reason": "FailedCreate",
        "message": "pods are forbidden",
    }
