"""In a system that is well nothing is changed by any runbook that ships, whatever alert was sent by mistake."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.controllers.volumes import storage_class
from bridge.printing.rehearsal import document
from bridge.rehearsal import rehearse_runbook
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.recording_proxy import RecordingProxy
from tests.support.scenes import shipped
from tests.support.scenes.netweave import CONFIG, gateway
from tests.support.scenes.peers import Peers, open_peers
from tests.support.scenes.scene import NAMESPACES, State
from tests.support.scenes.world import app, certificate, claim, config, cronjob, dns, stateful, tls_secret
from tests.support.sentinel import MASTER, SentinelSite

DATA, PLATFORM = "omnimesh-data", "platform-observability"
TELLS = {"notify", "status_page", "http_check", "promql_check", "http_probe", "rollout_status"}
"""Actions that change nothing of what they are about."""

WELL: dict[str, list[State]] = {
    "netweave": [
        gateway(),
        CONFIG,
        certificate(days=80),
        stateful("redis-node", replicas=3, container="redis", claim="data"),
        cronjob("redis-restore"),
    ],
    "omendb": [
        app("prod-omendb", "omendb-prod", container="omendb", ports={"api": 3000, "metrics": 9090}),
        claim("omendb-data", "omendb-prod", "100Gi"),
        config("omendb-config", "omendb-prod", batch_size="50000"),
        cronjob("omendb-restore", "omendb-prod"),
        cronjob("omendb-backup-verify", "omendb-prod"),
    ],
    "onboarding-kyc": [
        app("onboarding-api", "business-onboarding"),
        stateful("postgresql", PLATFORM, claim="data"),
        stateful("kafka", PLATFORM, replicas=3, service_port=9092),
        certificate("onboarding-tls", "business-onboarding", days=80),
    ],
    "python-services": [
        app("pricing", "python-services", ports={"http": 8001}, services=["pricing-service"]),
        stateful("postgresql", "python-services", claim="data"),
        cronjob("python-services-tests", "python-services"),
        cronjob("python-services-scan", "python-services"),
        cronjob("python-services-restore-drill", "python-services"),
        dns,
    ],
    "omnimesh": [
        app(
            "nexus-prime-core",
            "omnimesh-core",
            ports={"http": 8080},
            services=["nexus-prime-core-service", "nexus-prime-core-metrics"],
        ),
        app("go-node-proxy", "omnimesh-core", ports={"http": 8080}, services=["go-node-proxy-service"]),
        config("app-config", "omnimesh-core", log_level="info"),
        stateful("postgresql", DATA, claim="data", labels={"app": "postgresql"}),
        tls_secret("tls-secret", "omnimesh-core", days=80),
        app("istiod", "istio-system"),
        dns,
    ],
}

ABOUT: dict[str, dict[str, str]] = {
    "onboarding-kyc": {"deployment": "onboarding-api", "container": "onboarding-api", "name": "onboarding-tls"},
    "python-services": {"deployment": "pricing", "version": "2.0.1"},
}
"""Labels beside alertname and namespace."""

PLACES = {
    "onboarding-kyc/database-connections": PLATFORM,
    "onboarding-kyc/disk-space": PLATFORM,
    "onboarding-kyc/node-disk": PLATFORM,
    "omnimesh/database-failure": DATA,
}
"""Namespaces other than the system's."""

ASKED_FOR = {
    "omendb/functional-test": "writes a value and reads it back",
    "omendb/post-incident": "has the newest backup verified",
    "python-services/deployment": "deploys, when people agree",
    "python-services/weekly-maintenance": "runs tests and a scan",
    "python-services/monthly-maintenance": "vacuums and reindexes, when people agree",
    "omnimesh/incident-commands": "tracks an incident that somebody declares",
    "omendb/minor": "watches more closely for four hours",
}
"""Runbooks whose purpose it is to do something when all is well: by hand or by the clock."""

NOT_KNOWN = {
    "omnimesh/certificate-emergency": "the certificate of the mesh, and what the core shows",
    "omnimesh/rollback": "a good copy of the configuration",
    "python-services/database": "pg_stat_statements",
}
"""Runbooks whose conditions also read what this cluster has not: a person is told of that."""

CLAIMS = ("omendb-data", "data-postgresql-0", "data-redis-node-0", "data-redis-node-1", "data-redis-node-2")
METRICS = """\
o2ims_up 1
o2ims_http_request_duration_seconds{quantile="0.95"} 0.05
o2ims_http_request_duration_seconds{quantile="0.99"} 0.1
o2ims_adapter_backend_latency_seconds{quantile="0.95"} 0.1
o2ims_adapter_cache_hits_total 97
o2ims_adapter_cache_misses_total 3
omendb_query_duration_seconds{quantile="0.95"} 0.1
omendb_query_errors_total 0
omendb_queries_total 100
"""
_CALM: dict[str, Any] = {
    "pg_up": 1,
    "probe_success": 1,
    "o2ims_adapter_cache_hits_total": 0.97,
    "histogram_quantile": 0.05,
    "stats_used_bytes": [({"persistentvolumeclaim": name}, 40) for name in CLAIMS],
    "stats_capacity_bytes": [({"persistentvolumeclaim": name}, 100) for name in CLAIMS],
    "offset 1h": 1.0,
    "node_filesystem": 40,
    "sum by (service)": [({"service": "pricing-service"}, 0.0)],
    "": 0.0,
}


def runbooks() -> list[str]:
    return sorted(name for name, each in shipped.shipped().runbooks.items() if not each.library)


@pytest.mark.parametrize("runbook", runbooks())
async def test_in_a_cluster_that_is_well_nothing_is_changed_by_any_shipped_runbook(
    runbook: str, sentinels: SentinelSite, databases: PostgresServer, log_as_before: None
) -> None:
    system = runbook.partition("/")[0]
    cluster = SimulatedCluster()
    cluster.set_metrics(True)
    cluster.apply(storage_class())
    for state in WELL[system]:
        state(cluster)
    cluster.set_behavior(
        respond=lambda _service, _method, path: (200, METRICS if "metrics" in path else "ok"),
        usage=lambda _pod, _container: ("50m", "32Mi"),
    )
    cluster.step()
    (node, *_) = cluster.list("nodes")
    labels = {
        "alertname": "SentByMistake",
        "namespace": PLACES.get(runbook, NAMESPACES[system]),
        "severity": "critical",
        "node": node["metadata"]["name"],
        **ABOUT.get(system, {}),
    }
    peers = Peers(_CALM, {"": "ok"}, lambda value: value)
    async with SimulatedServer(cluster) as api, RecordingProxy(api.url) as proxy, open_peers(peers):
        given = shipped.pointed(
            system,
            runbook,
            cluster=proxy.url,
            peers=peers.url,
            tls="https://127.0.0.1:9",
            params={},
            sentinels=sentinels.addresses,
            master=MASTER,
            redis=f"127.0.0.1:{sentinels.primary.port}",
            postgres={"host": "127.0.0.1", "port": databases.port, "user": USER, "password": PASSWORD},
        )
        with redis.Redis(port=sentinels.primary.port) as client:
            client.set("subscription:1", '{"callback": "https://smo.example/notify"}')
            try:
                found = document(await rehearse_runbook(given, runbook, labels))
            finally:
                client.delete("subscription:1")
        assert proxy.mutating(dry_runs=True) == []
    told = "\n".join(f"{entry['kind']}: {entry['text']}" for entry in found["journal"])
    plans = [entry["data"]["plan"] for entry in found["journal"] if entry["kind"] == "planned"]
    changing = [plan["action"] for plan in plans if plan["changes"] and plan["action"] not in TELLS]
    assert bool(changing) is (runbook in ASKED_FOR), f"{changing}\n{told}"
    if not changing:
        assert (found["reason"] == "evidence_missing") is (runbook in NOT_KNOWN), f"{found['reason']}\n{told}"
