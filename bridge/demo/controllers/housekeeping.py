"""Namespaces, owners and finalizers: what a namespace gets, what goes away with it, and what goes with its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.demo.controllers.authority import authority_certificate
from bridge.demo.controllers.base import MANAGER, Controller
from bridge.demo.deletion import delete_object
from bridge.demo.objects import Obj, clone, is_terminating, name_of, namespace_of, timestamp, uid_of
from bridge.demo.store import Change

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

_ROOT = "kube-root-ca.crt"
_ABOUT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
    "Kubernetes clusters."
)


class Namespaces(Controller):
    """Gives namespaces their default account and authority, and clears out the ones that are deleted."""

    watches = frozenset({"namespaces", "configmaps", "serviceaccounts", "pods"})

    def sync(self, now: float) -> float | None:
        for namespace in self.store.list("namespaces"):
            if is_terminating(namespace):
                self._clear(namespace)
            else:
                self._furnish(name_of(namespace))
        return None

    def _furnish(self, name: str) -> None:
        if self.store.get("configmaps", name, _ROOT) is None:
            metadata = {"name": _ROOT, "namespace": name, "annotations": {"kubernetes.io/description": _ABOUT}}
            content = {"metadata": metadata, "data": {"ca.crt": authority_certificate()}}
            self.writes.insert(self.cluster.resource("v1", "ConfigMap"), content, MANAGER)
        if self.store.get("serviceaccounts", name, "default") is None:
            account = {"metadata": {"name": "default", "namespace": name}}
            self.writes.insert(self.cluster.resource("v1", "ServiceAccount"), account, MANAGER)

    def _clear(self, namespace: Obj) -> None:
        left = False
        for key, obj in list(self.store.everything()):
            if namespace_of(obj) != name_of(namespace):
                continue
            resource = self.cluster.resource(obj["apiVersion"], obj["kind"])
            _, gone = delete_object(self.cluster, resource, obj, {})
            left = left or (not gone and self.store.get(key, namespace_of(obj), name_of(obj)) is not None)
        if not left:
            self.writes.remove(self.cluster.resource("v1", "Namespace"), namespace)


class Garbage(Controller):
    """Deletes what lost its last owner, and lets go of owners that waited for what they own."""

    watches = frozenset(
        {
            "deployments.apps",
            "replicasets.apps",
            "statefulsets.apps",
            "daemonsets.apps",
            "jobs.batch",
            "pods",
            "services",
            "certificates.cert-manager.io",
        }
    )

    def __init__(self, cluster: SimulatedCluster) -> None:
        super().__init__(cluster)
        self._news = True
        self.store.listen(self._hear)

    def _hear(self, change: Change) -> None:
        """Most changes are about a status: nothing goes with them."""
        before, after = ((each or {}).get("metadata", {}) for each in (change.before, change.obj))
        fields = ("ownerReferences", "deletionTimestamp", "finalizers")
        self._news = (
            self._news or change.type == "DELETED" or any(before.get(name) != after.get(name) for name in fields)
        )

    def sync(self, now: float) -> float | None:
        if not self._news:
            return None
        self._news = False
        everything = list(self.store.everything())
        alive = {uid_of(obj) for _, obj in everything}
        blocking = {owner["uid"] for _, obj in everything for owner in obj["metadata"].get("ownerReferences") or ()}
        waiting = {uid_of(obj) for _, obj in everything if _waits_for_owned(obj)}
        for key, obj in everything:
            owners = obj["metadata"].get("ownerReferences") or []
            orphaned = owners and not any(owner["uid"] in alive for owner in owners)
            with_owner = any(owner["uid"] in waiting for owner in owners)
            if (orphaned or with_owner) and not is_terminating(obj):
                found = self.store.get(key, namespace_of(obj), name_of(obj))
                if found is not None:
                    resource = self.cluster.resource(obj["apiVersion"], obj["kind"])
                    delete_object(self.cluster, resource, found, {})
            elif uid_of(obj) in waiting and uid_of(obj) not in blocking:
                self._release(key, obj)
        return None

    def _release(self, key: str, obj: Obj) -> None:
        resource = self.cluster.resource(obj["apiVersion"], obj["kind"])
        freed: Obj = clone(obj)
        freed["metadata"]["finalizers"].remove("foregroundDeletion")
        if freed["metadata"]["finalizers"]:
            self.writes.save(resource, freed, MANAGER)
        else:
            self.writes.remove(resource, obj)


def _waits_for_owned(obj: Obj) -> bool:
    return is_terminating(obj) and "foregroundDeletion" in (obj["metadata"].get("finalizers") or ())


class Definitions(Controller):
    """Says of custom resource definitions that they are in force."""

    watches = frozenset({"customresourcedefinitions.apiextensions.k8s.io"})

    def sync(self, now: float) -> float | None:
        resource = self.cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
        for definition in self.store.list(resource.key):
            if definition["status"].get("conditions"):
                continue
            when = timestamp(now)
            conditions = [
                {
                    "type": "NamesAccepted",
                    "status": "True",
                    "lastTransitionTime": when,
                    "reason": "NoConflicts",
                    "message": "no conflicts found",
                },
                {
                    "type": "Established",
                    "status": "True",
                    "lastTransitionTime": when,
                    "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted",
                },
            ]
            status = {
                **definition["status"],
                "conditions": conditions,
                "acceptedNames": clone(definition["spec"]["names"]),
            }
            self.writes.save(resource, {**definition, "status": status}, "kube-apiserver", "status")
        return None
