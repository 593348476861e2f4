"""Deployments: one ReplicaSet for each template, rolled over within maxSurge and maxUnavailable, with revisions.

Follows the real controller in the order of its writes, so that generations and revisions come out as they do there.
"""

from __future__ import annotations

from functools import partial

from bridge.demo.controllers import deployment_status
from bridge.demo.controllers.base import MANAGER, Controller, earliest
from bridge.demo.controllers.hashing import template_hash, without_hash
from bridge.demo.controllers.rollout import (
    DESIRED,
    MAXIMUM,
    REVISION,
    Limits,
    counted,
    new_replicas,
    proportions,
    revision_of,
    scale_down_room,
    spec_replicas,
)
from bridge.demo.objects import (
    Obj,
    clone,
    controller_uid,
    dig,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from bridge.demo.selectors import matches_selector

_HISTORY = "deployment.kubernetes.io/revision-history"
_COMPONENT = "deployment-controller"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    _HISTORY,
    DESIRED,
    MAXIMUM,
}


class Deployments(Controller):
    """Keeps ReplicaSets and the status of every Deployment."""

    watches = frozenset({"deployments.apps", "replicasets.apps", "pods"})

    def sync(self, now: float) -> float | None:
        self.deployments = self.cluster.resource("apps/v1", "Deployment")
        self.sets = self.cluster.resource("apps/v1", "ReplicaSet")
        due: float | None = None
        for deployment in self.store.list("deployments.apps"):
            if is_terminating(deployment):
                continue
            # Its ReplicaSets tell of its pods, but to one that waits until the old ones are gone.
            waits = dig(deployment, "spec", "strategy", "type") == "Recreate"
            around = ("replicasets.apps", "pods") if waits else ("replicasets.apps",)
            due = earliest(
                due, self.unless_settled(deployment, around, now, partial(self._sync_one, deployment, now))
            )
        return due

    def _sync_one(self, deployment: Obj, now: float) -> float | None:
        owned = self._owned(deployment)
        new = self._find_new(deployment, owned)
        if deployment["spec"].get("paused"):
            self._scale(deployment, new, owned)
        elif self._is_scaling(deployment, owned):
            new = self._ensure_new(deployment, owned, new, now, create=False)
            self._scale(self._fresh(deployment), new, self._owned(deployment))
        else:
            new = self._ensure_new(deployment, owned, new, now, create=True)
            self._roll(self._fresh(deployment), new)
        return self._report(self._fresh(deployment), now)

    def _fresh(self, deployment: Obj) -> Obj:
        return self.store.get("deployments.apps", namespace_of(deployment), name_of(deployment)) or deployment

    def _owned(self, deployment: Obj) -> list[Obj]:
        selector, uid = deployment["spec"]["selector"], uid_of(deployment)
        return [
            found
            for found in self.store.list("replicasets.apps", namespace_of(deployment))
            if controller_uid(found) == uid and matches_selector(selector, labels_of(found))
        ]

    @staticmethod
    def _find_new(deployment: Obj, owned: list[Obj]) -> Obj | None:
        wanted = deployment["spec"]["template"]
        same = [found for found in owned if without_hash(found["spec"]["template"]) == wanted]
        return min(same, key=lambda found: found["metadata"]["creationTimestamp"], default=None)

    @staticmethod
    def _is_scaling(deployment: Obj, owned: list[Obj]) -> bool:
        wanted = str(spec_replicas(deployment))
        return any(
            spec_replicas(found) > 0 and dig(found, "metadata", "annotations", DESIRED, default=wanted) != wanted
            for found in owned
        )

    # The ReplicaSet of the present template

    def _ensure_new(
        self, deployment: Obj, owned: list[Obj], new: Obj | None, now: float, *, create: bool
    ) -> Obj | None:
        olds = [found for found in owned if new is None or uid_of(found) != uid_of(new)]
        revision = max((revision_of(found) for found in olds), default=0) + 1
        condition: Obj | None = None
        if new is not None:
            new = self._annotate(deployment, new, revision)
            if not deployment_status.progressing(deployment):
                condition = deployment_status.found(name_of(new), now)
        elif create:
            new = self._create(deployment, owned, revision)
            if new is None:
                return None
            condition = deployment_status.created(name_of(new), now)
        else:
            return None
        self._set_revision(deployment, str(revision_of(new)), condition)
        return new

    def _annotate(self, deployment: Obj, new: Obj, revision: int) -> Obj:
        changed: Obj = clone(new)
        annotations = changed["metadata"].setdefault("annotations", {})
        annotations.update(_copied(deployment))
        if revision_of(new) < revision:
            past = [entry for entry in annotations.get(_HISTORY, "").split(",") if entry]
            past.append(annotations.get(REVISION, "1"))
            annotations[_HISTORY] = ",".join(past)
            annotations[REVISION] = str(revision)
        changed["spec"].pop("minReadySeconds", None)
        changed["spec"].update(_least_time(deployment["spec"]))
        return self.writes.save(self.sets, changed, MANAGER)

    def _create(self, deployment: Obj, owned: list[Obj], revision: int) -> Obj | None:
        spec = deployment["spec"]
        template = clone(spec["template"])
        collisions = dig(deployment, "status", "collisionCount", default=0)
        digest = template_hash(template, collisions)
        template["metadata"].setdefault("labels", {})["pod-template-hash"] = digest
        selector = clone(spec["selector"])
        selector.setdefault("matchLabels", {})["pod-template-hash"] = digest
        name = f"{name_of(deployment)}-{digest}"
        if self.store.get("replicasets.apps", namespace_of(deployment), name) is not None:
            return None
        limits = Limits.of(deployment)
        count = new_replicas(deployment, limits, owned, 0)
        annotations = {**_copied(deployment), **limits.annotations(), REVISION: str(revision)}
        made = self.writes.insert(
            self.sets,
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace_of(deployment),
                    "labels": dict(template["metadata"]["labels"]),
                    "annotations": annotations,
                    "ownerReferences": [owner_reference(deployment)],
                },
                "spec": {"replicas": count, **_least_time(spec), "selector": selector, "template": template},
                "status": {"replicas": 0},
            },
            MANAGER,
        )
        if count:
            text = f"Scaled up replica set {name} from 0 to {count}"
            self.record(deployment, "ScalingReplicaSet", text, _COMPONENT)
        return made

    def _set_revision(self, deployment: Obj, revision: str, condition: Obj | None) -> None:
        annotations = deployment["metadata"].get("annotations") or {}
        if annotations.get(REVISION) == revision and condition is None:
            return
        changed: Obj = clone(deployment)
        changed["metadata"].setdefault("annotations", {})[REVISION] = revision
        if condition is not None:
            deployment_status.put(changed["status"], condition)
        self.writes.save(self.deployments, changed, MANAGER, "status")

    # Rolling

    def _roll(self, deployment: Obj, new: Obj | None) -> None:
        if new is None:
            return
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, new)
        else:
            self._rolling_update(deployment, new)
        if deployment_status.is_complete(deployment, self._owned(deployment)):
            self._forget_history(deployment, new)

    def _recreate(self, deployment: Obj, new: Obj) -> None:
        olds = [found for found in self._owned(deployment) if uid_of(found) != uid_of(new)]
        for old in olds:
            self._scale_to(deployment, old, 0)
        uids = {uid_of(old) for old in olds}
        if not any(controller_uid(pod) in uids for pod in self.store.list("pods", namespace_of(deployment))):
            self._scale_to(deployment, new, spec_replicas(deployment))

    def _rolling_update(self, deployment: Obj, new: Obj) -> None:
        limits = Limits.of(deployment)
        owned = self._owned(deployment)
        new = next(found for found in owned if uid_of(found) == uid_of(new))
        wanted = new_replicas(deployment, limits, owned, spec_replicas(new))
        if wanted != spec_replicas(new):
            self._scale_to(deployment, new, wanted)
            return
        olds = [found for found in owned if uid_of(found) != uid_of(new) and spec_replicas(found) > 0]
        if not olds:
            return
        room = scale_down_room(deployment, limits, owned, new)
        if room > 0:
            self._scale_olds_down(deployment, olds, limits, room)

    def _scale_olds_down(self, deployment: Obj, olds: list[Obj], limits: Limits, room: int) -> None:
        """First what isn't available anyway, then, oldest first, what availability allows to go."""
        sizes = {uid_of(old): spec_replicas(old) for old in olds}
        for old in sorted(olds, key=_age):
            broken = sizes[uid_of(old)] - counted(old, "availableReplicas")
            gone = min(max(broken, 0), room)
            sizes[uid_of(old)] -= gone
            room -= gone
        available = sum(counted(found, "availableReplicas") for found in self._owned(deployment))
        spare = available - limits.least_available
        for old in sorted(olds, key=_age):
            gone = min(sizes[uid_of(old)], max(spare, 0))
            sizes[uid_of(old)] -= gone
            spare -= gone
        for old in sorted(olds, key=_age):
            self._scale_to(deployment, old, sizes[uid_of(old)])

    def _scale(self, deployment: Obj, new: Obj | None, owned: list[Obj]) -> None:
        """Another count without a new template: the only active ReplicaSet, or all of them in proportion."""
        active = [found for found in owned if spec_replicas(found) > 0]
        wanted = spec_replicas(deployment)
        if len(active) <= 1:
            only = active[0] if active else max(owned, key=revision_of, default=None)
            if only is not None:
                self._scale_to(deployment, only, wanted)
            return
        if new is not None and counted(new, "availableReplicas") == wanted == spec_replicas(new):
            for old in active:
                if uid_of(old) != uid_of(new):
                    self._scale_to(deployment, old, 0)
            return
        if deployment["spec"]["strategy"]["type"] == "RollingUpdate":
            for found, count in proportions(deployment, Limits.of(deployment), active):
                self._scale_to(deployment, found, count)

    def _scale_to(self, deployment: Obj, found: Obj, count: int) -> None:
        before = spec_replicas(found)
        changed: Obj = clone(found)
        changed["spec"]["replicas"] = count
        changed["metadata"].setdefault("annotations", {}).update(Limits.of(deployment).annotations())
        self.writes.save(self.sets, changed, MANAGER)
        if count != before:
            direction = "up" if count > before else "down"
            text = f"Scaled {direction} replica set {name_of(found)} from {before} to {count}"
            self.record(deployment, "ScalingReplicaSet", text, _COMPONENT)

    def _forget_history(self, deployment: Obj, new: Obj) -> None:
        limit = deployment["spec"].get("revisionHistoryLimit")
        if limit is None:
            return
        idle = [
            found
            for found in self._owned(deployment)
            if uid_of(found) != uid_of(new) and not spec_replicas(found) and not counted(found, "replicas")
        ]
        for found in sorted(idle, key=revision_of)[: max(len(idle) - limit, 0)]:
            self.writes.remove(self.sets, found)

    # Status

    def _report(self, deployment: Obj, now: float) -> float | None:
        owned = self._owned(deployment)
        new = self._find_new(deployment, owned)
        status, due = deployment_status.calculate(deployment, owned, new, now)
        if status != deployment["status"]:
            self.writes.save(self.deployments, {**deployment, "status": status}, MANAGER, "status")
        return due


def _age(found: Obj) -> tuple[str, int]:
    return found["metadata"]["creationTimestamp"], revision_of(found)


def _copied(deployment: Obj) -> dict[str, str]:
    annotations = deployment["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key not in _NOT_COPIED}


def _least_time(spec: Obj) -> Obj:
    """For how long a pod must be ready to count as available, as the ReplicaSet gets it."""
    return {"minReadySeconds": spec["minReadySeconds"]} if spec.get("minReadySeconds") else {}
