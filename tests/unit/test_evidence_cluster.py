"""What the collectors about nodes, volumes, networks, settings and Jobs make of what a cluster shows."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.engine.context import RunContext
from bridge.errors import InvalidInput, KubeForbidden, KubeNotFound, KubeUnavailable, PermanentError, TemporaryError
from bridge.evidence.registry import collectors
from bridge.model.outside import Copy, HttpReply
from bridge.model.target import ObjectRef, Target
from bridge.model.workload import format_time
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.clock import START, FakeClock
from tests.support.cluster import deployment
from tests.support.fake_cluster import FakeCluster
from tests.support.furnished import certificate
from tests.support.memory_copies import MemoryCopies

NOW = START
GI = 2.0**30


class FakeReach(Reach):
    def __init__(self, cluster: FakeCluster, used: Any = None) -> None:
        clock = FakeClock()
        super().__init__(cluster, clock, Outside(OutsideSettings()), MemoryCopies(clock))
        self.used = used

    async def promql(self, query: str) -> Any:
        if isinstance(self.used, Exception):
            raise self.used
        figures = (self.used or {}).get(query.split("(")[-1].partition("{")[0], {})
        return [({"persistentvolumeclaim": name}, value) for name, value in figures.items()]


async def collect(
    what: str, cluster: FakeCluster, *, of: str = "web", reach: Reach | None = None, **given: Any
) -> dict[str, Any]:
    collector = collectors()[what]
    target = Target("test", "Deployment", "shop", of)
    context = RunContext(remediation="r", planned_at=NOW, target=target, reach=reach or FakeReach(cluster))
    return await collector.collect(context, collector.params.model_validate(given))


def node(name: str, *, ready: bool = True, cordoned: bool = False, pressure: str = "") -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": "True" if ready else "False", "message": "kubelet stopped"}]
    if pressure:
        conditions.append({"type": pressure, "status": "True", "message": "disk is full"})
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"node-role.kubernetes.io/worker": ""}},
        "spec": {"unschedulable": cordoned, "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]},
        "status": {"conditions": conditions, "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    }


def pod(name: str, on: str, cpu: str = "500m", memory: str = "1Gi", **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": "2Gi"}}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": on, "containers": [{"name": "main", "resources": resources}], **spec},
        "status": {"phase": "Running"},
    }


async def test_nodes_are_counted_by_what_is_wrong_and_by_what_is_asked_of_them() -> None:
    done = pod("d", "n1")
    done["status"]["phase"] = "Succeeded"
    first = [{"name": "migrate", "resources": {"requests": {"cpu": "3"}}}]
    cluster = FakeCluster(
        node("n1"),
        node("n2", cordoned=True),
        node("n3", ready=False, pressure="DiskPressure"),
        pod("a", "n1"),
        pod("b", "n1", initContainers=first),
        pod("c", "n2"),
        done,
    )
    found = await collect("nodes", cluster)
    assert (found["total"], found["ready"], found["not_ready"], found["cordoned"]) == (3, 2, 1, 1)
    assert (found["disk_pressure"], found["memory_pressure"]) == (1, 0)
    assert (found["cpu_requested"], found["cpu_percent"]) == (3.5, 87.5)
    assert (found["memory_requested"], found["memory_percent"]) == (2 * GI, 25.0)
    assert (found["cpu_free"], found["memory_free"]) == (0.5, 6 * GI)
    worst = found["items"][0]
    assert (worst["name"], worst["pressures"], worst["roles"]) == ("n3", ["DiskPressure"], ["worker"])
    assert worst["message"] == "kubelet stopped; disk is full"
    assert worst["taints"] == ["a=b:NoSchedule"]
    alone = await collect("nodes", cluster, requested=False, name="n1")
    assert (alone["total"], alone["items"][0]["pods"]) == (1, 0)


def figures(kind: str, name: str, cpu: str, memory: str) -> dict[str, Any]:
    usage = {"cpu": cpu, "memory": memory}
    inside = {"containers": [{"name": "main", "usage": usage}]} if kind == "PodMetrics" else {"usage": usage}
    return {"kind": kind, "metadata": {"name": name}, **inside}


async def test_use_is_told_in_percent_of_the_limit_or_else_of_what_was_asked_for() -> None:
    cluster = FakeCluster(
        deployment("web", "web:1", 3),
        *(pod(name, "n1") for name in "abc"),
        figures("PodMetrics", "a", "250m", "1800Mi"),
        figures("PodMetrics", "b", "1000000000n", "1Gi"),
    )
    found = await collect("top", cluster)
    assert (found["pods"], found["unknown"], found["cpu"]) == (2, 1, 1.25)
    assert (found["items"][0]["name"], found["memory_percent"]) == ("a", 87.9)
    assert found["cpu_percent"] == 200.0
    nodes = FakeCluster(node("n1"), figures("NodeMetrics", "n1", "3", "4Gi"))
    assert (await collect("top_nodes", nodes))["items"][0]["cpu_percent"] == 75.0


@pytest.mark.parametrize("error", [KubeNotFound("no metrics.k8s.io"), KubeUnavailable("unable to handle")])
async def test_use_is_missing_in_words_where_metrics_server_does_not_answer(error: Exception) -> None:
    cluster = FakeCluster(deployment("web", "web:1", 1), pod("a", "n1"), node("n1"))
    cluster.errors["list", "PodMetrics"] = cluster.errors["list", "NodeMetrics"] = error
    for name in ("top", "top_nodes"):
        with pytest.raises(PermanentError, match="metrics-server"):
            await collect(name, cluster)


async def test_use_that_is_not_measured_yet_is_missing_not_zero() -> None:
    with pytest.raises(PermanentError, match="yet"):
        await collect("top", FakeCluster(deployment("web", "web:1", 1), pod("a", "n1")))


def claim(name: str, **status: Any) -> dict[str, Any]:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "20Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, **status},
    }


async def test_claims_of_a_workload_say_how_full_they_are_and_whether_they_may_grow() -> None:
    volumes = [{"persistentVolumeClaim": {"claimName": name}} for name in ("data", "gone")]
    resizing = [{"type": "FileSystemResizePending", "status": "True", "message": "waiting for a restart"}]
    cluster = FakeCluster(
        deployment("web", "web:1", 1),
        pod("a", "n1", volumes=volumes),
        claim("data", conditions=resizing),
        claim("others"),
        {"kind": "StorageClass", "metadata": {"name": "fast"}, "allowVolumeExpansion": True},
    )
    used = {"kubelet_volume_stats_used_bytes": {"data": 9 * GI}}
    found = await collect("pvc", cluster, reach=FakeReach(cluster, used))
    assert (found["total"], found["bound"], found["lost"], found["expandable"]) == (2, 1, 1, 1)
    data = next(item for item in found["items"] if item["name"] == "data")
    assert (data["used_percent"], data["capacity"], data["requested"]) == (90.0, 10 * GI, 20 * GI)
    assert (data["restart_needed"], data["message"]) == (True, "waiting for a restart")
    assert next(item for item in found["items"] if item["name"] == "gone")["phase"] == "missing"
    everything = await collect("pvc", cluster, scope="namespace", usage=False)
    assert [item["name"] for item in everything["items"]] == ["data", "others"]


@pytest.mark.parametrize("error", [TemporaryError("no answer"), PermanentError("no Prometheus is configured")])
async def test_a_claim_is_known_where_prometheus_is_not(error: Exception) -> None:
    cluster = FakeCluster(claim("data"))
    cluster.errors["get", "StorageClass"] = KubeForbidden("no")
    of = {"kind": "PersistentVolumeClaim", "name": "data"}
    found = await collect("pvc", cluster, reach=FakeReach(cluster, error), **of)
    assert (found["bound"], found["used_percent"], found["usage_error"]) == (1, None, str(error))
    assert found["items"][0]["expandable"] is None, "what may not be read is not known, not false"


async def test_endpoints_are_told_apart_by_whether_they_get_traffic() -> None:
    def endpoint(address: str, name: str, **state: bool) -> dict[str, Any]:
        return {"addresses": [address], "conditions": state, "targetRef": {"kind": "Pod", "name": name}}

    ends = [endpoint("10.0.0.1", "a", ready=True), endpoint("10.0.0.2", "b", ready=False, terminating=True)]
    cluster = FakeCluster(
        {
            "kind": "Service",
            "metadata": {"name": "web"},
            "spec": {"selector": {"app": "web"}, "clusterIP": "10.1.1.1", "ports": [{"name": "http", "port": 80}]},
        },
        {
            "kind": "EndpointSlice",
            "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
            "endpoints": [*ends, endpoint("10.0.0.3", "c")],
        },
    )
    found = await collect("endpoints", cluster)
    assert (found["total"], found["ready"], found["not_ready"], found["terminating"]) == (3, 2, 1, 1)
    assert (found["items"][0]["pod"], found["ports"], found["type"]) == ("b", ["http:80/TCP"], "ClusterIP")


def policy(name: str, selector: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"podSelector": selector, **spec}}


async def test_policies_that_select_the_pods_say_what_is_left_open() -> None:
    dns = {"ports": [{"port": 53, "protocol": "UDP"}]}
    https = {"to": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}], "ports": [{"port": 443}]}
    only_web = [{"key": "app", "operator": "In", "values": ["web"]}]
    peers = [{"podSelector": {"matchLabels": {"app": "shop"}}, "namespaceSelector": {}}]
    cluster = FakeCluster(
        deployment("web", "web:1", 1),
        policy("deny", {}, policyTypes=["Egress"]),
        policy("open", {"matchLabels": {"app": "web"}}, policyTypes=["Egress"], egress=[dns, https]),
        policy("in", {"matchExpressions": only_web}, ingress=[{"from": peers}]),
        policy("other", {"matchLabels": {"app": "other"}}),
    )
    found = await collect("network_policies", cluster)
    assert (found["total"], found["selecting"], found["names"]) == (4, 3, ["deny", "in", "open"])
    assert (found["isolated_egress"], found["egress_ports"]) == (True, ["443/TCP", "53/UDP"])
    assert (found["isolated_ingress"], found["ingress_ports"]) == (True, ["*"])
    items = {item["name"]: item for item in found["items"]}
    assert items["open"]["egress"][1] == "to 10.0.0.0/8 but 10.1.0.0/16, on 443/TCP"
    assert items["in"]["ingress"] == ["from pods with app=shop in all namespaces, on every port"]
    none = await collect("network_policies", FakeCluster(deployment("web", "web:1", 1)))
    assert (none["isolated_egress"], none["egress_ports"]) == (False, ["*"])
    nothing = policy("deny", {}, policyTypes=["Egress"])
    shut = await collect("network_policies", FakeCluster(deployment("web", "web:1", 1), nothing))
    assert (shut["isolated_egress"], shut["egress_ports"]) == (True, [])


async def test_a_configmap_is_compared_with_its_last_good_copy() -> None:
    data = {"app.yml": "port: 80\nrate: 100\npassword: hunter2\n", "new": "1"}
    fields = [{"manager": "kubectl-edit", "time": format_time(NOW - 60)}]
    document = {"kind": "ConfigMap", "metadata": {"name": "web", "managedFields": fields}, "data": data}
    cluster = FakeCluster(document)
    reach = FakeReach(cluster)
    alone = await collect("configmap", cluster, reach=reach)
    assert (alone["differs"], alone["last_good"]["found"], alone["last_good"]["diff"]) == (None, False, "")
    ref = ObjectRef("v1", "ConfigMap", "shop", "web", cluster="test")
    good = {"data": {"app.yml": "port: 80\nrate: 50\npassword: hunter1\n", "old": "1"}}
    await reach.copies.keep(ref, Copy(taken_at=NOW - 3600, manifest=good, good=True, why="all was well"))
    found = await collect("configmap", cluster, reach=reach)
    last = found["last_good"]
    assert found["differs"] is True
    assert (last["added"], last["removed"], last["changed"]) == (["new"], ["old"], ["app.yml"])
    assert "-rate: 50\n+rate: 100" in last["diff"]
    assert "hunter" not in str(found)
    assert (found["changed_by"], found["changed_seconds"]) == ("kubectl-edit", 60.0)


def secret(name: str, content: bytes) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": name}, "data": {"tls.crt": base64.b64encode(content).decode()}}


async def test_certificates_are_told_by_who_expires_first() -> None:
    now = datetime.fromtimestamp(NOW, UTC)
    cluster = FakeCluster(
        secret("old", certificate(-1, now)),
        secret("soon", certificate(10, now)),
        secret("fine", certificate(80, now)),
        secret("none", b"hunter2"),
    )
    found = await collect("certificates", cluster)
    assert (found["total"], found["expired"], found["expiring"], found["unreadable"]) == (4, 1, 2, 1)
    assert found["days_left"] == -1.0
    assert [item["secret"] for item in found["items"]] == ["old", "soon", "fine", "none"]
    assert "hunter2" not in str(found)
    empty = await collect("certificates", FakeCluster())
    assert (empty["total"], empty["days_left"]) == (0, None)
    cluster.secret_namespaces = frozenset()
    with pytest.raises(PermanentError, match="secret_namespaces"):
        await collect("certificates", cluster)


async def test_an_object_is_described_without_credentials_and_a_secret_not_at_all() -> None:
    document = deployment("web", "web:1", 1, paused=True)
    env = [{"name": "TOKEN", "value": "hunter2"}]
    document["spec"]["template"]["spec"]["containers"][0]["env"] = env
    applied = "kubectl.kubernetes.io/last-applied-configuration"
    document["metadata"]["annotations"] = {applied: '{"token": "hunter2"}', "dsn": "redis://:hunter2@x/0"}
    document["status"] = {"conditions": [{"type": "Available", "status": "False", "reason": "Minimum"}]}
    found = await collect("describe", FakeCluster(document))
    assert "hunter2" not in str(found)
    assert applied not in found["annotations"]
    assert (found["well"], found["conditions"][0]["reason"], found["spec"]["paused"]) == (False, "Minimum", True)
    with pytest.raises(InvalidInput, match="certificates"):
        await collect("describe", FakeCluster(secret("s", b"")), kind="Secret", of="s")
    objects = await collect("objects", FakeCluster(document), kind="Deployment")
    assert (objects["total"], objects["not_well"], objects["names"]) == (1, 1, ["web"])


async def test_jobs_say_which_ended_badly_and_cron_jobs_which_are_failing() -> None:
    def job(name: str, ended: str, **status: Any) -> dict[str, Any]:
        conditions = [{"type": ended, "status": "True", "message": "deadline"}] if ended else []
        return {"kind": "Job", "metadata": {"name": name}, "spec": {}, "status": {"conditions": conditions, **status}}

    cron = {"lastScheduleTime": format_time(NOW - 60), "lastSuccessfulTime": format_time(NOW - 9000)}
    cluster = FakeCluster(
        job("a", "Complete", startTime=format_time(NOW - 100), completionTime=format_time(NOW - 40)),
        job("b", "Failed", startTime=format_time(NOW - 10)),
        job("c", "", active=1),
        {"kind": "CronJob", "metadata": {"name": "backup"}, "spec": {"schedule": "0 2 * * *"}, "status": cron},
    )
    found = await collect("jobs", cluster)
    assert (found["total"], found["active"], found["complete"], found["broken"], found["failing"]) == (3, 1, 1, 1, 1)
    assert (found["items"][0]["name"], found["items"][0]["message"]) == ("b", "deadline")
    assert next(item for item in found["items"] if item["name"] == "a")["duration_seconds"] == 60.0
    assert found["cron"][0]["succeeded_seconds"] == 9000.0


async def test_a_quota_says_what_is_used_up() -> None:
    status = {"hard": {"requests.cpu": "4", "pods": "10"}, "used": {"requests.cpu": "3500m", "pods": "10"}}
    quota = {"kind": "ResourceQuota", "metadata": {"name": "q"}, "status": status}
    found = await collect("quotas", FakeCluster(quota))
    assert (found["exhausted"], found["percent"], found["items"][1]["percent"]) == (1, 100.0, 87.5)


async def test_an_api_server_that_is_not_well_or_does_not_answer_is_a_result() -> None:
    cluster = FakeCluster()
    checks = "[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed"
    cluster.replies["/readyz?verbose"] = HttpReply(500, checks)
    cluster.replies["/version"] = HttpReply(200, '{"gitVersion": "v1.31.2"}')
    found = await collect("api_health", cluster)
    assert (found["reachable"], found["ready"], found["live"], found["failed"]) == (True, False, True, ["etcd"])
    assert found["version"] == "v1.31.2"
    cluster.errors["health", ""] = KubeUnavailable("no connection")
    away = await collect("api_health", cluster)
    assert (away["reachable"], away["ready"], away["error"]) == (False, False, "no connection")


async def test_pods_are_found_by_labels_by_node_and_in_all_of_a_namespace() -> None:
    cluster = FakeCluster(pod("a", "n1"), pod("b", "n2"), node("n1"))
    cluster.objects["Pod", "shop", "b"]["metadata"]["labels"] = {"k8s-app": "kube-dns"}
    assert (await collect("pods", cluster, labels={"k8s-app": "kube-dns"}))["total"] == 1
    assert (await collect("pods", cluster, scope="namespace"))["nodes"] == {"n1": 1, "n2": 1}
    assert (await collect("pods", cluster, kind="Pod", of="a"))["items"][0]["name"] == "a"
    assert (await collect("pods", cluster, kind="Node", of="n1"))["total"] >= 1
    with pytest.raises(KubeNotFound):
        await collect("pods", cluster, kind="Node", of="n9")


async def test_lines_of_logs_are_counted_by_what_they_say() -> None:
    cluster = FakeCluster(deployment("web", "web:1", 1), pod("a", "n1"))
    lines = [
        "ERROR backend=redis timeout",
        "ERROR backend=redis password=hunter2",
        "INFO backend=k8s",
        "429 too many",
    ]
    cluster.texts = {"a": "\n".join(lines)}
    match = {"errors": "ERROR", "limited": r"(?i)rate limit|429", "never": "PANIC"}
    found = await collect("logs", cluster, match=match, group={"backend": r"backend=(\S+)", "who": r"password=\S+"})
    assert found["matches"] == {"errors": 2, "limited": 1, "never": 0}
    assert found["groups"]["backend"] == {"redis": 2, "k8s": 1}
    assert "hunter2" not in str(found)
    with pytest.raises(ValueError, match="regular expression"):
        collectors()["logs"].params.model_validate({"match": {"x": "("}})
