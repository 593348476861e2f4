"""The simulated API server in the cases that the recordings don't have: shared fields, watches, rights, nonsense."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.exec import ExecResult
from bridge.demo.resources import NOT_SERVED, Registry
from tests.support.lab import CONFIGMAPS, Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    async with (
        SimulatedServer(SimulatedCluster(), tick=None) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        server.cluster.settle(1)
        yield Lab(server, session)


async def test_two_appliers_share_what_they_agree_on_and_fight_over_the_rest(lab: Lab) -> None:
    assert (await lab.apply("one", {"a": "1", "b": "1"}))[0] == 201
    assert (await lab.apply("two", {"a": "1"}))[0] == 200
    status, refused = await lab.apply("two", {"a": "2"})
    assert (status, [entry["field"] for entry in refused["details"]["causes"]]) == (409, [".data.a"])
    status, found = await lab.apply("two", {"a": "2"}, force=True)
    assert (status, found["data"]) == (200, {"a": "2", "b": "1"})


async def test_a_field_that_one_of_its_appliers_gives_up_stays_for_the_other(lab: Lab) -> None:
    await lab.apply("one", {"a": "1", "b": "1"})
    await lab.apply("two", {"a": "1"})
    _, found = await lab.apply("one", {"b": "1"})
    assert found["data"] == {"a": "1", "b": "1"}
    _, found = await lab.apply("two", {})
    assert found["data"] == {"b": "1"}


async def test_the_same_apply_again_changes_nothing(lab: Lab) -> None:
    _, first = await lab.apply("one", {"a": "1"})
    _, second = await lab.apply("one", {"a": "1"})
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_an_apply_may_be_yaml(lab: Lab) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shared}\ndata:\n  a: '1'\n"
    path = f"{CONFIGMAPS}/shared?fieldManager=one"
    status, found = await lab.send("PATCH", path, text, Content_Type="application/apply-patch+yaml")
    assert (status, found["data"]) == (201, {"a": "1"})


async def test_a_dry_apply_leaves_no_trace(lab: Lab) -> None:
    before = lab.cluster.store.revision
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}}
    path = f"{CONFIGMAPS}/shared?fieldManager=one&dryRun=All"
    status, _ = await lab.send("PATCH", path, body, Content_Type="application/apply-patch+yaml")
    assert (status, lab.cluster.store.revision) == (201, before)


async def test_an_object_that_leaves_a_selection_is_deleted_for_its_watch(lab: Lab) -> None:
    labelled = {"metadata": {"name": "a", "labels": {"app": "web"}}}
    await lab.send("POST", CONFIGMAPS, labelled)
    query = {"watch": "1", "labelSelector": "app=web", "timeoutSeconds": "5"}
    async with lab.session.get(CONFIGMAPS, params=query) as reply:
        first = json.loads(await asyncio.wait_for(reply.content.readline(), 5))
        patch = {"metadata": {"labels": {"app": "other"}}}
        await lab.send("PATCH", f"{CONFIGMAPS}/a", patch, Content_Type="application/merge-patch+json")
        second = json.loads(await asyncio.wait_for(reply.content.readline(), 5))
    assert (first["type"], second["type"]) == ("ADDED", "DELETED")


async def test_a_watch_that_its_client_leaves_is_forgotten(lab: Lab) -> None:
    listeners = len(lab.cluster.store._listeners)
    async with lab.session.get(CONFIGMAPS, params={"watch": "1"}) as reply:
        await reply.content.readline()
        assert len(lab.cluster.store._listeners) == listeners + 1
    async with asyncio.timeout(5):
        while len(lab.cluster.store._listeners) > listeners:
            await lab.send("POST", CONFIGMAPS, {"metadata": {"generateName": "wake-"}})


async def test_rights_end_where_the_role_does(lab: Lab) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods", "pods/log"], "verbs": ["get", "list"]}]
    api = "rbac.authorization.k8s.io/v1"
    lab.cluster.apply({"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rules})
    lab.cluster.apply(
        {
            "apiVersion": api,
            "kind": "RoleBinding",
            "metadata": {"name": "reader"},
            "roleRef": {"kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "bridge", "namespace": "default"}],
        }
    )
    token = f"Bearer {lab.cluster.issue_token('default', 'bridge')}"
    statuses = [
        (await lab.send(method, path, Authorization=token))[0]
        for method, path in (
            ("GET", "/api/v1/namespaces/default/pods"),
            ("GET", "/api/v1/namespaces/kube-system/pods"),
            ("GET", "/api/v1/pods"),
            ("DELETE", "/api/v1/namespaces/default/pods/x"),
            ("GET", "/api/v1/namespaces/default/pods/x/log"),
            ("GET", "/api/v1/namespaces/default/secrets"),
        )
    ]
    assert statuses == [200, 403, 403, 403, 404, 403]


@pytest.mark.parametrize("entry", NOT_SERVED)
async def test_everything_on_the_list_of_the_unserved_answers_501(lab: Lab, entry: str) -> None:
    lab.cluster.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}})
    path = entry
    if not entry.startswith("/"):
        plural, _, subresource = entry.partition("/")
        place = "nodes/x" if plural == "nodes" else f"namespaces/default/{plural}/x"
        path = f"/api/v1/{place}/{subresource}"
    elif entry.count("/") == 2 and entry.startswith("/apis"):
        path = f"{entry}/v1/things"
    status, body = await lab.send("GET", path)
    assert (status, body["kind"], body["reason"]) == (501, "Status", "NotImplemented")


def test_nothing_is_both_served_and_on_the_list() -> None:
    served = {f"/apis/{item.group}/{item.version}/{item.plural}" for item in Registry() if item.group}
    served |= {f"/api/v1/{item.plural}" for item in Registry() if not item.group}
    served |= {f"{item.plural}/{name}" for item in Registry() for name in item.subresources}
    assert not [path for path in served for entry in NOT_SERVED if path == entry or path.startswith(f"{entry}/")]


async def test_a_command_is_answered_by_the_handler_that_was_added_for_its_container(lab: Lab) -> None:
    spec = {"containers": [{"name": "c", "image": "x:1"}]}
    lab.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec})
    lab.cluster.settle(2)
    path = "/api/v1/namespaces/default/pods/p/exec?command=ls"
    lab.cluster.programs.add(lambda pod, container, command: ExecResult("elsewhere"), container="other")
    lab.cluster.programs.add(lambda pod, container, command: ExecResult(f"{container}:{command}"))
    async with lab.session.ws_connect(path, protocols=["v4.channel.k8s.io"]) as socket:
        frames = [message.data async for message in socket]
    assert frames[0] == b"\x01c:['ls']"
    assert json.loads(frames[1][1:])["status"] == "Success"


async def test_string_data_becomes_data(lab: Lab) -> None:
    body = {"metadata": {"name": "s"}, "stringData": {"a": "x"}}
    _, found = await lab.send("POST", "/api/v1/namespaces/default/secrets", body)
    assert (found["data"], "stringData" in found) == ({"a": "eA=="}, False)


async def test_what_is_not_allowed_on_a_path_is_405(lab: Lab) -> None:
    assert (await lab.send("PUT", CONFIGMAPS, {}))[0] == 405
    assert (await lab.send("POST", f"{CONFIGMAPS}/a", {}))[0] == 405


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = (
    "spec data labels template containers selector matchLabels status type name image replicas metadata resources "
    "limits env ports volumes minReplicas accessModes"
)
NAMED = st.sampled_from(WORDS.split())
NESTED = st.recursive(
    JSON, lambda inner: st.dictionaries(NAMED, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=12
)
BODIES = st.dictionaries(NAMED, NESTED, max_size=4)
PLURALS = {
    "/api/v1": ["configmaps", "pods", "secrets", "services", "persistentvolumeclaims", "events"],
    "/apis/apps/v1": ["deployments", "statefulsets", "daemonsets", "replicasets"],
    "/apis/autoscaling/v2": ["horizontalpodautoscalers"],
    "/apis/batch/v1": ["jobs"],
    "/apis/policy/v1": ["poddisruptionbudgets"],
}
PATHS = [f"{root}/namespaces/default/{plural}" for root, plurals in PLURALS.items() for plural in plurals]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, path=st.sampled_from(PATHS))
async def test_nonsense_is_refused_and_never_breaks_the_server(body: dict[str, Any], path: str) -> None:
    async with (
        SimulatedServer(SimulatedCluster(nodes=0), tick=None) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        lab = Lab(server, session)
        status, _ = await lab.send("POST", path, {"metadata": {"name": "x"}} | body)
        assert status in (201, 400, 422)
        server.cluster.step()
