"""What the Kubernetes client makes of an API server that refuses, fails, hangs and breaks: real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from bridge.errors import (
    InvalidInput,
    KubeBusy,
    KubeConflict,
    KubeError,
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

WEB = ObjectRef("apps/v1", "Deployment", "shop", "web")
Make = Callable[..., Awaitable[KubeCluster]]


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as server:
        yield server


@pytest.fixture
async def make(kube: ScriptedKube) -> AsyncIterator[Make]:
    made: list[KubeCluster] = []

    async def build(**settings: object) -> KubeCluster:
        cluster = KubeCluster(ClusterConnection(name="test", **{"url": kube.url, **settings}))  # type: ignore[arg-type]
        made.append(cluster)
        await cluster.connect()
        return cluster

    yield build
    for cluster in made:
        await cluster.close()


async def test_a_conflict_is_told_apart_so_that_the_writer_reads_again(kube: ScriptedKube, make: Make) -> None:
    """Fault 20."""
    kube.script(status(409, "Conflict", "the object has been modified"))
    with pytest.raises(KubeConflict) as caught:
        await (await make()).patch(WEB, {"spec": {}})
    assert caught.value.what == "patch deployment shop/web"
    assert (caught.value.status, caught.value.reason) == (409, "Conflict")


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("Fri, 01 Jan 2021 00:00:00 GMT", 0.0), ("soon", None)])
async def test_too_many_requests_carries_the_seconds_to_wait(
    kube: ScriptedKube, make: Make, header: str, seconds: float | None
) -> None:
    """Fault 21."""
    kube.script(status(429, "TooManyRequests", headers={"Retry-After": header}))
    with pytest.raises(KubeBusy) as caught:
        await (await make()).get(WEB)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("code", [500, 502, 503, 504])
async def test_server_errors_of_a_read_are_unavailable(kube: ScriptedKube, make: Make, code: int) -> None:
    """Fault 22."""
    kube.script(text(code, "upstream"))
    with pytest.raises(KubeUnavailable):
        await (await make()).get(WEB)


@pytest.mark.parametrize("answer", [text(502, "bad gateway"), text(504, "x"), status(500, "Timeout")])
async def test_a_server_error_that_may_hide_a_done_write_is_a_lost_reply(
    kube: ScriptedKube, make: Make, answer: object
) -> None:
    """Fault 28."""
    kube.script(answer)  # type: ignore[arg-type]
    with pytest.raises(KubeReplyLost):
        await (await make()).patch(WEB, {"spec": {}})


async def test_a_plain_refusal_by_a_sick_server_is_no_lost_reply(kube: ScriptedKube, make: Make) -> None:
    """Fault 22."""
    kube.script(status(503, "ServiceUnavailable"))
    with pytest.raises(KubeUnavailable):
        await (await make()).patch(WEB, {"spec": {}})


async def test_a_hung_read_ends_at_our_own_deadline(kube: ScriptedKube, make: Make) -> None:
    """Fault 23."""
    kube.script(hang)
    cluster = await make(deadline=0.2)
    async with asyncio.timeout(10):
        with pytest.raises(KubeUnavailable, match=r"no answer within 0\.2 s"):
            await cluster.get(WEB)


async def test_a_hung_write_has_an_unknown_effect(kube: ScriptedKube, make: Make) -> None:
    """Fault 23."""
    kube.script(hang)
    cluster = await make(deadline=0.2)
    with pytest.raises(KubeReplyLost):
        await cluster.patch(WEB, {"spec": {}})


async def test_an_answer_that_trickles_for_ever_ends_at_the_deadline(kube: ScriptedKube, make: Make) -> None:
    """Fault 23."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    kube.script(trickle)
    cluster = await make(deadline=0.3)
    with pytest.raises(KubeUnavailable):
        await cluster.get(WEB)


async def test_a_rotated_token_is_read_again_once(kube: ScriptedKube, make: Make, tmp_path: Path) -> None:
    """Fault 25."""
    token = tmp_path / "token"
    token.write_text("old\n")

    async def check(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer new":
            return web.json_response({"metadata": {"name": "web"}})
        return await status(401, "Unauthorized")(request)

    kube.script(check)
    cluster = await make(token_file=str(token))
    token.write_text("new\n")
    found = await asyncio.gather(*(cluster.get(WEB) for _ in range(5)))
    assert [document["metadata"]["name"] for document in found] == ["web"] * 5
    assert len(kube.seen) <= 10


async def test_credentials_that_stay_refused_are_tried_twice_and_no_more(kube: ScriptedKube, make: Make) -> None:
    """Fault 25."""
    kube.script(status(401, "Unauthorized"))
    with pytest.raises(KubeUnauthorized):
        await (await make(token="x")).patch(WEB, {"spec": {}})
    assert len(kube.seen) == 2


async def test_a_refused_permission_is_named(kube: ScriptedKube, make: Make) -> None:
    """Fault 26."""
    kube.script(status(403, "Forbidden", 'User "system:serviceaccount:shop:bridge" cannot patch'))
    with pytest.raises(KubeForbidden, match=r"patch deployments\.apps in namespace shop"):
        await (await make()).patch(WEB, {"spec": {}})


async def test_a_connection_reset_in_mid_patch_is_a_lost_reply(kube: ScriptedKube, make: Make) -> None:
    """Fault 28."""
    kube.script(reset)
    with pytest.raises(KubeReplyLost):
        await (await make()).patch(WEB, {"spec": {}})
    assert len(kube.seen) == 1


async def test_a_delete_that_is_cut_off_is_sent_once(kube: ScriptedKube, make: Make) -> None:
    """Fault 28. Over a connection that was in use before: an HTTP library may send it again by itself there."""
    kube.script(ok({}), reset)
    cluster = await make()
    await cluster.get(WEB)
    with pytest.raises(KubeReplyLost):
        await cluster.delete(msgspec.structs.replace(WEB, uid="u"))
    assert len(kube.seen) == 2


async def test_an_answer_cut_in_its_middle_is_a_lost_reply(kube: ScriptedKube, make: Make) -> None:
    """Fault 28."""

    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"a":')
        return await reset(request)

    kube.script(cut)
    with pytest.raises(KubeReplyLost):
        await (await make()).patch(WEB, {"spec": {}})


async def test_a_refused_connection_means_that_nothing_was_sent(make: Make) -> None:
    """Fault 22."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(KubeUnavailable):
        await (await make(url=url)).patch(WEB, {"spec": {}})


@pytest.mark.parametrize("name", [".", "..", "", "a/b", "%2e%2e", "--kubeconfig=/x", "; rm -rf /"])
async def test_a_dangerous_name_reaches_no_server(kube: ScriptedKube, make: Make, name: str) -> None:
    """Faults 41 and 43."""
    cluster = await make()
    bad = [
        ObjectRef("apps/v1", "Deployment", "shop", name),
        ObjectRef("apps/v1", "Deployment", name or "..", "web"),
        ObjectRef("example.org/v1", "Thing", "shop", name),
    ]
    for ref in bad:
        with pytest.raises(InvalidInput):
            await cluster.get(ref)
        with pytest.raises(InvalidInput):
            await cluster.patch(ref, {})
    with pytest.raises(InvalidInput):
        await cluster.logs("shop", name, container="c")
    with pytest.raises(InvalidInput):
        await cluster.logs("shop", "web", container=name)
    with pytest.raises(InvalidInput):
        await cluster.service_get("shop", name, "http", "/healthz")
    assert kube.seen == []


@pytest.mark.parametrize("labels", [{}, "", {"app": "a,b in (x)"}])
async def test_an_empty_or_injected_selector_reaches_no_server(
    kube: ScriptedKube, make: Make, labels: dict[str, str] | str
) -> None:
    """Fault 42."""
    with pytest.raises(InvalidInput):
        await (await make()).list("v1", "Pod", "shop", labels=labels)
    with pytest.raises(InvalidInput):
        await (await make()).list("v1", "Pod", "")
    assert kube.seen == []


async def test_a_redirect_is_not_followed_and_a_proxy_of_the_environment_not_used(
    kube: ScriptedKube, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    kube.script(text(302, "", headers={"Location": "http://127.0.0.1:1/elsewhere"}))
    with pytest.raises(KubeError):
        await (await make(token="secret")).get(WEB)
    assert len(kube.seen) == 1


async def test_what_is_sent_says_who_we_are(kube: ScriptedKube, make: Make) -> None:
    kube.script(ok({"metadata": {}}))
    cluster = await make(token="abc")
    await cluster.patch(WEB, {"spec": {"replicas": 2}}, subresource="status", dry_run=True)
    assert kube.seen == [
        ("PATCH", "/apis/apps/v1/namespaces/shop/deployments/web/status?fieldManager=alertbridge&dryRun=All")
    ]
    assert kube.headers[0]["Content-Type"] == "application/merge-patch+json"
    assert kube.headers[0]["Authorization"] == "Bearer abc"
    assert kube.bodies == [b'{"spec":{"replicas":2}}']


async def test_secrets_reach_neither_log_nor_error(
    kube: ScriptedKube, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = ObjectRef("v1", "Secret", "shop", "tls")
    cluster = await make(secret_namespaces=frozenset({"shop"}))
    kube.script(ok({"data": {"tls.key": "hunter2"}}), status(422, "Invalid", "Invalid value: hunter2"))
    await cluster.get(secret)
    with pytest.raises(KubeInvalid) as caught:
        await cluster.patch(secret, {"data": {}})
    assert "hunter2" not in caplog.text + str(caught.value)


async def test_an_answer_that_is_too_large_or_no_json_is_refused(kube: ScriptedKube, make: Make) -> None:
    cluster = await make()
    kube.script(text(200, "<html>"), text(200, "[1]"), text(200, "x" * 600_000))
    for _ in range(2):
        with pytest.raises(KubeUnavailable):
            await cluster.get(WEB)
    with pytest.raises(KubeUnavailable, match="larger"):
        await cluster.logs("shop", "web", container="c")


async def test_a_list_follows_its_pages_up_to_the_limit(kube: ScriptedKube, make: Make) -> None:
    page = [{"metadata": {"name": f"p{n}"}} for n in range(3)]
    more = ok({"metadata": {"continue": "t k"}, "items": page})
    kube.script(more, more, ok({"items": page}))
    cluster = await make()
    found = await cluster.list("v1", "Pod", "shop", labels={"app": "web"}, limit=8)
    assert [item["kind"] for item in found] == ["Pod"] * 8
    assert kube.seen[1][1].endswith("?labelSelector=app%3Dweb&limit=5&continue=t%20k")


async def test_a_custom_kind_is_discovered_once(kube: ScriptedKube, make: Make) -> None:
    listing = {"resources": [{"name": "things", "kind": "Thing", "namespaced": True}]}
    kube.script(ok(listing), ok({"metadata": {}}), ok({"metadata": {}}), status(404, "NotFound"))
    cluster = await make()
    thing = ObjectRef("example.org/v1", "Thing", "shop", "a")
    await cluster.get(thing)
    await cluster.get(thing)
    with pytest.raises(KubeNotFound):
        await cluster.get(ObjectRef("example.org/v1", "Other", "shop", "a"))
    assert [path for _, path in kube.seen] == ["/apis/example.org/v1"] + [
        "/apis/example.org/v1/namespaces/shop/things/a"
    ] * 2


async def test_the_service_proxy_tells_a_sick_service_from_a_sick_api_server(kube: ScriptedKube, make: Make) -> None:
    cluster = await make()
    none = status(503, "ServiceUnavailable", 'no endpoints available for service "web"')
    kube.script(text(200, "ok"), text(500, "boom"), none, status(503, "ServiceUnavailable"), status(403, "Forbidden"))
    assert await cluster.service_get("shop", "web", "http", "/healthz") == 200
    assert await cluster.service_get("shop", "web", "http", "/healthz") == 500
    assert await cluster.service_get("shop", "web", "http", "/healthz") == 503
    with pytest.raises(KubeUnavailable):
        await cluster.service_get("shop", "web", "http", "/healthz")
    with pytest.raises(KubeForbidden):
        await cluster.service_get("shop", "web", "http", "/healthz")
