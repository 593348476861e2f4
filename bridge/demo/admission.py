"""What the server itself puts into new objects, and what it refuses for a policy. Called by `verbs` and `cluster`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.demo.defaults import admit_pod, containers_of
from bridge.demo.objects import Obj, dig, is_terminating, name_of, timestamp
from bridge.demo.quantities import value_of
from bridge.demo.resources import Resource
from bridge.demo.status_errors import forbidden
from bridge.demo.structure import zero

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster


def prepare_new(cluster: SimulatedCluster, resource: Resource, obj: Obj) -> None:
    """Reset what a client can't set on creation, and add what the server does. Changes the object in place."""
    if resource.resets_status:
        empty = zero(resource.built_in_kind).get("status")
        if empty is None:
            obj.pop("status", None)
        else:
            obj["status"] = empty
    preparer = _PREPARERS.get(resource.kind)
    if preparer is not None and not resource.custom:
        preparer(cluster, obj)


def _namespace(cluster: SimulatedCluster, obj: Obj) -> None:
    obj["spec"]["finalizers"] = ["kubernetes"]
    obj["status"] = {"phase": "Active"}


def _pod(cluster: SimulatedCluster, obj: Obj) -> None:
    admit_pod(obj, f"kube-api-access-{cluster.writes.suffix()}")
    obj["status"] = {"phase": "Pending", "qosClass": _quality(obj["spec"])}


def _quality(spec: Obj) -> str:
    """The quality-of-service class of a pod."""
    sets = [dig(container, "resources", default={}) for container in containers_of(spec)]
    if not any(found.get("limits") or found.get("requests") for found in sets):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (found.get("limits") or {}).keys()
        and all((found.get("requests") or {}).get(key) == value for key, value in found["limits"].items())
        for found in sets
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _claim(cluster: SimulatedCluster, obj: Obj) -> None:
    obj["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
    obj["status"] = {"phase": "Pending"}


def _volume(cluster: SimulatedCluster, obj: Obj) -> None:
    obj["metadata"]["finalizers"] = ["kubernetes.io/pv-protection"]
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": timestamp(cluster.now())}


def _definition(cluster: SimulatedCluster, obj: Obj) -> None:
    stored = [version["name"] for version in obj["spec"].get("versions") or () if version.get("storage")]
    obj["status"]["storedVersions"] = stored


def _job(cluster: SimulatedCluster, obj: Obj) -> None:
    # The uid goes into the selector, so it must be there before the object is stamped.
    uid = cluster.writes.new_uid()
    obj["metadata"]["uid"] = uid
    if obj["spec"].get("manualSelector"):
        return
    name = name_of(obj)
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template = obj["spec"]["template"].setdefault("metadata", {})
    template["labels"] = {**(template.get("labels") or {}), **labels}
    obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **labels}
    obj["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}


def _service(cluster: SimulatedCluster, obj: Obj) -> None:
    spec = obj["spec"]
    if spec.get("type") == "ExternalName":
        return
    if not spec.get("clusterIP"):
        spec["clusterIP"] = f"10.96.{cluster.rng.randrange(256)}.{cluster.rng.randrange(1, 255)}"
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


_PREPARERS: dict[str, Callable[[SimulatedCluster, Obj], None]] = {
    "CustomResourceDefinition": _definition,
    "Job": _job,
    "Namespace": _namespace,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "Service": _service,
}


def check_namespace(cluster: SimulatedCluster, resource: Resource, namespace: str, name: str) -> Obj | None:
    """The namespace that something is created in. Raises ApiError 403 while it goes away."""
    found = cluster.store.get("namespaces", "", namespace)
    if found is not None and is_terminating(found):
        text = f"unable to create new content in namespace {namespace} because it is being terminated"
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise forbidden(resource, name, text, [cause])
    return found


def check_pod_security(resource: Resource, obj: Obj, namespace: Obj | None) -> list[str]:
    """Warnings for a workload that the namespace's level wouldn't let run. Raises ApiError 403 for a pod."""
    level = dig(namespace, "metadata", "labels", "pod-security.kubernetes.io/enforce", default="privileged")
    if level != "restricted" or resource.custom:
        return []
    spec = obj["spec"] if resource.kind == "Pod" else dig(obj, "spec", "template", "spec")
    if not isinstance(spec, dict) or "containers" not in spec:
        return []
    found = restricted_violations(spec)
    if not found:
        return []
    if resource.kind == "Pod":
        raise forbidden(resource, name_of(obj), f'violates PodSecurity "restricted:latest": {", ".join(found)}')
    return [f'would violate PodSecurity "restricted:latest": {", ".join(found)}']


def restricted_violations(spec: Obj) -> list[str]:
    """How a pod's spec falls short of the restricted level, in the server's words."""
    pod = spec.get("securityContext") or {}
    own = {entry["name"]: entry.get("securityContext") or {} for entry in containers_of(spec)}

    def failing(passes: Callable[[Obj], bool]) -> str:
        names = [f'"{name}"' for name, context in own.items() if not passes(context)]
        return ("container " if len(names) == 1 else "containers ") + ", ".join(names) if names else ""

    found: list[str] = []
    if names := failing(lambda context: context.get("allowPrivilegeEscalation") is False):
        text = "must set securityContext.allowPrivilegeEscalation=false"
        found.append(f"allowPrivilegeEscalation != false ({names} {text})")
    if names := failing(lambda context: "ALL" in dig(context, "capabilities", "drop", default=[])):
        found.append(f'unrestricted capabilities ({names} must set securityContext.capabilities.drop=["ALL"])')
    if names := failing(lambda context: context.get("runAsNonRoot", pod.get("runAsNonRoot")) is True):
        found.append(f"runAsNonRoot != true (pod or {names} must set securityContext.runAsNonRoot=true)")
    profiles = ("RuntimeDefault", "Localhost")
    profile = dig(pod, "seccompProfile", "type")
    if names := failing(lambda context: dig(context, "seccompProfile", "type", default=profile) in profiles):
        text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        found.append(f"seccompProfile (pod or {names} {text})")
    return found


def check_resize(cluster: SimulatedCluster, resource: Resource, obj: Obj, before: Obj) -> None:
    """Raises ApiError 403 for a claim that is to grow and whose storage class doesn't allow it."""
    if resource.kind != "PersistentVolumeClaim":
        return
    path = ("spec", "resources", "requests", "storage")
    if value_of(dig(obj, *path, default="0")) <= value_of(dig(before, *path, default="0")):
        return
    storage_class = cluster.store.get(
        "storageclasses.storage.k8s.io", "", dig(obj, "spec", "storageClassName", default="")
    )
    if not (storage_class or {}).get("allowVolumeExpansion"):
        text = (
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
            "support resize"
        )
        raise forbidden(resource, name_of(obj), text)
