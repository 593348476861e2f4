"""The cluster that five systems share, what can go wrong in it, and what their Prometheus would measure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj, clone, dig
from bridge.demo.scene import certificate_days
from bridge.demo.workloads import deployment, image_of, seed_certificate
from tests.support.night.clock import NightClock

NETWEAVE, OMENDB, KYC, PYTHON, OMNIMESH = (
    "o2ims-system",
    "omendb-prod",
    "business-onboarding",
    "python-services",
    "omnimesh-core",
)
SYSTEMS = {
    NETWEAVE: "netweave",
    OMENDB: "omendb",
    KYC: "onboarding-kyc",
    PYTHON: "python-services",
    OMNIMESH: "omnimesh",
    "kube-system": "kube-system",
}
WORKLOADS = {
    NETWEAVE: "netweave-gateway netweave-api netweave-worker-a netweave-worker-b notifier-1 notifier-2 notifier-3",
    OMENDB: "prod-omendb omendb-1 omendb-2 omendb-3 omendb-4 omendb-analytics omendb-replica",
    KYC: "onboarding-api onboarding-portal kyc-gateway kyc-worker kyc-scoring face-match doc-scan risk-engine",
    PYTHON: "pricing ledger auth carts orders stock rates tax mail sms reports search billing quotes exports",
    OMNIMESH: "nexus-prime-core go-node-proxy edge-a edge-b edge-c cache-a cache-b stream router",
    "kube-system": "coredns",
}
HELM = {"app.kubernetes.io/managed-by": "Helm"}
TEMPORARY = {
    (NETWEAVE, "netweave-config"): {"cache.ttl": "30s"},
    ("platform-ingress", "ingress-nginx-controller"): {"limit-rps": "50"},
}
"""ConfigMaps that are turned up for a while, as they are meant to be."""
POLICY = {"podSelector": {"matchLabels": {"app": "go-node-proxy"}}, "policyTypes": ["Egress"], "egress": []}
_AT_ONCE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}
Key = tuple[str, str]


class World:
    """Namespace and name say where something is wrong. `cluster` is the truth; the rest is what it cannot hold."""

    def __init__(self, clock: NightClock, only: Collection[Key] | None = None) -> None:
        """With `only`, no other workloads are there: fewer are quicker."""
        self._clock = clock
        self._only = only
        self.cluster = SimulatedCluster(clock.now, nodes=6, seed=22)
        self.cluster.set_behavior(
            ready_delay=5.0,
            termination_delay=1.0,
            issue_delay=5.0,
            oom_cured_at="1Gi",
            respond=self._respond,
            judge=self._judge,
        )
        self._hanging: dict[Key, set[str]] = {}
        self._needs: dict[Key, int] = {}
        self._peaks: set[Key] = set()
        self._furnish()
        clock.moving.append(self._go)

    def _furnish(self) -> None:
        with self.cluster.travel(self._clock.now() - 30 * 86400.0):
            for namespace, names in WORKLOADS.items():
                for name in names.split():
                    if self._only is not None and (namespace, name) not in self._only:
                        continue
                    self.cluster.apply(self._manifest(namespace, name))
                    self.cluster.apply(_service(namespace, name))
            for (namespace, name), data in TEMPORARY.items():
                self.cluster.apply(_object("v1", "ConfigMap", namespace, name, data=dict(data)))
            self.cluster.apply(_object("networking.k8s.io/v1", "NetworkPolicy", OMNIMESH, "strict", spec=POLICY))
            self.cluster.apply(_database())
            self.cluster.settle(120)
        for namespace, name in CERTIFICATES:
            seed_certificate(self.cluster, name=name, namespace=namespace, days_left=40.0)
        self.cluster.settle(1)

    @staticmethod
    def _manifest(namespace: str, name: str, image: str = "", replicas: int = 2) -> Obj:
        image = image or f"registry.example/{name}:1.0.0"
        labels = HELM if name == "omendb-replica" else {}
        made = deployment(name, image, namespace=namespace, replicas=replicas, strategy=_AT_ONCE, labels=labels)
        if name == "omendb-replica":
            made["metadata"]["annotations"] = {
                "meta.helm.sh/release-name": "omendb",
                "meta.helm.sh/release-namespace": namespace,
            }
        if not image.endswith(("-bad", "-oom")):
            # What is well is replaced pod by pod; what is released badly was released all at once.
            del made["spec"]["strategy"]
        return made

    def _go(self, to: float) -> None:
        """Run the controllers up to now: from one thing that is due to the next, each at its own time."""
        while (due := self.cluster.next_due()) is not None and due <= to:
            self.cluster.step(due)
        self.cluster.step(to)

    # -- what goes wrong

    def release(self, namespace: str, name: str, tag: str) -> None:
        """Somebody releases another version: `-bad` crashes, `-oom` needs a higher limit, `-slow` fails its users."""
        self.cluster.apply(self._manifest(namespace, name, f"registry.example/{name}:{tag}"))

    def hang(self, namespace: str, name: str) -> None:
        """The pods that are there now answer no more, for all that they are ready."""
        self._hanging[namespace, name] = {pod["metadata"]["uid"] for pod in self._pods(namespace, name)}

    def load(self, namespace: str, name: str, replicas: int) -> None:
        """From now on it takes so many replicas; 0: as many as there are."""
        self._needs[namespace, name] = replicas

    def peak(self, namespace: str, name: str, *, on: bool = True) -> None:
        """The ingress turns its requests away, or does no more."""
        self._peaks = self._peaks | {(namespace, name)} if on else self._peaks - {(namespace, name)}

    def near_its_end(self, namespace: str, name: str) -> None:
        """Its issuer was away when it was due."""
        seed_certificate(self.cluster, name=name, namespace=namespace, days_left=7.0)

    def mend(self, namespace: str, name: str) -> None:
        """A person does whatever it takes."""
        self._hanging.pop((namespace, name), None)
        self._needs.pop((namespace, name), None)

    # -- how it is

    def hangs(self, namespace: str, name: str) -> bool:
        stuck = self._hanging.get((namespace, name), set())
        return any(pod["metadata"]["uid"] in stuck for pod in self._pods(namespace, name))

    def ready(self, namespace: str, name: str) -> int:
        return int(dig(self.workload(namespace, name), "status", "readyReplicas", default=0))

    def incomplete(self, namespace: str, name: str) -> bool:
        return self.ready(namespace, name) < int(self.workload(namespace, name)["spec"]["replicas"])

    def errors(self, namespace: str, name: str) -> float:
        """Return the share of its requests that fail."""
        few = self.ready(namespace, name) < self._needs.get((namespace, name), 0)
        image = image_of(self.workload(namespace, name))
        return 0.07 if few or self._limited(namespace, name) or image.endswith("-slow") else 0.001

    def days_left(self, namespace: str, name: str) -> float:
        found = self.cluster.get("certificates.cert-manager.io", namespace, name)
        return certificate_days(_Only(found, self.cluster.now())) if found else 0.0

    def workload(self, namespace: str, name: str) -> Obj:
        found = self.cluster.get("deployments.apps", namespace, name) or self.cluster.get(
            "statefulsets.apps", namespace, name
        )
        return found or {}

    def measured(self, query: str) -> float | None:
        """Return what Prometheus would answer; None where there is no such series."""
        about = dict(re.findall(r'(\w+)="([^"]*)"', query))
        if "nginx" in query:
            return 40.0 if any(namespace == about["exported_namespace"] for namespace, _ in self._peaks) else 0.0
        return self.errors(about["namespace"], about["deployment"]) if "deployment" in about else None

    def behind(self, path: str) -> Obj:
        """Return the object that a path of the API is about, or an empty one."""
        parts = path.strip("/").split("/")
        if "namespaces" not in parts[:-2]:
            return {}
        at = parts.index("namespaces")
        group = parts[1] if parts[0] == "apis" else ""
        plural, name = parts[at + 2], parts[at + 3] if len(parts) > at + 3 else ""
        return self.cluster.get(f"{plural}.{group}" if group else plural, parts[at + 1], name) or {}

    def temporary(self) -> Iterator[str]:
        """Yield what is not as it is meant to be in the long run."""
        for (namespace, name), data in TEMPORARY.items():
            if (self.cluster.get("configmaps", namespace, name) or {}).get("data") != data:
                yield f"ConfigMap {namespace}/{name}"
        if self.cluster.get("networkpolicies.networking.k8s.io", OMNIMESH, "strict") is None:
            yield "the policy is still lifted"
        for workload in self.cluster.list("deployments.apps"):
            container = workload["spec"]["template"]["spec"]["containers"][0]
            if container.get("env"):
                yield f"the environment of {workload['metadata']['namespace']}/{workload['metadata']['name']}"

    def _limited(self, namespace: str, name: str) -> bool:
        data = (self.cluster.get("configmaps", "platform-ingress", "ingress-nginx-controller") or {})["data"]
        return (namespace, name) in self._peaks and int(data["limit-rps"]) < 100

    def _pods(self, namespace: str, name: str) -> list[Obj]:
        return [pod for pod in self.cluster.list("pods", namespace) if dig(pod, "metadata", "labels", "app") == name]

    # -- how the cluster behaves

    def _respond(self, service: Obj, _method: str, _path: str) -> tuple[int, str] | None:
        meta = service["metadata"]
        return (503, "no answer") if self.hangs(meta["namespace"], meta["name"]) else None

    @staticmethod
    def _judge(pod: Obj) -> Any:
        env = pod["spec"]["containers"][0].get("env") or []
        return "never" if {"name": "WORKERS", "value": "0"} in env else None


CERTIFICATES = ((NETWEAVE, "netweave-tls"), (KYC, "onboarding-tls"), (OMNIMESH, "omnimesh-tls"))


class _Only:
    """What `certificate_days` looks at, for a certificate elsewhere than in the demo."""

    def __init__(self, found: Obj, now: float) -> None:
        self._found = found
        self._now = now

    def get(self, *_: str) -> Obj:
        return self._found

    def now(self) -> float:
        return self._now


def _object(version: str, kind: str, namespace: str, name: str, **fields: Any) -> Obj:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, **clone(fields)}


def _service(namespace: str, name: str) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return _object("v1", "Service", namespace, name, spec={"selector": {"app": name}, "ports": ports})


def _database() -> Obj:
    labels = {"app": "postgresql"}
    container = {"name": "postgresql", "image": "registry.example/pg:15"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"serviceName": "postgresql", "replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    return _object("apps/v1", "StatefulSet", KYC, "postgresql", spec=spec)
