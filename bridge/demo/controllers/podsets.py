"""Making and removing the pods of a controller. Shared by ReplicaSets, StatefulSets, DaemonSets and Jobs."""

from __future__ import annotations

from bridge.demo.admission import check_namespace, check_pod_security, prepare_new
from bridge.demo.controllers.base import MANAGER, Controller
from bridge.demo.defaults import apply_defaults
from bridge.demo.deletion import delete_object
from bridge.demo.objects import (
    Obj,
    clone,
    controller_uid,
    is_terminating,
    name_of,
    namespace_of,
    owner_reference,
    pod_is_ready,
    uid_of,
)
from bridge.demo.status_errors import ApiError
from bridge.demo.structure import fill, zero


class PodOwner(Controller):
    """A controller that keeps pods."""

    component = ""

    def pods_of(self, owner: Obj) -> list[Obj]:
        """The pods of an owner, the ones that go away included."""
        uid = uid_of(owner)
        return [pod for pod in self.store.list("pods", namespace_of(owner)) if controller_uid(pod) == uid]

    def make_pod(
        self, owner: Obj, template: Obj, *, name: str = "", labels: dict[str, str] | None = None, node: str = ""
    ) -> Obj | None:
        """A new pod from a template, or None when the server refuses it; then an event says why."""
        pods = self.cluster.resource("v1", "Pod")
        metadata: Obj = {"namespace": namespace_of(owner)}
        if name:
            metadata["name"] = name
        else:
            prefix = f"{name_of(owner)}-"
            metadata["name"] = prefix + self.writes.suffix()
            metadata["generateName"] = prefix
        found = template.get("metadata") or {}
        if found.get("labels") or labels:
            metadata["labels"] = {**(found.get("labels") or {}), **(labels or {})}
        if found.get("annotations"):
            metadata["annotations"] = dict(found["annotations"])
        metadata["ownerReferences"] = [owner_reference(owner)]
        pod: Obj = fill(zero("Pod"), {"metadata": metadata, "spec": clone(template["spec"])})
        if node:
            pod["spec"]["nodeName"] = node
        apply_defaults("Pod", pod)
        pod = {"kind": "Pod", "apiVersion": "v1", **pod}
        self.writes.track(pods, None, pod, MANAGER)
        prepare_new(self.cluster, pods, pod)
        try:
            place = check_namespace(self.cluster, pods, namespace_of(owner), name_of(pod))
            check_pod_security(pods, pod, place)
        except ApiError as refusal:
            self.record(owner, "FailedCreate", f"Error creating: {refusal}", self.component, warning=True)
            return None
        made = self.store.put("pods", self.writes.stamp(pods, pod))
        self.record(owner, "SuccessfulCreate", f"Created pod: {name_of(made)}", self.component)
        return made

    def drop_pod(self, owner: Obj, pod: Obj) -> None:
        """Delete a pod, with its grace."""
        found = self.store.get("pods", namespace_of(pod), name_of(pod))
        if found is None or is_terminating(found):
            return
        delete_object(self.cluster, self.cluster.resource("v1", "Pod"), found, {})
        self.record(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}", self.component)


def is_active(pod: Obj) -> bool:
    """Neither going away nor at its end."""
    return not is_terminating(pod) and pod["status"].get("phase") not in ("Succeeded", "Failed")


def first_to_go(pods: list[Obj]) -> list[Obj]:
    """The pods in the order in which they are given up: unscheduled, not ready, youngest."""

    def rank(pod: Obj) -> tuple[bool, bool]:
        return bool(pod["spec"].get("nodeName")), pod_is_ready(pod)

    youngest = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)
    return sorted(youngest, key=rank)
