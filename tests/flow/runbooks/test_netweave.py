"""The runbooks of netweave, RB-001 to RB-010 and its incident procedure: see tests/support/scenes."""

from __future__ import annotations

import pytest

from tests.support.scenes.facts import present, when
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import (
    app,
    config,
    crashes_unless,
    restarted_pods,
    since,
)

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


@pytest.mark.parametrize("scene", ALL_PODS_DOWN, ids=str)
async def test_all_pods_down(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)


SCENES = (*ALL_PODS_DOWN,)
