"""Workers that die while, and after, people are asked. Real processes, a real Redis, the page and the API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support.installation import OPERATOR, Installation, Server, holder_of, start_redis
from tests.support.processes import Processes, until
from tests.support.workshop import Workshop, open_workshop

WEB = {"namespace": "shop", "deployment": "web"}
ALERTS = {"GatewayDown": {"runbook": "test/restart", "mode": "approve"}}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


async def parked(server: Server) -> str:
    """Wait until the only remediation waits for people; return its id."""
    found: list[dict[str, Any]] = []

    async def waits() -> bool:
        found[:] = await server.remediations()
        return bool(found) and found[0]["state"] == "parked"

    await until(waits, what="the question")
    assert found[0]["reason"] == "approval_needed"
    return str(found[0]["id"])


async def test_a_question_outlives_every_process_and_its_answer_the_worker_that_acts_on_it(
    processes: Processes, shop: Workshop
) -> None:
    """Faults 3 and 4, with a person in between: asked once, answered once, made once."""
    redis = await start_redis(processes)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, alerts=ALERTS)
    first = await installation.start()
    await first.fire("GatewayDown", **WEB)
    run = await parked(first)
    assert shop.proxy.mutating() == []
    first.process.kill()

    servers = await installation.start_some(2)
    shop.proxy.hold_before = 1
    said = await servers[0].post(f"/api/v1/remediations/{run}/approve", {"why": "go on"})
    assert (said["agreed"], said["needed"]) == (1, 1)
    await shop.proxy.holds()
    holder = await holder_of(servers)
    holder.process.kill()
    left = next(server for server in servers if server is not holder)
    done = await left.outcome()
    assert done["outcome"] == "succeeded", done["detail"]
    assert len(shop.proxy.applied()) == 1
    kinds = [entry["kind"] for entry in await left.journal(run)]
    assert (kinds.count("asked"), kinds.count("answered"), kinds.count("approved")) == (1, 1, 1)


async def test_questions_and_answers_outlive_redis_and_a_reload(processes: Processes, shop: Workshop) -> None:
    """Fault 6, with a person in between: Redis is killed with a question open, and once more after the answer."""
    redis = await start_redis(processes)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, alerts=ALERTS)
    server = await installation.start()
    await server.fire("GatewayDown", **WEB)
    run = await parked(server)
    question = (await server.get(f"/api/v1/remediations/{run}"))["question"]

    redis.process.kill()
    away, _ = await server.request("POST", f"/api/v1/remediations/{run}/approve", {"plan": question["plan"]})
    assert away == 503, "not confirmed is not taken"
    redis = await start_redis(processes, port=redis.port)
    await server.post("/-/reload")
    assert (await server.get(f"/api/v1/remediations/{run}"))["question"] == question
    assert shop.proxy.mutating() == []

    shop.proxy.hold_late = 1
    await server.post(f"/api/v1/remediations/{run}/approve", {"plan": question["plan"]})
    await shop.proxy.holds()
    redis.process.kill()
    await start_redis(processes, port=redis.port)
    shop.proxy.pass_late.set()
    done = await server.outcome(seconds=30)
    assert done["outcome"] == "succeeded", done["detail"]
    assert len(shop.proxy.applied()) == 1
    kinds = [entry["kind"] for entry in await server.journal(run)]
    assert (kinds.count("asked"), kinds.count("answered"), kinds.count("approved")) == (1, 1, 1)


async def test_a_worker_killed_between_the_answer_and_the_first_write_costs_nobody_a_second_answer(
    processes: Processes, shop: Workshop
) -> None:
    """It dies while it looks again at what was agreed to; another worker goes by the same answer."""
    redis = await start_redis(processes)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url, alerts=ALERTS)
    servers = await installation.start_some(2)
    await servers[0].fire("GatewayDown", **WEB)
    run = await parked(servers[0])
    # The next look at the target is the one after the answer.
    shop.proxy.hold_late, shop.proxy.late_path = 1, "/deployments/web"
    await servers[0].post(f"/api/v1/remediations/{run}/approve")
    await shop.proxy.holds()
    holder = await holder_of(servers)
    holder.process.kill()
    shop.proxy.pass_late.set()
    left = next(server for server in servers if server is not holder)
    done = await left.outcome()
    assert done["outcome"] == "succeeded", done["detail"]
    assert len(shop.proxy.applied()) == 1
    kinds = [entry["kind"] for entry in await left.journal(run)]
    assert (kinds.count("asked"), kinds.count("answered"), kinds.count("approved")) == (1, 1, 1)
    assert kinds.index("answered") < kinds.index("applying")


async def test_a_link_shows_the_plan_and_its_form_acts_with_an_operators_token_alone(
    processes: Processes, shop: Workshop
) -> None:
    redis = await start_redis(processes)
    server = await Installation(processes, kubernetes=shop.url, redis=redis.url, alerts=ALERTS).start()
    await server.fire("GatewayDown", **WEB)
    run = await parked(server)
    origin = {"Origin": server.url}
    async with aiohttp.ClientSession() as browser:
        async with browser.get(f"{server.url}/r/{run}") as answer:
            assert answer.status == 401
        link, look = f"{server.url}/r/{run}", {"do": "look", "token": OPERATOR}
        async with browser.post(link, headers=origin, data=look) as page:
            text = await page.text()
        found = re.search(r'name="plan" value="([0-9a-f]{16})"', text)
        assert found, text
        form = {"do": "approve", "plan": found[1], "token": OPERATOR, "why": "seen"}
        async with browser.post(link, headers={"Origin": "http://evil.example"}, data=form) as evil:
            assert evil.status == 403
        assert shop.proxy.mutating() == []
        async with browser.post(link, headers=origin, data=form) as good:
            assert good.status == 200
    assert (await server.outcome())["outcome"] == "succeeded"
    undone = await server.post(f"/api/v1/remediations/{run}/undo", {"why": "was not it"})
    again = await server.post(f"/api/v1/remediations/{run}/undo")
    assert (again["undo"], again["again"]) == (undone["undo"], True)
    _, back = await server.finished(2)
    assert back["outcome"] == "undone", back["detail"]
