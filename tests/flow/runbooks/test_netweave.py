"""The runbooks of netweave, RB-001 to RB-010 and its incident procedure: see tests/support/scenes."""

from __future__ import annotations

import pytest

from tests.support.scenes.facts import ends_with
from tests.support.scenes.scene import Scene, scenes
from tests.support.scenes.theatre import Theatre
from tests.support.scenes.world import app, certificate

GOOD, BAD = "registry.example/netweave-gateway:1.4.2", "registry.example/netweave-gateway:1.5.0-bad"
GATEWAY = "deployments.apps/netweave-gateway"
IMAGE = f"{GATEWAY} spec.template.spec.containers[0].image"
NETWEAVE = {"app.kubernetes.io/name": "netweave"}

SCENES = scenes(
    "netweave",
    Scene(
        "a new version that never got ready is rolled back",
        source="RB-001 A",
        runbook="netweave/all-pods-down",
        alert="GatewayDown",
        cluster=[app("netweave-gateway", image=GOOD, then=BAD, labels=NETWEAVE)],
        scenarios=["bad deployment"],
        actions=["rollout_undo"],
        after={IMAGE: ends_with(":1.4.2"), f"{GATEWAY} status.readyReplicas": 3},
    ),
    Scene(
        "cert-manager renews it",
        source="RB-005",
        runbook="netweave/certificate-expiring",
        alert="CertificateExpiringSoon",
        labels={"name": "netweave-tls"},
        cluster=[certificate(days=7)],
        scenarios=["not renewed in time"],
        actions=["certificate_renew"],
    ),
)


@pytest.mark.parametrize("scene", SCENES, ids=str)
async def test_scene(scene: Scene, theatre: Theatre) -> None:
    await theatre.play(scene)
