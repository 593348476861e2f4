"""Disruption budgets: how many pods may go, counted from what their owners wish for."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER, Controller, set_condition
from bridge.demo.controllers.podsets import is_active
from bridge.demo.controllers.rollout import resolve, spec_replicas
from bridge.demo.objects import Obj, controller_uid, labels_of, namespace_of, pod_is_ready, timestamp, uid_of
from bridge.demo.selectors import matches_selector


class Disruption(Controller):
    """Keeps the status of every PodDisruptionBudget."""

    watches = frozenset({"poddisruptionbudgets.policy", "pods", "replicasets.apps", "statefulsets.apps"})

    def sync(self, now: float) -> float | None:
        for budget in self.store.list("poddisruptionbudgets.policy"):
            self._sync_one(budget, now)
        return None

    def _sync_one(self, budget: Obj, now: float) -> None:
        spec = budget["spec"]
        pods = [
            pod
            for pod in self.store.list("pods", namespace_of(budget))
            if matches_selector(spec.get("selector"), labels_of(pod)) and is_active(pod)
        ]
        healthy = sum(pod_is_ready(pod) for pod in pods)
        if spec.get("maxUnavailable") is not None:
            expected = self._expected(pods)
            wanted = max(expected - resolve(spec["maxUnavailable"], expected, up=True), 0)
        else:
            minimum = spec.get("minAvailable", 1)
            expected = self._expected(pods) if isinstance(minimum, str) else len(pods)
            wanted = resolve(minimum, expected, up=True)
        allowed = max(healthy - wanted, 0) if expected > 0 else 0
        generation = budget["metadata"]["generation"]
        new = {
            "type": "DisruptionAllowed",
            "status": "True" if allowed else "False",
            "observedGeneration": generation,
            "lastTransitionTime": timestamp(now),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }
        status = {
            "observedGeneration": generation,
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": wanted,
            "expectedPods": expected,
            "conditions": set_condition(budget["status"].get("conditions") or [], new),
        }
        resource = self.cluster.resource("policy/v1", "PodDisruptionBudget")
        self.writes.save(resource, {**budget, "status": status}, MANAGER, "status")

    def _expected(self, pods: list[Obj]) -> int:
        owners = {controller_uid(pod) for pod in pods} - {None}
        found = [
            owner
            for key in ("replicasets.apps", "statefulsets.apps")
            for owner in self.store.list(key)
            if uid_of(owner) in owners
        ]
        bare = sum(controller_uid(pod) is None for pod in pods)
        return sum(spec_replicas(owner) for owner in found) + bare
