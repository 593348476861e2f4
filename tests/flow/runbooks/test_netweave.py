"""The runbooks of netweave, RB-001 to RB-010 and its incident procedure: see tests/support/scenes."""

from __future__ import annotations

import pytest
import redis

from tests.support.processes import until
from tests.support.redis import RedisServer
from tests.support.scenes.facts import contains, gone, present, when
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Playing, Theatre
from tests.support.scenes.world import (
    app,
    autoscaler,
    behavior,
    certificate,
    config,
    crashes_unless,
    cronjob,
    logs,
    not_ready,
    policy,
    port,
    restarted_pods,
    since,
    stateful,
    tls_secret,
    unbound,
    unwell,
    usage,
)
from tests.support.sentinel import MASTER

NETWEAVE = {"app.kubernetes.io/name": "netweave"}
GOOD, BAD = "registry.example/netweave-gateway:1.4.2", "registry.example/netweave-gateway:1.5.0-bad"
NEW = "registry.example/netweave-gateway:1.5.0"
DEPLOYMENT = "deployments.apps/netweave-gateway"
IMAGE = f"{DEPLOYMENT} spec.template.spec.containers[0].image"
LIMITS = f"{DEPLOYMENT} spec.template.spec.containers[0].resources.limits"
RESTARTED = f"{DEPLOYMENT} spec.template.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
READY = {f"{DEPLOYMENT} status.readyReplicas": 3}
FILE = """\
# gateway
kubernetes:
  timeout: 30s
rate_limiting:
  requests_per_second: 50   # per client
cache:
  ttl:
    resources: 30s
    resource_pools: 300s
"""
CONFIG = since(30, config("netweave-config", config__yaml=FILE))
CONTENT = "configmaps/netweave-config data.config\\.yaml"


def gateway(**more: object) -> object:
    """The gateway as it is in production: three replicas of a Helm release."""
    return app("netweave-gateway", **{"image": GOOD, "labels": NETWEAVE, "release": "netweave", **more})  # type: ignore[arg-type]


DOWN = {"source": "RB-001 A", "runbook": "netweave/all-pods-down", "alert": "GatewayDown", "needs": "sentinels"}
STUCK = {"/healthz": when(RESTARTED, present, (200, "ok"), (503, "stuck"))}
"""A gateway that a restart makes well."""

ALL_PODS_DOWN = scenes(
    "netweave",
    Scene(
        "a Helm release whose new revision never got ready is rolled back by Helm's records",
        **DOWN,
        cluster=[gateway(then=BAD), CONFIG],
        scenarios=["bad deployment of a Helm release"],
        actions=["helm_rollback"],
        after={IMAGE: GOOD, **READY, "secrets/sh.helm.release.v1.netweave.v3 metadata.labels.status": "deployed"},
    ),
    Scene(
        "a Deployment without a release is rolled back by itself",
        **DOWN,
        cluster=[gateway(then=BAD, release=""), CONFIG],
        scenarios=["bad deployment"],
        actions=["rollout_undo"],
        after={IMAGE: GOOD, **READY},
    ),
    Scene(
        "a rollback that does not help is followed by a restart and then by people",
        **DOWN,
        cluster=[gateway(then=BAD, release=""), CONFIG],
        answers={"/healthz": (503, "broken")},
        scenarios=["bad deployment", "anything else"],
        actions=["rollout_undo", "rollout_restart"],
        ends="escalated",
        told=["see `kubectl rollout history`"],
        after={IMAGE: GOOD},
    ),
    Scene(
        "named workloads make room for pods that no node has room for",
        **{**DOWN, "source": "RB-001 B"},
        params={"non_critical": ["reports"]},
        cluster=[
            app("reports", requests={"cpu": "3"}, limits={"cpu": "3"}),
            gateway(release="", requests={"cpu": "2"}, limits={"cpu": "2"}),
        ],
        scenarios=["no resources"],
        actions=["scale"],
        after={"deployments.apps/reports spec.replicas": 0, **READY},
    ),
    Scene(
        "room that is not enough is given back and a person is told to add nodes",
        **{**DOWN, "source": "RB-001 B"},
        params={"non_critical": ["reports"]},
        cluster=[app("reports"), gateway(release="", requests={"cpu": "8"}, limits={"cpu": "8"})],
        scenarios=["no resources"],
        ends="escalated",
        told=["There is no room even without reports. Add nodes"],
        after={"deployments.apps/reports spec.replicas": 3},
    ),
    Scene(
        "where nothing may be switched off a person is told at once",
        **{**DOWN, "source": "RB-001 B"},
        cluster=[app("reports"), gateway(release="", requests={"cpu": "8"}, limits={"cpu": "8"})],
        scenarios=["no resources, and nothing to switch off"],
        ends="escalated",
        told=["No node has room for the gateway", "or name Deployments that may be switched off"],
        unchanged=True,
    ),
    Scene(
        "the last good configuration is put back and the gateway restarted",
        **{**DOWN, "source": "RB-001 C"},
        before=[gateway(release=""), CONFIG],
        cluster=[
            config("netweave-config", config__yaml="cache: {ttlSeconds: 1}\n"),
            crashes_unless("netweave-config", "config.yaml", "rate_limiting", of="netweave-gateway"),
            restarted_pods("netweave-gateway"),
        ],
        scenarios=["configuration error"],
        actions=["configmap_restore", "rollout_restart"],
        after={CONTENT: FILE, **READY},
    ),
)


REDIS_NODES = stateful(
    "redis-node", replicas=3, container="redis", labels={"app.kubernetes.io/name": "redis"}, claim="data"
)
SUBSCRIPTION = "POST /v1/subscriptions"
REDIS_DOWN = {
    "source": "RB-002",
    "runbook": "netweave/redis-primary-down",
    "alert": "RedisPrimaryDown",
    "params": {"api_url": "${http}/v1"},
    "http": {SUBSCRIPTION: (201, {"subscriptionId": "s-1"}), "DELETE /v1/subscriptions/s-1": (204, "")},
}


async def primary_dies(playing: Playing) -> None:
    """The primary ends, and its Sentinels have seen that."""
    site = playing.theatre.sentinels
    assert site is not None
    site.primary.stop()

    async def seen() -> bool:
        return "down" in site.about(site.ports[0])["flags"]

    await until(seen, seconds=30, what="a Sentinel that sees the primary down")


async def primary_dies_for_most_sentinels_too_few(playing: Playing) -> None:
    """The primary ends, and the Sentinels would need more of their kind to do something about it."""
    site = playing.theatre.sentinels
    assert site is not None
    for number in site.ports:
        RedisServer.at(number).call("SENTINEL", "SET", MASTER, "quorum", "5")
    await primary_dies(playing)

    async def noticed() -> bool:
        with redis.Redis(port=site.ports[0], decode_responses=True) as sentinel:
            found = sentinel.sentinel_slaves(MASTER)
        return all(each["master-link-status"] == "err" for each in found)

    # A Sentinel asks replicas every ten seconds while it believes all is well; the runbook waits for longer.
    await until(noticed, seconds=30, what="a Sentinel that knows that the replicas have lost their primary")


BROKEN = {"needs": "own sentinels", "patience": 0.05}
NEW_PRIMARY = {"check": lambda playing: has_new_primary(playing)}


def has_new_primary(playing: Playing) -> None:
    site = playing.theatre.sentinels
    assert site is not None
    assert site.primary_now() != f"127.0.0.1:{site.primary.port}"


REDIS = scenes(
    "netweave",
    Scene(
        "the Sentinels fail over by themselves and the gateway connects again",
        **REDIS_DOWN,
        **{**BROKEN, "patience": 0.5},  # they give the replicas a new primary one after the other
        **NEW_PRIMARY,
        cluster=[gateway(), REDIS_NODES],
        first=primary_dies,
        scenarios=["the Redis primary is down"],
        actions=["http_probe"],
        asked=[SUBSCRIPTION, "DELETE /v1/subscriptions/s-1"],
        unchanged=True,
    ),
    Scene(
        "Sentinels that do not are told to and a gateway that stays away is restarted",
        **REDIS_DOWN,
        **BROKEN,
        **NEW_PRIMARY,
        cluster=[gateway(), REDIS_NODES],
        first=primary_dies_for_most_sentinels_too_few,
        answers=STUCK,
        scenarios=["the Redis primary is down"],
        actions=["sentinel_failover", "rollout_restart", "http_probe"],
        after={RESTARTED: present},
    ),
    Scene(
        "a gateway that is down with its Redis gets a new primary and is restarted",
        **{**DOWN, **BROKEN, "source": "RB-001 D"},
        **NEW_PRIMARY,
        cluster=[gateway(), REDIS_NODES],
        first=primary_dies,
        answers=STUCK,
        scenarios=["the Redis primary is down"],
        actions=["rollout_restart"],
        after={RESTARTED: present, **READY},
    ),
    Scene(
        "a policy between a gateway and a Redis that is well is for people",
        **{**DOWN, "source": "RB-001 D"},
        cluster=[
            gateway(),
            policy("dns-only", "netweave-gateway", egress=[port(53, "UDP")]),
            logs("netweave-gateway", "ERROR redis: connection refused"),
        ],
        answers={"/healthz": (503, "no redis")},
        scenarios=["a network policy keeps the gateway from Redis"],
        ends="escalated",
        told=["The network policies dns-only let the gateway out to 53/UDP alone"],
        unchanged=True,
    ),
    Scene(
        "a Redis pod that hangs is deleted and comes up well",
        **REDIS_DOWN,
        needs="sentinels",
        cluster=[gateway(), REDIS_NODES, not_ready("redis-node-1")],
        scenarios=["a Redis does not start"],
        actions=["pod_delete", "http_probe"],
        after={"statefulsets.apps/redis-node status.readyReplicas": 3},
    ),
    Scene(
        "a Redis that cannot read its data is for people and the restore",
        **REDIS_DOWN,
        needs="sentinels",
        cluster=[
            gateway(),
            stateful("redis-node", image="registry.example/redis:bad", replicas=3, container="redis", claim="data"),
            logs("redis-node", "Bad file format reading the append only file", container="redis", previous=True),
        ],
        redis={"subscription:1": {"callback": "https://smo-1.example/notify"}},
        scenarios=["a Redis cannot read its data"],
        ends="escalated",
        told=["netweave/data-loss: Outcome.FAILED no_scenario", "whether the other nodes have the data"],
        unchanged=True,
    ),
    Scene(
        "a volume that is not bound is for people",
        **REDIS_DOWN,
        needs="sentinels",
        cluster=[gateway(), REDIS_NODES, unbound("data-redis-node-0")],
        scenarios=["the volume of a Redis is not there"],
        ends="escalated",
        told=["The volume of a Redis is not bound: data-redis-node-0"],
        unchanged=True,
    ),
    Scene(
        "a pod that does not come up again either is told to people",
        **REDIS_DOWN,
        needs="sentinels",
        cluster=[gateway(), REDIS_NODES, not_ready("redis-node-1", for_ever=True)],
        scenarios=["a Redis does not start"],
        ends="escalated",
        told=["why the pods of Redis ended"],
    ),
)

RATE = "o2ims_http_requests_total"
ERRORS = {"source": "RB-003 A", "runbook": "netweave/high-error-rate", "alert": "HighErrorRate"}
FIVE = (f"{DEPLOYMENT} status.readyReplicas", 5)

HIGH_ERROR_RATE = scenes(
    "netweave",
    Scene(
        "a version that came before the errors is rolled back by Helm",
        **{**ERRORS, "source": "RB-003 D"},
        cluster=[gateway(then=NEW), CONFIG],
        prometheus={RATE: when(IMAGE, GOOD, 0.001, 0.2)},
        scenarios=["bug in a recent deployment of a Helm release"],
        actions=["helm_rollback"],
        after={IMAGE: GOOD, **READY},
    ),
    Scene(
        "a rollback that does not end the errors leads on to a failing backend",
        **{**ERRORS, "source": "RB-003 D"},
        cluster=[gateway(then=NEW, release=""), CONFIG, logs("netweave-gateway", "ERROR backend=aws error: 503")],
        prometheus={RATE: when(CONTENT, contains("circuit_breaker:"), 0.001, 0.2)},
        scenarios=["bug in a recent deployment", "a backend fails"],
        actions=["rollout_undo", "configmap_patch", "rollout_restart"],
        after={IMAGE: GOOD, CONTENT: contains("threshold: 5")},
    ),
    Scene(
        "the gateway leaves a failing backend alone",
        **ERRORS,
        cluster=[gateway(), CONFIG, logs("netweave-gateway", "ERROR backend=aws error: 503")],
        prometheus={RATE: when(RESTARTED, present, 0.001, 0.2)},
        scenarios=["a backend fails"],
        actions=["configmap_patch", "rollout_restart"],
        after={CONTENT: contains("enabled: true"), **READY},
    ),
    Scene(
        "a backend that fails on is told with its name",
        **ERRORS,
        cluster=[gateway(), CONFIG, logs("netweave-gateway", "ERROR backend=aws error: 503")],
        prometheus={RATE: 0.2},
        scenarios=["a backend fails"],
        ends="escalated",
        told=["Backends fail:", "aws", "look at the provider's status page"],
    ),
    Scene(
        "the rate limit is raised from 50 to 100",
        **{**ERRORS, "source": "RB-003 B"},
        cluster=[gateway(), CONFIG, logs("netweave-gateway", "WARN 429 too many requests client=smo-1")],
        prometheus={RATE: when(RESTARTED, present, 0.001, 0.2)},
        scenarios=["rate limiting"],
        actions=["configmap_patch", "rollout_restart"],
        after={CONTENT: contains("requests_per_second: 100   # per client"), **READY},
    ),
    Scene(
        "a limit that somebody chose stays and the clients are told",
        **{**ERRORS, "source": "RB-003 B"},
        cluster=[
            gateway(),
            config("netweave-config", config__yaml=FILE.replace("second: 50", "second: 20")),
            logs("netweave-gateway", "WARN 429 too many requests client=smo-1"),
        ],
        prometheus={RATE: 0.2},
        scenarios=["rate limiting"],
        ends="escalated",
        told=["Ask these clients to slow down:", "smo-1"],
        unchanged=True,
    ),
    Scene(
        "short of resources it is scaled to five",
        **{**ERRORS, "source": "RB-003 C"},
        cluster=[gateway(), CONFIG, usage("490m", "100Mi")],
        prometheus={RATE: when(*FIVE, 0.001, 0.2)},
        scenarios=["resources are short > scale out"],
        actions=["scale"],
        after={f"{DEPLOYMENT} spec.replicas": 5},
    ),
    Scene(
        "more replicas that do not help are taken back and the limits raised",
        **{**ERRORS, "source": "RB-003 C"},
        cluster=[gateway(), CONFIG, usage("490m", "100Mi")],
        prometheus={RATE: when(f"{LIMITS}.memory", "2Gi", 0.001, 0.2)},
        scenarios=["resources are short > scale out", "resources are short > raise the limits"],
        actions=["scale", "set_resources"],
        after={f"{DEPLOYMENT} spec.replicas": 3, f"{LIMITS}.cpu": "2", f"{LIMITS}.memory": "2Gi"},
    ),
    Scene(
        "where nothing points anywhere it is scaled to five",
        **{**ERRORS, "source": "RB-003 C"},
        cluster=[gateway(), CONFIG],
        prometheus={RATE: when(*FIVE, 0.001, 0.2)},
        scenarios=["too few replicas"],
        actions=["scale"],
        after={f"{DEPLOYMENT} spec.replicas": 5},
    ),
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

SCENES = (
    *ALL_PODS_DOWN,
    *REDIS,
    *HIGH_ERROR_RATE,
    *HIGH_LATENCY,
    *CERTIFICATE_CRASH_AND_CACHE,
    *PEERS_AND_PROCEDURE,
)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
