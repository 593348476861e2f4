"""Deleting objects: preconditions, grace, finalizers, propagation. Called by `api` and controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.demo.objects import Obj, clone, drop_none, is_terminating, name_of, namespace_of, uid_of
from bridge.demo.resources import Resource
from bridge.demo.status_errors import precondition_failed

if TYPE_CHECKING:
    from bridge.demo.cluster import SimulatedCluster

_WITH_STATUS_REPLY = {"Pod", "Namespace", "PersistentVolumeClaim", "PersistentVolume"}


def delete_object(
    cluster: SimulatedCluster, resource: Resource, obj: Obj, options: Obj, *, dry_run: bool = False
) -> tuple[Obj, bool]:
    """Delete, or begin to. Returns the reply's body, and whether the object is gone already.

    Raises ApiError 409 when a precondition does not hold.
    """
    _check_preconditions(resource, obj, options.get("preconditions") or {})
    if dry_run:
        return obj, False
    if is_terminating(obj):
        return _delete_again(cluster, resource, obj, options)
    if resource.kind == "Namespace":
        return _mark_namespace(cluster, resource, obj), False
    if resource.kind == "Pod":
        return _delete_pod(cluster, resource, obj, options)
    policy = options.get("propagationPolicy")
    if policy == "Orphan":
        _orphan(cluster, uid_of(obj))
    if policy == "Foreground":
        obj = _with_finalizer(obj, "foregroundDeletion")
    if obj["metadata"].get("finalizers"):
        return cluster.writes.mark_deleted(resource, obj, 0), False
    cluster.writes.remove(resource, obj)
    if resource.kind == "CustomResourceDefinition":
        _remove_defined(cluster, obj)
    details = drop_none(
        {"name": name_of(obj), "group": resource.group or None, "kind": resource.plural, "uid": uid_of(obj)}
    )
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}, True


def _check_preconditions(resource: Resource, obj: Obj, wanted: Obj) -> None:
    found = obj["metadata"]
    if wanted.get("uid") and wanted["uid"] != found["uid"]:
        text = (
            f"the UID in the precondition ({wanted['uid']}) does not match the UID in record ({found['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise precondition_failed(resource, name_of(obj), text)
    if wanted.get("resourceVersion") and wanted["resourceVersion"] != found["resourceVersion"]:
        text = (
            f"the ResourceVersion in the precondition ({wanted['resourceVersion']}) does not match the "
            f"ResourceVersion in record ({found['resourceVersion']}). The object might have been modified"
        )
        raise precondition_failed(resource, name_of(obj), text)


def _delete_again(cluster: SimulatedCluster, resource: Resource, obj: Obj, options: Obj) -> tuple[Obj, bool]:
    """Something that is already going away: a shorter grace ends it now, else nothing changes."""
    if resource.kind == "Pod" and options.get("gracePeriodSeconds") == 0:
        return cluster.writes.remove(resource, obj), True
    return obj, False


def _mark_namespace(cluster: SimulatedCluster, resource: Resource, obj: Obj) -> Obj:
    marked = clone(obj)
    marked["status"]["phase"] = "Terminating"
    return cluster.writes.mark_deleted(resource, marked, 0)


def _delete_pod(cluster: SimulatedCluster, resource: Resource, obj: Obj, options: Obj) -> tuple[Obj, bool]:
    grace = options.get("gracePeriodSeconds")
    if grace is None:
        grace = obj["spec"].get("terminationGracePeriodSeconds", 30)
    started = bool(obj["spec"].get("nodeName"))
    if grace == 0 or (not started and not obj["metadata"].get("finalizers")):
        return cluster.writes.remove(resource, obj), True
    return cluster.writes.mark_deleted(resource, obj, int(grace)), False


def _remove_defined(cluster: SimulatedCluster, definition: Obj) -> None:
    """What was kept by a definition goes with it."""
    spec = definition["spec"]
    for version in spec["versions"]:
        defined = cluster.registry.find(spec["group"], version["name"], spec["names"]["plural"])
        if defined is not None:
            for kept in cluster.store.list(defined.key):
                cluster.writes.remove(defined, kept)
    cluster.registry.remove_definition(definition)


def _with_finalizer(obj: Obj, finalizer: str) -> Obj:
    marked: Obj = clone(obj)
    finalizers = marked["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)
    return marked


def _orphan(cluster: SimulatedCluster, uid: str) -> None:
    """Let go of everything that the owner with this uid owns."""
    for key, obj in list(cluster.store.everything()):
        owners = obj["metadata"].get("ownerReferences") or []
        kept = [owner for owner in owners if owner["uid"] != uid]
        if len(kept) != len(owners):
            freed = clone(obj)
            freed["metadata"]["ownerReferences"] = kept
            if not kept:
                del freed["metadata"]["ownerReferences"]
            cluster.store.put(key, freed)


def delete_collection(
    cluster: SimulatedCluster, resource: Resource, objects: list[Obj], options: Obj, *, dry_run: bool
) -> list[Obj]:
    """Delete each of the objects. Returns them as they were."""
    for obj in objects:
        found = cluster.store.get(resource.key, namespace_of(obj), name_of(obj))
        if found is not None:
            delete_object(cluster, resource, found, options, dry_run=dry_run)
    return objects
