"""All workers down for six hours, as time lines on a real Redis and a simulated cluster (fault 69)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.engine.lease import Lease
from bridge.model import kinds
from bridge.stores import Link, connect
from tests.flow.test_words import ROLLOUT, VERIFY, broken_release
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

HOUR = 3600.0
SCALE = {"action": "scale", "with": {"replicas": 3}}
TWO = runbook(
    "test/two-steps",
    evidence=ROLLOUT,
    scenarios=[
        {
            "name": "a release that does not come up",
            "when": "!evidence.rollout.complete",
            "steps": [
                {
                    "action": "set_env",
                    "with": {"set": {"LOG_LEVEL": "debug"}},
                    "verify_within": "1s",
                    "on_failed": "continue",
                },
                SCALE,
            ],
        }
    ],
    verify=VERIFY,
)
LATER = runbook(
    "test/later",
    evidence=ROLLOUT,
    scenarios=[{"name": "later", "otherwise": True, "steps": [{"wait": {"for": "2h"}}, SCALE]}],
    verify=VERIFY,
)


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    alerts = {
        "WebDown": {"runbook": "test/two-steps", "mode": "auto"},
        "Later": {"runbook": "test/later", "mode": "auto"},
    }
    async with Stage.open(redis_server, tmp_path, runbooks_too=[TWO, LATER], alerts=alerts) as stage:
        broken_release(stage)
        yield stage


class Gone(BaseException):
    """The process is gone."""


async def dies_after_its_first_step(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker makes the first of two steps and dies; there is no other."""
    append = type(stage.stores.journal).append

    async def appended(journal: Any, claim: Any, entry: Any, **more: Any) -> None:
        await append(journal, claim, entry, **more)
        if entry.kind == kinds.APPLIED:
            raise Gone

    await stage.dispatch()
    claim = await stage.stores.work.claim("dead", block=0.0)
    assert claim is not None
    lease = Lease(claim, stage.stores.work, stage.clock, seconds=1e9, stopping=asyncio.Event())
    with monkeypatch.context() as patched:
        patched.setattr(type(stage.stores.journal), "append", appended)
        with pytest.raises(Gone):
            await stage._worker._work(lease)
    assert len(stage.writes) == 1


async def taken_over(stage: Stage) -> list[str]:
    """Another worker takes it up; return what it said of the time in between."""
    impatient = connect(Link(msgspec.structs.replace(stage._link.options, claim=0.02)))
    claim = None
    while claim is None:
        await asyncio.sleep(0.03)
        claim = await impatient.work.reclaim("late")
    await impatient.close()
    lease = Lease(claim, stage.stores.work, stage.clock, seconds=1e9, stopping=asyncio.Event())
    await stage._worker._work(lease)
    await stage.settle()
    for _ in range(10):
        await stage.advance(10.0)
    entries = await stage.stores.journal.read(claim.remediation)
    return [entry.text for entry in entries if entry.kind == kinds.LOOKED_AGAIN]


async def made(stage: Stage) -> list[str]:
    """Return the actions of the first run that changed something; what was put back after is left out."""
    run = (await stage.runs())[0].remediation.id
    entries = await stage.stores.journal.read(run)
    return [entry.text.split(" ")[0] for entry in entries if entry.kind == kinds.APPLIED and entry.data["wrote"]]


async def test_the_second_step_of_a_run_is_not_made_when_a_person_has_mended_it_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 69."""
    await stage.fire("WebDown", deployment="web")
    await dies_after_its_first_step(stage, monkeypatch)
    web = stage.cluster.get("deployments.apps", "shop", "web")
    assert web is not None
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/web:1"
    stage.cluster.apply(web)
    stage.clock.jump(6 * HOUR)
    (text,) = await taken_over(stage)
    assert "nobody worked on it for 360 min" in text
    assert "does not apply any more" in text
    assert len(stage.writes) == 1
    assert await stage.ends() == [("succeeded", "verified")]
    (reason,) = (await stage.reasons("WebDown", deployment="web"))[1:]
    assert reason == "verified"


async def test_what_still_needs_it_gets_its_second_step_six_hours_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 69."""
    await stage.fire("WebDown", deployment="web")
    await dies_after_its_first_step(stage, monkeypatch)
    stage.clock.jump(6 * HOUR)
    (text,) = await taken_over(stage)
    assert text.endswith("what called for it is still so")
    assert len(await made(stage)) == 2


async def test_a_wait_that_the_runbook_asks_for_does_not_make_a_run_out_of_date(stage: Stage) -> None:
    await stage.fire("Later", deployment="web")
    await stage.settle()
    for _ in range(20):
        await stage.advance(500.0)
    assert await made(stage) == ["scale"], await stage.ends()
