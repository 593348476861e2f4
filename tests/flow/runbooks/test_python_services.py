"""The runbooks of the Python services, procedures 1, 2, 4 and 5: see tests/support/scenes."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj
from tests.support.scenes.facts import ends_with, gone, present, when
from tests.support.scenes.python_services import (
    API,
    BAD,
    DOWN,
    ERRORS,
    GOOD,
    IMAGE,
    NAMESPACE,
    PRICING,
    READY,
    REPLICAS,
    RESOURCES,
    RESTARTED,
    pricing,
)
from tests.support.scenes.scene import Scene, State, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    autoscaler,
    behavior,
    dns,
    logs,
    not_ready,
    policy,
    port,
    thing,
    usage,
)

RESTART: dict[str, Any] = {
    "source": "1",
    "runbook": "python-services/service-restart",
    "labels": PRICING,
    "params": API,
    "http": {"/api/health/service/pricing": {"status": "unhealthy"}},
}
TOLD_BESIDE: dict[str, Any] = {"beside": ["python-services/escalation"]}
RESTARTS = scenes(
    "python-services",
    Scene(
        "a service that is not healthy is restarted",
        **RESTART,
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing()],
        answers={"/health": when(RESTARTED, present, "ok", DOWN)},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart"],
        actions=["rollout_restart"],
        asked=["GET /api/health/service/pricing"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "a version of today is gone back from when a restart did not help",
        **{**RESTART, "labels": {"severity": "warning", "container": "pricing", "pod": "pricing-1"}},
        alert="KubePodCrashLooping",
        cluster=[pricing(then=BAD)],
        answers={"/health": when(IMAGE, GOOD, "ok", DOWN)},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart", "not healthy > go back"],
        actions=["rollout_restart", "rollout_undo"],
        after={IMAGE: GOOD, READY: 3},
    ),
    Scene(
        "a version that was well for days is not gone back from",
        **RESTART,
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing(then="soba-dex/python-services:2.0.5", ago=3 * 86400.0)],
        answers={"/health": DOWN},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart"],
        ends="escalated",
        told=["pricing is not well", '{"status": "unhealthy"}'],
        after={IMAGE: ends_with(":2.0.5")},
    ),
    Scene(
        "a service that fails too often is restarted though its health check is well",
        **RESTART,
        **TOLD_BESIDE,
        alert="PythonServiceUnavailable",
        cluster=[pricing()],
        prometheus={ERRORS: when(RESTARTED, present, 0.001, 0.08)},
        scenarios=["not healthy > restart"],
        after={RESTARTED: present, IMAGE: GOOD},
    ),
    Scene(
        "a restart is proved by the functional test",
        **{
            **RESTART,
            "params": {**API, "test_path": "/python/price", "test_data": {"id": 7}},
            "http": {**RESTART["http"], "POST /api/python/price": when(IMAGE, GOOD, {"price": 1}, (500, "broken"))},
        },
        alert="PythonServiceHealthCheckFailing",
        cluster=[pricing(then="soba-dex/python-services:2.1.0")],
        answers={"/health": when(IMAGE, GOOD, "ok", when(RESTARTED, present, "ok", DOWN))},
        prometheus={ERRORS: 0.0},
        scenarios=["not healthy > restart", "not healthy > go back"],
        asked=["POST /api/python/price"],
        after={IMAGE: GOOD},
    ),
)


def load(cores: float, of: str = "pricing") -> State:
    """Cores that the pods of a service share."""

    def bring(cluster: SimulatedCluster) -> None:
        def told(pod: Obj, _container: str) -> tuple[str, str] | None:
            if not pod["metadata"]["name"].startswith(of):
                return None
            pods = [each for each in cluster.list("pods", NAMESPACE) if each["metadata"]["name"].startswith(of)]
            return f"{round(cores / len(pods) * 1000)}m", "64Mi"

        cluster.set_behavior(usage=told)

    return bring


SCALE: dict[str, Any] = {"source": "2", "runbook": "python-services/scale-service", "labels": PRICING}
HPA = "horizontalpodautoscalers.autoscaling/pricing spec"
SCALES = scenes(
    "python-services",
    Scene(
        "a service without an autoscaler gets ten pods",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(), load(1.4)],
        scenarios=["nobody scales it"],
        actions=["scale"],
        after={REPLICAS: 10, READY: 10},
    ),
    Scene(
        "load that ten pods do not carry is told with the room that the nodes have",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(), load(4.9)],
        scenarios=["nobody scales it"],
        ends="escalated",
        told=["still short of capacity"],
        after={REPLICAS: 10},
    ),
    Scene(
        "an autoscaler aims lower and scales earlier",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(requests={"cpu": "400m"}), autoscaler("pricing", NAMESPACE, high=12, now=3), load(1.3)],
        scenarios=["an autoscaler owns the count > aim lower"],
        actions=["hpa_patch"],
        after={f"{HPA}.metrics[0].resource.target.averageUtilization": 60, f"{HPA}.maxReplicas": 12},
    ),
    Scene(
        "an autoscaler that is at its limit gets a higher one after it aimed lower in vain",
        **{
            **SCALE,
            "labels": {"severity": "warning", "horizontalpodautoscaler": "pricing"},
        },
        alert="KubeHpaMaxedOut",
        cluster=[pricing(requests={"cpu": "400m"}), autoscaler("pricing", NAMESPACE, high=3), load(1.4)],
        scenarios=["an autoscaler owns the count > aim lower", "an autoscaler owns the count > raise its limit"],
        actions=["hpa_patch", "hpa_patch"],
        after={f"{HPA}.maxReplicas": 10},
    ),
    Scene(
        "load that has ended is no reason for ten pods",
        **SCALE,
        alert="PythonServiceHighLoad",
        cluster=[pricing(), load(0.3)],
        scenarios=["the load has ended"],
        ends="escalated",
        told=["nothing was changed"],
        unchanged=True,
    ),
)


RESOURCES_OF: dict[str, Any] = {"source": "4", "runbook": "python-services/memory-cpu", "labels": PRICING}
AMPLE = pricing(limits={"cpu": "2", "memory": "4Gi"}, requests={"cpu": "500m", "memory": "2Gi"})


def leaks(memory: str = "3950Mi") -> State:
    """One of the pods that are there uses that much, until it is made anew."""

    def bring(cluster: SimulatedCluster) -> None:
        leaking = next(
            pod for pod in cluster.list("pods", NAMESPACE) if pod["metadata"]["name"].startswith("pricing")
        )
        usage(SOME, memory, of=leaking["metadata"]["name"])(cluster)

    return bring


SOME = "300m"
RESOURCE_SCENES = scenes(
    "python-services",
    Scene(
        "an OOM kill raises limits and requests",
        **RESOURCES_OF,
        alert="PythonServiceOutOfMemory",
        cluster=[pricing(then="soba-dex/python-services:2.1.0-oom"), behavior(oom_cured_at="4Gi")],
        scenarios=["too little memory or CPU > raise the limits"],
        actions=["set_resources"],
        after={
            f"{RESOURCES}.limits": {"cpu": "2", "memory": "4Gi"},
            f"{RESOURCES}.requests": {"cpu": "500m", "memory": "2Gi"},
        },
    ),
    Scene(
        "what throttles gets more CPU",
        **{**RESOURCES_OF, "labels": {"severity": "info", "container": "pricing", "pod": "pricing-1"}},
        alert="CPUThrottlingHigh",
        cluster=[pricing(), usage("490m", "64Mi", of="pricing")],
        scenarios=["too little memory or CPU > raise the limits"],
        after={f"{RESOURCES}.limits.cpu": "2"},
    ),
    Scene(
        "where the limits are raised already the pod that uses too much is ended and no other",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        cluster=[AMPLE, leaks()],
        scenarios=[
            "too little memory or CPU > raise the limits",
            "too little memory or CPU > end the pods that use too much",
        ],
        actions=["pod_evict"],
        after={READY: 3},
    ),
    Scene(
        "a leak that comes back is told",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        cluster=[
            AMPLE,
            usage(SOME, "3950Mi", of="pricing"),
            logs("pricing", "memory use grows: 3950Mi", namespace=NAMESPACE),
        ],
        scenarios=[
            "too little memory or CPU > raise the limits",
            "too little memory or CPU > end the pods that use too much",
        ],
        ends="escalated",
        told=["or it leaks", "memory use grows"],
    ),
    Scene(
        "where nodes are full load is reduced to two pods once people agree",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        mode="approve",
        cluster=[pricing(replicas=6, limits={"cpu": "2", "memory": "4200Mi"}), usage(SOME, "3750Mi", of="pricing")],
        scenarios=["the nodes are full and the service can do with less"],
        actions=["scale"],
        after={REPLICAS: 2},
    ),
    Scene(
        "nodes that stay full are the infrastructure team's and the pods come back",
        **RESOURCES_OF,
        alert="PythonServiceHighMemory",
        mode="approve",
        cluster=[pricing(limits={"cpu": "2", "memory": "8Gi"}), usage(SOME, "7800Mi", of="pricing")],
        scenarios=["the nodes are full and the service can do with less", "the nodes are full"],
        ends="escalated",
        told=["Contact the infrastructure team to add nodes"],
        after={REPLICAS: 3},
    ),
)

NETWORK: dict[str, Any] = {
    "source": "5",
    "runbook": "python-services/network",
    "alert": "PythonServiceUnreachable",
    "labels": PRICING,
}
COREDNS = "deployments.apps/kube-system/coredns"
COREDNS_RESTARTED = f"{COREDNS} spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
POLICY = "networkpolicies.networking.k8s.io/deny-all"
LOOKUPS = logs("pricing", "getaddrinfo failed: catalog-service", namespace=NAMESPACE)


def hangs(of: str, namespace: str = NAMESPACE) -> State:
    """One pod of an app is not ready, until it is made anew."""

    def bring(cluster: SimulatedCluster) -> None:
        names = [pod["metadata"]["name"] for pod in cluster.list("pods", namespace)]
        not_ready(next(name for name in names if name.startswith(of)), namespace)(cluster)

    return bring


def through(fact: str, wanted: Any) -> dict[str, Any]:
    """The probe within the cluster gets through when a fact is so."""
    return {"prometheus": {"probe_success": when(fact, wanted, 1.0, 0.0)}}


def elsewhere(name: str) -> State:
    """A Service that selects pods of another name."""
    spec = {"selector": {"app": "prices"}, "ports": [{"name": "http", "port": 8001, "targetPort": 8080}]}
    return thing("v1", "Service", name, NAMESPACE, spec=spec)


OTHER = policy("of-another", "catalog", NAMESPACE, ingress=[])
NETWORKS = scenes(
    "python-services",
    Scene(
        "a service without a ready pod behind it is restarted",
        **NETWORK,
        cluster=[pricing(replicas=1), hangs("pricing"), dns],
        **through(RESTARTED, present),
        scenarios=["no pod behind the Service is ready"],
        after={READY: 1},
    ),
    Scene(
        "a Service that selects nothing is told",
        **NETWORK,
        cluster=[pricing(services=[]), elsewhere("pricing-service"), dns],
        prometheus={"probe_success": 0.0},
        scenarios=["nothing stands behind the Service"],
        ends="escalated",
        told=["pricing-service selects"],
        unchanged=True,
    ),
    Scene(
        "DNS gets a new pod for the one that hangs and then a third one",
        **NETWORK,
        cluster=[pricing(), dns, hangs("coredns", "kube-system")],
        **through(f"{COREDNS} status.readyReplicas", 3),
        scenarios=["DNS > new pods for those that are not ready", "DNS > more of it"],
        actions=["pod_delete", "scale"],
        after={f"{COREDNS} spec.replicas": 3, COREDNS_RESTARTED: gone},
    ),
    Scene(
        "DNS is restarted when more of it does not help",
        **NETWORK,
        cluster=[pricing(), dns, LOOKUPS],
        **through(COREDNS_RESTARTED, present),
        scenarios=["DNS > more of it", "DNS > restart it"],
        actions=["scale", "rollout_restart"],
        after={COREDNS_RESTARTED: present},
    ),
    Scene(
        "when DNS was not it the policies of the service are lifted for ten minutes once people agree",
        **NETWORK,
        mode="approve",
        cluster=[pricing(), dns, LOOKUPS, policy("deny-all", "pricing", NAMESPACE, ingress=[]), OTHER],
        **through(POLICY, gone),
        scenarios=[
            "DNS > more of it",
            "DNS > restart it",
            "network policies keep others out",
        ],
        asked=["POST /channels/python-services-incidents"],
        after={POLICY: gone, "networkpolicies.networking.k8s.io/of-another": present},
        later={POLICY: present},
    ),
    Scene(
        "policies that are not the cause come back and a person is told",
        **NETWORK,
        mode="approve",
        cluster=[pricing(), dns, policy("deny-all", "pricing", NAMESPACE, ingress=[port(8001)])],
        prometheus={"probe_success": 0.0},
        scenarios=["network policies keep others out"],
        ends="escalated",
        told=["Network policies are not the cause"],
        later={POLICY: present},
    ),
)


SCENES = (*RESTARTS, *SCALES, *RESOURCE_SCENES, *NETWORKS)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
