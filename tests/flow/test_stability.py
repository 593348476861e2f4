"""Temporary changes when their alert resolves, and when it fires again: `hold`, `until` and the time in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.demo.workloads import deployment
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0


def debug(name: str, until: str, hold: str | None = None) -> dict[str, object]:
    step: dict[str, object] = {"action": "set_env", "with": {"set": {"LOG_LEVEL": "debug"}}, "until": until}
    return runbook(
        name, scenarios=[{"name": "on", "otherwise": True, "steps": [{**step, **({"hold": hold} if hold else {})}]}]
    )


ALERTS = {
    "Loud": {"runbook": "test/loud", "mode": "auto", "cooldown": "1m"},
    "Held": {"runbook": "test/held", "mode": "auto", "cooldown": "1m"},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    books = [debug("test/loud", "2h"), debug("test/held", "2h", "45m")]
    async with Stage.open(redis_server, tmp_path, runbooks_too=books, alerts=ALERTS) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def fire(stage: Stage, name: str) -> None:
    await stage.fire(name, deployment="web")
    await stage.settle()


async def resolve(stage: Stage, name: str) -> None:
    await stage.resolve(name, deployment="web")
    await stage.settle()


def on(stage: Stage) -> bool:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return bool(found["spec"]["template"]["spec"]["containers"][0].get("env"))


async def test_what_is_temporary_ends_a_quarter_of_an_hour_after_the_resolve(stage: Stage) -> None:
    await fire(stage, "Loud")
    await stage.advance(5 * MINUTE)
    await resolve(stage, "Loud")
    await stage.advance(14 * MINUTE)
    assert on(stage)
    await stage.advance(2 * MINUTE)
    assert not on(stage)
    assert (await stage.ends())[-1] == ("undone", "temporary_ended")
    first = (await stage.runs())[0].remediation.id
    told = [entry.text for entry in await stage.stores.journal.read(first) if entry.kind == "stability"]
    assert told == ["every alert resolved: what is temporary is put back in 15 min"]


async def test_firing_again_stops_that_clock(stage: Stage) -> None:
    await fire(stage, "Loud")
    await resolve(stage, "Loud")
    await stage.advance(10 * MINUTE)
    await fire(stage, "Loud")
    await stage.advance(30 * MINUTE)
    assert on(stage)
    await stage.advance(85 * MINUTE)
    assert not on(stage), "no longer than `until` all the same"


async def test_hold_is_kept_also_when_all_is_well_before(stage: Stage) -> None:
    await fire(stage, "Held")
    await resolve(stage, "Held")
    await stage.advance(40 * MINUTE)
    assert on(stage)
    await stage.advance(6 * MINUTE)
    assert not on(stage)


async def test_firing_again_after_the_undo_goes_to_a_person_and_not_round(stage: Stage) -> None:
    await fire(stage, "Loud")
    await resolve(stage, "Loud")
    await stage.advance(16 * MINUTE)
    assert not on(stage)
    await fire(stage, "Loud")
    assert (await stage.ends())[-1] == ("denied", "fires_again")
    assert (await stage.runs())[-1].escalated
    assert not on(stage)


async def test_an_alert_that_flaps_after_the_undo_tells_a_person_once(stage: Stage) -> None:
    await fire(stage, "Loud")
    await resolve(stage, "Loud")
    await stage.advance(16 * MINUTE)
    for _ in range(4):
        await fire(stage, "Loud")
        await resolve(stage, "Loud")
        await stage.advance(3 * MINUTE)
    denied = [view for view in await stage.runs() if view.reason == "fires_again"]
    assert [view.escalated for view in denied] == [True, False, False, False]
    assert not on(stage)


async def test_another_day_it_may_help_again(stage: Stage) -> None:
    await fire(stage, "Loud")
    await resolve(stage, "Loud")
    await stage.advance(16 * MINUTE)
    await stage.advance(8 * 60 * MINUTE)
    await fire(stage, "Loud")
    assert (await stage.ends())[-1] == ("succeeded", "verified")
