"""The Protocol `Cluster`: the client, what is put around it (retries, breaker, a run's snapshot), and the fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from bridge.demo.exec import ExecResult
from bridge.engine.clock import SystemClock
from bridge.engine.snapshot import Snapshot
from bridge.errors import (
    InvalidInput,
    KubeBusy,
    KubeConflict,
    KubeInvalid,
    KubeNotFound,
    KubeUnavailable,
    SecretsClosed,
)
from bridge.kube.guarded import GuardedCluster
from bridge.kube.retry import RetryingCluster
from bridge.model.target import ObjectRef
from bridge.ports import Cluster
from tests.support.breakers import MemoryBreakers
from tests.support.cluster import HEALTHY, Site, deployment, open_site
from tests.support.fake_cluster import FakeCluster
from tests.support.flaky_cluster import FlakyCluster

pytestmark = pytest.mark.cluster

Placed = tuple[Cluster, ObjectRef]
WRAPPED = ("client", "wrapped", "snapshot")


@pytest.fixture(params=[*WRAPPED, "fake"])
async def placed(request: pytest.FixtureRequest) -> AsyncIterator[Placed]:
    """A cluster with one Deployment `web`, and the reference of it."""
    if request.param == "fake":
        document = deployment("web", "web:1", 2)
        fake = FakeCluster(document)
        fake.secret_namespaces = frozenset()
        yield fake, ObjectRef("apps/v1", "Deployment", "shop", "web")
        return
    async with open_site() as site:
        ref = await site.deploy()
        yield wrap(site.cluster, request.param), ref


@pytest.fixture(params=[*WRAPPED, "fake", "flaky"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[Placed]:
    """A cluster, and the reference of a ConfigMap that it does not hold yet."""
    if request.param in ("fake", "flaky"):
        empty = FakeCluster() if request.param == "fake" else FlakyCluster()
        yield empty, ObjectRef("v1", "ConfigMap", "shop", "settings")
        return
    async with open_site() as site:
        yield wrap(site.cluster, request.param), site.ref("ConfigMap", "settings", "v1")


@pytest.fixture(params=WRAPPED)
async def wrapped(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Cluster, Site]]:
    async with open_site() as site:
        yield wrap(site.cluster, request.param), site


def wrap(cluster: Cluster, how: str) -> Cluster:
    clock = SystemClock()
    if how == "wrapped":
        return RetryingCluster(GuardedCluster(cluster, MemoryBreakers(clock), clock), clock)
    return Snapshot(cluster, clock) if how == "snapshot" else cluster


def settings(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": data}


async def found(cluster: Cluster, ref: ObjectRef) -> ObjectRef:
    """The reference with the uid that the object has now."""
    return msgspec.structs.replace(ref, uid=(await cluster.get(ref))["metadata"]["uid"])


async def test_get_returns_the_object_with_its_uid_and_version(placed: Placed) -> None:
    cluster, ref = placed
    document = await cluster.get(ref)
    assert document["kind"] == "Deployment"
    assert document["metadata"]["name"] == "web"
    assert document["metadata"]["uid"]
    assert document["metadata"]["resourceVersion"]


async def test_what_is_not_there_is_not_found(placed: Placed) -> None:
    cluster, ref = placed
    with pytest.raises(KubeNotFound):
        await cluster.get(ObjectRef("apps/v1", "Deployment", ref.namespace, "nobody"))
    with pytest.raises(KubeNotFound):
        await cluster.patch(ObjectRef("apps/v1", "Deployment", ref.namespace, "nobody"), {"spec": {}})


async def test_list_selects_by_labels_and_says_what_its_items_are(placed: Placed) -> None:
    cluster, ref = placed
    for labels in ({"app": "web"}, "app=web", None):
        found = await cluster.list("apps/v1", "Deployment", ref.namespace, labels=labels)
        assert [(d["apiVersion"], d["kind"], d["metadata"]["name"]) for d in found] == [
            ("apps/v1", "Deployment", "web")
        ]
    assert await cluster.list("apps/v1", "Deployment", ref.namespace, labels={"app": "other"}) == []


@pytest.mark.parametrize("labels", [{}, ""])
async def test_an_empty_selector_is_refused(placed: Placed, labels: dict[str, str] | str) -> None:
    """Fault 42."""
    cluster, ref = placed
    with pytest.raises(InvalidInput):
        await cluster.list("v1", "Pod", ref.namespace, labels=labels)


@pytest.mark.parametrize("name", [".", "..", "", "a/b"])
async def test_a_name_that_is_none_is_refused(placed: Placed, name: str) -> None:
    """Fault 41."""
    cluster, ref = placed
    for bad in (
        ObjectRef("apps/v1", "Deployment", ref.namespace, name),
        ObjectRef("apps/v1", "Deployment", name, "web"),
    ):
        with pytest.raises(InvalidInput):
            await cluster.get(bad)


async def test_a_merge_patch_changes_what_it_names_and_removes_nulls(placed: Placed) -> None:
    cluster, ref = placed
    await cluster.patch(ref, {"metadata": {"annotations": {"a": "1", "b": "2"}}})
    changed = await cluster.patch(ref, {"metadata": {"annotations": {"a": None}}, "spec": {"replicas": 3}})
    notes = changed["metadata"]["annotations"]
    assert ("a" in notes, notes["b"], changed["spec"]["replicas"]) == (False, "2", 3)
    assert (await cluster.get(ref))["spec"]["replicas"] == 3


async def test_a_patch_of_an_older_version_is_a_conflict(placed: Placed) -> None:
    """Fault 20."""
    cluster, ref = placed
    version = (await cluster.get(ref))["metadata"]["resourceVersion"]
    await cluster.patch(ref, {"spec": {"replicas": 3}})
    with pytest.raises(KubeConflict):
        await cluster.patch(ref, {"metadata": {"resourceVersion": version}, "spec": {"replicas": 4}})
    assert (await cluster.get(ref))["spec"]["replicas"] == 3


async def test_a_dry_run_answers_and_leaves_no_trace(placed: Placed) -> None:
    """Fault 70."""
    cluster, ref = placed
    answer = await cluster.patch(ref, {"spec": {"replicas": 5}}, dry_run=True)
    assert answer["spec"]["replicas"] == 5
    assert (await cluster.get(ref))["spec"]["replicas"] == 2


async def test_no_verb_takes_a_name_that_is_none(kept: Placed) -> None:
    """Fault 41."""
    cluster, ref = kept
    names = (".", "..", "", "a/b", "%2e%2e")
    for bad in (
        *(ObjectRef("v1", "ConfigMap", ref.namespace, name, uid="u") for name in names),
        *(ObjectRef("v1", "ConfigMap", name, "web", uid="u") for name in names),
    ):
        body = {"metadata": {}}
        for call in (cluster.create(bad, body), cluster.apply(bad, body), cluster.delete(bad)):
            with pytest.raises(InvalidInput):
                await call
        with pytest.raises(InvalidInput):
            await cluster.wait_for(bad, lambda found: True, deadline=5)
        with pytest.raises(InvalidInput):
            await cluster.evict(msgspec.structs.replace(bad, kind="Pod"))


async def test_what_is_created_is_there_and_is_not_created_twice(kept: Placed) -> None:
    """Fault 20."""
    cluster, ref = kept
    made = await cluster.create(ref, settings(a="1"))
    assert (made["metadata"]["name"], made["data"]) == ("settings", {"a": "1"})
    assert (await cluster.get(ref))["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(KubeConflict) as caught:
        await cluster.create(ref, settings(a="2"))
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert (await cluster.get(ref))["data"] == {"a": "1"}


async def test_a_manifest_of_another_object_is_refused(kept: Placed) -> None:
    cluster, ref = kept
    other = {**settings(), "metadata": {"name": "other"}}
    elsewhere = {**settings(), "metadata": {"name": "settings", "namespace": "elsewhere"}}
    for manifest in (other, elsewhere, {**settings(), "kind": "Secret"}):
        with pytest.raises(InvalidInput):
            await cluster.create(ref, manifest)
        with pytest.raises(InvalidInput):
            await cluster.apply(ref, manifest)
    with pytest.raises(KubeNotFound):
        await cluster.get(ref)


async def test_apply_makes_what_is_not_there_and_merges_into_what_is(kept: Placed) -> None:
    cluster, ref = kept
    made = await cluster.apply(ref, settings(a="1"))
    await cluster.patch(ref, {"data": {"theirs": "x"}})
    merged = await cluster.apply(ref, settings(a="2"))
    assert merged["metadata"]["uid"] == made["metadata"]["uid"]
    assert (await cluster.get(ref))["data"] == {"a": "2", "theirs": "x"}


async def test_apply_to_an_older_version_is_a_conflict(kept: Placed) -> None:
    """Fault 20."""
    cluster, ref = kept
    version = (await cluster.apply(ref, settings(a="1")))["metadata"]["resourceVersion"]
    await cluster.patch(ref, {"data": {"b": "1"}})
    late = settings(a="2")
    late["metadata"]["resourceVersion"] = version
    with pytest.raises(KubeConflict):
        await cluster.apply(ref, late)
    assert (await cluster.get(ref))["data"]["a"] == "1"


async def test_delete_takes_exactly_the_object_with_that_uid_and_version(kept: Placed) -> None:
    """Faults 20 and 27."""
    cluster, ref = kept
    await cluster.create(ref, settings(a="1"))
    exact = await found(cluster, ref)
    with pytest.raises(InvalidInput):
        await cluster.delete(ref)
    with pytest.raises(KubeConflict):
        await cluster.delete(msgspec.structs.replace(ref, uid="00000000-0000-0000-0000-000000000000"))
    version = (await cluster.get(ref))["metadata"]["resourceVersion"]
    await cluster.patch(ref, {"data": {"b": "1"}})
    with pytest.raises(KubeConflict):
        await cluster.delete(exact, resource_version=version)
    assert (await cluster.get(ref))["data"] == {"a": "1", "b": "1"}
    await cluster.delete(exact, resource_version=(await cluster.get(ref))["metadata"]["resourceVersion"])
    with pytest.raises(KubeNotFound):
        await cluster.get(ref)
    with pytest.raises(KubeNotFound):
        await cluster.delete(exact)


async def test_a_dry_run_of_any_verb_leaves_no_trace(placed: Placed) -> None:
    """Fault 70."""
    cluster, ref = placed
    other = ObjectRef("v1", "ConfigMap", ref.namespace, "settings")
    assert (await cluster.create(other, settings(a="1"), dry_run=True))["data"] == {"a": "1"}
    await cluster.apply(other, settings(a="1"), dry_run=True)
    with pytest.raises(KubeNotFound):
        await cluster.get(other)
    exact = await found(cluster, ref)
    before = await cluster.get(ref)
    await cluster.delete(exact, dry_run=True)
    labels = {"metadata": {"labels": {"tried": "yes"}}}
    await cluster.apply(ref, {"apiVersion": "apps/v1", "kind": "Deployment", **labels}, dry_run=True)
    assert (await cluster.get(ref))["metadata"] == before["metadata"]


async def test_wait_for_returns_what_holds_and_what_is_there_when_the_time_is_over(placed: Placed) -> None:
    cluster, ref = placed
    there = await cluster.wait_for(ref, lambda found: found is not None, deadline=5)
    assert there is not None
    assert there["metadata"]["name"] == "web"
    never = await cluster.wait_for(ref, lambda found: False, deadline=0.1)
    assert never is not None
    nobody = ObjectRef("apps/v1", "Deployment", ref.namespace, "nobody")
    assert await cluster.wait_for(nobody, lambda found: found is None, deadline=5) is None


async def test_nothing_is_sent_about_a_secret_in_a_namespace_that_was_not_named(placed: Placed) -> None:
    cluster, ref = placed
    if not isinstance(cluster, FakeCluster):
        ref = msgspec.structs.replace(ref, namespace="kube-system")
    secret = ObjectRef("v1", "Secret", ref.namespace, "tls", uid="u")
    calls = (
        cluster.get(secret),
        cluster.list("v1", "Secret", ref.namespace),
        cluster.list("v1", "Secret", "", everywhere=True),
        cluster.patch(secret, {"data": {}}),
        cluster.create(secret, {}),
        cluster.apply(secret, {}),
        cluster.delete(secret),
        cluster.wait_for(secret, lambda found: True, deadline=5),
    )
    for call in calls:
        with pytest.raises(SecretsClosed, match="secret_namespaces"):
            await call


async def test_a_list_spans_namespaces_only_when_that_is_asked_for(placed: Placed) -> None:
    """Fault 42."""
    cluster, ref = placed
    with pytest.raises(InvalidInput):
        await cluster.list("apps/v1", "Deployment", "")
    everywhere = await cluster.list("apps/v1", "Deployment", "", everywhere=True)
    assert (ref.namespace, "web") in {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in everywhere}
    await cluster.list("v1", "Node", "")


async def test_the_servers_own_health_can_be_asked_for_and_nothing_else(placed: Placed) -> None:
    cluster, _ = placed
    assert (await cluster.health("/readyz")).status == 200
    for path in ("/api/v1/secrets", "/readyz/../api", "readyz", "/readyz?x=y", "/metrics"):
        with pytest.raises(InvalidInput):
            await cluster.health(path)


# What only a server has


async def test_a_wait_sees_a_change_and_an_end_as_they_happen(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    ref = site.ref("ConfigMap", "settings", "v1")

    def watches(count: int) -> Callable[[], Awaitable[bool]]:
        async def seen() -> bool:
            return sum("watch" in entry.query for entry in site.proxy.requests) == count

        return seen

    made = asyncio.create_task(cluster.wait_for(ref, lambda found: found is not None, deadline=site.patience))
    await site.until(watches(1))
    await site.send("POST", site.path("configmaps", api="/api/v1"), settings(a="1"))
    assert ((await made) or {})["data"] == {"a": "1"}
    gone = asyncio.create_task(cluster.wait_for(ref, lambda found: found is None, deadline=site.patience))
    await site.until(watches(2))
    await site.send("PATCH", site.path("configmaps", "settings", "/api/v1"), {"data": {"a": "2"}})
    await site.send("DELETE", site.path("configmaps", "settings", "/api/v1"))
    assert await gone is None
    reads = [entry.query.get("watch") for entry in site.proxy.requests if entry.verb == "GET"]
    assert reads == [None, "true", None, "true"]


async def test_a_field_of_another_manager_is_taken_only_by_force(wrapped: tuple[Cluster, Site]) -> None:
    """Fault 20."""
    cluster, site = wrapped
    ref = site.ref("ConfigMap", "settings", "v1")
    await site.send("POST", site.path("configmaps", api="/api/v1") + "?fieldManager=somebody", settings(a="1"))
    with pytest.raises(KubeConflict, match="somebody"):
        await cluster.apply(ref, settings(a="2"))
    assert (await cluster.apply(ref, settings(a="2"), force=True))["data"] == {"a": "2"}


async def test_an_eviction_waits_for_the_budget_and_names_it(wrapped: tuple[Cluster, Site]) -> None:
    """Fault 21."""
    cluster, site = wrapped
    await site.needs("eviction")
    await site.deploy("web", replicas=1)
    budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}}
    place = site.path("poddisruptionbudgets", api="/apis/policy/v1")
    await site.send("POST", place, budget)
    counted = site.ref("PodDisruptionBudget", "web", "policy/v1")
    await site.direct.wait_for(counted, _counted, deadline=site.patience)
    pod = (await cluster.list("v1", "Pod", site.namespace, labels={"app": "web"}))[0]["metadata"]
    ref = msgspec.structs.replace(site.ref("Pod", pod["name"], "v1"), uid=pod["uid"])
    with pytest.raises(KubeBusy, match="disruption budget web needs 1 healthy pods and has 1"):
        await cluster.evict(ref)
    with pytest.raises(KubeBusy):
        await cluster.evict(ref, dry_run=True)
    await site.send("DELETE", f"{place}/web")
    await cluster.evict(ref, dry_run=True)
    assert "deletionTimestamp" not in (await site.direct.get(ref))["metadata"]
    with pytest.raises(KubeConflict):
        await cluster.evict(msgspec.structs.replace(ref, uid="00000000-0000-0000-0000-000000000000"))
    await cluster.evict(ref)
    gone = await site.direct.wait_for(ref, lambda found: _is_another(found, ref), deadline=site.patience)
    assert _is_another(gone, ref)


def _counted(budget: dict[str, Any] | None) -> bool:
    return bool(budget and budget.get("status", {}).get("expectedPods"))


def _is_another(found: dict[str, Any] | None, ref: ObjectRef) -> bool:
    return found is None or found["metadata"]["uid"] != ref.uid


async def test_a_command_gives_its_output_and_its_exit_code(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("exec")
    pod = await site.pod()
    said = await cluster.exec(site.namespace, pod.name, ["echo", "a  b"], container="main")
    assert (said.exit_code, said.stdout, said.stderr, said.truncated) == (0, "a  b\n", "", False)
    assert (await cluster.exec(site.namespace, pod.name, ["sh", "-c", "exit 7"], container="main")).exit_code == 7
    with pytest.raises(KubeInvalid, match="not started"):
        await cluster.exec(site.namespace, pod.name, ["no-such-program"], container="main")
    with pytest.raises(KubeNotFound):
        await cluster.exec(site.namespace, "nobody", ["true"], container="main")
    with pytest.raises(KubeInvalid, match="container other is not valid"):
        await cluster.exec(site.namespace, pod.name, ["true"], container="other")


async def test_an_argument_is_passed_on_as_it_is(wrapped: tuple[Cluster, Site]) -> None:
    """Fault 43."""
    cluster, site = wrapped
    await site.needs("exec")
    pod = await site.pod()
    for argument in ("--kubeconfig=/x", ";rm -rf /", "$(id)", "a&command=id", "a b", "ü\n#?/"):
        reply = await cluster.exec(site.namespace, pod.name, ["echo", argument], container="main")
        assert reply.stdout == f"{argument}\n"


async def test_a_node_that_is_cluster_wide_is_read_and_tried(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    node = (await cluster.list("v1", "Node", ""))[0]
    ref = ObjectRef("v1", "Node", "", node["metadata"]["name"])
    assert (await cluster.patch(ref, {"spec": {"unschedulable": True}}, dry_run=True))["spec"]["unschedulable"]
    assert not (await site.direct.get(ref))["spec"].get("unschedulable")


async def test_metrics_are_read_as_any_kind(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("metrics")
    await site.pod(image=HEALTHY)
    ref = site.ref("PodMetrics", "one", "metrics.k8s.io/v1beta1")

    async def told() -> bool:
        return bool(await cluster.list("metrics.k8s.io/v1beta1", "PodMetrics", site.namespace))

    await site.until(told)
    assert (await cluster.get(ref))["containers"][0]["usage"].keys() == {"cpu", "memory"}


async def test_a_service_answers_with_its_text(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("simulated")
    await site.deploy()
    body = {
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]},
    }
    await site.send("POST", site.path("services", api="/api/v1"), body)
    assert site.simulated is not None
    site.simulated.set_behavior(respond=lambda service, method, path: (200, f"{path} " + "x" * 300_000))
    reply = await cluster.service_text(site.namespace, "web", "http", "/metrics")
    assert (reply.status, reply.body[:9], len(reply.body), reply.truncated) == (200, "/metrics ", 262_144, True)


async def test_a_server_that_is_unwell_says_what_is_wrong(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("simulated")
    assert site.simulated is not None
    site.simulated.unwell.add("etcd")
    reply = await cluster.health("/readyz?verbose")
    assert (reply.status, "[-]etcd failed" in reply.body) == (500, True)


async def test_a_command_of_an_unreachable_node_is_told_apart(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("simulated")
    assert site.simulated is not None
    pod = await site.pod()
    node = (await site.direct.get(pod))["spec"]["nodeName"]
    site.simulated.set_behavior(unreachable_nodes=frozenset({node}))
    for _ in range(12):
        with pytest.raises(KubeUnavailable, match="connection refused"):
            await cluster.exec(site.namespace, pod.name, ["true"], container="main")
    # However often: the API server is not to blame, and its circuit stays closed.
    await cluster.get(pod)


async def test_output_without_end_is_cut_at_its_beginning(wrapped: tuple[Cluster, Site]) -> None:
    cluster, site = wrapped
    await site.needs("simulated")
    assert site.simulated is not None
    pod = await site.pod()
    site.simulated.programs.add(lambda *_: ExecResult("x" * 500_000 + "END", "e" * 100_000, 3))
    reply = await cluster.exec(site.namespace, pod.name, ["dump"], container="main")
    assert (reply.exit_code, len(reply.stdout), reply.stdout[-4:]) == (3, 65_536, "xEND")
    assert (len(reply.stderr), reply.truncated) == (65_536, True)
