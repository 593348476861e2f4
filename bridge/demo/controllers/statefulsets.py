"""StatefulSets and DaemonSets, with the ControllerRevisions by which they are rolled back."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER
from bridge.demo.controllers.hashing import template_hash
from bridge.demo.controllers.nodes import CORDONED
from bridge.demo.controllers.podsets import PodOwner, is_active
from bridge.demo.controllers.rollout import spec_replicas
from bridge.demo.controllers.scheduler import tolerates
from bridge.demo.objects import (
    Obj,
    clone,
    condition,
    controller_uid,
    dig,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    pod_is_ready,
    uid_of,
)

HASH = "controller-revision-hash"


class Revisions(PodOwner):
    """A controller whose templates are kept as ControllerRevisions."""

    def revision_for(self, owner: Obj) -> Obj:
        """The revision of the present template; an older one of the same content gets the newest number."""
        resource = self.cluster.resource("apps/v1", "ControllerRevision")
        known = [
            found
            for found in self.store.list(resource.key, namespace_of(owner))
            if controller_uid(found) == uid_of(owner)
        ]
        data = {"spec": {"template": {**clone(owner["spec"]["template"]), "$patch": "replace"}}}
        newest = max((found["revision"] for found in known), default=0)
        same = next((found for found in known if found["data"] == data), None)
        if same is not None:
            if same["revision"] < newest:
                same = self.writes.save(resource, {**same, "revision": newest + 1}, MANAGER)
            return same
        digest = template_hash(owner["spec"]["template"])
        labels = {**dig(owner, "spec", "template", "metadata", "labels", default={})}
        labels["controller.kubernetes.io/hash"] = digest
        metadata = {
            "name": f"{name_of(owner)}-{digest}",
            "namespace": namespace_of(owner),
            "labels": labels,
            "ownerReferences": [owner_reference(owner)],
        }
        body = {"metadata": metadata, "data": data, "revision": newest + 1}
        return self.writes.insert(resource, body, MANAGER)


class StatefulSets(Revisions):
    """Numbered pods, made in order and rolled over from the last to the first."""

    watches = frozenset({"statefulsets.apps", "pods"})
    component = "statefulset-controller"

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("apps/v1", "StatefulSet")
        for found in self.store.list("statefulsets.apps"):
            if not is_terminating(found):
                self._sync_one(found)
        return None

    def _sync_one(self, owner: Obj) -> None:
        revision = self.revision_for(owner)
        pods = {name_of(pod): pod for pod in self.pods_of(owner)}
        if self._make_or_drop(owner, revision, pods):
            self._roll(owner, revision, pods)
        self._report(owner, revision)

    def _make_or_drop(self, owner: Obj, revision: Obj, pods: dict[str, Obj]) -> bool:
        """Bring the count right, one pod at a time. Returns whether pods of an old template may be replaced.

        In order, a pod that is not ready holds everything up, the template that would mend it included. Pods that
        came to an end are made again.
        """
        count = spec_replicas(owner)
        in_order = owner["spec"].get("podManagementPolicy") != "Parallel"
        template = owner["spec"]["template"]
        for index in range(count):
            name = f"{name_of(owner)}-{index}"
            pod = pods.get(name)
            if pod is None:
                labels = {
                    HASH: name_of(revision),
                    "apps.kubernetes.io/pod-index": str(index),
                    "statefulset.kubernetes.io/pod-name": name,
                }
                self._claims(owner, index)
                self.make_pod(owner, self._with_claims(owner, template, index), name=name, labels=labels)
            if pod is None or is_terminating(pod) or not pod_is_ready(pod):
                if pod is not None and not is_active(pod) and not is_terminating(pod):
                    self.drop_pod(owner, pod)
                if in_order:
                    return False
        surplus = [pod for name, pod in pods.items() if int(name.rpartition("-")[2]) >= count]
        for pod in sorted(surplus, key=lambda item: -int(name_of(item).rpartition("-")[2])):
            self.drop_pod(owner, pod)
            return False
        return True

    def _with_claims(self, owner: Obj, template: Obj, index: int) -> Obj:
        claims = owner["spec"].get("volumeClaimTemplates") or []
        if not claims:
            return template
        with_claims: Obj = clone(template)
        volumes = with_claims["spec"].setdefault("volumes", [])
        for claim in claims:
            name = f"{claim['metadata']['name']}-{name_of(owner)}-{index}"
            source = {"persistentVolumeClaim": {"claimName": name}}
            volumes.append({"name": claim["metadata"]["name"], **source})
        return with_claims

    def _claims(self, owner: Obj, index: int) -> None:
        for claim in owner["spec"].get("volumeClaimTemplates") or ():
            name = f"{claim['metadata']['name']}-{name_of(owner)}-{index}"
            if self.store.get("persistentvolumeclaims", namespace_of(owner), name) is None:
                metadata = {"name": name, "namespace": namespace_of(owner), "labels": dict(labels_of(owner))}
                size = dig(claim, "spec", "resources", "requests", "storage")
                status = {"phase": "Bound", "capacity": {"storage": size}}
                self.cluster.apply(
                    {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "metadata": metadata,
                        "spec": clone(claim["spec"]),
                        "status": {**status, "accessModes": list(claim["spec"].get("accessModes") or ())},
                    }
                )

    def _roll(self, owner: Obj, revision: Obj, pods: dict[str, Obj]) -> None:
        strategy = owner["spec"]["updateStrategy"]
        if strategy["type"] != "RollingUpdate":
            return
        partition = dig(strategy, "rollingUpdate", "partition", default=0)
        for index in reversed(range(partition, spec_replicas(owner))):
            pod = pods.get(f"{name_of(owner)}-{index}")
            if pod is None:
                return
            if labels_of(pod).get(HASH) != name_of(revision):
                self.drop_pod(owner, pod)
                return
            if not pod_is_ready(pod):
                return

    def _report(self, owner: Obj, revision: Obj) -> None:
        owner = self.store.get("statefulsets.apps", namespace_of(owner), name_of(owner)) or owner
        pods = [pod for pod in self.pods_of(owner) if is_active(pod)]
        ready = sum(pod_is_ready(pod) for pod in pods)
        before = owner["status"]
        new = name_of(revision)
        current = before.get("currentRevision") or new
        updated = sum(labels_of(pod).get(HASH) == new for pod in pods)
        if updated == len(pods) == spec_replicas(owner) == ready:
            current = new
        of_current = sum(labels_of(pod).get(HASH) == current for pod in pods)
        status: Obj = {"observedGeneration": owner["metadata"]["generation"], "replicas": len(pods)}
        counts = (("readyReplicas", ready), ("currentReplicas", of_current), ("updatedReplicas", updated))
        status |= {key: count for key, count in counts if count}
        status |= {"currentRevision": current, "updateRevision": new, "collisionCount": 0, "availableReplicas": ready}
        if status != before:
            self.writes.save(self.resource, {**owner, "status": status}, MANAGER, "status")


class DaemonSets(Revisions):
    """A pod on each node that takes it."""

    watches = frozenset({"daemonsets.apps", "pods", "nodes"})
    component = "daemonset-controller"

    def sync(self, now: float) -> float | None:
        self.resource = self.cluster.resource("apps/v1", "DaemonSet")
        for found in self.store.list("daemonsets.apps"):
            if not is_terminating(found):
                self._sync_one(found)
        return None

    def _sync_one(self, owner: Obj) -> None:
        revision = self.revision_for(owner)
        nodes = [name_of(node) for node in self.store.list("nodes") if _takes_daemons(owner, node)]
        pods = [pod for pod in self.pods_of(owner) if not is_terminating(pod)]
        covered = {pod["spec"].get("nodeName") for pod in self.pods_of(owner)}
        digest = revision["metadata"]["labels"]["controller.kubernetes.io/hash"]
        for node in nodes:
            if node not in covered:
                generation = {"pod-template-generation": str(owner["metadata"]["generation"])}
                self.make_pod(owner, owner["spec"]["template"], labels={HASH: digest, **generation}, node=node)
        self._drop(owner, pods, nodes, digest)
        self._report(owner, nodes, digest)

    def _drop(self, owner: Obj, pods: list[Obj], nodes: list[str], digest: str) -> None:
        for pod in pods:
            if pod["spec"].get("nodeName") not in nodes:
                self.drop_pod(owner, pod)
        if owner["spec"]["updateStrategy"]["type"] != "RollingUpdate":
            return
        old = [pod for pod in pods if labels_of(pod).get(HASH) != digest]
        broken = [pod for pod in old if not pod_is_ready(pod)]
        if broken:
            self.drop_pod(owner, broken[0])
        elif old and all(pod_is_ready(pod) for pod in pods) and len(pods) == len(nodes):
            self.drop_pod(owner, old[0])

    def _report(self, owner: Obj, nodes: list[str], digest: str) -> None:
        pods = [pod for pod in self.pods_of(owner) if is_active(pod)]
        ready = sum(pod_is_ready(pod) for pod in pods)
        status: Obj = {
            "currentNumberScheduled": len(pods),
            "numberMisscheduled": 0,
            "desiredNumberScheduled": len(nodes),
            "numberReady": ready,
            "observedGeneration": owner["metadata"]["generation"],
        }
        updated = sum(labels_of(pod).get(HASH) == digest for pod in pods)
        missing = len(nodes) - ready
        counts = (("updatedNumberScheduled", updated), ("numberAvailable", ready), ("numberUnavailable", missing))
        status |= {key: count for key, count in counts if count > 0}
        if status != owner["status"]:
            self.writes.save(self.resource, {**owner, "status": status}, MANAGER, "status")


def _takes_daemons(owner: Obj, node: Obj) -> bool:
    spec = owner["spec"]["template"]["spec"]
    wanted = spec.get("nodeSelector") or {}
    ready = condition(node, "Ready")
    tolerations = spec.get("tolerations") or ()
    # Daemons run on cordoned nodes too.
    taints = [
        taint
        for taint in node["spec"].get("taints") or ()
        if taint["effect"] != "PreferNoSchedule" and taint["key"] != CORDONED
    ]
    return (
        wanted.items() <= labels_of(node).items()
        and ready is not None
        and ready["status"] == "True"
        and all(any(tolerates(entry, taint) for entry in tolerations) for taint in taints)
    )
