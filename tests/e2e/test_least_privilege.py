"""The role that is shipped for netweave is enough for its runbooks, and what they write is what they mend."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.demo import SimulatedCluster, SimulatedServer, scene
from tests.support.installation import Installation
from tests.support.processes import Processes, until
from tests.support.recording_proxy import Recorded, RecordingProxy
from tests.support.shipped import shipped_runbooks

ROLE = Path(__file__).resolve().parents[2] / "deploy/rbac/netweave/role.yml"

NOT_THERE = {
    *("helm", "config", "top", "manager_logs", "issuer", "requests", "shown", "served", "logs_since"),
    *("sentinel", "redis", "redis_pods", "redis_events", "redis_logs", "redis_previous_logs", "redis_volumes"),
    *("health_url", "error_rate"),
}
"""Evidence about what the demo's cluster has not: a Helm release, Redis, a metrics server, cert-manager's pods."""


def printed() -> list[dict[str, Any]]:
    """Return the objects that are shipped, which another test holds to what `alertbridge rbac` prints."""
    return list(YAML(typ="safe").load_all(ROLE.read_text()))


def asked(entry: Recorded) -> tuple[str, str, str]:
    """Return API group, resource (with its subresource) and verb, as RBAC sees a request in a namespace."""
    parts = entry.path.strip("/").split("/")
    group, rest = (parts[1], parts[3:]) if parts[0] == "apis" else ("", parts[2:])
    # namespaces/NAMESPACE/RESOURCE[/NAME[/SUBRESOURCE[/…]]]
    resource, *names = rest[2:]
    full = f"{resource}/{names[1]}" if len(names) > 1 else resource
    verb = {"GET": "get" if names else "list", "PATCH": "patch"}[entry.verb]
    return group, full, verb


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[SimulatedCluster, RecordingProxy, Path]]:
    """A cluster with the demo's three troubles that enforces the printed role; the token of our account."""
    cluster = SimulatedCluster()
    scene.set_the_scene(cluster)
    for each in printed():
        cluster.apply(each)
    token = tmp_path / "token"
    token.write_text(cluster.issue_token("alertbridge", "alertbridge"))
    async with SimulatedServer(cluster, token="the-admin", tick=0.005) as server, RecordingProxy(server.url) as proxy:
        yield cluster, proxy, token


async def test_the_three_runbooks_heal_with_the_printed_role_and_write_nothing_else(
    processes: Processes, guarded: tuple[SimulatedCluster, RecordingProxy, Path]
) -> None:
    cluster, proxy, token = guarded
    act: dict[str, Any] = {"mode": "auto"}
    installation = Installation(
        processes,
        kubernetes=proxy.url,
        alerts={
            "GatewayDown": {**act, "runbook": "netweave/all-pods-down"},
            "HighErrorRate": {**act, "runbook": "netweave/high-error-rate"},
            "CertExpiringSoon": {
                **act,
                "runbook": "netweave/certificate-expiring",
                "params": {"from_secret": False, "manager_namespace": "o2ims-system"},
            },
        },
        runbooks=[],
        runbook_files=shipped_runbooks(),
        clusters={"connections": {"simulated": {"url": proxy.url, "token_file": str(token)}}},
    )
    troubles = scene.troubles()
    began = time.time()
    try:
        server = await installation.start()
        for trouble in troubles:
            await server.fire(trouble.alert, starts_at=began, **trouble.labels)

        async def healed() -> bool:
            return all(trouble.healed(cluster) for trouble in troubles)

        await until(healed, seconds=30, what="all three being healed")
        for trouble in troubles:
            await server.resolve(trouble.alert, starts_at=began, **trouble.labels)
        for done in await server.finished(3, seconds=30):
            assert done["outcome"] == "succeeded", (done["runbook"], done["reason"], done["detail"])
            missing = [entry["data"].get("missing") or {} for entry in await server.journal(done["id"])]
            assert {name for each in missing for name in each} <= NOT_THERE
    finally:
        installation.end_private_redis()
    assert not [entry.path for entry in proxy.requests if entry.status == 403]
    used = {asked(entry) for entry in proxy.requests if "/namespaces/" in entry.path}
    granted = {
        (group, resource, verb)
        for each in printed()
        for rule in each.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert used <= granted
    # The rest is of scenarios that were not chosen: what was made is what those that were need.
    assert {one for one in used if one[2] == "patch"} == {
        ("apps", "deployments", "patch"),
        ("cert-manager.io", "certificates/status", "patch"),
    }
