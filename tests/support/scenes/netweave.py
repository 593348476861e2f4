"""The gateway of netweave as it is in production, for its scenes."""

from __future__ import annotations

from typing import Any

from tests.support.scenes.facts import present, when
from tests.support.scenes.scene import State
from tests.support.scenes.world import app, config, since

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


def gateway(**more: Any) -> State:
    """The gateway as it is in production: three replicas of a Helm release."""
    return app("netweave-gateway", **{"image": GOOD, "labels": NETWEAVE, "release": "netweave", **more})


STUCK = {"/healthz": when(RESTARTED, present, (200, "ok"), (503, "stuck"))}
"""A gateway that a restart makes well."""
RATE = "o2ims_http_requests_total"
FIVE = (f"{DEPLOYMENT} status.readyReplicas", 5)
