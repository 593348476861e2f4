"""The simulated API server where actions on nodes, storage and any kind need it to be true to a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.controllers.volumes import storage_class
from bridge.demo.workloads import deployment
from tests.support.definitions import DESTINATION_RULE as RULE
from tests.support.lab import CONFIGMAPS, DEPLOYMENTS, Lab

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with (
        SimulatedServer(SimulatedCluster(), tick=None) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        server.cluster.settle(1)
        yield Lab(server, session)


TRIED = [
    ("POST", CONFIGMAPS, {"metadata": {"name": "new"}}, ""),
    ("PUT", f"{CONFIGMAPS}/there", {"metadata": {"name": "there"}, "data": {"a": "2"}}, ""),
    ("PATCH", f"{CONFIGMAPS}/there", {"data": {"a": "2"}}, "application/merge-patch+json"),
    ("PATCH", f"{CONFIGMAPS}/there", {"data": {"a": "2"}}, "application/strategic-merge-patch+json"),
    ("PATCH", f"{CONFIGMAPS}/there", [{"op": "remove", "path": "/data"}], "application/json-patch+json"),
    ("PATCH", f"{CONFIGMAPS}/there?fieldManager=x&force=true", {"data": {"a": "2"}}, "application/apply-patch+yaml"),
    ("PATCH", f"{CONFIGMAPS}/new?fieldManager=x", {"data": {"a": "2"}}, "application/apply-patch+yaml"),
    ("DELETE", f"{CONFIGMAPS}/there", None, ""),
    ("DELETE", CONFIGMAPS, None, ""),
    ("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 7}}, "application/merge-patch+json"),
    ("PATCH", f"{DEPLOYMENTS}/web/status", {"status": {"replicas": 7}}, "application/merge-patch+json"),
    ("POST", "/api/v1/namespaces/default/pods/p/eviction", {"metadata": {"name": "p"}}, ""),
    ("DELETE", "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", None, ""),
    ("PATCH", "/api/v1/nodes/node-0", {"spec": {"unschedulable": True}}, "application/merge-patch+json"),
    ("DELETE", "/api/v1/namespaces/default", None, ""),
    ("POST", DEFINITIONS, RULE, ""),
    ("PATCH", f"{DEFINITIONS}/{RULE['metadata']['name']}?fieldManager=x", RULE, "application/apply-patch+yaml"),
]


@pytest.mark.parametrize(("method", "path", "body", "content"), TRIED, ids=[f"{m} {p}"[-60:] for m, p, _, _ in TRIED])
async def test_no_verb_leaves_a_trace_of_a_dry_run(lab: Lab, method: str, path: str, body: Any, content: str) -> None:
    """Fault 70."""
    cluster = lab.cluster
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "there"}, "data": {"a": "1"}})
    cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "labels": {"a": "b"}}, "spec": spec})
    cluster.apply(deployment("web", "web:1", namespace="default"))
    budget = {"minAvailable": 0, "selector": {"matchLabels": {"a": "b"}}}
    head = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    cluster.apply({**head, "metadata": {"name": "b"}, "spec": budget})
    cluster.settle(5)
    before, served = cluster.store.revision, list(cluster.registry)
    if isinstance(body, dict) and "apply" in content:
        body = {"apiVersion": "v1", "kind": "ConfigMap"} | body
    query = "&dryRun=All" if "?" in path else "?dryRun=All"
    headers = {"Content_Type": content} if content else {}
    status, answer = await lab.send(method, path + query, body, **headers)
    assert status in (200, 201), answer
    cluster.settle(5)
    assert (cluster.store.revision, list(cluster.registry)) == (before, served)


async def test_an_apply_holds_the_version_and_the_uid_that_it_names(lab: Lab) -> None:
    """Fault 20."""
    _, made = await lab.apply("one", {"a": "1"})
    for metadata, refused in (
        ({"resourceVersion": "1"}, 409),
        ({"uid": "00000000-0000-0000-0000-000000000000"}, 422),
        ({"resourceVersion": made["metadata"]["resourceVersion"], "uid": made["metadata"]["uid"]}, 200),
    ):
        metadata["name"] = "shared"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "2"}}
        path = f"{CONFIGMAPS}/shared?fieldManager=one"
        assert (await lab.send("PATCH", path, body, Content_Type="application/apply-patch+yaml"))[0] == refused


async def test_what_a_definition_defined_goes_with_it_also_when_it_was_applied(lab: Lab) -> None:
    path = f"{DEFINITIONS}/{RULE['metadata']['name']}"
    rules = "/apis/networking.istio.io/v1/namespaces/default/destinationrules"
    assert (await lab.send("GET", rules))[0] == 404
    applied = await lab.send("PATCH", f"{path}?fieldManager=x", RULE, Content_Type="application/apply-patch+yaml")
    assert applied[0] == 201
    assert (await lab.send("POST", rules, {"metadata": {"name": "r"}, "spec": {"host": "web"}}))[0] == 201
    assert (await lab.send("DELETE", path))[0] == 200
    assert (await lab.send("GET", rules))[0] == 404
    lab.cluster.settle(5)
    await lab.send("POST", DEFINITIONS, RULE)
    assert (await lab.send("GET", f"{rules}/r"))[0] == 404


async def test_metrics_are_there_when_a_metrics_server_is(lab: Lab) -> None:
    api = "/apis/metrics.k8s.io/v1beta1"
    assert (await lab.send("GET", f"{api}/nodes"))[0] == 404
    lab.cluster.set_metrics(True)
    lab.cluster.apply(deployment("web", "web:1", namespace="default", replicas=1))
    lab.cluster.settle(5)
    lab.cluster.set_behavior(usage=lambda pod, container: ("250m", "64Mi"))
    _, found = await lab.send("GET", f"{api}/namespaces/default/pods?labelSelector=app%3Dweb")
    (pod,) = found["items"]
    assert pod["containers"] == [{"name": "web", "usage": {"cpu": "250000000n", "memory": "65536Ki"}}]
    assert (await lab.send("GET", f"{api}/namespaces/default/pods/{pod['metadata']['name']}"))[0] == 200
    assert (await lab.send("GET", f"{api}/namespaces/default/pods/nobody"))[0] == 404
    _, nodes = await lab.send("GET", f"{api}/nodes")
    assert sorted(node["usage"]["cpu"] for node in nodes["items"]) == ["0n", "0n", "250000000n"]
    assert (await lab.send("DELETE", f"{api}/nodes/node-0"))[0] == 405
    assert "metrics.k8s.io" in str((await lab.send("GET", "/apis"))[1])


async def test_a_claim_of_the_simulated_storage_is_bound_grows_and_takes_its_volume_along(lab: Lab) -> None:
    lab.cluster.apply(storage_class())
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    size = {"resources": {"requests": {"storage": "10Gi"}}}
    spec = {"storageClassName": "standard", "accessModes": ["ReadWriteOnce"], **size}
    await lab.send("POST", claims, {"metadata": {"name": "data"}, "spec": spec})
    lab.cluster.settle(1)
    _, bound = await lab.send("GET", f"{claims}/data")
    assert (bound["status"]["phase"], bound["status"]["capacity"]) == ("Bound", {"storage": "10Gi"})
    larger = {"spec": {"resources": {"requests": {"storage": "20Gi"}}}}
    assert (await lab.send("PATCH", f"{claims}/data", larger, Content_Type="application/merge-patch+json"))[0] == 200
    lab.cluster.settle(1)
    _, grown = await lab.send("GET", f"{claims}/data")
    _, volume = await lab.send("GET", f"/api/v1/persistentvolumes/{grown['spec']['volumeName']}")
    assert (grown["status"]["capacity"], volume["spec"]["capacity"]) == ({"storage": "20Gi"}, {"storage": "20Gi"})
    await lab.send("DELETE", f"{claims}/data")
    lab.cluster.settle(1)
    assert (await lab.send("GET", "/api/v1/persistentvolumes"))[1]["items"] == []


async def test_a_cordoned_node_is_tainted_takes_no_pods_and_keeps_its_daemons(lab: Lab) -> None:
    template = {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    spec = {"selector": {"matchLabels": {"app": "d"}}, "template": template}
    lab.cluster.apply({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d"}, "spec": spec})
    lab.cluster.settle(5)
    patch = "application/merge-patch+json"
    for node in ("node-0", "node-1"):
        await lab.send("PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}}, Content_Type=patch)
    lab.cluster.apply(deployment("web", "web:1", namespace="default", replicas=3))
    lab.cluster.settle(5)
    pods = lab.cluster.list("pods", "default")
    places = sorted((pod["metadata"]["labels"]["app"], pod["spec"]["nodeName"]) for pod in pods)
    assert places == [("d", "node-0"), ("d", "node-1"), ("d", "node-2")] + [("web", "node-2")] * 3
    _, node = await lab.send("GET", "/api/v1/nodes/node-0")
    assert node["spec"]["taints"] == [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]
    await lab.send("PATCH", "/api/v1/nodes/node-0", {"spec": {"unschedulable": None}}, Content_Type=patch)
    lab.cluster.settle(1)
    assert "taints" not in (await lab.send("GET", "/api/v1/nodes/node-0"))[1]["spec"]


async def test_a_command_needs_get_and_create(lab: Lab) -> None:
    """Fault 26: as servers have it since 1.35."""
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    lab.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    lab.cluster.settle(2)
    api = "rbac.authorization.k8s.io/v1"
    role = {"kind": "Role", "name": "runner", "apiGroup": "rbac.authorization.k8s.io"}
    subjects = [{"kind": "ServiceAccount", "name": "bridge", "namespace": "default"}]
    binding = {"apiVersion": api, "kind": "RoleBinding", "metadata": {"name": "runner"}}
    lab.cluster.apply({**binding, "roleRef": role, "subjects": subjects})
    token = f"Bearer {lab.cluster.issue_token('default', 'bridge')}"
    path = "/api/v1/namespaces/default/pods/p/exec?command=true"
    seen = []
    for verbs in ([], ["get"], ["create"], ["get", "create"]):
        rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": verbs}]
        lab.cluster.apply({"apiVersion": api, "kind": "Role", "metadata": {"name": "runner"}, "rules": rules})
        seen.append((await lab.send("GET", path, Authorization=token))[0])
    # The last one is let in, and then told to come with an upgrade.
    assert seen == [403, 403, 403, 400]


async def test_a_sick_check_is_named_by_the_health_endpoints(lab: Lab) -> None:
    assert await lab.send("GET", "/livez/etcd") == (200, "ok")
    lab.cluster.unwell.add("etcd")
    status, text = await lab.send("GET", "/readyz")
    assert (status, "[-]etcd failed: reason withheld" in text, "readyz check failed" in text) == (500, True, True)
    assert (await lab.send("GET", "/livez/etcd"))[0] == 500
    assert (await lab.send("GET", "/livez/ping"))[0] == 200


async def test_a_budget_that_was_not_counted_yet_lets_nothing_go(lab: Lab) -> None:
    """Fault 21."""
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    metadata = {"name": "p", "labels": {"a": "b"}}
    lab.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    lab.cluster.settle(2)
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 0, "selector": {"matchLabels": {"a": "b"}}}}
    await lab.send("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", budget)
    path = "/api/v1/namespaces/default/pods/p/eviction"
    status, refused = await lab.send("POST", path, {"metadata": {"name": "p"}})
    assert (status, refused["details"]["retryAfterSeconds"]) == (429, 10)
    lab.cluster.settle(1)
    assert (await lab.send("POST", path, {"metadata": {"name": "p"}}))[0] == 201


async def test_an_autoscaler_reads_the_metrics_and_scales_up(lab: Lab) -> None:
    lab.cluster.set_metrics(True)
    lab.cluster.set_behavior(metrics_delay=1.0, usage=lambda pod, container: ("160m", "64Mi"))
    lab.cluster.apply(deployment("web", "web:1", namespace="default", replicas=2))
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        "minReplicas": 2,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": cpu}],
    }
    api = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    await lab.send("POST", api, {"metadata": {"name": "web"}, "spec": spec})
    lab.cluster.settle(60)
    _, scaler = await lab.send("GET", f"{api}/web")
    conditions = {entry["type"]: entry["status"] for entry in scaler["status"]["conditions"]}
    assert conditions["ScalingActive"] == "True"
    assert scaler["status"]["currentMetrics"][0]["resource"]["current"] == {"averageUtilization": 160}
    assert scaler["status"]["desiredReplicas"] == 3
    assert (await lab.send("GET", f"{DEPLOYMENTS}/web"))[1]["spec"]["replicas"] == 3
