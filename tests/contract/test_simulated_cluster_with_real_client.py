"""The simulated cluster as the real clients see it: kubernetes-asyncio's typed API, its watch, and kubectl."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from kubernetes_asyncio import client, config, watch
from kubernetes_asyncio.client import ApiException
from kubernetes_asyncio.stream import WsApiClient

from bridge.demo import Behavior, SimulatedCluster, SimulatedServer
from bridge.demo.exec import ExecResult
from bridge.demo.workloads import NAMESPACE, ready_of, seed_certificate, seed_demo, seed_gateway
from tests.support.need import need

pytestmark = pytest.mark.cluster


@dataclass
class Lab:
    """A running simulated cluster and a client of it."""

    cluster: SimulatedCluster
    server: SimulatedServer
    api: client.ApiClient

    async def until(self, holds: Any, seconds: float = 10.0) -> None:
        """Wait until a condition holds, looking again after each change of the cluster."""
        changed = asyncio.Event()
        stop = self.cluster.store.listen(lambda _: changed.set())
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await changed.wait()
                    changed.clear()
        finally:
            stop()


@asynccontextmanager
async def running(token: str | None) -> AsyncIterator[Lab]:
    cluster = SimulatedCluster()
    cluster.set_behavior(ready_delay=0.05, termination_delay=0.02, issue_delay=0.05)
    async with SimulatedServer(cluster, token=token, tick=0.01) as server:
        loaded = client.Configuration()
        await config.load_kube_config_from_dict(server.kubeconfig(), client_configuration=loaded)
        async with client.ApiClient(loaded) as api:
            yield Lab(cluster, server, api)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with running("t0ken") as found:
        yield found


@pytest.fixture
async def open_lab() -> AsyncIterator[Lab]:
    """Without a token: kubectl sends none where there is no TLS."""
    async with running(None) as found:
        yield found


def web(image: str = "web:1", replicas: int = 3) -> dict[str, Any]:
    labels = {"app": "web"}
    containers = [{"name": "web", "image": image}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def test_a_created_deployment_becomes_available(lab: Lab) -> None:
    apps = client.AppsV1Api(lab.api)
    await apps.create_namespaced_deployment("default", web())
    await lab.until(lambda: ready_of(lab.cluster, "web", "default") == (3, 3))
    found = await apps.read_namespaced_deployment("web", "default")
    assert found.status.available_replicas == 3
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    assert {entry.type: entry.status for entry in found.status.conditions} == {
        "Available": "True",
        "Progressing": "True",
    }


async def test_a_bad_image_crash_loops_and_the_old_pods_stay(lab: Lab) -> None:
    apps, core = client.AppsV1Api(lab.api), client.CoreV1Api(lab.api)
    await apps.create_namespaced_deployment("default", web())
    await lab.until(lambda: ready_of(lab.cluster, "web", "default") == (3, 3))
    containers = [{"name": "web", "image": "web:bad"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    await apps.patch_namespaced_deployment("web", "default", patch)
    await lab.until(lambda: any(_waiting(pod) for pod in lab.cluster.list("pods", "default")))
    pods = (await core.list_namespaced_pod("default", label_selector="app=web")).items
    broken = [pod for pod in pods if pod.status.container_statuses[0].state.waiting]
    assert [pod.status.container_statuses[0].state.waiting.reason for pod in broken] == ["CrashLoopBackOff"]
    assert ready_of(lab.cluster, "web", "default") == (3, 3)
    log = await core.read_namespaced_pod_log(broken[0].metadata.name, "default", previous=True, tail_lines=1)
    assert "panic" in log


async def test_an_image_that_runs_out_of_memory_says_so_in_its_last_state(lab: Lab) -> None:
    apps, core = client.AppsV1Api(lab.api), client.CoreV1Api(lab.api)
    await apps.create_namespaced_deployment("default", web("web:oom", replicas=1))
    await lab.until(lambda: any(_waiting(pod) for pod in lab.cluster.list("pods", "default")))
    pods = (await core.list_namespaced_pod("default")).items
    assert pods[0].status.container_statuses[0].last_state.terminated.reason == "OOMKilled"
    assert pods[0].status.container_statuses[0].last_state.terminated.exit_code == 137


async def test_a_watch_sees_what_happens(lab: Lab) -> None:
    core = client.CoreV1Api(lab.api)
    seen: list[tuple[str, str]] = []
    revision = (await core.list_namespaced_config_map("default")).metadata.resource_version

    async def follow() -> None:
        async with watch.Watch() as watching:
            stream = watching.stream(
                core.list_namespaced_config_map, "default", resource_version=revision, timeout_seconds=10
            )
            async for event in stream:
                seen.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    return

    following = asyncio.create_task(follow())
    await core.create_namespaced_config_map("default", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    await core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}})
    await core.delete_namespaced_config_map("a", "default")
    await asyncio.wait_for(following, 10)
    assert [entry for entry in seen if entry[1] == "a"] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "NotFound"), (409, "AlreadyExists"), (422, "Invalid"), (401, "Unauthorized")]
)
async def test_refusals_carry_the_status_and_reason_of_the_real_server(lab: Lab, status: int, reason: str) -> None:
    core = client.CoreV1Api(lab.api)
    await core.create_namespaced_config_map("default", {"metadata": {"name": "there"}})
    if status == 401:
        lab.api.configuration.api_key = {}
    calls = {
        404: lambda: core.read_namespaced_pod("nope", "default"),
        409: lambda: core.create_namespaced_config_map("default", {"metadata": {"name": "there"}}),
        422: lambda: core.create_namespaced_config_map("default", {"metadata": {"name": "Bad_Name"}}),
        401: lambda: core.list_namespaced_pod("default"),
    }
    with pytest.raises(ApiException) as refused:
        await calls[status]()
    assert refused.value.status == status
    assert json.loads(refused.value.body)["reason"] == reason


async def test_a_stale_revision_is_a_conflict(lab: Lab) -> None:
    core = client.CoreV1Api(lab.api)
    made = await core.create_namespaced_config_map("default", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    await core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}})
    with pytest.raises(ApiException) as refused:
        await core.replace_namespaced_config_map("a", "default", made)
    assert refused.value.status == 409


async def test_a_renewal_issues_a_real_certificate(lab: Lab) -> None:
    seed_certificate(lab.cluster, days_left=10)
    custom = client.CustomObjectsApi(lab.api)
    place = ("cert-manager.io", "v1", NAMESPACE, "certificates", "netweave-tls")
    found = await custom.get_namespaced_custom_object_status(*place)
    issuing = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "renewed by hand"}
    found["status"]["conditions"].append({**issuing, "lastTransitionTime": "2026-11-20T01:00:00Z"})
    await custom.replace_namespaced_custom_object_status(*place, found)
    await lab.until(lambda: _certificate(lab)["status"]["revision"] == 2)
    status = _certificate(lab)["status"]
    assert [(entry["type"], entry["status"]) for entry in status["conditions"]] == [("Ready", "True")]
    secret = await client.CoreV1Api(lab.api).read_namespaced_secret("netweave-tls", NAMESPACE)
    pem = base64.b64decode(secret.data["tls.crt"])
    issued = x509.load_pem_x509_certificate(pem)
    assert issued.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ") == status["notAfter"]


async def test_issuing_can_be_made_to_fail(lab: Lab) -> None:
    seed_certificate(lab.cluster, days_left=10)
    lab.cluster.set_behavior(fail_certificates=True)
    custom = client.CustomObjectsApi(lab.api)
    place = ("cert-manager.io", "v1", NAMESPACE, "certificates", "netweave-tls")
    found = await custom.get_namespaced_custom_object(*place)
    found["status"]["conditions"].append(
        {"type": "Issuing", "status": "True", "lastTransitionTime": "2026-11-20T01:00:00Z"}
    )
    await custom.replace_namespaced_custom_object_status(*place, found)
    await lab.until(lambda: _certificate(lab)["status"].get("failedIssuanceAttempts") == 1)
    assert _certificate(lab)["status"]["revision"] == 1


async def test_the_service_proxy_answers_only_while_a_pod_is_ready(lab: Lab) -> None:
    seed_gateway(lab.cluster)
    path = f"/api/v1/namespaces/{NAMESPACE}/services/netweave-gateway:http/proxy/healthz"
    headers = {"Authorization": "Bearer t0ken"}
    async with aiohttp.ClientSession(lab.server.url, headers=headers) as session:
        async with session.get(path) as reply:
            assert reply.status == 503
        good = [{"name": "netweave-gateway", "image": "registry.example/netweave-gateway:1.4.2"}]
        patch = {"spec": {"template": {"spec": {"containers": good}}}}
        await client.AppsV1Api(lab.api).patch_namespaced_deployment("netweave-gateway", NAMESPACE, patch)
        await lab.until(lambda: ready_of(lab.cluster, "netweave-gateway") == (3, 3))
        async with session.get(path) as reply:
            assert reply.status == 200


async def test_a_dry_run_leaves_no_trace(lab: Lab) -> None:
    core = client.CoreV1Api(lab.api)
    await core.create_namespaced_config_map("default", {"metadata": {"name": "a"}, "data": {"k": "1"}})
    lab.cluster.step()
    before = lab.cluster.store.revision
    await core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}}, dry_run="All")
    await core.create_namespaced_config_map("default", {"metadata": {"name": "b"}}, dry_run="All")
    await core.delete_namespaced_config_map("a", "default", dry_run="All")
    assert lab.cluster.store.revision == before


async def test_what_is_not_served_says_so_with_501(lab: Lab) -> None:
    with pytest.raises(ApiException) as refused:
        await client.CertificatesV1Api(lab.api).list_certificate_signing_request()
    assert refused.value.status == 501
    assert json.loads(refused.value.body)["reason"] == "NotImplemented"


async def test_the_demo_starts_with_a_gateway_that_is_down_and_the_rest_healthy(lab: Lab) -> None:
    seed_demo(lab.cluster)
    assert ready_of(lab.cluster, "netweave-gateway") == (0, 3)
    assert ready_of(lab.cluster, "netweave-api") == (3, 3)
    assert ready_of(lab.cluster, "coredns", "kube-system") == (2, 2)
    found = await client.AppsV1Api(lab.api).read_namespaced_deployment("netweave-gateway", NAMESPACE)
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "2"


async def test_an_idle_cluster_stays_idle(lab: Lab) -> None:
    apps = client.AppsV1Api(lab.api)
    await apps.create_namespaced_deployment("default", web())
    await lab.until(lambda: ready_of(lab.cluster, "web", "default") == (3, 3))
    lab.cluster.settle(1)
    before = lab.cluster.store.revision
    lab.cluster.settle(3600)
    assert lab.cluster.store.revision == before
    assert lab.cluster.next_due() is None


async def test_time_that_was_let_pass_does_not_stop_a_running_cluster(lab: Lab) -> None:
    lab.cluster.settle(3600)
    await client.AppsV1Api(lab.api).create_namespaced_deployment("default", web())
    await lab.until(lambda: ready_of(lab.cluster, "web", "default") == (3, 3))


async def test_a_delete_holds_to_the_revision_it_names(lab: Lab) -> None:
    core = client.CoreV1Api(lab.api)
    made = await core.create_namespaced_config_map("default", {"metadata": {"name": "a"}})
    await core.patch_namespaced_config_map("a", "default", {"data": {"k": "2"}})
    stale = {"preconditions": {"resourceVersion": made.metadata.resource_version}}
    with pytest.raises(ApiException) as refused:
        await core.delete_namespaced_config_map("a", "default", body=stale)
    assert refused.value.status == 409


async def test_exec_works_through_the_real_clients_websocket(lab: Lab) -> None:
    lab.cluster.programs.add(lambda pod, container, command: ExecResult(" ".join(command)))
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    lab.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    lab.cluster.settle(2)
    async with WsApiClient(lab.api.configuration) as sockets:
        core = client.CoreV1Api(sockets)
        printed = await core.connect_get_namespaced_pod_exec("p", "default", command=["redis-cli", "PING"])
    assert printed == "redis-cli PING"


def test_behavior_is_judged_by_tag_pattern_and_pod() -> None:
    behavior = Behavior(images={"shop/*": "never"})
    assert behavior.of_image("web:1.0-bad") == "crash"
    assert behavior.of_image("badger:1.0") == "ready"
    assert behavior.of_image("web:oom") == "oom"
    assert behavior.of_image("shop/web:bad") == "never"


def _waiting(pod: dict[str, Any]) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", [])
    return any(entry["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff" for entry in statuses)


def _certificate(lab: Lab) -> dict[str, Any]:
    found = lab.cluster.get("certificates.cert-manager.io", NAMESPACE, "netweave-tls")
    assert found is not None
    return found


# kubectl


async def kubectl(lab: Lab, tmp_path: Path, *arguments: str) -> str:
    """Run kubectl against the cluster. Returns what it printed; fails the test when it fails."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(lab.server.kubeconfig()))
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--kubeconfig={kubeconfig}",
        f"--cache-dir={tmp_path / 'cache'}",
        "--request-timeout=20s",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed = (await asyncio.wait_for(process.communicate(), 30))[0].decode()
    assert process.returncode == 0, printed
    return printed


async def test_kubectl_rolls_back_scales_and_deletes(open_lab: Lab, tmp_path: Path) -> None:
    need("kubectl")
    lab = open_lab
    manifest = tmp_path / "web.json"
    manifest.write_text(json.dumps(web()))
    await kubectl(lab, tmp_path, "apply", "--validate=false", "-f", str(manifest))
    assert "successfully rolled out" in await kubectl(lab, tmp_path, "rollout", "status", "deployment/web")
    await kubectl(lab, tmp_path, "set", "image", "deployment/web", "web=web:bad")
    await lab.until(lambda: any(_waiting(pod) for pod in lab.cluster.list("pods", "default")))
    await kubectl(lab, tmp_path, "rollout", "undo", "deployment/web")
    assert "successfully rolled out" in await kubectl(lab, tmp_path, "rollout", "status", "deployment/web")
    found = lab.cluster.get("deployments.apps", "default", "web")
    assert found is not None
    assert found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
    assert len(lab.cluster.list("replicasets.apps", "default")) == 2
    await kubectl(lab, tmp_path, "scale", "deployment/web", "--replicas=5")
    await lab.until(lambda: ready_of(lab.cluster, "web", "default") == (5, 5))
    assert "web" in await kubectl(lab, tmp_path, "get", "deployments,pods,events")
    await kubectl(lab, tmp_path, "drain", "node-0", "--timeout=20s")
    await kubectl(lab, tmp_path, "uncordon", "node-0")
    await kubectl(lab, tmp_path, "delete", "deployment/web")
    await lab.until(lambda: not lab.cluster.list("pods", "default"))
