"""Waiting by a watch: histories that expire, servers that end every watch, tokens that rotate, silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.errors import KubeForbidden, KubeInvalid, KubeUnavailable
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.kube.watching import Backoff
from bridge.model.target import ObjectRef
from tests.support.cluster import open_site
from tests.support.scripted_kube import ScriptedKube, hang, ok, reset, scripted_kube, status

JOB = ObjectRef("batch/v1", "Job", "shop", "restore")
RECORDED = json.loads((Path(__file__).parent.parent / "contract" / "recordings" / "watch-expired.json").read_text())[
    "steps"
][0]["response"]["body"]


@pytest.fixture
async def kube() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as server:
        yield server


@pytest.fixture
async def cluster(kube: ScriptedKube) -> AsyncIterator[KubeCluster]:
    made = KubeCluster(ClusterConnection(name="test", url=kube.url, deadline=1.5))
    yield made
    await made.close()


def job(version: int, *, done: bool = False) -> dict[str, Any]:
    metadata = {"name": "restore", "resourceVersion": str(version)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "status": {"succeeded": int(done)}}


def jobs(version: int, *items: dict[str, Any]) -> Any:
    return ok({"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def events(*found: dict[str, Any], stay: bool = False) -> Any:
    """A watch that tells these; it ends then, or stays open in silence."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for event in found:
            line = json.dumps(event).encode() + b"\n"
            # In two pieces: an event does not come in one.
            await response.write(line[:7])
            await response.write(line[7:])
        if stay:
            return await hang(request)
        return response

    return answer


def event(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": document}


def done(found: dict[str, Any] | None) -> bool:
    return bool(found and found["status"].get("succeeded"))


def asked(kube: ScriptedKube) -> list[str]:
    return ["watch" if "watch=true" in path else "list" for _, path in kube.seen]


async def test_an_event_ends_the_wait(kube: ScriptedKube, cluster: KubeCluster) -> None:
    mark = event("BOOKMARK", {"metadata": {"resourceVersion": "9"}})
    kube.script(jobs(5, job(4)), events(mark, event("MODIFIED", job(10, done=True)), stay=True))
    found = await cluster.wait_for(JOB, done, deadline=30)
    assert found is not None
    assert found["metadata"]["resourceVersion"] == "10"
    assert "resourceVersion=5" in kube.seen[1][1]
    assert "fieldSelector=metadata.name%3Drestore" in kube.seen[1][1]


async def test_an_expired_watch_lists_again_and_sees_what_it_missed(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 24, with the answer that was recorded."""
    kube.script(jobs(5, job(4)), events(RECORDED), jobs(871, job(870, done=True)))
    assert done(await cluster.wait_for(JOB, done, deadline=30))
    assert asked(kube) == ["list", "watch", "list"]


async def test_a_watch_refused_with_410_lists_again(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 24."""
    kube.script(jobs(5, job(4)), status(410, "Expired"), jobs(871, job(870, done=True)))
    assert done(await cluster.wait_for(JOB, done, deadline=30))
    assert asked(kube) == ["list", "watch", "list"]


@pytest.mark.parametrize("last", [events(RECORDED), events(), reset, status(503, "ServiceUnavailable")])
async def test_a_server_that_ends_every_watch_is_not_hammered(
    kube: ScriptedKube, cluster: KubeCluster, last: Any
) -> None:
    """Fault 24: after n failures at least 0.1 x 2^(n-1) seconds pass, so that few requests fit into a wait."""

    async def answer(request: web.Request) -> web.StreamResponse:
        watching = "watch" in request.query
        return await (last(request) if watching else jobs(5, job(4))(request))

    kube.script(answer)
    found = await cluster.wait_for(JOB, done, deadline=1)
    assert found is not None
    assert not done(found)
    assert asked(kube).count("watch") <= 4


def test_the_pauses_grow_up_to_their_longest() -> None:
    """Fault 24."""
    backoff = Backoff(first=0.2, longest=5.0)
    assert [backoff.pause(n, 0.0) for n in (1, 2, 3, 6, 7, 1000)] == [0.2, 0.4, 0.8, 5.0, 5.0, 5.0]
    assert backoff.pause(2, 1.0) == 0.2


async def test_a_watch_that_the_server_ended_goes_on_from_the_version_seen_last(
    kube: ScriptedKube, cluster: KubeCluster
) -> None:
    kube.script(jobs(5, job(4)), events(event("MODIFIED", job(8))), events(event("DELETED", job(9)), stay=True))
    assert await cluster.wait_for(JOB, lambda found: found is None, deadline=30) is None
    assert asked(kube) == ["list", "watch", "watch"]
    assert "resourceVersion=8" in kube.seen[2][1]


async def test_silence_is_no_answer_the_state_at_the_end_is_read(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 23: the connection of a watch may have died without a word."""
    kube.script(jobs(5, job(4)), events(stay=True), jobs(9, job(8, done=True)))
    assert done(await cluster.wait_for(JOB, done, deadline=1.5))
    assert asked(kube) == ["list", "watch", "list"]


async def test_a_server_that_hangs_to_the_end_leaves_it_unknown(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 23."""
    kube.script(hang)
    with pytest.raises(KubeUnavailable, match="no answer within"):
        await cluster.wait_for(JOB, done, deadline=0.1)


async def test_a_server_that_is_sick_for_a_while_is_asked_again(kube: ScriptedKube, cluster: KubeCluster) -> None:
    """Fault 22."""
    kube.script(status(503, "ServiceUnavailable"), status(500, "InternalError"), jobs(5, job(4, done=True)))
    assert done(await cluster.wait_for(JOB, done, deadline=30))


@pytest.mark.parametrize("refused", ["list", "watch"])
async def test_a_refused_permission_ends_the_wait_at_once_and_is_named(
    kube: ScriptedKube, cluster: KubeCluster, refused: str
) -> None:
    """Fault 26."""
    first = [] if refused == "list" else [jobs(5, job(4))]
    kube.script(*first, status(403, "Forbidden"))
    with pytest.raises(KubeForbidden, match=rf"{refused} jobs\.batch in namespace shop"):
        await cluster.wait_for(JOB, done, deadline=30)


@pytest.mark.parametrize("line", [b"no json\n", b"[]\n", b'{"type":"ADDED"}\n', b'{"type":"ADDED","object":7}\n'])
async def test_an_event_that_cannot_be_read_ends_that_watch_alone(
    kube: ScriptedKube, cluster: KubeCluster, line: bytes
) -> None:
    async def nonsense(request: web.Request) -> web.StreamResponse:
        return web.Response(body=line, content_type="application/json")

    kube.script(jobs(5, job(4)), nonsense, events(event("MODIFIED", job(8, done=True)), stay=True))
    assert done(await cluster.wait_for(JOB, done, deadline=30))


async def test_an_event_without_end_is_refused(kube: ScriptedKube, cluster: KubeCluster) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(20):
            await response.write(b"x" * 1024 * 1024)
        return response

    kube.script(jobs(5, job(4)), flood)
    with pytest.raises(KubeInvalid, match="larger"):
        await cluster.wait_for(JOB, done, deadline=30)


async def test_a_token_that_rotates_is_read_again_for_a_watch_too(kube: ScriptedKube, tmp_path: Path) -> None:
    """Fault 25."""
    token = tmp_path / "token"
    token.write_text("old")

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer old" and "watch" in request.query:
            token.write_text("new")
            return await status(401, "Unauthorized")(request)
        if "watch" in request.query:
            return await events(event("MODIFIED", job(8, done=True)), stay=True)(request)
        return await jobs(5, job(4))(request)

    kube.script(answer)
    cluster = KubeCluster(ClusterConnection(name="test", url=kube.url, token_file=str(token)))
    try:
        assert done(await cluster.wait_for(JOB, done, deadline=30))
    finally:
        await cluster.close()
    assert asked(kube) == ["list", "watch", "watch"]


@pytest.mark.cluster
async def test_a_simulated_server_that_compacted_meanwhile_loses_no_change() -> None:
    """Fault 24."""
    async with open_site() as site:
        await site.needs("simulated")
        assert site.simulated is not None
        ref = site.ref("ConfigMap", "settings", "v1")
        # The watch is cut; before the next one the change happens and is compacted away.
        site.proxy.faults.cut(method="GET", path="watch=true")
        waiting = asyncio.create_task(site.cluster.wait_for(ref, lambda found: found is not None, deadline=10))

        async def watches_again() -> bool:
            return len(site.proxy.requests) >= 2

        await site.until(watches_again)
        await site.send("POST", site.path("configmaps", api="/api/v1"), {"metadata": {"name": "settings"}})
        site.simulated.compact()
        assert await waiting is not None
        verbs = ["watch" if "watch" in entry.query else "list" for entry in site.proxy.requests]
        assert verbs == ["list", "watch", "watch", "list"]
