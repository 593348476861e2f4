"""A page that is held while a whole alertbridge repairs: a real Alertmanager that sends it the alert and keeps the
silence, from the first write to the end that nobody sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from bridge.model.alert import fingerprint
from tests.support.alertmanager import start_alertmanager
from tests.support.installation import RESTART, SENDER, Installation, Server, runbook, start_redis
from tests.support.processes import Processes, free_port, until
from tests.support.workshop import Workshop, open_workshop

LABELS = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "web"}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


async def silences(url: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v2/silences") as response:
        return [each for each in await response.json() if each["status"]["state"] == "active"]


async def closed(server: Server) -> bool:
    incidents = (await server.explain(fingerprint(LABELS)))["incidents"]
    return bool(incidents) and all(each["state"] == "closed" for each in incidents)


async def test_a_silence_stands_while_it_repairs_and_the_end_that_it_hides_is_read(
    processes: Processes, shop: Workshop
) -> None:
    port = free_port()
    alertmanager = await start_alertmanager(processes, f"http://127.0.0.1:{port}/webhook", token=SENDER)
    settings = {"url": alertmanager.url, "hold_page": {"for": "1m", "at_most": "5m"}}
    installation = Installation(processes, kubernetes=shop.url, alertmanager=settings)
    try:
        server = await installation.start(port=port)
        shop.proxy.hold_late = 1
        start = datetime.now(UTC)
        await alertmanager.fire(LABELS, starts_at=start)
        await shop.proxy.holds()

        async def held() -> bool:
            return bool(await silences(alertmanager.url))

        await until(held, seconds=20, what="the silence")
        (silence,) = await silences(alertmanager.url)
        assert {each["name"]: each["value"] for each in silence["matchers"]} == LABELS
        shop.proxy.pass_late.set()
        done = await server.outcome()
        assert done["outcome"] == "succeeded", done["detail"]
        assert done["id"] in silence["comment"]

        # It resolves under the silence: Alertmanager tells nobody.
        await alertmanager.resolve(LABELS, starts_at=start)
        await until(lambda: closed(server), seconds=30, what="the incident's end")
        assert await server.figure("alertbridge_page_holds_total", result="resolve_read") == 1

        async def lifted() -> bool:
            return not await silences(alertmanager.url)

        await until(lifted, seconds=20, what="the silence's end")
    finally:
        installation.end_private_redis()


async def test_another_process_lifts_the_silence_of_one_that_died(processes: Processes, shop: Workshop) -> None:
    """Fault 3: the process that made it and repairs is killed (-9) in mid-write; its repair fails in another one."""
    port = free_port()
    alertmanager = await start_alertmanager(processes, f"http://127.0.0.1:{port}/webhook", token=SENDER)
    redis = await start_redis(processes)
    settings = {"url": alertmanager.url, "hold_page": {"for": "10m", "at_most": "15m"}}
    never = runbook(
        "test/restart", verify={**RESTART["verify"], "fixed": "evidence.rollout.revision > 50", "within": "2s"}
    )
    installation = Installation(
        processes, kubernetes=shop.url, redis=redis.url, alertmanager=settings, runbooks=[never]
    )
    first = await installation.start(port=port)
    shop.proxy.hold_before = 1
    await alertmanager.fire(LABELS, starts_at=datetime.now(UTC))
    await shop.proxy.holds()

    async def held() -> bool:
        return bool(await silences(alertmanager.url))

    await until(held, seconds=20, what="the silence")
    first.process.kill()
    second = await installation.start()
    done = await second.outcome()
    assert done["outcome"] == "failed", done["detail"]

    async def lifted() -> bool:
        return not await silences(alertmanager.url)

    await until(lifted, seconds=20, what="the silence's end")
    assert await second.figure("alertbridge_page_holds_total", result="lifted") == 1
