"""The defaults that the API server fills in. Called by `verbs` after decoding; changes the object in place."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

from bridge.demo.objects import Obj
from bridge.demo.quantities import canonical

_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def apply_defaults(kind: str, obj: Obj) -> None:
    """Fill in what the server does for a kind; other kinds stay as they are."""
    filler = _FILLERS.get(kind)
    if filler is not None:
        filler(obj)


def _default(target: Obj, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def containers_of(spec: Obj) -> Iterator[Obj]:
    """All containers of a pod's spec, the ones for its start included."""
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            if isinstance(container, dict):
                yield container


def pod_spec(spec: Obj) -> None:
    """The defaults of a pod's spec, in a template as in a pod."""
    for container in containers_of(spec):
        _container(container)
    _default(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if spec.get("serviceAccountName"):
        _default(spec, serviceAccount=spec["serviceAccountName"])
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume.get(source), dict):
                _default(volume[source], defaultMode=420)


def _container(container: Obj) -> None:
    tag = str(container.get("image", "")).rpartition("/")[2].partition(":")[2]
    _default(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if tag in ("", "latest") else "IfNotPresent",
    )
    for port in container.get("ports") or ():
        _default(port, protocol="TCP")
    for entry in container.get("env") or ():
        field = (entry.get("valueFrom") or {}).get("fieldRef")
        if field:
            _default(field, apiVersion="v1")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            _probe(container[probe])
    resources(container["resources"])


def _probe(probe: Obj) -> None:
    _default(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if probe.get("httpGet"):
        _default(probe["httpGet"], scheme="HTTP", path="/")


def resources(found: Obj) -> None:
    """Quantities in their canonical form, where they are quantities; validation says so where they aren't."""
    for part in ("limits", "requests", "capacity"):
        for key, text in (found.get(part) or {}).items():
            try:
                found[part][key] = canonical(text)
            except ValueError:
                continue


def _template(obj: Obj) -> None:
    pod_spec(obj["spec"].setdefault("template", {}).setdefault("spec", {}))


def _deployment(obj: Obj) -> None:
    spec = obj["spec"]
    _template(obj)
    _default(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    _default(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        _default(strategy, rollingUpdate={})
        _default(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")


def _replica_set(obj: Obj) -> None:
    _template(obj)
    _default(obj["spec"], replicas=1)


def _stateful_set(obj: Obj) -> None:
    spec = obj["spec"]
    _template(obj)
    _default(
        spec,
        replicas=1,
        podManagementPolicy="OrderedReady",
        updateStrategy={},
        revisionHistoryLimit=10,
        persistentVolumeClaimRetentionPolicy={},
    )
    _default(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    _default(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _default(spec["updateStrategy"], rollingUpdate={})
        _default(spec["updateStrategy"]["rollingUpdate"], partition=0)


def _daemon_set(obj: Obj) -> None:
    spec = obj["spec"]
    _template(obj)
    _default(spec, updateStrategy={}, revisionHistoryLimit=10)
    _default(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _default(spec["updateStrategy"], rollingUpdate={})
        _default(spec["updateStrategy"]["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    annotations = obj["metadata"].setdefault("annotations", {})
    _default(annotations, **{"deprecated.daemonset.template.generation": "1"})


def _job(obj: Obj) -> None:
    spec = obj["spec"]
    _template(obj)
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _default(spec, completions=1)
    _default(
        spec,
        parallelism=1,
        backoffLimit=6,
        completionMode="NonIndexed",
        suspend=False,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed",
    )


def _pod(obj: Obj) -> None:
    spec = obj["spec"]
    for container in containers_of(spec):
        found = container.setdefault("resources", {})
        for key, value in (found.get("limits") or {}).items():
            found.setdefault("requests", {}).setdefault(key, value)
    pod_spec(spec)
    _default(spec, enableServiceLinks=True)


def admit_pod(obj: Obj, volume: str) -> None:
    """What admission adds to a pod: its account, its token volume, its priority and two tolerations."""
    spec = obj["spec"]
    _default(spec, serviceAccountName="default", priority=0, preemptionPolicy="PreemptLowerPriority")
    _default(spec, serviceAccount=spec["serviceAccountName"])
    tolerations = spec.setdefault("tolerations", [])
    for key in _TOLERATED:
        if not any(entry.get("key") == key for entry in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    if spec.get("automountServiceAccountToken") is False:
        return
    spec.setdefault("volumes", []).append({"name": volume, "projected": _token_sources()})
    mount = {"name": volume, "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    for container in containers_of(spec):
        container.setdefault("volumeMounts", []).append(dict(mount))


def _token_sources() -> Obj:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = [{"key": "ca.crt", "path": "ca.crt"}]
    service_authority = [{"key": "service-ca.crt", "path": "service-ca.crt"}]
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": authority}},
            {"downwardAPI": {"items": [namespace]}},
            {"configMap": {"name": "openshift-service-ca.crt", "items": service_authority}},
        ],
        "defaultMode": 420,
    }


def _autoscaler(obj: Obj) -> None:
    _default(obj["spec"], minReplicas=1)
    if not obj["spec"].get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        obj["spec"]["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]


def _claim(obj: Obj) -> None:
    _default(obj["spec"], volumeMode="Filesystem")
    resources(obj["spec"].get("resources") or {})


def _volume(obj: Obj) -> None:
    spec = obj["spec"]
    _default(spec, persistentVolumeReclaimPolicy="Retain", volumeMode="Filesystem")
    resources(spec)
    if spec.get("hostPath"):
        _default(spec["hostPath"], type="")


def _storage_class(obj: Obj) -> None:
    _default(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _service(obj: Obj) -> None:
    spec = obj["spec"]
    _default(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports") or ():
        _default(port, protocol="TCP", targetPort=port.get("port"))


def _secret(obj: Obj) -> None:
    _default(obj, type="Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _namespace(obj: Obj) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _definition(obj: Obj) -> None:
    spec = obj["spec"]
    names = spec["names"]
    _default(names, singular=str(names.get("kind", "")).lower(), listKind=f"{names.get('kind', '')}List")
    _default(spec, conversion={"strategy": "None"})


def _role_binding(obj: Obj) -> None:
    _default(obj.setdefault("roleRef", {}), apiGroup="rbac.authorization.k8s.io")


def _network_policy(obj: Obj) -> None:
    spec = obj["spec"]
    _default(spec, policyTypes=["Ingress", "Egress"] if "egress" in spec else ["Ingress"])
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                _default(port, protocol="TCP")


def _cron_job(obj: Obj) -> None:
    spec = obj["spec"]
    _default(spec, concurrencyPolicy="Allow", suspend=False, successfulJobsHistoryLimit=3, failedJobsHistoryLimit=1)
    pod_spec(spec["jobTemplate"]["spec"]["template"]["spec"])


_FILLERS: dict[str, Callable[[Obj], None]] = {
    "ClusterRoleBinding": _role_binding,
    "CustomResourceDefinition": _definition,
    "CronJob": _cron_job,
    "DaemonSet": _daemon_set,
    "Deployment": _deployment,
    "HorizontalPodAutoscaler": _autoscaler,
    "Job": _job,
    "Namespace": _namespace,
    "NetworkPolicy": _network_policy,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "ReplicaSet": _replica_set,
    "RoleBinding": _role_binding,
    "Secret": _secret,
    "Service": _service,
    "StatefulSet": _stateful_set,
    "StorageClass": _storage_class,
}
