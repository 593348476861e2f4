"""What is in the demo's cluster before anything breaks, what breaks, and what a monitoring would say of it.

Used by `story`. Three troubles, one for each alert: a gateway whose new revision crash-loops, a service with too
few replicas for its load, a certificate that runs out because its issuer was away when it was due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj, condition, dig, parse_timestamp

NAMESPACE = "o2ims-system"
GATEWAY = "netweave-gateway"
WORKER = "netweave-subscriptions"
CERTIFICATE = "netweave-tls"

_DAY = 86400.0
_GOOD = "registry.example/netweave/gateway:v1.4.2"
_BROKEN = "registry.example/netweave/gateway:v1.5.0"
_WORKER_IMAGE = "registry.example/netweave/subscriptions:v1.4.2"
_CRASH_LOG = (
    "level=info msg=starting version=v1.5.0",
    'level=error msg="reading configuration" error="unknown field cache.ttlSeconds"',
    "panic: configuration is required",
)


@dataclass(frozen=True)
class Trouble:
    """One alert of the demo, and how a monitoring would see that it is over."""

    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]
    healed: Callable[[SimulatedCluster], bool]
    before: str
    """One sentence for people: what is wrong."""
    after: Callable[[SimulatedCluster], str]
    """What is to be seen when it is mended."""


def set_the_scene(cluster: SimulatedCluster) -> None:
    """Fill the cluster with things that have a history, then break them."""
    now = cluster.now()
    cluster.set_behavior(images={_BROKEN: "crash"}, ready_delay=0.8, termination_delay=0.2, issue_delay=0.8)
    with cluster.travel(now - 83 * _DAY):
        cluster.apply(_certificates())
        cluster.apply(_certificate())
        cluster.settle(10)
    with cluster.travel(now - 6 * _DAY):
        for manifest in (_service(GATEWAY), _service(WORKER)):
            cluster.apply(manifest)
        cluster.apply(_deployment(GATEWAY, _GOOD, replicas=3, cause="release v1.4.2"))
        cluster.apply(_deployment(WORKER, _WORKER_IMAGE, replicas=2, cause="release v1.4.2"))
        cluster.settle(60)
    with cluster.travel(now - 240):
        cluster.apply(_deployment(GATEWAY, _BROKEN, replicas=3, cause="release v1.5.0"))
        cluster.settle(230)
    for previous in (False, True):
        cluster.logs.set(NAMESPACE, f"{GATEWAY}-*", "gateway", _CRASH_LOG, previous=previous)


def troubles() -> list[Trouble]:
    """Return the three alerts, in the order in which the demo fires them."""
    place = {"namespace": NAMESPACE}
    return [
        Trouble(
            "GatewayDown",
            {**place, "deployment": GATEWAY, "severity": "critical"},
            {"summary": "No gateway pod is ready"},
            lambda cluster: _complete(cluster, GATEWAY) and _image(cluster, GATEWAY) == _GOOD,
            "revision v1.5.0 of the gateway crash-loops: 0 of 3 pods are ready",
            lambda cluster: f"{_ready(cluster, GATEWAY)} of 3 pods are ready, and they run v1.4.2 again",
        ),
        Trouble(
            "HighErrorRate",
            {**place, "deployment": WORKER, "severity": "warning"},
            {"summary": "More than 5 % of the requests fail"},
            lambda cluster: _complete(cluster, WORKER) and _ready(cluster, WORKER) > 2,
            "two replicas are too few for the load: 7 % of the requests fail",
            lambda cluster: f"{_ready(cluster, WORKER)} replicas share the load, and the errors are gone",
        ),
        Trouble(
            "CertExpiringSoon",
            {**place, "certificate": CERTIFICATE, "severity": "warning"},
            {"summary": "The gateway's certificate runs out in a week"},
            lambda cluster: certificate_days(cluster) > 30,
            "the certificate runs out in 7 days: its issuer was away when it was due",
            lambda cluster: f"the certificate holds for {certificate_days(cluster):.0f} days",
        ),
    ]


def certificate_days(cluster: SimulatedCluster) -> float:
    """Return for how many days the certificate still holds."""
    certificate = cluster.get("certificates.cert-manager.io", NAMESPACE, CERTIFICATE)
    end = dig(certificate, "status", "notAfter") if certificate else None
    ready = condition(certificate, "Ready") if certificate else None
    if not isinstance(end, str) or ready is None or ready["status"] != "True":
        return 0.0
    return (parse_timestamp(end) - cluster.now()) / _DAY


def pods_line(cluster: SimulatedCluster, name: str) -> str:
    """Return what `kubectl get pods` would say of a workload, in one line."""
    pods = [pod for pod in cluster.list("pods", NAMESPACE) if dig(pod, "metadata", "labels", "app") == name]
    states = []
    for pod in sorted(pods, key=lambda pod: str(dig(pod, "metadata", "name"))):
        statuses: list[Any] = dig(pod, "status", "containerStatuses") or [{}]
        waiting = dig(statuses[0], "state", "waiting", "reason")
        states.append(str(waiting or ("Ready" if statuses[0].get("ready") else dig(pod, "status", "phase"))))
    return ", ".join(states) or "no pods"


def _deployment_of(cluster: SimulatedCluster, name: str) -> Obj:
    return cluster.get("deployments.apps", NAMESPACE, name) or {}


def _ready(cluster: SimulatedCluster, name: str) -> int:
    return int(dig(_deployment_of(cluster, name), "status", "readyReplicas") or 0)


def _image(cluster: SimulatedCluster, name: str) -> str:
    containers: list[Any] = dig(_deployment_of(cluster, name), "spec", "template", "spec", "containers") or [{}]
    return str(containers[0].get("image", ""))


def _complete(cluster: SimulatedCluster, name: str) -> bool:
    status: Obj = dig(_deployment_of(cluster, name), "status") or {}
    wanted = dig(_deployment_of(cluster, name), "spec", "replicas")
    seen = status.get("observedGeneration") == dig(_deployment_of(cluster, name), "metadata", "generation")
    return seen and [status.get(key) for key in ("replicas", "updatedReplicas", "readyReplicas")] == [wanted] * 3


def _deployment(name: str, image: str, *, replicas: int, cause: str) -> Obj:
    labels = {"app": name, "app.kubernetes.io/name": name.partition("-")[0]}
    container = {
        "name": name.partition("-")[2],
        "image": image,
        "ports": [{"name": "http", "containerPort": 8080}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": labels,
            "annotations": {"kubernetes.io/change-cause": cause},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            # All at once, as teams do whose versions cannot run side by side; so a bad one takes everything down.
            "strategy": {"type": "Recreate"},
            "progressDeadlineSeconds": 120,
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _service(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]},
    }


def _certificates() -> Obj:
    """cert-manager's kind, without its long schema."""
    names = {
        "plural": "certificates",
        "singular": "certificate",
        "kind": "Certificate",
        "listKind": "CertificateList",
    }
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "certificates.cert-manager.io"},
        "spec": {"group": "cert-manager.io", "names": names, "scope": "Namespaced", "versions": [version]},
    }


def _certificate() -> Obj:
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": CERTIFICATE, "namespace": NAMESPACE},
        "spec": {
            "secretName": CERTIFICATE,
            "dnsNames": ["netweave.example"],
            "duration": "2160h",
            "issuerRef": {"name": "internal", "kind": "ClusterIssuer"},
        },
    }
