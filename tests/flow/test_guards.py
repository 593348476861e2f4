"""The guards, told as time lines on a real Redis and a simulated cluster."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.engine.lease import Lease
from bridge.model.reason import Reason
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

HOUR = 3600.0
AUTO: dict[str, Any] = {"runbook": "test/restart", "mode": "auto"}
NO_BUDGET: dict[str, Any] = {"cluster": {}, "namespace": {}, "halt_after": None}
OFTEN = {**AUTO, "cooldown": "0s", "max_attempts": 500}


def up(stage: Stage, *names: str) -> None:
    """Have deployments of which every pod is ready."""
    for name in names:
        manifest = deployment(name, f"registry.example/{name}:1", namespace="shop")
        # One pod each: the simulated nodes have room for all.
        manifest["spec"]["replicas"] = 1
        stage.cluster.apply(manifest)
    stage.clock.jump(20)


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, alerts={"WebDown": AUTO}) as stage:
        up(stage, "web")
        yield stage


async def all_at_once(stage: Stage) -> None:
    """Dispatch, and let a worker for each remediation go at the same time."""
    while (await stage.stores.work.depth())["intake"]:
        await stage.dispatch()
    claims = []
    while (claim := await stage.stores.work.claim(f"w{len(claims)}", block=0.0)) is not None:
        claims.append(claim)
    leases = [Lease(each, stage.stores.work, stage.clock, seconds=1e9, stopping=asyncio.Event()) for each in claims]
    await asyncio.gather(*(stage._worker._work(lease) for lease in leases))


async def test_forty_alerts_at_once_disturb_no_more_than_the_budget_and_the_rest_follow_when_it_has_room(
    stage: Stage,
) -> None:
    """Fault 65."""
    budgets = {"window": "6h", "namespace": {"targets": 5}, "cluster": {"targets": 8}, "halt_after": None}
    stage.configure(alerts={"WebDown": AUTO}, budgets=budgets)
    names = [f"app-{number}" for number in range(40)]
    up(stage, *names)
    start = stage.clock.now()
    for name in names:
        await stage.fire("WebDown", deployment=name, starts_at=start)
    await all_at_once(stage)
    # They share a clock that jumps: whether each one's proof comes in its time is not what this is about.
    deferred = [run for run in await stage.runs() if run.reason == "budget_spent"]
    assert (len(await stage.runs()), len(deferred), len(stage.writes)) == (40, 35, 5)
    assert not any(run.escalated for run in deferred)
    why = await stage.reasons("WebDown", deployment=names[-1]) + await stage.reasons("WebDown", deployment=names[0])
    assert set(why) >= {"created", "budget_spent"}

    for window in (2, 3):
        await stage.advance(3 * HOUR)
        assert len(stage.writes) == 5 * (window - 1)
        await stage.advance(3.5 * HOUR)
        assert len(stage.writes) == 5 * window, "one window later there is room for as many again, and no more"


async def test_beyond_halt_after_everything_pauses_until_a_person_resumes(stage: Stage) -> None:
    """Fault 65."""
    budgets = {"namespace": {"targets": 3}, "cluster": {}, "halt_after": 6}
    stage.configure(alerts={"WebDown": AUTO}, budgets=budgets)
    names = [f"app-{number}" for number in range(12)]
    up(stage, *names)
    for name in names:
        await stage.fire("WebDown", deployment=name)
    await stage.settle()
    counted = Counter(reason for _, reason in await stage.ends())
    assert counted == {"verified": 3, "budget_spent": 3, "halted": 1, "paused": 5}
    (halted,) = [run for run in await stage.runs() if run.reason == "halted"]
    assert halted.escalated
    assert "until a person resumes" in halted.detail
    await stage.advance(5 * HOUR)
    assert len(stage.writes) == 3, "time alone ends no halt"
    await stage.resume()
    await stage.stores.intake_queue.wake([Reason.HALTED])
    await stage.settle()
    assert len(stage.writes) == 6


async def test_of_forty_at_once_one_pulls_the_brake_and_calls_one_person(stage: Stage) -> None:
    """Fault 65: those that were let in before the halt are stopped as well, without a page each."""
    budgets = {"namespace": {"targets": 3}, "cluster": {}, "halt_after": 6}
    stage.configure(alerts={"WebDown": AUTO}, budgets=budgets)
    names = [f"app-{number}" for number in range(40)]
    up(stage, *names)
    for name in names:
        await stage.fire("WebDown", deployment=name)
    await all_at_once(stage)
    assert len(stage.writes) <= 3
    counted = Counter(run.reason for run in await stage.runs())
    assert counted["halted"] == 1
    assert counted["paused"] >= 30
    assert [run.reason for run in await stage.runs() if run.escalated and run.reason != "not_fixed"] == ["halted"]


async def test_mending_what_is_down_costs_nothing_of_the_budget(stage: Stage) -> None:
    """Fault 65: a budget that is spent keeps nobody from mending what disturbs nobody any more."""
    budgets = {"namespace": {"targets": 0}, "cluster": {"targets": 0}, "halt_after": 1}
    stage.configure(alerts={"WebDown": AUTO}, budgets=budgets)
    for name in ("down-1", "down-2"):
        manifest = deployment(name, f"registry.example/{name}:1", namespace="shop")
        manifest["spec"]["template"]["spec"]["nodeSelector"] = {"disk": "none"}
        stage.cluster.apply(manifest)
    stage.clock.jump(10)
    await stage.fire("WebDown", deployment="down-1")
    await stage.fire("WebDown", deployment="down-2")
    await stage.settle()
    assert len(stage.writes) == 2
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    assert (await stage.ends())[-1] == ("denied", "budget_too_small")


async def test_remediation_that_fires_its_own_alert_ends_with_its_attempts_and_one_page(stage: Stage) -> None:
    """Fault 62: each restart makes another pod's alert fire, each with labels of its own."""
    trust = {"stop_after": None}
    stage.configure(alerts={"PodRestarted": OFTEN}, run_limits={"target": {"hour": 4}}, trust=trust)
    for fired in range(20):
        await stage.fire("PodRestarted", deployment="web", pod=f"web-{len(stage.writes)}-{fired}")
        await stage.settle()
        await stage.advance(20)
    assert len(stage.writes) == 4
    spent = [run for run in await stage.runs() if run.reason == "attempts_spent"]
    assert len(spent) == 16
    assert sum(run.escalated for run in spent) == 1
    assert "4 of 4 runs in an hour for this target" in spent[0].detail


async def test_an_alert_that_flaps_five_hundred_times_acts_a_few_times_and_pages_once(stage: Stage) -> None:
    """Fault 52."""
    stage.configure(alerts={"WebDown": AUTO}, run_limits={"alert": {"hour": 2, "day": 3}, "target": {}})
    for _ in range(500):
        await stage.fire("WebDown", deployment="web")
        await stage.settle()
        await stage.advance(4)
        await stage.resolve("WebDown", deployment="web")
        await stage.advance(4)
    # Over an hour and six minutes.
    assert 1 <= len(stage.writes) <= 3
    escalated = [run for run in await stage.runs() if run.escalated]
    assert len(escalated) <= 2
    assert all(run.reason == "attempts_spent" for run in escalated)


async def test_two_rules_for_one_target_act_one_after_the_other_and_within_its_cooldown(stage: Stage) -> None:
    """Fault 68."""
    stage.write_runbook(runbook("test/other"))
    alerts = {"WebDown": AUTO, "WebSlow": {**AUTO, "runbook": "test/other"}}
    stage.configure(alerts=alerts)
    await stage.fire("WebDown", deployment="web")
    await stage.fire("WebSlow", deployment="web")
    await stage.dispatch()
    first = await stage.stores.work.claim("w1", block=0.0)
    assert first is not None
    assert await stage.stores.work.claim("w2", block=0.0) is None, "the second waits behind the first"
    lease = Lease(first, stage.stores.work, stage.clock, seconds=1e9, stopping=asyncio.Event())
    await stage._worker._work(lease)
    await stage.settle()
    assert [outcome for outcome, _ in await stage.ends()] == ["succeeded"] * 2

    stage.configure(alerts=alerts, run_limits={"target": {"cooldown": "30m"}})
    await stage.advance(HOUR)
    await stage.fire("WebDown", deployment="web", pod="a")
    await stage.fire("WebSlow", deployment="web", pod="a")
    await stage.settle()
    assert (await stage.ends())[2:] == [("succeeded", "verified"), ("suppressed", "cooldown")]
    await stage.advance(HOUR)
    assert (await stage.ends())[-1] == ("succeeded", "verified"), "it fires still when the cooldown is over"


async def test_a_runbooks_limit_holds_for_forty_alerts_that_come_at_once(stage: Stage) -> None:
    """Each worker looks before any of them has written: the count right before the write decides."""
    stage.configure(alerts={"WebDown": AUTO}, budgets=NO_BUDGET, run_limits={"runbook": {"hour": 3}})
    names = [f"app-{number}" for number in range(40)]
    up(stage, *names)
    for name in names:
        await stage.fire("WebDown", deployment=name)
    await all_at_once(stage)
    assert len(stage.writes) == 3
    spent = [run for run in await stage.runs() if run.reason == "attempts_spent"]
    assert len(spent) == 37
    assert all("3 of 3 runs in an hour for this runbook are spent" in run.detail for run in spent)


async def test_the_routes_own_attempts_are_spent_once_and_one_person_is_told(stage: Stage) -> None:
    """Of a route: `max_attempts` of one runbook for one target, whatever alerts ask for it."""
    often = {**AUTO, "cooldown": "0s", "max_attempts": 2, "attempts_window": "1h"}
    stage.configure(alerts={"WebDown": often}, trust={"stop_after": None}, run_limits={"target": {}, "alert": {}})
    for number in range(6):
        await stage.fire("WebDown", deployment="web", pod=str(number))
        await stage.settle()
        await stage.advance(30)
    assert len(stage.writes) == 2
    spent = [run for run in await stage.runs() if run.reason == "attempts_spent"]
    assert [run.escalated for run in spent] == [True, False, False, False]
    assert "2 of 2 attempts in 60 min are spent" in spent[0].detail


async def test_hold_off_acts_only_on_what_still_fires(stage: Stage) -> None:
    stage.configure(alerts={"WebDown": {**AUTO, "hold_off": "5m"}})
    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await stage.advance(200)
    await stage.resolve("WebDown", deployment="web")
    await stage.settle()
    await stage.advance(HOUR)
    assert await stage.ends() == [("cancelled", "resolved")]
    assert "hold_off" in await stage.reasons("WebDown", deployment="web"), "explain says why nothing happened yet"
    assert stage.metrics.registry.get_sample_value("alertbridge_decisions_total", {"reason": "hold_off"}) == 1
    assert stage.writes == []

    await stage.fire("WebDown", deployment="web")
    await stage.settle()
    await stage.advance(290)
    assert stage.writes == []
    await stage.advance(15)
    assert (await stage.ends())[-1] == ("succeeded", "verified")


async def test_maintenance_holds_everything_it_covers_and_its_end_looks_again(stage: Stage) -> None:
    now = stage.clock.now()
    begins, ends = (datetime.fromtimestamp(now + at, UTC).isoformat() for at in (-60, 1800))
    up(stage, "api")
    window = {"name": "move", "begins": begins, "ends": ends, "matchers": ['deployment="web"']}
    stage.configure(alerts={"WebDown": AUTO}, maintenance=[window])
    for name in ("web", "api", "gone"):
        await stage.fire("WebDown", deployment=name)
    await stage.settle()
    assert [reason for _, reason in await stage.ends()][:2] == ["maintenance", "verified"]
    await stage.advance(1000)
    assert len(stage.writes) == 1
    await stage.advance(900)
    assert len(stage.writes) == 2


async def test_runbook_that_never_helps_stops_by_itself_until_a_person_resumes_it(stage: Stage) -> None:
    stage.write_runbook(runbook("test/restart", verify={"evidence": {}, "fixed": "false", "within": "5s"}))
    stage.configure(alerts={"WebDown": OFTEN}, trust={"stop_after": 3}, run_limits={"alert": {}, "target": {}})
    for number in range(6):
        await stage.fire("WebDown", deployment="web", pod=str(number))
        await stage.settle()
        await stage.advance(60)
    reasons = [reason for _, reason in await stage.ends()]
    assert reasons[3:] == ["runbook_stopped"] * 3
    assert len(stage.writes) == 3
    assert [run.escalated for run in await stage.runs()][3:] == [True, False, False]
    await stage.resume("runbook:test/restart")
    await stage.fire("WebDown", deployment="web", pod="again")
    await stage.settle()
    assert len(stage.writes) == 4
