"""Temporary changes as time lines: on for a while, and off again by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.model.remediation import State
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
DEBUG = {
    "name": "test/debug",
    "summary": "Write more of a log for a while.",
    "target": {"kind": "Deployment", "namespace": "${labels.namespace}", "name": "${labels.deployment}"},
    "scenarios": [
        {
            "name": "debug",
            "otherwise": True,
            "steps": [
                {"action": "set_env", "with": {"set": {"LOG_LEVEL": "debug"}}, "until": "15m", "hold": "5m"},
            ],
        }
    ],
}
ALERTS = {
    "TooQuiet": {"runbook": "test/debug", "mode": "auto"},
    "WebDown": {"runbook": "test/restart", "mode": "auto"},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path) as stage:
        stage.write_runbook(DEBUG)
        stage.configure(alerts=ALERTS)
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


def env(stage: Stage) -> list[dict[str, Any]]:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return list(found["spec"]["template"]["spec"]["containers"][0].get("env") or [])


def set_env(stage: Stage, value: str) -> None:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    found["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "LOG_LEVEL", "value": value}]
    stage.cluster.apply({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})


async def test_debug_logging_is_off_again_by_itself_after_a_quarter_of_an_hour(stage: Stage) -> None:
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert env(stage) == [{"name": "LOG_LEVEL", "value": "debug"}]

    await stage.advance(14 * MINUTE)
    assert env(stage) == [{"name": "LOG_LEVEL", "value": "debug"}]
    await stage.advance(1 * MINUTE)
    assert env(stage) == []
    assert await stage.ends() == [("succeeded", "verified"), ("undone", "temporary_ended")]
    on, off = await stage.runs()
    assert off.remediation.undo_of == on.remediation.id
    assert off.remediation.labels == on.remediation.labels
    assert not off.escalated

    await stage.advance(60 * MINUTE)
    assert len(await stage.runs()) == 2, "once"


async def test_what_somebody_set_meanwhile_stays_and_a_person_is_told(stage: Stage) -> None:
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    set_env(stage, "trace")
    await stage.advance(16 * MINUTE)
    assert env(stage) == [{"name": "LOG_LEVEL", "value": "trace"}]
    assert (await stage.ends())[-1] == ("failed", "undo_refused")
    off = (await stage.runs())[-1]
    assert off.escalated
    assert "deployment/shop/web" in off.detail
    assert "somebody changed it since" in off.detail


async def test_other_runbooks_of_the_target_run_while_it_waits(stage: Stage) -> None:
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    await stage.advance(MINUTE)
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified"), ("succeeded", "verified")]
    await stage.advance(15 * MINUTE)
    assert env(stage) == []
    assert (await stage.ends())[-1] == ("undone", "temporary_ended")


async def test_what_was_due_while_the_workers_were_down_is_undone_when_one_is_back(stage: Stage) -> None:
    """Fault 69."""
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    stage.clock.jump(6 * 60 * MINUTE)
    assert env(stage) != []
    await stage.settle()
    assert env(stage) == []
    assert (await stage.ends())[-1] == ("undone", "temporary_ended")


async def test_a_pause_puts_the_end_off_and_a_resume_brings_it(stage: Stage) -> None:
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    await stage.pause()
    await stage.advance(20 * MINUTE)
    assert env(stage) != []
    assert (await stage.runs())[-1].state is State.PARKED
    await stage.resume()
    await stage.advance(5 * MINUTE)
    assert env(stage) == []
    assert (await stage.ends())[-1] == ("undone", "temporary_ended")


async def test_an_alert_that_fires_again_meanwhile_changes_nothing_about_the_end(stage: Stage) -> None:
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    await stage.resolve("TooQuiet", deployment="web")
    await stage.advance(11 * MINUTE)
    await stage.fire("TooQuiet", deployment="web")
    await stage.settle()
    assert (await stage.ends())[-1] == ("succeeded", "nothing_to_do")
    await stage.advance(5 * MINUTE)
    assert env(stage) == []
