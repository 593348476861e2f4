"""What the API server refuses with 422. Called by `verbs` after defaults; returns causes, changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from bridge.demo.defaults import containers_of
from bridge.demo.objects import Obj, dig
from bridge.demo.quantities import value_of
from bridge.demo.selectors import matches_selector
from bridge.demo.status_errors import (
    forbidden_value,
    invalid_value,
    not_supported_value,
    required_value,
)

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    f"and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    f"with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_DATA_KEY = re.compile(r"^[-._a-zA-Z0-9]{1,253}$")
_PATH_SEGMENT_KINDS = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
_IMMUTABLE = "field is immutable"
_AT_LEAST_ZERO = "must be greater than or equal to 0"


def shown(value: Any) -> str:
    """A value as causes quote it."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def validate(kind: str, obj: Obj, before: Obj | None) -> list[Obj]:
    """The causes for which the server would refuse this object; `before` is what an update replaces."""
    causes = _name(kind, obj) if before is None else []
    checker = _CHECKS.get(kind)
    return causes + (checker(obj, before) if checker else [])


def _name(kind: str, obj: Obj) -> list[Obj]:
    name = str(obj["metadata"].get("name") or "")
    if not name:
        return [required_value("metadata.name", "name or generateName is required")]
    if kind in _PATH_SEGMENT_KINDS:
        ok, text = name not in (".", "..") and not set(name) & set("/%"), "may not be '.', '..' or contain '/' or '%'"
    elif kind in ("Namespace", "Service"):
        ok, text = bool(re.fullmatch(_LABEL, name)) and len(name) <= 63, _LABEL_TEXT
    else:
        ok, text = bool(re.fullmatch(_SUBDOMAIN, name)) and len(name) <= 253, _SUBDOMAIN_TEXT
    return [] if ok else [invalid_value("metadata.name", shown(name), text)]


def _replicas(spec: Obj) -> list[Obj]:
    count = spec.get("replicas")
    if isinstance(count, int) and count < 0:
        return [invalid_value("spec.replicas", str(count), _AT_LEAST_ZERO)]
    return []


def _selector(obj: Obj, before: Obj | None) -> list[Obj]:
    spec = obj["spec"]
    selector = spec.get("selector")
    causes: list[Obj] = []
    labels = dig(spec, "template", "metadata", "labels", default={})
    if not selector:
        causes.append(required_value("spec.selector"))
    elif not matches_selector(selector, labels):
        text = "`selector` does not match template `labels`"
        causes.append(invalid_value("spec.template.metadata.labels", shown(labels), text))
    if before is not None and before["spec"].get("selector") != selector:
        causes.append(invalid_value("spec.selector", shown(selector), _IMMUTABLE))
    return causes


def pod_spec(spec: Obj, path: str) -> list[Obj]:
    """The causes in a pod's spec."""
    causes: list[Obj] = []
    if not spec.get("containers"):
        causes.append(required_value(f"{path}.containers"))
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            place = f"{path}.{field}[{index}]"
            causes += _container(container, place)
            name = container.get("name", "")
            if name in seen:
                causes.append(
                    {
                        "reason": "FieldValueDuplicate",
                        "message": f'Duplicate value: "{name}"',
                        "field": f"{place}.name",
                    }
                )
            seen.add(name)
    return causes


def _container(container: Obj, path: str) -> list[Obj]:
    causes: list[Obj] = []
    name = container.get("name")
    if not name:
        causes.append(required_value(f"{path}.name"))
    elif not re.fullmatch(_LABEL, name) or len(name) > 63:
        causes.append(invalid_value(f"{path}.name", shown(name), _LABEL_TEXT))
    if not container.get("image"):
        causes.append(required_value(f"{path}.image"))
    policy = container.get("imagePullPolicy")
    if policy not in ("Always", "IfNotPresent", "Never"):
        causes.append(
            not_supported_value(f"{path}.imagePullPolicy", shown(policy), ["Always", "IfNotPresent", "Never"])
        )
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            causes.append(required_value(f"{path}.env[{index}].name"))
    return causes + _resources(container.get("resources") or {}, f"{path}.resources")


def _resources(resources: Obj, path: str) -> list[Obj]:
    causes: list[Obj] = []
    values: dict[tuple[str, str], Any] = {}
    for part in ("limits", "requests"):
        for key, text in (resources.get(part) or {}).items():
            try:
                values[part, key] = value_of(text)
            except ValueError as error:
                causes.append(invalid_value(f"{path}.{part}.{key}", shown(text), str(error)))
                continue
            if values[part, key] < 0:
                causes.append(invalid_value(f"{path}.{part}[{key}]", shown(text), _AT_LEAST_ZERO))
    for (part, key), value in values.items():
        limit = values.get(("limits", key))
        if part == "requests" and limit is not None and value > limit:
            text = f"must be less than or equal to {key} limit of {resources['limits'][key]}"
            causes.append(invalid_value(f"{path}.requests", shown(resources["requests"][key]), text))
    return causes


def _deployment(obj: Obj, before: Obj | None) -> list[Obj]:
    spec = obj["spec"]
    causes = _replicas(spec) + _selector(obj, before) + pod_spec(spec["template"]["spec"], "spec.template.spec")
    strategy = spec.get("strategy") or {}
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        shown_type = shown(strategy.get("type"))
        causes.append(not_supported_value("spec.strategy.type", shown_type, ["Recreate", "RollingUpdate"]))
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate"):
        text = "may not be specified when strategy `type` is 'Recreate'"
        causes.append(forbidden_value("spec.strategy.rollingUpdate", text))
    rolling = strategy.get("rollingUpdate") or {}
    for key in ("maxUnavailable", "maxSurge"):
        causes += _count_or_share(rolling.get(key), f"spec.strategy.rollingUpdate.{key}")
    if rolling and _is_none(rolling.get("maxUnavailable")) and _is_none(rolling.get("maxSurge")):
        text = "may not be 0 when `maxSurge` is 0"
        causes.append(
            invalid_value("spec.strategy.rollingUpdate.maxUnavailable", shown(rolling["maxUnavailable"]), text)
        )
    return causes


_PERCENT = re.compile(r"^[0-9]+%$")


def _count_or_share(value: Any, path: str) -> list[Obj]:
    """The causes in a number of pods, or a share of them."""
    if isinstance(value, str) and not _PERCENT.match(value):
        text = "a valid percent string must be a numeric string followed by an ending '%'"
        return [invalid_value(path, shown(value), text)]
    if isinstance(value, int) and value < 0:
        return [invalid_value(path, str(value), _AT_LEAST_ZERO)]
    return []


def _is_none(value: Any) -> bool:
    return value in (0, "0%", "0")


def _replica_set(obj: Obj, before: Obj | None) -> list[Obj]:
    template = obj["spec"]["template"]["spec"]
    return _replicas(obj["spec"]) + _selector(obj, before) + pod_spec(template, "spec.template.spec")


def _stateful_set(obj: Obj, before: Obj | None) -> list[Obj]:
    causes = _replica_set(obj, None)
    changeable = {
        "replicas",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
        "ordinals",
    }
    if before is not None and _rest(obj["spec"], changeable) != _rest(before["spec"], changeable):
        text = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        causes.append(forbidden_value("spec", text))
    return causes


def _rest(spec: Obj, without: set[str]) -> Obj:
    return {key: value for key, value in spec.items() if key not in without}


def _daemon_set(obj: Obj, before: Obj | None) -> list[Obj]:
    return _selector(obj, before) + pod_spec(obj["spec"]["template"]["spec"], "spec.template.spec")


def _job(obj: Obj, before: Obj | None) -> list[Obj]:
    spec = obj["spec"]
    causes = pod_spec(spec["template"]["spec"], "spec.template.spec")
    if before is None:
        if spec["template"]["spec"].get("restartPolicy") not in ("OnFailure", "Never"):
            policy = shown(spec["template"]["spec"].get("restartPolicy"))
            causes.append(not_supported_value("spec.template.spec.restartPolicy", policy, ["OnFailure", "Never"]))
        return causes
    for field in ("selector", "template", "completions", "completionMode"):
        if before["spec"].get(field) != spec.get(field):
            causes.append(invalid_value(f"spec.{field}", shown(spec.get(field)), _IMMUTABLE))
    return causes


def _pod(obj: Obj, before: Obj | None) -> list[Obj]:
    causes = pod_spec(obj["spec"], "spec")
    if before is not None and _fixed_part(obj["spec"]) != _fixed_part(before["spec"]):
        text = (
            "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        causes.append(forbidden_value("spec", text))
    return causes


def _fixed_part(spec: Obj) -> Obj:
    rest = _rest(spec, {"activeDeadlineSeconds", "tolerations", "containers", "initContainers"})
    return rest | {"all": [_rest(container, {"image"}) for container in containers_of(spec)]}


def _data_keys(obj: Obj) -> Iterable[Obj]:
    for key in obj.get("data") or {}:
        if not _DATA_KEY.match(key):
            text = (
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            )
            yield invalid_value(f"data[{key}]", shown(key), text)


def _frozen(obj: Obj, before: Obj | None) -> list[Obj]:
    if before is None or not before.get("immutable"):
        return []
    text = "field is immutable when `immutable` is set"
    causes = [forbidden_value("immutable", text)] if not obj.get("immutable") else []
    fields = ("data", "binaryData")
    return causes + [forbidden_value(field, text) for field in fields if obj.get(field) != before.get(field)]


def _config_map(obj: Obj, before: Obj | None) -> list[Obj]:
    return [*_data_keys(obj), *_frozen(obj, before)]


_SECRET_KEYS = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}


def _secret(obj: Obj, before: Obj | None) -> list[Obj]:
    causes = [*_data_keys(obj), *_frozen(obj, before)]
    if before is not None and before.get("type") != obj.get("type"):
        return [*causes, invalid_value("type", shown(obj.get("type")), _IMMUTABLE)]
    for key in _SECRET_KEYS.get(str(obj.get("type")), ()):
        if key not in (obj.get("data") or {}):
            causes.append(required_value(f"data[{key}]"))
    return causes


def _autoscaler(obj: Obj, before: Obj | None) -> list[Obj]:
    spec = obj["spec"]
    causes: list[Obj] = []
    least, most = spec.get("minReplicas") or 1, spec.get("maxReplicas") or 0
    if least < 1:
        causes.append(invalid_value("spec.minReplicas", str(least), "must be greater than or equal to 1"))
    if most < 1:
        causes.append(invalid_value("spec.maxReplicas", str(most), "must be greater than 0"))
    if most < least:
        text = "must be greater than or equal to `minReplicas`"
        causes.append(invalid_value("spec.maxReplicas", str(most), text))
    return causes


def _claim(obj: Obj, before: Obj | None) -> list[Obj]:
    if before is None:
        return [] if obj["spec"].get("accessModes") else [required_value("spec.accessModes")]
    if obj["spec"] == before["spec"]:
        return []
    changeable = {"resources", "volumeAttributesClassName", "volumeName"}
    fixed = _rest(obj["spec"], changeable) != _rest(before["spec"], changeable)
    if fixed or dig(before, "status", "phase") != "Bound":
        if dig(before, "spec", "volumeName") is None and _rest(obj["spec"], {"volumeName"}) == before["spec"]:
            return []
        text = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
            "claims"
        )
        return [forbidden_value("spec", text)]
    wanted = value_of(dig(obj, "spec", "resources", "requests", "storage", default="0"))
    if wanted < value_of(dig(before, "status", "capacity", "storage", default="0")):
        text = "field can not be less than status.capacity"
        return [forbidden_value("spec.resources.requests.storage", text)]
    return []


def _budget(obj: Obj, before: Obj | None) -> list[Obj]:
    spec = obj["spec"]
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        text = "minAvailable and maxUnavailable cannot be both set"
        return [invalid_value("spec", shown(spec), text)]
    return [
        cause for key in ("minAvailable", "maxUnavailable") for cause in _count_or_share(spec.get(key), f"spec.{key}")
    ]


def _role_binding(obj: Obj, before: Obj | None) -> list[Obj]:
    if before is not None and before.get("roleRef") != obj.get("roleRef"):
        return [invalid_value("roleRef", shown(obj.get("roleRef")), "cannot change roleRef")]
    return []


def _storage_class(obj: Obj, before: Obj | None) -> list[Obj]:
    causes = [] if obj.get("provisioner") else [required_value("provisioner")]
    if before is not None:
        for field in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
            if before.get(field) != obj.get(field):
                causes.append(forbidden_value(field, f"updates to {field} are forbidden."))
    return causes


def scale(obj: Obj) -> list[Obj]:
    """The causes in a Scale."""
    return _replicas(obj.get("spec") or {})


_CHECKS: dict[str, Callable[[Obj, Obj | None], list[Obj]]] = {
    "ClusterRoleBinding": _role_binding,
    "ConfigMap": _config_map,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _autoscaler,
    "Job": _job,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "PodDisruptionBudget": _budget,
    "ReplicaSet": _replica_set,
    "RoleBinding": _role_binding,
    "Secret": _secret,
    "StatefulSet": _stateful_set,
    "StorageClass": _storage_class,
}
