"""A verification that does what users do, and takes away what it made: whole runs, on a real Redis and real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.demo.workloads import deployment
from bridge.model import kinds
from tests.support.redis import RedisServer
from tests.support.stage import Stage

pytestmark = pytest.mark.usefixtures("quiet_log")


class Gateway:
    """Takes subscriptions, and gives them up."""

    def __init__(self) -> None:
        self.takes, self.lets_go = 201, 204
        self.there: set[str] = set()
        self.seen: list[str] = []
        self.server: TestServer

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def make(self, request: web.Request) -> web.Response:
        self.seen.append(f"POST {(await request.json())['callback']}")
        if self.takes == 201:
            self.there.add("a/7")
        return web.json_response({"data": {"subscriptionId": "a/7"}}, status=self.takes)

    async def drop(self, request: web.Request) -> web.Response:
        self.seen.append(f"DELETE {request.rel_url.raw_parts[-1]}")
        if self.lets_go == 204:
            self.there.discard(request.match_info["id"])
        return web.Response(status=self.lets_go)


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    application = web.Application()
    application.router.add_post("/subscriptions", gateway.make)
    application.router.add_delete("/subscriptions/{id}", gateway.drop)
    gateway.server = TestServer(application)
    await gateway.server.start_server()
    yield gateway
    await gateway.server.close()


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop", replicas=2))
        stage.clock.jump(60)
        yield stage


async def played(stage: Stage, gateway: Gateway, *, mode: str = "auto", **more: Any) -> list[Any]:
    url = f"http://{gateway.host}/subscriptions"
    step = {
        "action": "http_probe",
        "with": {
            "url": url,
            "json": {"callback": "https://test.example/notify"},
            "expect_status": [201],
            "clean_up": {"method": "DELETE", "url": url + "/{id}", "take": {"id": "data.subscriptionId"}},
        },
    }
    book = {
        "name": "test/subscribing",
        "summary": "s",
        "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
        "scenarios": [{"name": "only", "otherwise": True, "steps": [{"action": "rollout_restart"}]}],
        "verify": {
            "evidence": {"rollout": {"collect": "rollout"}},
            "fixed": "evidence.rollout.complete",
            "within": "30s",
            "every": "1s",
            "steps": [step],
        },
        **more,
    }
    stage.write_runbook(book)
    alerts = {"Down": {"runbook": "test/subscribing", "mode": mode}}
    stage.configure(alerts=alerts, http={"hosts": [gateway.host]})
    stage._raise_curtain()
    await stage.fire("Down", deployment="web")
    await stage.settle()
    for _ in range(6):
        await stage.advance(10)
    (run,) = await stage.runs()
    return await stage.stores.journal.read(run.remediation.id)


async def test_what_works_when_it_is_done_is_fixed_and_nothing_is_left(stage: Stage, gateway: Gateway) -> None:
    await played(stage, gateway)
    assert await stage.ends() == [("succeeded", "verified")]
    assert gateway.seen == ["POST https://test.example/notify", "DELETE a%2F7"]
    assert gateway.there == set()


async def test_what_does_not_work_when_it_is_done_is_not_fixed_whatever_the_evidence_says(
    stage: Stage, gateway: Gateway
) -> None:
    gateway.takes = 503
    await played(stage, gateway)
    assert await stage.ends() == [("failed", "not_fixed")]
    assert gateway.seen == ["POST https://test.example/notify"], "it is sent once, and there is nothing to take away"


async def test_the_next_attempt_is_made_when_it_does_not_work(stage: Stage, gateway: Gateway) -> None:
    gateway.takes = 500
    attempts = [
        {"name": "restart", "steps": [{"action": "rollout_restart"}]},
        {"name": "more", "steps": [{"action": "scale", "with": {"replicas": 3}}]},
    ]
    entries = await played(stage, gateway, scenarios=[{"name": "only", "otherwise": True, "try": attempts}])
    assert [entry.text for entry in entries if entry.kind == kinds.TRYING] == ["trying: restart", "trying: more"]
    assert len(gateway.seen) == 2
    assert (await stage.ends())[0][0] != "succeeded"


async def test_what_could_not_be_taken_away_is_told(stage: Stage, gateway: Gateway) -> None:
    gateway.lets_go = 500
    entries = await played(stage, gateway)
    assert await stage.ends() == [("succeeded", "verified")]
    assert any("what it made is still there: 500" in entry.text for entry in entries)


@pytest.mark.parametrize("mode", ["observe", "approve"])
async def test_nothing_is_tried_before_anything_may_be_made(stage: Stage, gateway: Gateway, mode: str) -> None:
    """Fault 70: it is planned with the rest."""
    entries = await played(stage, gateway, mode=mode)
    assert gateway.seen == []
    planned = [entry.text for entry in entries if entry.kind == kinds.PLANNED]
    assert any(f"try POST http://{gateway.host}/subscriptions" in text for text in planned)


async def test_what_was_well_without_us_is_not_healed_by_a_probe(stage: Stage, gateway: Gateway) -> None:
    steps = [{"action": "scale", "with": {"replicas": 2}}]
    await played(stage, gateway, scenarios=[{"name": "only", "otherwise": True, "steps": steps}])
    assert await stage.ends() == [("succeeded", "nothing_to_do")]
    assert gateway.there == set()
