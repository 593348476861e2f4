"""The Protocol `Cluster`, for the client, the client with retries and breaker around it, and the tests' own fake."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.engine.clock import SystemClock
from bridge.errors import InvalidInput, KubeConflict, KubeNotFound
from bridge.kube.guarded import GuardedCluster
from bridge.kube.retry import RetryingCluster
from bridge.model.target import ObjectRef
from bridge.ports import Cluster
from tests.support.breakers import MemoryBreakers
from tests.support.cluster import deployment, open_site
from tests.support.fake_cluster import FakeCluster

pytestmark = pytest.mark.cluster

Placed = tuple[Cluster, ObjectRef]


@pytest.fixture(params=["client", "wrapped", "fake"])
async def placed(request: pytest.FixtureRequest) -> AsyncIterator[Placed]:
    """A cluster with one Deployment `web`, and the reference of it."""
    if request.param == "fake":
        document = deployment("web", "web:1", 2)
        yield FakeCluster(document), ObjectRef("apps/v1", "Deployment", "shop", "web")
        return
    async with open_site() as site:
        ref = await site.deploy()
        cluster: Cluster = site.cluster
        if request.param == "wrapped":
            clock = SystemClock()
            cluster = RetryingCluster(GuardedCluster(site.cluster, MemoryBreakers(clock), clock), clock)
        yield cluster, ref


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
