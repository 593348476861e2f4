"""The autoscaler without metrics: it reads its target's scale, and says that it can't compute a count."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER, Controller, earliest, set_condition
from bridge.demo.controllers.rollout import counted, spec_replicas
from bridge.demo.objects import Obj, clone, dig, namespace_of, parse_timestamp, timestamp
from bridge.demo.resources import Resource

_KEY = "horizontalpodautoscalers.autoscaling"
_NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for "
    "resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested "
    "resource (get pods.metrics.k8s.io)"
)


class Autoscaling(Controller):
    """Keeps the status of every HorizontalPodAutoscaler whose status was not seeded."""

    watches = frozenset({_KEY, "deployments.apps"})

    def sync(self, now: float) -> float | None:
        due: float | None = None
        for scaler in self.store.list(_KEY):
            due = earliest(due, self._sync_one(scaler, now))
        return due

    def _sync_one(self, scaler: Obj, now: float) -> float | None:
        when = parse_timestamp(scaler["metadata"]["creationTimestamp"]) + self.cluster.behavior.metrics_delay
        if now < when:
            return when
        active = next(
            (
                entry
                for entry in scaler["status"].get("conditions") or []
                if entry["type"] == "ScalingActive" and entry["status"] == "True"
            ),
            None,
        )
        reference = scaler["spec"]["scaleTargetRef"]
        resource = self.cluster.registry.of_kind(reference.get("apiVersion", ""), reference["kind"])
        target = self.store.get(resource.key, namespace_of(scaler), reference["name"]) if resource else None
        if active is None:
            self._report(scaler, target, now)
        if resource is not None and target is not None:
            self._keep_within_bounds(scaler, resource, target)
        return None

    def _keep_within_bounds(self, scaler: Obj, resource: Resource, target: Obj) -> None:
        """Even without metrics the count is held between the bounds; a target at zero is left alone."""
        present = spec_replicas(target)
        wanted = min(max(present, scaler["spec"].get("minReplicas", 1)), scaler["spec"]["maxReplicas"])
        if present in (0, wanted):
            return
        scaled = clone(target)
        scaled["spec"]["replicas"] = wanted
        self.writes.save(resource, scaled, MANAGER, "scale")
        text = f"New size: {wanted}; reason: Current number of replicas outside the bounds"
        self.record(scaler, "SuccessfulRescale", text, "horizontal-pod-autoscaler")

    def _report(self, scaler: Obj, target: Obj | None, now: float) -> None:
        if target is None:
            name = dig(scaler, "spec", "scaleTargetRef", "name")
            able = (
                "False",
                "FailedGetScale",
                f"the HPA controller was unable to get the target's current scale: "
                f'deployments/scale.apps "{name}" not found',
            )
        else:
            able = ("True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")
        conditions = scaler["status"].get("conditions") or []
        conditions = set_condition(conditions, _condition("AbleToScale", *able, now))
        status = {**scaler["status"], "conditions": conditions}
        if target is not None:
            inactive = ("False", "FailedGetResourceMetric", _NO_METRICS)
            conditions = set_condition(conditions, _condition("ScalingActive", *inactive, now))
            status["currentReplicas"] = counted(target, "replicas")
            status["currentMetrics"] = [{"type": ""}]
        status["conditions"] = conditions
        found = self.cluster.resource("autoscaling/v2", "HorizontalPodAutoscaler")
        self.writes.save(found, {**scaler, "status": status}, MANAGER, "status")
        if target is None:
            self.record(scaler, "FailedGetScale", able[2], "horizontal-pod-autoscaler", warning=True)


def _condition(kind: str, status: str, reason: str, message: str, now: float) -> Obj:
    when = timestamp(now)
    return {"type": kind, "status": status, "lastTransitionTime": when, "reason": reason, "message": message}
