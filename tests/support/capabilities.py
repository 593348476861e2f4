"""What a cluster can do beyond answering requests: probed, so that tests skip what is not there.

The words: `simulated` (time and behaviour are the test's), `controllers` (somebody acts on Deployments, Jobs and the
like), `nodes` (more than one that is ready), `exec` (commands run in pods), `metrics` (metrics-server answers),
`cert-manager` (its kinds are served).
"""

from __future__ import annotations

from typing import Any

from bridge.errors import KubeError
from tests.support.cluster import Site


async def capabilities(site: Site) -> frozenset[str]:
    """Return what this site has. Asks through the test's own requests where it is a real one."""
    if site.simulated is not None:
        return frozenset({"simulated", "controllers", "nodes", "exec", "metrics", "cert-manager"})
    found: set[str] = set()
    ready = [node for node in await _items(site, "v1", "Node") if _ready(node)]
    if ready:
        # Without a node's agent nothing starts, and there is nothing to run a command in.
        found |= {"controllers", "exec"}
    if len(ready) > 1:
        found.add("nodes")
    if await _items(site, "metrics.k8s.io/v1beta1", "NodeMetrics"):
        found.add("metrics")
    if await _served(site, "cert-manager.io/v1", "Certificate"):
        found.add("cert-manager")
    return frozenset(found)


async def _items(site: Site, api_version: str, kind: str) -> list[dict[str, Any]]:
    try:
        return await site.cluster.list(api_version, kind, "")
    except KubeError:
        return []


async def _served(site: Site, api_version: str, kind: str) -> bool:
    try:
        await site.cluster.list(api_version, kind, site.namespace)
    except KubeError:
        return False
    return True


def _ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
