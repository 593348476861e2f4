"""What the API's types say about their lists and maps: which are merged by key, which are replaced as a whole,
and which fields exist before anybody sets them. Read by strategic merge, server-side apply and managedFields.
"""

from __future__ import annotations

from typing import Any

from bridge.demo.objects import Obj, clone

_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "addresses": ("type",),
    "secrets": ("name",),
    "volumesAttached": ("name",),
}
"""Lists merged by key in every built-in type that has them; `ports` depends on where it is."""

_SETS = {"finalizers"}
_ATOMIC_MAPS = {
    "selector",
    "nodeSelector",
    "involvedObject",
    "roleRef",
    "configMapKeyRef",
    "secretKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "labelSelector",
}
_PLAIN_MAPS = {"labels", "annotations", "data", "binaryData", "stringData", "matchLabels", "limits", "requests"}
"""Maps whose keys are names that people choose: a key called `ports` in them is no list of ports."""


def list_keys(path: tuple[str, ...], *, kind: str) -> tuple[str, ...] | None:
    """The keys that tell the items of the list at this path apart; None when the list is replaced as a whole.

    `kind` is a built-in kind, or empty for a custom resource.
    """
    if not kind:
        # Custom resources say it in their schema; without one, their lists are atomic.
        return ("uid",) if path[-2:] == ("metadata", "ownerReferences") else None
    field = path[-1]
    if kind == "Job" and path == ("status", "conditions"):
        return None
    if field == "ports":
        if "containers" in path or "initContainers" in path:
            return ("containerPort", "protocol")
        return ("port", "protocol") if path == ("spec", "ports") else None
    if field in ("conditions", "addresses") and "status" not in path:
        return None
    return _LIST_KEYS.get(field)


def patch_key(path: tuple[str, ...]) -> str | None:
    """The one key by which a strategic merge tells items apart."""
    keys = list_keys(path, kind="any")
    return keys[0] if keys else None


def is_set(path: tuple[str, ...]) -> bool:
    """Whether the list at this path is a set of plain values, merged value by value."""
    return path[-1] in _SETS and path[:1] == ("metadata",)


def is_atomic_map(path: tuple[str, ...], *, kind: str) -> bool:
    """Whether the map at this path has one owner as a whole."""
    if not kind or (len(path) > 1 and path[-2] in _PLAIN_MAPS):
        return False
    return path[-1] in _ATOMIC_MAPS or (kind == "ControllerRevision" and path == ("data",))


_TEMPLATE: Obj = {"metadata": {}, "spec": {"containers": None}}

ZERO: dict[str, Obj] = {
    "Deployment": {"spec": {"selector": None, "template": _TEMPLATE, "strategy": {}}, "status": {}},
    "ReplicaSet": {"spec": {"selector": None, "template": _TEMPLATE}, "status": {"replicas": 0}},
    "StatefulSet": {
        "spec": {"selector": None, "template": _TEMPLATE, "serviceName": "", "updateStrategy": {}},
        "status": {"replicas": 0, "availableReplicas": 0},
    },
    "DaemonSet": {
        "spec": {"selector": None, "template": _TEMPLATE, "updateStrategy": {}},
        "status": {
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        },
    },
    "ControllerRevision": {"revision": 0},
    "Job": {"spec": {"template": _TEMPLATE}, "status": {}},
    "Pod": {"spec": {"containers": None}, "status": {}},
    "HorizontalPodAutoscaler": {
        "spec": {"scaleTargetRef": {"kind": "", "name": ""}, "maxReplicas": 0},
        "status": {"desiredReplicas": 0, "currentMetrics": None},
    },
    "PersistentVolumeClaim": {"spec": {"resources": {}}, "status": {}},
    "PersistentVolume": {"spec": {}, "status": {}},
    "PodDisruptionBudget": {
        "spec": {},
        "status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0},
    },
    "Node": {
        "spec": {},
        "status": {
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": dict.fromkeys(
                (
                    "machineID",
                    "systemUUID",
                    "bootID",
                    "kernelVersion",
                    "osImage",
                    "containerRuntimeVersion",
                    "kubeletVersion",
                    "kubeProxyVersion",
                    "operatingSystem",
                    "architecture",
                ),
                "",
            ),
        },
    },
    "Event": {
        "involvedObject": {},
        "source": {},
        "firstTimestamp": None,
        "lastTimestamp": None,
        "eventTime": None,
        "reportingComponent": "",
        "reportingInstance": "",
    },
    "Namespace": {"spec": {}, "status": {}},
    "NetworkPolicy": {"spec": {"podSelector": {}}},
    "Ingress": {"spec": {}, "status": {"loadBalancer": {}}},
    "CronJob": {
        "spec": {"schedule": "", "jobTemplate": {"metadata": {}, "spec": {"template": _TEMPLATE}}},
        "status": {},
    },
    "Lease": {"spec": {}},
    "Service": {"spec": {}, "status": {"loadBalancer": {}}},
    "StorageClass": {"provisioner": ""},
    "CustomResourceDefinition": {
        "spec": {"group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": None},
        "status": {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": None},
    },
    "SelfSubjectAccessReview": {"spec": {}, "status": {"allowed": False}},
}
"""What an object of the kind holds before anybody sets a field: the fields that are always written."""


def zero(kind: str) -> Obj:
    """A fresh, empty object of a built-in kind; of a custom one when it is empty."""
    empty: Obj = {"metadata": {}}
    return empty | clone(ZERO.get(kind, {}))


def fill(base: Any, value: Any) -> Any:
    """`value` over `base`: the fields of the empty object stay where nothing was set."""
    if not isinstance(base, dict) or not isinstance(value, dict):
        return base if value is None else value
    merged = dict(base)
    for key, item in value.items():
        merged[key] = fill(base[key], item) if key in base else item
    return merged
