"""The autoscaler: by what its target's pods use where a metrics server tells it, else it says that it can't compute.

It scales up at once. Down it goes only to its upper bound: a real one waits five minutes before it does more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from bridge.demo.controllers.base import MANAGER, Controller, earliest, set_condition
from bridge.demo.controllers.rollout import counted, spec_replicas
from bridge.demo.metrics import usage_of
from bridge.demo.objects import Obj, clone, dig, labels_of, namespace_of, parse_timestamp, pod_is_ready, timestamp
from bridge.demo.quantities import value_of
from bridge.demo.resources import Resource
from bridge.demo.selectors import matches_selector

_KEY = "horizontalpodautoscalers.autoscaling"
_NO_METRICS = (
    "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for "
    "resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested "
    "resource (get pods.metrics.k8s.io)"
)


_MEASURED = ("cpu", "memory")
_EVERY = 15.0
_TOLERANCE = 0.1


@dataclass(frozen=True)
class Measured:
    """Percent of what is requested, as it is and as it should be."""

    name: str
    percent: int
    goal: int


def _wanted(present: int, measured: list[Measured]) -> int:
    """The count by which every metric would be what it should be; small differences are let be."""
    counts = [
        math.ceil(present * found.percent / found.goal)
        for found in measured
        if abs(found.percent / found.goal - 1) > _TOLERANCE
    ]
    return max(counts, default=present)


def _within(scaler: Obj, count: int) -> int:
    least, most = int(scaler["spec"].get("minReplicas", 1)), int(scaler["spec"]["maxReplicas"])
    return min(max(count, least), most)


class Autoscaling(Controller):
    """Keeps the status of every HorizontalPodAutoscaler whose status was not seeded."""

    watches = frozenset({_KEY, "deployments.apps", "statefulsets.apps"})

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
        measured = self._measure(scaler, target) if target is not None and self.cluster.has_metrics else []
        if measured and target is not None:
            self._report_measured(scaler, target, measured, now)
        elif active is None:
            self._report(scaler, target, now)
        if resource is not None and target is not None:
            self._keep_within_bounds(scaler, resource, target, _wanted(spec_replicas(target), measured))
        return now + _EVERY if measured else None

    def _measure(self, scaler: Obj, target: Obj) -> list[Measured]:
        """What its pods use of what they request, for each metric that says how much that should be."""
        pods = [
            pod
            for pod in self.store.list("pods", namespace_of(scaler))
            if matches_selector(target["spec"]["selector"], labels_of(pod)) and pod_is_ready(pod)
        ]
        found: list[Measured] = []
        for metric in scaler["spec"].get("metrics") or ():
            name = dig(metric, "resource", "name")
            goal = dig(metric, "resource", "target", "averageUtilization")
            if name not in _MEASURED or not goal or not pods:
                continue
            used, asked = Decimal(0), Decimal(0)
            for pod in pods:
                for entry in pod["spec"]["containers"]:
                    used += usage_of(self.cluster, pod, entry)[_MEASURED.index(name)]
                    asked += value_of(dig(entry, "resources", "requests", name, default="0"))
            if asked:
                found.append(Measured(name, int(100 * used / asked), int(goal)))
        return found

    def _report_measured(self, scaler: Obj, target: Obj, measured: list[Measured], now: float) -> None:
        able = ("True", "ReadyForNewScale", "recommended size matches current size")
        names = ", ".join(f"{found.name} resource utilization (percentage of request)" for found in measured)
        valid = (
            "True",
            "ValidMetricFound",
            f"the HPA was able to successfully calculate a replica count from {names}",
        )
        conditions = scaler["status"].get("conditions") or []
        for kind, told in (("AbleToScale", able), ("ScalingActive", valid)):
            conditions = set_condition(conditions, _condition(kind, *told, now))
        status = {
            **scaler["status"],
            "conditions": conditions,
            "currentReplicas": counted(target, "replicas"),
            "desiredReplicas": _within(scaler, _wanted(spec_replicas(target), measured)),
            "currentMetrics": [
                {"type": "Resource", "resource": {"name": m.name, "current": {"averageUtilization": m.percent}}}
                for m in measured
            ],
        }
        if status != scaler["status"]:
            found = self.cluster.resource("autoscaling/v2", "HorizontalPodAutoscaler")
            self.writes.save(found, {**scaler, "status": status}, MANAGER, "status")

    def _keep_within_bounds(self, scaler: Obj, resource: Resource, target: Obj, needed: int) -> None:
        """Even without metrics the count is held between the bounds; a target at zero is left alone."""
        present = spec_replicas(target)
        wanted = _within(scaler, max(present, needed))
        if present in (0, wanted):
            return
        scaled = clone(target)
        scaled["spec"]["replicas"] = wanted
        self.writes.save(resource, scaled, MANAGER, "scale")
        above = "cpu resource utilization (percentage of request) above target"
        why = above if needed > present else "Current number of replicas outside the bounds"
        text = f"New size: {wanted}; reason: {why}"
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
