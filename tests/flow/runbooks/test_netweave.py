"""The runbooks of netweave, RB-001 to RB-003: see tests/support/scenes."""

from __future__ import annotations

import pytest
import redis

from tests.support.processes import until
from tests.support.redis import RedisServer
from tests.support.scenes.facts import contains, present, when
from tests.support.scenes.netweave import (
    BAD,
    CONFIG,
    CONTENT,
    DEPLOYMENT,
    FILE,
    FIVE,
    GOOD,
    IMAGE,
    LIMITS,
    NEW,
    RATE,
    READY,
    RESTARTED,
    STUCK,
    gateway,
)
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Playing, Theatre
from tests.support.scenes.world import (
    app,
    config,
    crashes_unless,
    logs,
    not_ready,
    policy,
    port,
    restarted_pods,
    stateful,
    unbound,
    usage,
)
from tests.support.sentinel import MASTER

DOWN = {"source": "RB-001 A", "runbook": "netweave/all-pods-down", "alert": "GatewayDown", "needs": "sentinels"}

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

ERRORS = {"source": "RB-003 A", "runbook": "netweave/high-error-rate", "alert": "HighErrorRate"}

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
        after={CONTENT: contains("threshold: 5")},
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
        "more replicas that do not help stay and the limits are raised",
        **{**ERRORS, "source": "RB-003 C"},
        cluster=[gateway(), CONFIG, usage("490m", "100Mi")],
        prometheus={RATE: when(f"{LIMITS}.memory", "2Gi", 0.001, 0.2)},
        scenarios=["resources are short > scale out", "resources are short > raise the limits"],
        actions=["scale", "set_resources"],
        after={f"{DEPLOYMENT} spec.replicas": 5, f"{LIMITS}.cpu": "2", f"{LIMITS}.memory": "2Gi"},
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

HEALTHY = scenes(
    "netweave",
    Scene(
        "errors that have ended are no reason for more replicas",
        **{**ERRORS, "source": "RB-003 C"},
        cluster=[gateway(), CONFIG],
        prometheus={RATE: 0.001},
        ends="escalated",
        unchanged=True,
    ),
)

SCENES = (*ALL_PODS_DOWN, *REDIS, *HIGH_ERROR_RATE, *HEALTHY)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
