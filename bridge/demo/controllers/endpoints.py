"""Endpoints and EndpointSlices: the addresses of the pods behind each service, ready and not."""

from __future__ import annotations

from functools import partial

from bridge.demo.controllers.base import MANAGER, Controller
from bridge.demo.objects import (
    Obj,
    clone,
    dig,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    pod_is_ready,
)


class EndpointsOfServices(Controller):
    """Follows services and pods."""

    watches = frozenset({"services", "pods"})

    def sync(self, now: float) -> float | None:
        for service in self.store.list("services"):
            selector = service["spec"].get("selector")
            if selector:
                self.unless_settled(service, ("pods",), now, partial(self._sync_one, service, selector))
        return None

    def _sync_one(self, service: Obj, selector: dict[str, str]) -> None:
        pods = [
            pod
            for pod in self.store.list("pods", namespace_of(service))
            if selector.items() <= labels_of(pod).items() and dig(pod, "status", "podIP") and not is_terminating(pod)
        ]
        ports = [
            {
                key: value
                for key, value in (
                    ("name", port.get("name")),
                    ("port", _number(port)),
                    ("protocol", port.get("protocol", "TCP")),
                )
                if value is not None
            }
            for port in service["spec"].get("ports") or ()
        ]
        self._endpoints(service, pods, ports)
        self._slice(service, pods, ports)

    def _endpoints(self, service: Obj, pods: list[Obj], ports: list[Obj]) -> None:
        subset: Obj = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            found = [_address(pod) for pod in pods if pod_is_ready(pod) is ready]
            if found:
                subset[field] = found
        subsets = [{**subset, "ports": ports}] if subset else []
        resource = self.cluster.resource("v1", "Endpoints")
        old = self.store.get("endpoints", namespace_of(service), name_of(service))
        if old is None:
            metadata = {
                "name": name_of(service),
                "namespace": namespace_of(service),
                "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"},
            }
            body = {"metadata": metadata} | ({"subsets": subsets} if subsets else {})
            self.writes.insert(resource, body, MANAGER)
            return
        changed = {key: value for key, value in clone(old).items() if key != "subsets"}
        if subsets:
            changed["subsets"] = subsets
        self.writes.save(resource, changed, MANAGER)

    def _slice(self, service: Obj, pods: list[Obj], ports: list[Obj]) -> None:
        resource = self.cluster.resource("discovery.k8s.io/v1", "EndpointSlice")
        endpoints = [
            {
                "addresses": [dig(pod, "status", "podIP")],
                "conditions": {
                    "ready": pod_is_ready(pod),
                    "serving": pod_is_ready(pod),
                    "terminating": False,
                },
                "nodeName": pod["spec"].get("nodeName"),
                "targetRef": _reference(pod),
            }
            for pod in pods
        ]
        label = {"kubernetes.io/service-name": name_of(service)}
        found = [
            entry
            for entry in self.store.list(resource.key, namespace_of(service))
            if label.items() <= labels_of(entry).items()
        ]
        if found:
            self.writes.save(resource, {**found[0], "endpoints": endpoints, "ports": ports}, MANAGER)
            return
        prefix = f"{name_of(service)}-"
        metadata = {
            "name": prefix + self.writes.suffix(),
            "generateName": prefix,
            "namespace": namespace_of(service),
            "labels": {**label, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
            "ownerReferences": [owner_reference(service)],
        }
        body = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}
        self.writes.insert(resource, body, MANAGER)


def _number(port: Obj) -> int:
    target = port.get("targetPort")
    return target if isinstance(target, int) else int(port["port"])


def _reference(pod: Obj) -> Obj:
    return {"kind": "Pod", "namespace": namespace_of(pod), "name": name_of(pod), "uid": pod["metadata"]["uid"]}


def _address(pod: Obj) -> Obj:
    return {"ip": dig(pod, "status", "podIP"), "nodeName": pod["spec"].get("nodeName"), "targetRef": _reference(pod)}
