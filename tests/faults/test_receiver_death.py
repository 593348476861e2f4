"""A receiver that dies with a webhook in its hands. The sender is the real Alertmanager, which tries again.

Between the receiver and its Redis is a line with valves, so that the moment of death is the one that is meant.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.alertmanager import start_alertmanager
from tests.support.installation import SENDER, Installation, start_redis
from tests.support.processes import Processes, free_port, until
from tests.support.valve import open_valve
from tests.support.workshop import Workshop, open_workshop

LABELS = {"alertname": "GatewayDown", "namespace": "shop", "deployment": "web"}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


@pytest.mark.parametrize("stored", [False, True], ids=["before the enqueue", "between the enqueue and the answer"])
async def test_a_webhook_whose_receiver_dies_comes_again_and_makes_one_remediation(
    processes: Processes, shop: Workshop, stored: bool
) -> None:
    """Faults 1 and 2: receiver killed (-9) before the enqueue, and between the enqueue and the answer."""
    redis = await start_redis(processes)
    port = free_port()
    async with open_valve(redis.port) as valve:
        installation = Installation(processes, kubernetes=shop.url)
        # Slow to give up on Redis, so that it is the kill that ends the wait.
        installation.settings["redis"] = {"url": f"redis://127.0.0.1:{valve.port}", "deadline": "20s"}
        first = await installation.start(port=port)
        # The first call of a script is answered "unknown" by Redis; the one that matters must not be that one.
        await first.fire("Watchdog")
        alertmanager = await start_alertmanager(processes, f"{first.url}/webhook", token=SENDER)
        valve.trap(LABELS["alertname"].encode(), arrives=stored)
        await alertmanager.fire(LABELS)
        await asyncio.wait_for(valve.held.wait(), 10)
        first.process.kill()
        second = await installation.start(port=port)

        async def came_again() -> bool:
            return await second.figure("alertbridge_webhooks_total", code="200") == 1

        await until(came_again, what="the webhook coming again")
        done = await second.outcome(seconds=20)
        assert done["outcome"] == "succeeded", done["detail"]
        assert await second.figure("alertbridge_alerts_total", seen="duplicate" if stored else "new") == 1
        assert len(await second.remediations()) == 1
    assert len(shop.proxy.applied()) == 1


async def test_an_answered_alert_outlives_its_receiver_because_another_process_works_on_it(
    processes: Processes, shop: Workshop
) -> None:
    """Our promise: an alert that was answered 2xx survives the death of the process that took it."""
    redis = await start_redis(processes)
    installation = Installation(processes, kubernetes=shop.url, redis=redis.url)
    receiver, worker = await asyncio.gather(installation.start("serve"), installation.start("worker"))
    assert (await worker.request("POST", "/webhook", {}))[0] == 404
    shop.proxy.hold_late = 1
    await receiver.fire("GatewayDown", namespace="shop", deployment="web")
    receiver.process.kill()
    shop.proxy.pass_late.set()
    done = await worker.outcome()
    assert done["outcome"] == "succeeded", done["detail"]
    assert len(shop.proxy.applied()) == 1


async def test_an_answered_alert_outlives_a_kill_of_the_only_process_and_its_private_redis(
    processes: Processes, shop: Workshop
) -> None:
    """Our promise, on one machine: the next start finds everything in the data directory."""
    installation = Installation(processes, kubernetes=shop.url)
    try:
        first = await installation.start()
        await first.fire("GatewayDown", namespace="shop", deployment="web")
        first.process.kill()
        installation.end_private_redis()
        second = await installation.start()
        done = await second.outcome()
        assert done["outcome"] == "succeeded", done["detail"]
        assert len(shop.proxy.applied()) == 1
    finally:
        installation.end_private_redis()
