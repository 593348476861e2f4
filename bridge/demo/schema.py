"""Types of the fields that clients most often get wrong. Finds wrong types and unknown fields; called by `verbs`.

It covers the workload kinds, their pod templates and a few more. What it doesn't describe is taken as it comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.demo.objects import Obj

Type = Any
ANY = None
STRING, INT, BOOL, INT_OR_STRING, QUANTITY = "string", "int32", "bool", "intstr.IntOrString", "resource.Quantity"
OBJECT = "object"
"""A map whose content is not described."""


class WrongType(Exception):
    """A value of a type that the field doesn't take; the message is the decoder's."""


def _list(item: Type) -> Type:
    return [item]


def _map(item: Type) -> Type:
    return ("map", item)


def _struct(go_name: str, fields: dict[str, Type], anything: str = "", *, objects: str = "", lists: str = "") -> Type:
    """A struct; `objects`, `lists` (of objects) and `anything` name further fields whose content is not described."""
    further = dict.fromkeys(objects.split(), OBJECT) | {key: [OBJECT] for key in lists.split()}
    return ("struct", go_name, fields | further | dict.fromkeys(anything.split(), ANY))


_METADATA = _struct(
    "ObjectMeta",
    {
        "name": STRING,
        "generateName": STRING,
        "namespace": STRING,
        "uid": STRING,
        "resourceVersion": STRING,
        "labels": _map(STRING),
        "annotations": _map(STRING),
        "finalizers": _list(STRING),
    },
    "generation creationTimestamp deletionTimestamp deletionGracePeriodSeconds selfLink",
    lists="ownerReferences managedFields",
)
_RESOURCES = _struct("ResourceRequirements", {"limits": _map(QUANTITY), "requests": _map(QUANTITY)}, "claims")
_ENV = _struct("EnvVar", {"name": STRING, "value": STRING}, objects="valueFrom")
_PORT = _struct(
    "ContainerPort",
    {"name": STRING, "containerPort": INT, "hostPort": INT, "hostIP": STRING, "protocol": STRING},
)
_CONTAINER = _struct(
    "Container",
    {
        "name": STRING,
        "image": STRING,
        "command": _list(STRING),
        "args": _list(STRING),
        "workingDir": STRING,
        "ports": _list(_PORT),
        "env": _list(_ENV),
        "resources": _RESOURCES,
        "imagePullPolicy": STRING,
        "terminationMessagePath": STRING,
        "terminationMessagePolicy": STRING,
        "stdin": BOOL,
        "stdinOnce": BOOL,
        "tty": BOOL,
    },
    "restartPolicy restartPolicyRules",
    objects="livenessProbe readinessProbe startupProbe lifecycle securityContext",
    lists="envFrom resizePolicy volumeMounts volumeDevices",
)
_POD_SPEC = _struct(
    "PodSpec",
    {
        "containers": _list(_CONTAINER),
        "initContainers": _list(_CONTAINER),
        "restartPolicy": STRING,
        "terminationGracePeriodSeconds": INT,
        "activeDeadlineSeconds": INT,
        "dnsPolicy": STRING,
        "nodeSelector": _map(STRING),
        "serviceAccountName": STRING,
        "serviceAccount": STRING,
        "automountServiceAccountToken": BOOL,
        "nodeName": STRING,
        "hostNetwork": BOOL,
        "schedulerName": STRING,
        "priorityClassName": STRING,
        "priority": INT,
        "enableServiceLinks": BOOL,
    },
    "hostPID hostIPC hostUsers shareProcessNamespace hostname subdomain setHostnameAsFQDN preemptionPolicy "
    "runtimeClassName hostnameOverride schedulingGroup",
    objects="securityContext affinity dnsConfig overhead os resources",
    lists="volumes ephemeralContainers imagePullSecrets tolerations hostAliases readinessGates "
    "topologySpreadConstraints schedulingGates resourceClaims",
)
_TEMPLATE = _struct("PodTemplateSpec", {"metadata": _METADATA, "spec": _POD_SPEC})
_EXPRESSION = _struct("LabelSelectorRequirement", {"key": STRING, "operator": STRING, "values": _list(STRING)})
_SELECTOR = _struct("LabelSelector", {"matchLabels": _map(STRING), "matchExpressions": _list(_EXPRESSION)})


def _kind(name: str, fields: dict[str, Type], anything: str = "", *, objects: str = "") -> Type:
    base = {"apiVersion": STRING, "kind": STRING, "metadata": _METADATA, "status": OBJECT}
    return _struct(name, base | fields, anything, objects=objects)


_TYPES: dict[str, Type] = {
    "Deployment": _kind(
        "Deployment",
        {
            "spec": _struct(
                "DeploymentSpec",
                {
                    "replicas": INT,
                    "selector": _SELECTOR,
                    "template": _TEMPLATE,
                    "strategy": _struct(
                        "DeploymentStrategy",
                        {
                            "type": STRING,
                            "rollingUpdate": _struct(
                                "RollingUpdateDeployment",
                                {"maxUnavailable": INT_OR_STRING, "maxSurge": INT_OR_STRING},
                            ),
                        },
                    ),
                    "minReadySeconds": INT,
                    "revisionHistoryLimit": INT,
                    "paused": BOOL,
                    "progressDeadlineSeconds": INT,
                },
            )
        },
    ),
    "ReplicaSet": _kind(
        "ReplicaSet",
        {
            "spec": _struct(
                "ReplicaSetSpec",
                {"replicas": INT, "minReadySeconds": INT, "selector": _SELECTOR, "template": _TEMPLATE},
            )
        },
    ),
    "StatefulSet": _kind(
        "StatefulSet",
        {
            "spec": _struct(
                "StatefulSetSpec",
                {
                    "replicas": INT,
                    "selector": _SELECTOR,
                    "template": _TEMPLATE,
                    "serviceName": STRING,
                    "podManagementPolicy": STRING,
                    "revisionHistoryLimit": INT,
                    "minReadySeconds": INT,
                },
                objects="updateStrategy persistentVolumeClaimRetentionPolicy ordinals",
                lists="volumeClaimTemplates",
            )
        },
    ),
    "DaemonSet": _kind(
        "DaemonSet",
        {
            "spec": _struct(
                "DaemonSetSpec",
                {
                    "selector": _SELECTOR,
                    "template": _TEMPLATE,
                    "minReadySeconds": INT,
                    "revisionHistoryLimit": INT,
                },
                objects="updateStrategy",
            )
        },
    ),
    "Pod": _kind("Pod", {"spec": _POD_SPEC}),
    "ConfigMap": _kind("ConfigMap", {"data": _map(STRING), "binaryData": _map(STRING), "immutable": BOOL}),
    "Secret": _kind(
        "Secret",
        {"data": _map(STRING), "stringData": _map(STRING), "immutable": BOOL, "type": STRING},
    ),
    "Scale": _kind("Scale", {"spec": _struct("ScaleSpec", {"replicas": INT})}),
    "HorizontalPodAutoscaler": _kind(
        "HorizontalPodAutoscaler",
        {
            "spec": _struct(
                "HorizontalPodAutoscalerSpec",
                {
                    "minReplicas": INT,
                    "maxReplicas": INT,
                    "scaleTargetRef": _struct(
                        "CrossVersionObjectReference", {"apiVersion": STRING, "kind": STRING, "name": STRING}
                    ),
                },
                objects="behavior",
                lists="metrics",
            )
        },
    ),
    "Service": _kind(
        "Service",
        {
            "spec": _struct(
                "ServiceSpec",
                {
                    "selector": _map(STRING),
                    "type": STRING,
                    "clusterIP": STRING,
                    "ports": _list(
                        _struct(
                            "ServicePort",
                            {
                                "name": STRING,
                                "port": INT,
                                "targetPort": INT_OR_STRING,
                                "protocol": STRING,
                                "nodePort": INT,
                                "appProtocol": STRING,
                            },
                        )
                    ),
                },
                "clusterIPs ipFamilies ipFamilyPolicy sessionAffinity sessionAffinityConfig externalIPs externalName "
                "externalTrafficPolicy internalTrafficPolicy healthCheckNodePort loadBalancerIP loadBalancerClass "
                "loadBalancerSourceRanges allocateLoadBalancerNodePorts publishNotReadyAddresses trafficDistribution",
            )
        },
    ),
    "PersistentVolumeClaim": _kind(
        "PersistentVolumeClaim",
        {
            "spec": _struct(
                "PersistentVolumeClaimSpec",
                {
                    "accessModes": _list(STRING),
                    "resources": _RESOURCES,
                    "storageClassName": STRING,
                    "volumeMode": STRING,
                    "volumeName": STRING,
                    "volumeAttributesClassName": STRING,
                    "selector": _SELECTOR,
                },
                objects="dataSource dataSourceRef",
            )
        },
    ),
    "PodDisruptionBudget": _kind(
        "PodDisruptionBudget",
        {
            "spec": _struct(
                "PodDisruptionBudgetSpec",
                {"minAvailable": INT_OR_STRING, "maxUnavailable": INT_OR_STRING, "selector": _SELECTOR},
                "unhealthyPodEvictionPolicy",
            )
        },
    ),
    "Job": _kind(
        "Job",
        {
            "spec": _struct(
                "JobSpec",
                {
                    "template": _TEMPLATE,
                    "selector": _SELECTOR,
                    "parallelism": INT,
                    "completions": INT,
                    "backoffLimit": INT,
                    "activeDeadlineSeconds": INT,
                    "ttlSecondsAfterFinished": INT,
                    "manualSelector": BOOL,
                    "suspend": BOOL,
                    "completionMode": STRING,
                    "podReplacementPolicy": STRING,
                },
                "backoffLimitPerIndex maxFailedIndexes managedBy",
                objects="podFailurePolicy successPolicy",
            )
        },
    ),
    "Event": _kind(
        "Event",
        {"reason": STRING, "message": STRING, "type": STRING, "count": INT},
        "firstTimestamp lastTimestamp eventTime reportingComponent reportingInstance action",
        objects="involvedObject source series related",
    ),
}

_GO_NAMES: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
_SCALARS: dict[str, Callable[[Any], bool]] = {
    STRING: lambda value: isinstance(value, str),
    BOOL: lambda value: isinstance(value, bool),
    INT: lambda value: isinstance(value, int) and not isinstance(value, bool),
    INT_OR_STRING: lambda value: isinstance(value, int | str) and not isinstance(value, bool),
    QUANTITY: lambda value: isinstance(value, int | float | str) and not isinstance(value, bool),
    OBJECT: lambda value: isinstance(value, dict),
}


def decode(kind: str, obj: Obj) -> tuple[Obj, list[str]]:
    """The object without what its type doesn't know, and the paths of what that was. Raises WrongType."""
    described = _TYPES.get(kind)
    if described is None:
        return obj, []
    unknown: list[str] = []
    decoded: Obj = _decode(obj, described, kind, "", unknown)
    return decoded, unknown


def _decode(value: Any, wanted: Type, owner: str, path: str, unknown: list[str]) -> Any:
    if wanted is ANY or value is None:
        return value
    if isinstance(wanted, str):
        if not _SCALARS[wanted](value):
            raise WrongType(_complaint(value, owner, path, wanted))
        return value
    if isinstance(wanted, list):
        if not isinstance(value, list):
            raise WrongType(_complaint(value, owner, path, "[]"))
        return [_decode(item, wanted[0], owner, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        raise WrongType(_complaint(value, owner, path, "map" if wanted[0] == "map" else wanted[1]))
    if wanted[0] == "map":
        return {key: _decode(item, wanted[1], owner, path, unknown) for key, item in value.items()}
    return _decode_struct(value, wanted, path, unknown)


def _decode_struct(value: Obj, wanted: Type, path: str, unknown: list[str]) -> Obj:
    _, go_name, fields = wanted
    decoded: Obj = {}
    for key, item in value.items():
        place = f"{path}.{key}" if path else key
        if key in fields:
            decoded[key] = _decode(item, fields[key], go_name, place, unknown)
        else:
            unknown.append(place)
    return decoded


def _complaint(value: Any, owner: str, path: str, wanted: str) -> str:
    found = _GO_NAMES.get(type(value), "value")
    return f"json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {wanted}"
