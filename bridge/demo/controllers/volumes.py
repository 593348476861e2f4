"""Storage: claims of the simulated provisioner get their volume, grow when asked to, and go when nobody uses them."""

from __future__ import annotations

from bridge.demo.controllers.base import MANAGER, Controller
from bridge.demo.objects import Obj, clone, dig, is_terminating, name_of, namespace_of, uid_of

PROVISIONER = "disk.simulated.example"
"""What a StorageClass names whose volumes are made here. Nobody answers for any other, as in a real cluster."""


def storage_class(name: str = "standard", *, expandable: bool = True, default: bool = True) -> Obj:
    """A StorageClass of the simulated provisioner."""
    mark = {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, **mark},
        "provisioner": PROVISIONER,
        "allowVolumeExpansion": expandable,
    }


class Provisioner(Controller):
    """Makes a volume for each pending claim of a class that is its own, and binds the two."""

    watches = frozenset({"persistentvolumeclaims", "storageclasses.storage.k8s.io"})

    def sync(self, now: float) -> float | None:
        for claim in self.store.list("persistentvolumeclaims"):
            if dig(claim, "status", "phase") == "Pending" and not is_terminating(claim):
                name = claim["spec"].get("storageClassName") or ""
                kind = self.store.get("storageclasses.storage.k8s.io", "", name)
                if kind is not None and kind["provisioner"] == PROVISIONER:
                    self._bind(claim, kind)
        return None

    def _bind(self, claim: Obj, kind: Obj) -> None:
        claims = self.cluster.resource("v1", "PersistentVolumeClaim")
        name = f"pvc-{uid_of(claim)}"
        size = dig(claim, "spec", "resources", "requests", "storage")
        reference = {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": namespace_of(claim),
            "name": name_of(claim),
            "uid": uid_of(claim),
        }
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER}},
                "spec": {
                    "capacity": {"storage": size},
                    "accessModes": list(claim["spec"]["accessModes"]),
                    "claimRef": reference,
                    "persistentVolumeReclaimPolicy": kind.get("reclaimPolicy", "Delete"),
                    "storageClassName": name_of(kind),
                    "csi": {"driver": PROVISIONER, "volumeHandle": name},
                },
                "status": {"phase": "Bound"},
            }
        )
        bound: Obj = clone(claim)
        bound["spec"]["volumeName"] = name
        notes = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        bound["metadata"]["annotations"] = {**(bound["metadata"].get("annotations") or {}), **notes}
        bound = self.writes.save(claims, bound, MANAGER)
        capacity = {"storage": size}
        status = {"phase": "Bound", "accessModes": list(claim["spec"]["accessModes"]), "capacity": capacity}
        self.writes.save(claims, {**bound, "status": status}, MANAGER, "status")


class Protection(Controller):
    """Lets go of claims that no pod uses and of volumes that no claim is bound to, once they are deleted; grows
    claims that were asked to."""

    watches = frozenset({"persistentvolumeclaims", "persistentvolumes", "pods"})

    def sync(self, now: float) -> float | None:
        claims = self.cluster.resource("v1", "PersistentVolumeClaim")
        for claim in self.store.list("persistentvolumeclaims"):
            if is_terminating(claim) and not self._is_used(claim):
                self.writes.remove(claims, claim)
                self._reclaim(claim)
            elif not is_terminating(claim):
                self._grow(claim)
        volumes = self.cluster.resource("v1", "PersistentVolume")
        for volume in self.store.list("persistentvolumes"):
            if is_terminating(volume):
                self.writes.remove(volumes, volume)
        return None

    def _reclaim(self, claim: Obj) -> None:
        volume = self.store.get("persistentvolumes", "", claim["spec"].get("volumeName") or "")
        if volume is not None and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            self.writes.remove(self.cluster.resource("v1", "PersistentVolume"), volume)

    def _is_used(self, claim: Obj) -> bool:
        return any(
            dig(volume, "persistentVolumeClaim", "claimName") == name_of(claim)
            for pod in self.store.list("pods", namespace_of(claim))
            for volume in pod["spec"].get("volumes") or ()
        )

    def _grow(self, claim: Obj) -> None:
        """A bound claim that asks for more than it has gets it: the volume, then the file system grows with it."""
        wanted = dig(claim, "spec", "resources", "requests", "storage")
        has = dig(claim, "status", "capacity", "storage")
        if dig(claim, "status", "phase") != "Bound" or has in (None, wanted):
            return
        volume = self.store.get("persistentvolumes", "", claim["spec"].get("volumeName") or "")
        if volume is not None:
            larger: Obj = clone(volume)
            larger["spec"]["capacity"]["storage"] = wanted
            self.writes.save(self.cluster.resource("v1", "PersistentVolume"), larger, MANAGER)
        grown: Obj = clone(claim)
        grown["status"]["capacity"]["storage"] = wanted
        resource = self.cluster.resource("v1", "PersistentVolumeClaim")
        self.writes.save(resource, grown, MANAGER, "status")
        text = "MountVolume.NodeExpandVolume succeeded for volume"
        self.record(claim, "FileSystemResizeSuccessful", text, "kubelet")
