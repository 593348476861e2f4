"""The example that `alertbridge actions NAME` shows of each action really plans, on a cluster that has what it names.

As `alertbridge plan` plans it: the configuration is checked first, and the API server sees nothing but reads.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.actions.registry import actions
from bridge.app import read
from bridge.configuration import Configuration
from bridge.demo import SimulatedCluster, SimulatedServer, workloads
from bridge.demo.controllers.volumes import storage_class
from bridge.printing.rehearsal import document, text
from bridge.rehearsal import rehearse_runbook
from tests.contract.action_cases.tls import pair
from tests.support.definitions import DESTINATION_RULE
from tests.support.helm import recorded
from tests.support.recording_proxy import RecordingProxy

pytestmark = pytest.mark.usefixtures("quiet_log")

ALERT = {"alertname": "Example"}
TARGET = ("Deployment", workloads.NAMESPACE, "netweave-gateway")
NOTHING_TO_DO = {"promql_check", "http_check", "rollout_status"}
"""They wait for something."""
ELSEWHERE = {
    "configmap_restore": "only the running server knows",
    "sentinel_failover": "no connection to 127.0.0.1:1",
}
"""They plan on what is asked of others; what they say when those are not there. See tests/contract."""
SETTINGS: dict[str, Any] = {
    "mode": "auto",
    # Where the DNS is, whose pods an example deletes.
    "protected_namespaces": [],
    "secret_namespaces": [workloads.NAMESPACE, "istio-system"],
    "http": {
        "hosts": ["search:9200", "status.example", "gateway.o2ims-system:8080"],
        "secrets": {name: {"secret_env": "ANY_SECRET"} for name in ("search-admin", "status-page")},
    },
    "sql": {"orders-db": {"host": "orders-db.shop", "database": "orders", "user": "alertbridge"}},
    "redis_peers": {"gateway-redis": {"sentinel": {"addresses": ["127.0.0.1:1"], "master": "mymaster"}}},
    "commands": {"flush-cdn": {"run": ["/usr/local/bin/flush-cdn"], "arguments": ["[a-z]+"]}},
    "exec": {"allow": [["redis-cli", "INFO", "..."]]},
    "notify": {"channels": {"on-call": {"url_env": "ANY_SECRET"}}},
    "prometheus": {"url": "http://127.0.0.1:1"},
    "runbooks": ["runbooks"],
}


def config_map(name: str, **data: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": workloads.NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def workload(
    kind: str, name: str, *, namespace: str = workloads.NAMESPACE, container: str = "main", tag: str = "1.4.2"
) -> dict[str, Any]:
    made = workloads.deployment(name, f"registry.example/{name}:{tag}", namespace=namespace, replicas=2)
    made["spec"]["template"]["spec"]["containers"][0]["name"] = container
    return {**made, "kind": kind}


def tls_secret(name: str, namespace: str) -> dict[str, Any]:
    """Return a pair that ends in three days."""
    data = dict(
        zip(
            ("tls.crt", "tls.key"),
            (base64.b64encode(each).decode() for each in pair(3, "gateway.example.org")),
            strict=True,
        )
    )
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


def scene(action: str) -> list[dict[str, Any]]:
    """Return what the example of an action is about, beside the gateway that a bad version took down."""
    dns = workload("Deployment", "coredns", namespace="kube-system", tag="bad")
    dns["spec"]["template"]["metadata"]["labels"]["k8s-app"] = "kube-dns"
    claim = {
        "storageClassName": "standard",
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "100Gi"}},
    }
    place = {"namespace": workloads.NAMESPACE}
    rule = {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule"}
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "omnimesh-gateway"}
    bounds = {"scaleTargetRef": scaled, "minReplicas": 2, "maxReplicas": 5}
    found: dict[str, list[dict[str, Any]]] = {
        "rollout_status": [workload("StatefulSet", "omendb", namespace="omendb-prod")],
        "set_resources": [workload("StatefulSet", "omendb", container="omendb")],
        "set_env": [workload("Deployment", "kyc-api", container="api")],
        "set_image": [workload("Deployment", TARGET[2], container="gateway")],
        "pod_delete": [dns],
        "pod_evict": [workload("Deployment", TARGET[2], container=TARGET[2], tag="oom")],
        "tls_rotate": [tls_secret("gateway-tls", "istio-system")],
        "exec": [workload("StatefulSet", "redis-node")],
        "configmap_patch": [config_map("netweave-config", **{"config.yaml": "rateLimit:\n  rps: 50\n"})],
        "configmap_restore": [config_map("netweave-config", a="1")],
        "log_level": [config_map("app-config", log_level="info")],
        "pvc_expand": [
            storage_class(),
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": "data-omendb-0", **place},
                "spec": claim,
            },
        ],
        "object_delete": [
            DESTINATION_RULE,
            {**rule, "metadata": {"name": "go-node-proxy", "namespace": "omnimesh-core"}, "spec": {"host": "proxy"}},
        ],
        "hpa_patch": [
            workload("Deployment", "omnimesh-gateway"),
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "omnimesh-gateway", **place},
                "spec": bounds,
            },
        ],
        "helm_rollback": recorded("releases-before-rollback", workloads.NAMESPACE),
    }
    return found.get(action, [])


def spoil(action: str, cluster: SimulatedCluster) -> None:
    """Bring about what an example mends, where it does not lie in what is there."""
    if action == "rollout_resume":
        found = cluster.get("deployments.apps", *TARGET[1:])
        assert found is not None
        cluster.apply({**found, "spec": {**found["spec"], "paused": True}})
    elif action == "uncordon":
        node = cluster.get("nodes", "", "node-2")
        assert node is not None
        cordoned = {**node, "spec": {"unschedulable": True}}
        cluster.writes.store_change(cluster.resource("v1", "Node"), node, cordoned, "alertbridge")


def runbook(action: str) -> dict[str, Any]:
    step = {"action": action, "with": dict(actions()[action].example)}
    return {
        "summary": "The example of an action.",
        "target": dict(zip(("kind", "namespace", "name"), TARGET, strict=True)),
        "scenarios": [{"name": "only", "otherwise": True, "steps": [step]}],
    }


@asynccontextmanager
async def furnished(action: str) -> AsyncIterator[RecordingProxy]:
    cluster = SimulatedCluster()
    cluster.set_behavior(ready_delay=0.05)
    workloads.seed_gateway(cluster)
    workloads.seed_certificate(cluster, days_left=7)
    for item in scene(action):
        cluster.apply(item)
    cluster.settle(5)
    spoil(action, cluster)
    async with SimulatedServer(cluster) as server, RecordingProxy(server.url) as proxy:
        yield proxy


def configured(folder: Path, action: str, url: str) -> Configuration:
    (folder / "runbooks" / "example").mkdir(parents=True)
    (folder / "runbooks" / "example" / f"{action}.yml").write_text(json.dumps(runbook(action)))
    other = {**runbook("rollout_restart"), "target": {"namespace": "shop", "name": "${labels.deployment}"}}
    (folder / "runbooks" / "example" / "redis-down.yml").write_text(json.dumps(other))
    place = folder / "bridge.yml"
    route = {"runbook": f"example/{action}", "mode": "auto", "allow_irreversible": True}
    place.write_text(
        json.dumps({**SETTINGS, "clusters": {"connections": {"sim": {"url": url}}}, "alerts": {"Example": route}})
    )
    return read(place)


@pytest.mark.parametrize("action", sorted(actions()))
async def test_the_example_of_an_action_plans_and_only_reads(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 70."""
    monkeypatch.setenv("ANY_SECRET", "json://localhost")
    async with furnished(action) as proxy:
        shown = document(await rehearse_runbook(configured(tmp_path, action, proxy.url), f"example/{action}", ALERT))
        assert proxy.mutating(dry_runs=True) == []
    told = text(shown)
    if action in ELSEWHERE:
        assert ELSEWHERE[action] in told
        return
    assert shown["planned"], told
    (plan,) = [entry["data"]["plan"] for entry in shown["journal"] if entry["kind"] == "planned"]
    assert plan["action"] == action
    assert bool(plan["changes"]) is (action not in NOTHING_TO_DO), told


NEEDS_NO_OBJECT = {
    *("command", "http_call", "http_check", "http_probe", "notify", "promql_check", "runbook", "sql", "status_page"),
    *("job_run", "object_apply", "incident_tracker"),
    *("cordon", "drain", "uncordon"),
}
"""They make something, call something, or are about nodes, which every cluster has."""
SO_ALREADY = {"object_delete", "pod_delete"}
"""What is not there is as gone as they want it."""
MENDS = ("correct", "make", "set", "use", "name", "see")


@pytest.mark.parametrize("action", sorted(actions().keys() - NEEDS_NO_OBJECT - ELSEWHERE.keys()))
async def test_without_the_objects_of_its_example_it_says_what_to_do_or_that_there_is_nothing_to_change(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANY_SECRET", "json://localhost")
    async with SimulatedServer(SimulatedCluster()) as server:
        shown = document(await rehearse_runbook(configured(tmp_path, action, server.url), f"example/{action}", ALERT))
    if action in SO_ALREADY:
        assert "nothing to change: " in text(shown)
        return
    assert not shown["planned"]
    if action == "certificate_renew":
        assert "the cluster does not serve this kind" in shown["detail"], "nobody installed cert-manager here"
    assert shown["reason"] in ("target_gone", "plan_failed")
    assert any(word in shown["detail"].rpartition(": ")[2] for word in MENDS), shown["detail"]
