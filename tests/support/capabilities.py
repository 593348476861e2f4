"""What a cluster can do beyond answering requests: probed by doing it, never guessed from which server it is.

A test says `await site.needs("exec")` and is skipped where that is not there. The words are the keys of `PROBES`,
and `simulated`: time and behaviour are the test's. A probe runs once for each server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from bridge.errors import KubeError
from tests.support.definitions import CERTIFICATE

if TYPE_CHECKING:
    from tests.support.cluster import Site

Probe = Callable[["Site"], Awaitable[bool]]
_known: dict[tuple[str, str], bool] = {}


async def missing(site: Site, words: tuple[str, ...]) -> list[str]:
    """Return those of the words that this site has not."""
    lacks = [word for word in words if not await _has(site, word)]
    if "cert-manager" in words and not lacks:
        await _bring_certificates(site)
    return lacks


async def _has(site: Site, word: str) -> bool:
    if word == "simulated":
        return site.simulated is not None
    key = ("simulated" if site.simulated is not None else "real", word)
    if key not in _known:
        _known[key] = await PROBES[word](site)
    return _known[key]


async def _controllers(site: Site) -> bool:
    """A Deployment gets ready: controllers, a scheduler and a node's agent are there, and the image can be had."""
    try:
        ref = await site.deploy("probe", replicas=1)
    except TimeoutError:
        return False
    await site.send("DELETE", site.path("deployments", ref.name))
    return True


async def _nodes(site: Site) -> bool:
    return sum(_ready(node) for node in await site.direct.list("v1", "Node", "")) > 1


async def _exec(site: Site) -> bool:
    """A shell of the healthy image can be run, and its exit code comes back."""
    if not await _has(site, "controllers"):
        return False
    pod = await site.pod("probe-exec")
    try:
        reply = await site.direct.exec(site.namespace, pod.name, ["sh", "-c", "exit 7"], container="main")
    except KubeError:
        return False
    finally:
        await site.send("DELETE", site.path("pods", pod.name, "/api/v1"))
    return reply.exit_code == 7


async def _metrics(site: Site) -> bool:
    try:
        return bool(await site.direct.list("metrics.k8s.io/v1beta1", "NodeMetrics", ""))
    except KubeError:
        return False


async def _eviction(site: Site) -> bool:
    served = (await site.ask("GET", "/api/v1"))[1]["resources"]
    return any(entry["name"] == "pods/eviction" for entry in served) and await _has(site, "controllers")


async def _storage(site: Site) -> bool:
    return bool(await storage_class(site))


async def storage_class(site: Site) -> str:
    """Return a storage class that makes volumes at once and lets them grow; empty where there is none."""
    for found in await site.direct.list("storage.k8s.io/v1", "StorageClass", ""):
        if found.get("allowVolumeExpansion") and found.get("volumeBindingMode") != "WaitForFirstConsumer":
            return str(found["metadata"]["name"])
    return ""


async def _cert_manager(site: Site) -> bool:
    """Somebody issues what a Certificate asks for."""
    await _bring_certificates(site)
    api = "/apis/cert-manager.io/v1"
    await site.send("POST", site.path("certificates", api=api), certificate("probe"))
    ref = site.ref("Certificate", "probe", "cert-manager.io/v1")

    def issued(found: dict[str, Any] | None) -> bool:
        return bool(found and found.get("status", {}).get("revision"))

    found = await site.direct.wait_for(ref, issued, deadline=5.0 if site.simulated else 30.0)
    await site.send("DELETE", site.path("certificates", "probe", api))
    return issued(found)


async def _bring_certificates(site: Site) -> None:
    """The probe ran once, perhaps at another site: each has to have the kind, and an issuer."""
    await site.serve(CERTIFICATE)
    await self_signed_issuer(site)


async def self_signed_issuer(site: Site, name: str = "own") -> None:
    """Make an Issuer that signs by itself, where the kind is served; a simulated cert-manager needs none."""
    if await site.served("cert-manager.io/v1", "Issuer"):
        body = {"metadata": {"name": name}, "spec": {"selfSigned": {}}}
        await site.ask("POST", site.path("issuers", api="/apis/cert-manager.io/v1"), body)


def certificate(name: str, issuer: str = "own") -> dict[str, Any]:
    """Return a Certificate for ten days, its Secret called as itself."""
    spec = {"secretName": name, "duration": "240h", "dnsNames": [f"{name}.test"], "issuerRef": {"name": issuer}}
    return {"metadata": {"name": name}, "spec": spec}


def _ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


PROBES: dict[str, Probe] = {
    "controllers": _controllers,
    "nodes": _nodes,
    "exec": _exec,
    "metrics": _metrics,
    "eviction": _eviction,
    "storage": _storage,
    "cert-manager": _cert_manager,
    "quotas": lambda site: site.served("v1", "ResourceQuota"),
}
"""`controllers`: workloads get ready. `nodes`: more than one of them is ready. `exec`: a shell runs in the healthy
image. `metrics`: a metrics server tells what is used. `eviction`: pods can be evicted. `storage`: volumes are made,
and grow. `cert-manager`: certificates are issued."""
