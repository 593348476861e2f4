"""What the client makes of a server that refuses, fails and breaks while it creates, applies, deletes and evicts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.errors import (
    KubeBusy,
    KubeConflict,
    KubeForbidden,
    KubeInvalid,
    KubeNotFound,
    KubeReplyLost,
    KubeUnauthorized,
    KubeUnavailable,
)
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.target import ObjectRef
from tests.support.scripted_kube import ScriptedKube, hang, ok, reset, scripted_kube, status, text

SETTINGS = ObjectRef("v1", "ConfigMap", "shop", "settings", uid="uid-1")
POD = ObjectRef("v1", "Pod", "shop", "web-0", uid="uid-2")
MANIFEST = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "1"}}

Verb = Callable[[KubeCluster], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "create": lambda cluster: cluster.create(SETTINGS, MANIFEST),
    "apply": lambda cluster: cluster.apply(SETTINGS, MANIFEST),
    "delete": lambda cluster: cluster.delete(SETTINGS),
    "evict": lambda cluster: cluster.evict(POD),
    "exec": lambda cluster: cluster.exec("shop", "web-0", ["true"], container="main", deadline=1.5),
}
PERMISSIONS = {
    "create": r"create configmaps in namespace shop",
    "apply": r"patch configmaps in namespace shop",
    "delete": r"delete configmaps in namespace shop",
    "evict": r"create pods/eviction in namespace shop",
    "exec": r"get and create pods/exec in namespace shop",
}
each_verb = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as server:
        yield server


@pytest.fixture
async def make(kube: ScriptedKube) -> AsyncIterator[Callable[..., KubeCluster]]:
    made: list[KubeCluster] = []

    def build(**settings: Any) -> KubeCluster:
        made.append(KubeCluster(ClusterConnection(name="test", **{"url": kube.url, **settings})))
        return made[-1]

    yield build
    for cluster in made:
        await cluster.close()


Make = Callable[..., KubeCluster]


@each_verb
async def test_a_conflict_is_told_apart(kube: ScriptedKube, make: Make, verb: str) -> None:
    """Fault 20."""
    kube.script(status(409, "Conflict", "the UID in the precondition does not match"))
    with pytest.raises(KubeConflict, match="precondition"):
        await VERBS[verb](make())
    assert len(kube.seen) == 1


@each_verb
async def test_a_wait_that_is_asked_for_is_carried_on(kube: ScriptedKube, make: Make, verb: str) -> None:
    """Fault 21."""
    kube.script(status(429, "TooManyRequests", headers={"Retry-After": "7"}))
    with pytest.raises(KubeBusy) as caught:
        await VERBS[verb](make())
    assert (caught.value.retry_after, len(kube.seen)) == (7.0, 1)


async def test_a_refused_eviction_names_the_budget_and_what_it_needs(kube: ScriptedKube, make: Make) -> None:
    """Fault 21."""
    needs = "The disruption budget web needs 2 healthy pods and has 2 currently"
    refusal = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "Cannot evict pod as it would violate the pod's disruption budget.",
        "reason": "TooManyRequests",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": needs}]},
        "code": 429,
    }

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.json_response(refusal, status=429)

    kube.script(refuse)
    with pytest.raises(KubeBusy, match="web needs 2 healthy pods"):
        await make().evict(POD)


async def test_a_pod_with_two_budgets_is_not_waited_for(kube: ScriptedKube, make: Make) -> None:
    """Fault 21: no time makes such an eviction possible, and the server is not sick."""
    kube.script(status(500, "InternalError", "This pod has more than one PodDisruptionBudget, which ..."))
    with pytest.raises(KubeInvalid, match="more than one"):
        await make().evict(POD)


@each_verb
async def test_a_plain_refusal_by_a_sick_server_had_no_effect(kube: ScriptedKube, make: Make, verb: str) -> None:
    """Fault 22."""
    kube.script(status(503, "ServiceUnavailable"))
    with pytest.raises(KubeUnavailable):
        await VERBS[verb](make())


async def test_calls_that_hang_have_an_unknown_effect(kube: ScriptedKube, make: Make) -> None:
    """Fault 23."""
    kube.script(hang)
    cluster = make(deadline=1.5)
    await cluster.connect()
    answers = await asyncio.gather(*(verb(cluster) for verb in VERBS.values()), return_exceptions=True)
    assert [type(answer) for answer in answers] == [KubeReplyLost] * len(VERBS)
    assert len(kube.seen) == len(VERBS)


@each_verb
async def test_a_rotated_token_is_read_again_once(kube: ScriptedKube, make: Make, verb: str, tmp_path: Path) -> None:
    """Fault 25."""
    token = tmp_path / "token"
    token.write_text("old")

    async def check(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer old":
            return await status(401, "Unauthorized")(request)
        return await status(404, "NotFound", "it is not there")(request)

    kube.script(check)
    cluster = make(token_file=str(token))
    await cluster.connect()
    token.write_text("new")
    with pytest.raises(KubeNotFound, match="it is not there"):
        await VERBS[verb](cluster)
    assert len(kube.seen) == 2


@each_verb
async def test_credentials_that_stay_refused_are_tried_twice_and_no_more(
    kube: ScriptedKube, make: Make, verb: str
) -> None:
    """Fault 25."""
    kube.script(status(401, "Unauthorized"))
    with pytest.raises(KubeUnauthorized):
        await VERBS[verb](make(token="x"))
    assert len(kube.seen) == 2


@each_verb
async def test_a_refused_permission_is_named(kube: ScriptedKube, make: Make, verb: str) -> None:
    """Fault 26."""
    kube.script(status(403, "Forbidden", "no"))
    with pytest.raises(KubeForbidden, match=PERMISSIONS[verb]):
        await VERBS[verb](make())
    assert len(kube.seen) == 1


@each_verb
@pytest.mark.parametrize("answer", [reset, text(502, "bad gateway"), text(504, "slow")], ids=["reset", "502", "504"])
async def test_a_lost_reply_is_no_failure_and_is_not_sent_again(
    kube: ScriptedKube, make: Make, verb: str, answer: Any
) -> None:
    """Fault 28."""
    kube.script(answer)
    with pytest.raises(KubeReplyLost):
        await VERBS[verb](make())
    assert len(kube.seen) == 1


async def test_what_is_sent_holds_its_preconditions_and_says_who_we_are(kube: ScriptedKube, make: Make) -> None:
    """Fault 27."""
    kube.script(ok({"metadata": {}}))
    cluster = make()
    await cluster.create(SETTINGS, {**MANIFEST, "metadata": {"managedFields": [{}]}}, dry_run=True)
    await cluster.apply(SETTINGS, MANIFEST, force=True)
    await cluster.delete(SETTINGS, resource_version="7", grace=5, propagation="Foreground", dry_run=True)
    await cluster.evict(POD, grace=30, dry_run=True)
    base = "/api/v1/namespaces/shop"
    assert kube.seen == [
        ("POST", f"{base}/configmaps?fieldManager=alertbridge&dryRun=All"),
        ("PATCH", f"{base}/configmaps/settings?fieldManager=alertbridge&force=true"),
        ("DELETE", f"{base}/configmaps/settings"),
        ("POST", f"{base}/pods/web-0/eviction?fieldManager=alertbridge&dryRun=All"),
    ]
    created, applied, deleted, evicted = (json.loads(body) for body in kube.bodies)
    whole = {**MANIFEST, "metadata": {"name": "settings", "namespace": "shop"}}
    assert (created["metadata"], applied) == (whole["metadata"], whole)
    assert kube.headers[1]["Content-Type"] == "application/apply-patch+yaml"
    assert deleted == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": "uid-1", "resourceVersion": "7"},
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 5,
        "dryRun": ["All"],
    }
    assert evicted["deleteOptions"] == {"preconditions": {"uid": "uid-2"}, "gracePeriodSeconds": 30}


async def test_a_secret_that_is_refused_is_quoted_nowhere(
    kube: ScriptedKube, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = ObjectRef("v1", "Secret", "shop", "tls", uid="u")
    kube.script(status(422, "Invalid", 'Invalid value: "hunter2"'))
    cluster = make(secret_namespaces=frozenset({"shop"}))
    told = ""
    for call in (cluster.create(secret, {}), cluster.apply(secret, {}), cluster.delete(secret)):
        with pytest.raises(KubeInvalid) as caught:
            await call
        told += str(caught.value)
    assert "hunter2" not in told + caplog.text


async def test_a_list_whose_pages_expired_is_begun_again(kube: ScriptedKube, make: Make) -> None:
    """Fault 24."""
    page = {"metadata": {"continue": "next"}, "items": [{"metadata": {"name": "a"}}]}
    whole = {"metadata": {}, "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}
    kube.script(ok(page), status(410, "Expired", "The provided continue parameter is too old"), ok(whole))
    found = await make().list("v1", "ConfigMap", "shop")
    assert [item["metadata"]["name"] for item in found] == ["a", "b"]
    assert ["continue=next" in path for _, path in kube.seen] == [False, True, False]


async def test_a_list_that_always_expires_ends(kube: ScriptedKube, make: Make) -> None:
    """Fault 24."""
    kube.script(status(410, "Expired", "too old"))
    with pytest.raises(Exception, match="too old"):
        await make().list("v1", "ConfigMap", "shop")
    assert len(kube.seen) == 4
