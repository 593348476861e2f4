"""What happens to the world while a remediation writes or verifies: a reload, a resolve that is not true."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from tests.support.installation import Installation, runbook
from tests.support.processes import Processes, until
from tests.support.workshop import Workshop, open_workshop

WEB = {"namespace": "shop", "deployment": "web"}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


async def test_a_reload_in_mid_action_leaves_the_old_plan_to_be_completed(
    processes: Processes, shop: Workshop
) -> None:
    """Fault 60: the run keeps the configuration of its creation; the next one has the new one."""
    restart_only = runbook("test/mend")
    installation = Installation(
        processes,
        kubernetes=shop.url,
        alerts={"GatewayDown": {"runbook": "test/mend", "mode": "auto", "cooldown": "0s"}},
        runbooks=[restart_only],
    )
    try:
        server = await installation.start()
        slow = shop.proxy.faults.delay(1.5, method="PATCH")
        first = await server.fire("GatewayDown", **WEB)

        async def writing() -> bool:
            return slow.hits == 1

        await until(writing, what="the write")
        scale = {"action": "scale", "with": {"replicas": 2}, "verify_within": "20s"}
        changed = {**restart_only, "scenarios": [{"name": "more", "otherwise": True, "steps": [scale]}]}
        installation.write_runbook(changed)
        await server.post("/-/reload")
        done = await server.outcome()
        assert done["outcome"] == "succeeded", done["detail"]
        assert shop.restarts("web") == 1
        assert shop.get("web")["spec"]["replicas"] == 1
        await server.resolve("GatewayDown", starts_at=time.time() - 60, **WEB)
        await server.decided(first, "resolved")
        await server.fire("GatewayDown", starts_at=time.time() + 1, **WEB)
        both = await server.finished(2)
        assert both[1]["outcome"] == "succeeded", both[1]["detail"]
        assert shop.get("web")["spec"]["replicas"] == 2
        assert shop.restarts("web") == 1
    finally:
        installation.end_private_redis()


async def test_a_bad_configuration_in_mid_action_is_refused_and_the_run_goes_on(
    processes: Processes, shop: Workshop
) -> None:
    """Faults 59 and 60."""
    installation = Installation(processes, kubernetes=shop.url)
    try:
        server = await installation.start()
        shop.proxy.faults.delay(1.0, method="PATCH")
        await server.fire("GatewayDown", **WEB)
        installation.write_runbook({"name": "test/restart", "summary": "has no target"})
        status, problem = await server.request("POST", "/-/reload")
        assert status == 422
        assert "test-restart.yml" in str(problem)
        done = await server.outcome()
        assert done["outcome"] == "succeeded", done["detail"]
        assert await server.figure("alertbridge_configuration_last_reload_successful") == 0
    finally:
        installation.end_private_redis()


async def test_a_resolve_in_mid_action_ends_nothing_halfway_and_a_new_firing_joins_what_is_under_way(
    processes: Processes, shop: Workshop
) -> None:
    """Fault 53: a false resolve in mid-action; what is begun is carried to its proof, and nothing is done twice."""
    installation = Installation(processes, kubernetes=shop.url, skew_window="1s")
    try:
        server = await installation.start()
        slow = shop.proxy.faults.delay(1.0, method="PATCH")
        began = time.time()
        fingerprint = await server.fire("GatewayDown", starts_at=began, **WEB)

        async def writing() -> bool:
            return slow.hits == 1

        await until(writing, what="the write")
        await server.resolve("GatewayDown", starts_at=began, **WEB)
        await server.decided(fingerprint, "resolved")
        await server.fire("GatewayDown", starts_at=time.time() + 0.5, **WEB)
        await server.decided(fingerprint, "joined")
        done = await server.outcome()
        assert done["outcome"] == "succeeded", done["detail"]
        assert len(done["incidents"]) == 2
        assert len(shop.proxy.applied()) == 1
    finally:
        installation.end_private_redis()
