"""What the demo's cluster holds: a gateway that a bad release took down, a healthy service, a certificate that runs
out. Called by the demo and by whole-flow tests; each function seeds one thing and can be used alone.
"""

from __future__ import annotations

import base64

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.controllers.authority import self_signed
from bridge.demo.objects import Obj, clone, dig, timestamp

NAMESPACE = "o2ims-system"
_HOUR, _DAY = 3600.0, 86400.0
_READY_WITHIN = 30.0

CERTIFICATE_DEFINITION: Obj = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "certificates.cert-manager.io"},
    "spec": {
        "group": "cert-manager.io",
        "scope": "Namespaced",
        "names": {
            "plural": "certificates",
            "singular": "certificate",
            "kind": "Certificate",
            "shortNames": ["cert", "certs"],
            "categories": ["cert-manager"],
        },
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


def deployment(
    name: str,
    image: str,
    *,
    namespace: str = NAMESPACE,
    replicas: int = 3,
    strategy: Obj | None = None,
    port: int = 8080,
    labels: dict[str, str] | None = None,
) -> Obj:
    """A Deployment's manifest, its container called as the Deployment."""
    chosen = {"app": name}
    container = {
        "name": name,
        "image": image,
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "500m", "memory": "256Mi"},
        },
    }
    spec: Obj = {
        "replicas": replicas,
        "selector": {"matchLabels": chosen},
        "template": {"metadata": {"labels": chosen | (labels or {})}, "spec": {"containers": [container]}},
    }
    if strategy is not None:
        spec["strategy"] = strategy
    metadata = {"name": name, "namespace": namespace, "labels": chosen | (labels or {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def service(name: str, *, namespace: str = NAMESPACE, port: int = 80, target: int = 8080) -> Obj:
    """A Service before the Deployment of the same name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}]},
    }


def image_of(workload: Obj) -> str:
    """The image of a workload's first container."""
    return str(workload["spec"]["template"]["spec"]["containers"][0]["image"])


def seed_gateway(cluster: SimulatedCluster, *, name: str = "netweave-gateway", ago: float = 600.0) -> None:
    """A gateway whose second revision crash-loops since `ago` seconds, with 0 of 3 pods ready; and its Service."""
    all_at_once = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}
    good = deployment(name, f"registry.example/{name}:1.4.2", strategy=all_at_once)
    bad = deployment(name, f"registry.example/{name}:1.5.0-bad", strategy=all_at_once)
    now = cluster.now()
    with cluster.travel(now - ago - _DAY):
        cluster.apply(service(name))
        cluster.apply(good)
        cluster.settle(_READY_WITHIN)
    with cluster.travel(now - ago):
        cluster.apply(bad)
        cluster.settle(ago)


def seed_api(cluster: SimulatedCluster, *, name: str = "netweave-api", age: float = 30 * _DAY) -> None:
    """A healthy Deployment of long standing, with its Service and its ConfigMap."""
    with cluster.travel(cluster.now() - age):
        content = {"config.yaml": "rate_limiting:\n  requests_per_second: 50\n", "log_level": "info"}
        metadata = {"name": f"{name}-config", "namespace": NAMESPACE}
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": content})
        cluster.apply(service(name))
        cluster.apply(deployment(name, f"registry.example/{name}:2.1.0"))
        cluster.settle(_READY_WITHIN)


def seed_certificate(
    cluster: SimulatedCluster, *, name: str = "netweave-tls", days_left: float = 10.0, namespace: str = NAMESPACE
) -> None:
    """A cert-manager Certificate that is Ready and runs out in so many days, with a real pair in its Secret."""
    cluster.apply(clone(CERTIFICATE_DEFINITION))
    now = cluster.now()
    start, end = now + (days_left - 90) * _DAY, now + days_left * _DAY
    host = f"{name.removesuffix('-tls')}.example.com"
    public, private = self_signed(host, [host], start, end)
    data = {
        key: base64.b64encode(raw).decode()
        for key, raw in (("tls.crt", public), ("tls.key", private), ("ca.crt", public))
    }
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "Certificate is up to date and has not expired",
        "lastTransitionTime": timestamp(start),
        "observedGeneration": 1,
    }
    with cluster.travel(start):
        metadata = {
            "name": name,
            "namespace": namespace,
            "annotations": {"cert-manager.io/certificate-name": name},
        }
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls"}
        cluster.apply({**secret, "data": data})
        cluster.apply(
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {
                    "secretName": name,
                    "dnsNames": [host],
                    "duration": "2160h",
                    "renewBefore": "360h",
                    "issuerRef": {"name": "ca-issuer", "kind": "ClusterIssuer"},
                },
                "status": {
                    "conditions": [ready],
                    "notBefore": timestamp(start),
                    "notAfter": timestamp(end),
                    "renewalTime": timestamp(end - 15 * _DAY),
                    "revision": 1,
                },
            }
        )
        cluster.step()


def seed_dns(cluster: SimulatedCluster) -> None:
    """kube-system with its DNS, which nobody is to touch."""
    with cluster.travel(cluster.now() - 60 * _DAY):
        labels = {"k8s-app": "kube-dns"}
        cluster.apply(
            deployment(
                "coredns", "registry.example/coredns:v1.11.3", namespace="kube-system", replicas=2, labels=labels
            )
        )
        cluster.settle(_READY_WITHIN)


def seed_autoscaled(cluster: SimulatedCluster, *, name: str = "netweave-worker") -> None:
    """A Deployment whose count an autoscaler owns."""
    with cluster.travel(cluster.now() - 20 * _DAY):
        cluster.apply(deployment(name, f"registry.example/{name}:3.0.0", replicas=2))
        cluster.settle(_READY_WITHIN)
        target = {"type": "Utilization", "averageUtilization": 80}
        current = {"name": "cpu", "current": {"averageUtilization": 55, "averageValue": "55m"}}
        when = timestamp(cluster.now())
        condition = {"status": "True", "lastTransitionTime": when}
        cluster.apply(
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "minReplicas": 2,
                    "maxReplicas": 6,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                },
                "status": {
                    "currentReplicas": 2,
                    "desiredReplicas": 2,
                    "currentMetrics": [{"type": "Resource", "resource": current}],
                    "conditions": [
                        {**condition, "type": "AbleToScale", "reason": "ReadyForNewScale", "message": "ready"},
                        {**condition, "type": "ScalingActive", "reason": "ValidMetricFound", "message": "found"},
                    ],
                },
            }
        )
        cluster.step()


def seed_demo(cluster: SimulatedCluster) -> None:
    """Everything that the demo shows."""
    with cluster.travel(cluster.now() - 90 * _DAY):
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        cluster.step()
    seed_dns(cluster)
    seed_api(cluster)
    seed_autoscaled(cluster)
    seed_certificate(cluster)
    seed_gateway(cluster)


def ready_of(cluster: SimulatedCluster, name: str, namespace: str = NAMESPACE) -> tuple[int, int]:
    """How many of a Deployment's pods are ready, and how many are wished for."""
    found = cluster.get("deployments.apps", namespace, name) or {}
    return int(dig(found, "status", "readyReplicas", default=0)), int(dig(found, "spec", "replicas", default=0))
