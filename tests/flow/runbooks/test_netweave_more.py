"""The runbooks of netweave, RB-004 to RB-010, and its incident procedure: see tests/support/scenes."""

from __future__ import annotations

import pytest

from tests.support.scenes.facts import contains, gone, present, when
from tests.support.scenes.netweave import (
    BAD,
    CONFIG,
    CONTENT,
    DEPLOYMENT,
    FIVE,
    GOOD,
    IMAGE,
    LIMITS,
    RATE,
    READY,
    RESTARTED,
    gateway,
)
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    autoscaler,
    behavior,
    certificate,
    cronjob,
    logs,
    policy,
    port,
    tls_secret,
    unwell,
)

LATENCY = {"source": "RB-004 A", "runbook": "netweave/high-latency", "alert": "HighLatency"}
CACHE = "o2ims_adapter_cache_hits_total"


def told(*, backend: float = 0.1, hits: int = 95) -> str:
    """The gateway's metrics."""
    return f"""\
o2ims_up 1
o2ims_http_request_duration_seconds{{quantile="0.95"}} 0.3
o2ims_http_request_duration_seconds{{quantile="0.99"}} 0.9
o2ims_adapter_backend_latency_seconds{{quantile="0.95"}} {backend}
{CACHE} {hits}
o2ims_adapter_cache_misses_total {100 - hits}
"""


def slow(*until: object, rate: float = 10.0, throttled: float = 0.0) -> dict[str, object]:
    """What Prometheus says until a fact holds."""
    name, wanted = until
    return {
        "histogram_quantile(0.95": when(str(name), wanted, 0.05, 0.3),
        "histogram_quantile(0.99": when(str(name), wanted, 0.3, 0.9),
        CACHE: when(str(name), wanted, 0.95, 0.7),
        "cfs_throttled": throttled,
        RATE: rate,
    }


HIGH_LATENCY = scenes(
    "netweave",
    Scene(
        "a slow backend gets a timeout and a breaker",
        **LATENCY,
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told(backend=3.0)},
        prometheus=slow(RESTARTED, present),
        scenarios=["a backend is slow"],
        actions=["configmap_patch", "rollout_restart"],
        after={CONTENT: contains("timeout: 10s")},
    ),
    Scene(
        "a breaker that does not help is followed by what is kept for longer",
        **LATENCY,
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told(backend=3.0, hits=70)},
        prometheus=slow(CONTENT, contains("resources: 60s")),
        scenarios=["a backend is slow", "low cache hit ratio"],
        actions=["configmap_patch", "rollout_restart", "configmap_patch", "rollout_restart"],
        after={CONTENT: contains("resource_pools: 600s")},
    ),
    Scene(
        "resources are kept for 60 s and pools for 600 s",
        **{**LATENCY, "source": "RB-004 B"},
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told(hits=70)},
        prometheus=slow(RESTARTED, present),
        scenarios=["low cache hit ratio"],
        actions=["configmap_patch", "rollout_restart"],
        after={CONTENT: contains("resources: 60s"), **READY},
    ),
    Scene(
        "throttled CPU gets a higher limit",
        **{**LATENCY, "source": "RB-004 C"},
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told()},
        prometheus=slow(f"{LIMITS}.cpu", "2", throttled=0.6),
        scenarios=["CPU is throttled"],
        actions=["set_resources"],
        after={f"{LIMITS}.cpu": "2", f"{LIMITS}.memory": "256Mi"},
    ),
    Scene(
        "many requests are shared by five replicas",
        **{**LATENCY, "source": "RB-004 D"},
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told()},
        prometheus=slow(*FIVE, rate=2000.0),
        scenarios=["many requests > scale out"],
        actions=["scale"],
        after={f"{DEPLOYMENT} spec.replicas": 5},
    ),
    Scene(
        "five that are too few give way to an autoscaler from 3 to 10",
        **{**LATENCY, "source": "RB-004 D"},
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told()},
        prometheus=slow("horizontalpodautoscalers.autoscaling/netweave-gateway spec.maxReplicas", 10, rate=2000.0),
        scenarios=["many requests > scale out", "many requests > let it scale by itself"],
        actions=["scale", "hpa_create"],
        after={"horizontalpodautoscalers.autoscaling/netweave-gateway spec.minReplicas": 3},
    ),
    Scene(
        "an autoscaler that is there gets room up to 10",
        **{**LATENCY, "source": "RB-004 D"},
        cluster=[gateway(), CONFIG, autoscaler("netweave-gateway", low=3, high=4, now=3)],
        answers={"/metrics": told()},
        prometheus=slow("horizontalpodautoscalers.autoscaling/netweave-gateway spec.maxReplicas", 10, rate=2000.0),
        scenarios=["many requests > raise the autoscaler's limits"],
        actions=["hpa_patch"],
    ),
    Scene(
        "what none of it ends is for people",
        **{**LATENCY, "source": "RB-004 C"},
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told()},
        prometheus={**slow("pods/none", present, throttled=0.6)},
        scenarios=["CPU is throttled"],
        ends="escalated",
        told=["tell the platform team"],
    ),
)

CERTIFICATES = {
    "source": "RB-005",
    "runbook": "netweave/certificate-expiring",
    "alert": "CertificateExpiringSoon",
    "labels": {"name": "netweave-tls"},
    "shows": "netweave-tls",
    "params": {"url": "${tls}"},
}
HITS = {"source": "RB-008", "runbook": "netweave/cache-hit-ratio", "alert": "LowCacheHitRatio"}
CRASHES = {"source": "RB-006", "runbook": "netweave/pod-crash-loop", "alert": "PodCrashLoop"}

CERTIFICATE_CRASH_AND_CACHE = scenes(
    "netweave",
    Scene(
        "cert-manager renews it and it is shown",
        **CERTIFICATES,
        cluster=[certificate(days=7), gateway()],
        scenarios=["not renewed in time"],
        actions=["certificate_renew"],
    ),
    Scene(
        "what cert-manager does not renew is replaced by a pair of our own when people agree",
        **CERTIFICATES,
        cluster=[certificate(days=7), gateway(), behavior(fail_certificates=True)],
        mode="approve",
        scenarios=["not renewed in time", "cert-manager does not renew it"],
        actions=["certificate_renew", "tls_rotate", "rollout_restart"],
        after={RESTARTED: present, "secrets/netweave-tls type": "kubernetes.io/tls"},
    ),
    Scene(
        "users that show the old one are restarted",
        **{**CERTIFICATES, "shows": when(RESTARTED, present, "netweave-tls", "before")},
        cluster=[certificate(days=80), tls_secret("before", days=5), gateway()],
        scenarios=["renewed, and its users have not taken it up"],
        actions=["rollout_restart"],
        after={RESTARTED: present},
    ),
    Scene(
        "pods that run out of memory get 2Gi",
        **CRASHES,
        needs="sentinels",
        cluster=[
            behavior(oom_cured_at="1Gi"),
            gateway(image="registry.example/netweave-gateway:1.4.2-oom", days=0.1),
        ],
        scenarios=["out of memory"],
        actions=["set_resources"],
        after={f"{LIMITS}.memory": "2Gi", **READY},
    ),
    Scene(
        "more memory that does not help leads on to RB-001 and then to people",
        **CRASHES,
        needs="sentinels",
        cluster=[gateway(image=f"{GOOD}-oom", days=0.1)],
        scenarios=["out of memory", "anything else"],
        actions=["set_resources", "rollout_restart"],
        ends="escalated",
        told=["The logs of the crashed containers are in the evidence"],
    ),
    Scene(
        "pods that crash since a release are rolled back as in RB-001",
        **CRASHES,
        needs="sentinels",
        cluster=[gateway(then=BAD)],
        scenarios=["bad deployment of a Helm release"],
        actions=["helm_rollback"],
        after={IMAGE: GOOD, **READY},
    ),
    Scene(
        "a cold cache keeps resources for longer",
        **HITS,
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told(hits=70)},
        prometheus={CACHE: when(RESTARTED, present, 0.95, 0.7)},
        scenarios=["low cache hit ratio"],
        actions=["configmap_patch", "rollout_restart"],
        after={CONTENT: contains("resources: 60s")},
    ),
    Scene(
        "a cache that stays cold is for people",
        **HITS,
        cluster=[gateway(), CONFIG],
        answers={"/metrics": told(hits=70)},
        prometheus={CACHE: 0.7},
        scenarios=["low cache hit ratio"],
        ends="escalated",
        told=["whether the cache is bounded by memory"],
    ),
)

WEBHOOKS = {
    "source": "RB-007",
    "runbook": "netweave/webhook-failures",
    "alert": "WebhookFailures",
    "needs": "sentinels",
}
DELIVERIES = "o2ims_webhook_delivery_total"
KEPT_IN = policy("dns-only", "netweave-gateway", egress=[port(53, "UDP")])
ALLOWED = "networkpolicies.networking.k8s.io/allow-webhook-egress"
SUBSCRIPTIONS = {f"subscription:{n}": {"callback": f"https://smo-{n}.example/notify"} for n in (1, 2)}
API_ERRORS = {"source": "RB-009", "runbook": "netweave/kubernetes-api-errors", "alert": "K8sAPIErrors"}
LOSS = {
    "source": "RB-010",
    "runbook": "netweave/data-loss",
    "alert": "DataLoss",
    "needs": "sentinels",
    "mode": "approve",
    "cluster": [gateway(), cronjob("redis-restore")],
}

PEERS_AND_PROCEDURE = scenes(
    "netweave",
    Scene(
        "a policy that keeps the gateway in gets one beside it that lets it out when people agree",
        **WEBHOOKS,
        cluster=[gateway(), KEPT_IN],
        prometheus={DELIVERIES: when(ALLOWED, present, 0.0, 0.4)},
        mode="approve",
        scenarios=["a network policy keeps the gateway in"],
        actions=["object_apply"],
        after={f"{ALLOWED} spec.egress[0].ports[0].port": 443},
    ),
    Scene(
        "a policy that was not it is taken away again and each callback is tested",
        **WEBHOOKS,
        cluster=[gateway(), KEPT_IN],
        redis=SUBSCRIPTIONS,
        prometheus={DELIVERIES: 0.4},
        mode="approve",
        scenarios=["a network policy keeps the gateway in", "test each callback"],
        ends="escalated",
        told=["contact its team", "https://smo-1.example/notify"],
        asked=["POST /channels/netweave-incidents"],
        after={ALLOWED: gone},
    ),
    Scene(
        "the platform team is told which checks of the API server fail",
        **API_ERRORS,
        cluster=[gateway(), unwell("etcd")],
        scenarios=["the API is not well"],
        ends="escalated",
        told=["To the platform team: the Kubernetes API is not well", "failed checks: etcd"],
        unchanged=True,
    ),
    Scene(
        "an API server that is well is not the trouble",
        **API_ERRORS,
        cluster=[gateway(), logs("netweave-gateway", "ERROR k8s client error: forbidden")],
        scenarios=["the API is well"],
        ends="escalated",
        told=["See its rights", "forbidden"],
        unchanged=True,
    ),
    Scene(
        "subscriptions are restored while nobody writes",
        **LOSS,
        when_done={"restore-subscriptions": lambda playing: playing.store(SUBSCRIPTIONS)},
        scenarios=["subscriptions are lost"],
        actions=["scale", "job_run", "scale"],
        after={f"{DEPLOYMENT} spec.replicas": 3, **READY},
    ),
    Scene(
        "a backup without subscriptions is told to people, with the gateway up again",
        **LOSS,
        scenarios=["subscriptions are lost"],
        ends="escalated",
        told=["Subscriptions are still lost: 0 are there"],
    ),
    Scene(
        "an alert without a runbook is told, gathered about and watched for half an hour",
        source="Incident procedure",
        runbook="netweave/triage",
        alert="KubeDeploymentReplicasMismatch",
        labels={"severity": "warning"},
        cluster=[gateway(), logs("netweave-gateway", "ERROR something else")],
        resolves_after=600.0,
        scenarios=["triage"],
        asked=["POST /channels/netweave-incidents"],
        unchanged=True,
    ),
)

SCENES = (*HIGH_LATENCY, *CERTIFICATE_CRASH_AND_CACHE, *PEERS_AND_PROCEDURE)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
