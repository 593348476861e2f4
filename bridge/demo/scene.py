"""The demo's three troubles: what is wrong in its cluster, the alert of each, and what a monitoring would see.

Used by `story`: a gateway whose new revision crash-loops, a service with too few replicas for its load, and a
certificate that runs out because its issuer was away when it was due.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bridge.demo.cluster import SimulatedCluster
from bridge.demo.objects import Obj, condition, dig, parse_timestamp
from bridge.demo.workloads import NAMESPACE, image_of, seed_api, seed_certificate, seed_gateway

GATEWAY = "netweave-gateway"
API = "netweave-api"
CERTIFICATE = "netweave-tls"

_DAY = 86400.0
_CRASH_LOG = (
    "level=info msg=starting version=1.5.0",
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
    # Slow enough to be seen happening, quick enough to be waited for.
    cluster.set_behavior(ready_delay=0.8, termination_delay=0.2, issue_delay=0.8)
    seed_gateway(cluster, name=GATEWAY, ago=240.0)
    seed_api(cluster, name=API)
    seed_certificate(cluster, name=CERTIFICATE, days_left=7.0)
    for previous in (False, True):
        cluster.logs.set(NAMESPACE, f"{GATEWAY}-*", GATEWAY, _CRASH_LOG, previous=previous)


def troubles() -> list[Trouble]:
    """Return the three alerts, in the order in which the demo fires them."""
    place = {"namespace": NAMESPACE}
    return [
        Trouble(
            "GatewayDown",
            {**place, "deployment": GATEWAY, "severity": "critical"},
            {"summary": "No gateway pod is ready"},
            lambda cluster: _complete(cluster, GATEWAY) and _version(cluster, GATEWAY) == "1.4.2",
            "the gateway's version 1.5.0 crash-loops: 0 of 3 pods are ready",
            lambda cluster: f"{_ready(cluster, GATEWAY)} of 3 pods are ready, and they run 1.4.2 again",
        ),
        Trouble(
            "HighErrorRate",
            {**place, "deployment": API, "severity": "warning"},
            {"summary": "More than 5 % of the requests fail"},
            lambda cluster: _complete(cluster, API) and _ready(cluster, API) > 3,
            "three replicas of the API are too few for its load: 7 % of the requests fail",
            lambda cluster: f"{_ready(cluster, API)} replicas share the load, and the errors are gone",
        ),
        Trouble(
            "CertExpiringSoon",
            {**place, "certificate": CERTIFICATE, "severity": "warning"},
            {"summary": "The gateway's certificate runs out in a week"},
            lambda cluster: certificate_days(cluster) > 30,
            "the gateway's certificate runs out in 7 days: its issuer was away when it was due",
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


def _deployment_of(cluster: SimulatedCluster, name: str) -> Obj:
    return cluster.get("deployments.apps", NAMESPACE, name) or {}


def _ready(cluster: SimulatedCluster, name: str) -> int:
    return int(dig(_deployment_of(cluster, name), "status", "readyReplicas") or 0)


def _version(cluster: SimulatedCluster, name: str) -> str:
    return image_of(_deployment_of(cluster, name)).rpartition(":")[2]


def _complete(cluster: SimulatedCluster, name: str) -> bool:
    status: Obj = dig(_deployment_of(cluster, name), "status") or {}
    wanted = dig(_deployment_of(cluster, name), "spec", "replicas")
    seen = status.get("observedGeneration") == dig(_deployment_of(cluster, name), "metadata", "generation")
    return seen and [status.get(key) for key in ("replicas", "updatedReplicas", "readyReplicas")] == [wanted] * 3
