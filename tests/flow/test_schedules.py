"""What runs by the clock, as time lines: on a real Redis, with several processes' clocks and one cluster."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.engine.schedules import Schedules
from bridge.model.mode import Mode
from tests.support.redis import RedisServer
from tests.support.stage import Stage

HOUR = 3600.0


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop", replicas=2))
        stage.clock.jump(HOUR - time.time() % HOUR + 60)
        stage.configure(schedules=[hourly()])
        yield stage


def hourly(**more: Any) -> dict[str, Any]:
    labels = {"namespace": "shop", "deployment": "web"}
    return {"name": "sweep", "cron": "0 * * * *", "runbook": "test/restart", "labels": labels, "mode": "auto", **more}


_names = itertools.count()


def process(stage: Stage) -> Schedules:
    """The clock of one more process."""
    stores = stage.stores
    return Schedules(
        lambda: stage._configuration.schedules,
        name=f"process-{next(_names)}",
        intake=stores.intake,
        guardbook=stores.guardbook,
        audit=stores.audit,
        clock=stage.clock,
        metrics=stage.metrics,
    )


async def passes(stage: Stage, seconds: float, *processes: Schedules) -> None:
    """Time goes by for these processes, and what became due is done."""
    for _ in range(round(seconds / 1800)):
        stage.clock.jump(1800)
        for each in processes:
            await each.look()
        await stage.settle()


async def missed(stage: Stage) -> list[str]:
    now = stage.clock.now()
    trail = [each.note async for each in stage.stores.audit.read(since=now - 90 * HOUR, until=now + HOUR)]
    return [note.text for note in trail if note is not None and note.what == "missed"]


async def test_each_due_run_is_made_once_whatever_the_number_of_processes(stage: Stage) -> None:
    several = [process(stage) for _ in range(3)]
    for each in several:
        await each.look()
    await stage.settle()
    assert await stage.runs() == [], "what was never run is not late"
    await passes(stage, 5 * HOUR, *several)
    runs = await stage.runs()
    assert [run.outcome.value for run in runs if run.outcome] == ["succeeded"] * 5
    made = runs[0].remediation
    assert (made.route, made.requested_by, made.mode) == ("schedule:sweep", "schedule:sweep", Mode.AUTO)
    assert [round(run.remediation.started_at) % 3600 for run in runs] == [0] * 5
    assert (
        'alertbridge_schedule_runs_total{outcome="succeeded",schedule="sweep"} 5.0'
        in stage.metrics.render()[0].decode()
    )


async def test_a_process_that_comes_while_another_dies_makes_what_that_one_left_and_nothing_twice(
    stage: Stage,
) -> None:
    first = process(stage)
    await first.look()
    await passes(stage, HOUR, first)
    # The first one dies; 20 minutes after the next due time another one is there.
    stage.clock.jump(HOUR + 1200)
    second = process(stage)
    await second.look()
    await stage.settle()
    await passes(stage, HOUR, second, process(stage))
    assert len(await stage.runs()) == 3
    assert await missed(stage) == []


async def test_what_nobody_was_there_for_is_made_late_within_its_bound_and_else_left_out_with_a_record(
    stage: Stage,
) -> None:
    stage.configure(schedules=[hourly(late="10m")])
    first = process(stage)
    await first.look()
    await passes(stage, HOUR, first)
    stage.clock.jump(2 * HOUR + 1800)
    several = [process(stage), process(stage)]
    for each in several:
        await each.look()
    await stage.settle()
    assert len(await stage.runs()) == 1
    (told,) = await missed(stage)
    assert "nobody was there within 10 min: it is left out" in told
    assert 'alertbridge_schedule_missed_total{schedule="sweep"} 1.0' in stage.metrics.render()[0].decode()
    await passes(stage, HOUR, *several)
    assert len(await stage.runs()) == 2


async def test_it_goes_no_further_than_it_says(stage: Stage) -> None:
    """Fault 70."""
    stage.configure(schedules=[hourly(mode="observe")])
    clock = process(stage)
    await clock.look()
    await passes(stage, 2 * HOUR, clock)
    assert await stage.ends() == [("observed", "observe_only")] * 2
    assert stage.writes == []


async def test_a_pause_holds_for_what_is_due_too(stage: Stage) -> None:
    clock = process(stage)
    await clock.look()
    await stage.pause()
    await passes(stage, HOUR, clock)
    assert stage.writes == []
    await stage.resume()
    await stage.settle()
    assert (await stage.ends())[-1] == ("succeeded", "verified")
