"""Where two things meet that are each right alone: runs of one target, a pause in mid-run, routes that differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.api.answers import Answers
from bridge.demo.workloads import deployment
from bridge.engine.lease import Lease
from bridge.model.approval import standing_of
from bridge.model.principal import Principal, Role
from bridge.model.silence import Silence
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE, HOUR = 60.0, 3600.0
MORE = {"action": "scale", "with": {"by": 1, "max": 9}}
WAIT = {"wait": {"for": "10m"}}
RESTART = {"action": "rollout_restart"}
BOOKS = [
    runbook("test/scale", scenarios=[{"name": "more", "otherwise": True, "steps": [MORE]}]),
    runbook("test/for-a-time", scenarios=[{"name": "more", "otherwise": True, "steps": [{**MORE, "until": "2h"}]}]),
    runbook("test/two", scenarios=[{"name": "two", "otherwise": True, "steps": [MORE, WAIT, RESTART]}]),
]
AUTO: dict[str, Any] = {"runbook": "test/restart", "mode": "auto"}
ALERTS: dict[str, Any] = {
    "WebDown": AUTO,
    "Watched": {**AUTO, "mode": "observe"},
    "Asked": {**AUTO, "mode": "approve"},
    "Late": {**AUTO, "hold_off": "30m"},
    "Slow": {"runbook": "test/scale", "mode": "approve"},
    "Busy": {"runbook": "test/for-a-time", "mode": "auto"},
    "Busier": {"runbook": "test/for-a-time", "mode": "auto"},
    "Both": {"runbook": "test/two", "mode": "auto"},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=BOOKS, alerts=ALERTS) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def fire(stage: Stage, *names: str) -> None:
    for name in names:
        await stage.fire(name, deployment="web")
    await stage.settle()


def replicas(stage: Stage) -> int:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return int(found["spec"]["replicas"])


# -- several alerts and runbooks for one target


async def test_what_waits_for_people_keeps_no_other_repair_of_its_target_waiting(stage: Stage) -> None:
    await fire(stage, "Slow", "WebDown")
    assert await stage.ends() == [("parked", "approval_needed"), ("succeeded", "verified")]
    asked = (await stage.runs())[0].remediation.id
    await answer(stage, asked)
    assert (await stage.ends())[0] == ("succeeded", "verified")
    assert (replicas(stage), len(stage.writes)) == (4, 2)


async def answer(stage: Stage, run: str) -> None:
    question = standing_of(await stage.stores.journal.read(run)).question
    assert question is not None
    who = Principal("ann", frozenset({Role.OPERATOR}))
    await Answers(stage.stores.work, stage.stores.journal).say(run, who, agree=True, digest=question.digest)
    await stage.settle()


@pytest.mark.parametrize("first", ["Watched", "Asked", "Late"])
async def test_who_may_act_at_once_joins_no_run_that_may_not(stage: Stage, first: str) -> None:
    await fire(stage, first, "WebDown")
    assert (await stage.ends())[1] == ("succeeded", "verified")
    assert len(stage.writes) == 1


async def test_what_waited_finds_what_was_done_meanwhile_and_cools_down(stage: Stage) -> None:
    await fire(stage, "Late")
    await stage.advance(25 * MINUTE)
    await fire(stage, "WebDown")
    await stage.advance(6 * MINUTE)
    assert await stage.ends() == [("suppressed", "cooldown"), ("succeeded", "verified")]
    assert len(stage.writes) == 1


# -- a person's word in mid-run


async def test_a_pause_between_two_steps_holds_the_rest_and_repeats_nothing(stage: Stage) -> None:
    await fire(stage, "Both")
    await stage.pause()
    await stage.advance(30 * MINUTE)
    assert (replicas(stage), len(stage.writes)) == (4, 1)
    await stage.resume()
    await stage.advance(2 * MINUTE)
    assert await stage.ends() == [("succeeded", "verified")]
    assert (replicas(stage), len(stage.writes)) == (4, 2)


async def test_a_pause_that_lasts_leaves_what_is_half_made_to_a_person(stage: Stage) -> None:
    await fire(stage, "Both")
    await stage.pause()
    for _ in range(15):
        await stage.advance(10 * MINUTE)
    (view,) = await stage.runs()
    assert (view.outcome and view.outcome.value, view.reason, view.escalated) == ("failed", "paused", True)
    assert "half made: " in view.detail
    await stage.resume()
    await stage.advance(3 * HOUR)
    assert (replicas(stage), len(stage.writes)) == (4, 1), "it is begun anew by nobody"


async def test_mode_observe_in_mid_run_leaves_what_is_half_made_to_a_person(stage: Stage) -> None:
    await fire(stage, "Both")
    await stage.reload(alerts=ALERTS, mode="observe")
    await stage.advance(11 * MINUTE)
    (view,) = await stage.runs()
    assert (view.outcome and view.outcome.value, view.reason, view.escalated) == ("failed", "observe_only", True)
    await stage.reload(alerts=ALERTS, mode="auto")
    await stage.advance(3 * HOUR)
    assert len(stage.writes) == 1


# -- several alerts of one run


class Silenced:
    """Somebody has silenced alerts with this name."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def covering(self, labels: Mapping[str, str]) -> list[Silence]:
        found = labels["alertname"] == self._name
        return [Silence(id="s1", created_by="ann", comment="known", ends_at=None)] if found else []


async def test_a_run_that_several_alerts_ask_for_stops_when_all_of_them_are_silenced_and_not_before(
    stage: Stage,
) -> None:
    stage._worker._parts = msgspec.structs.replace(stage._parts, silences=Silenced("WebDown"))
    stage.configure(alerts={**ALERTS, "Also": AUTO})
    await fire(stage, "WebDown")
    assert await stage.ends() == [("suppressed", "silenced")]
    await stage.advance(4 * MINUTE)
    # The silenced one asks again, and the other one joins it.
    stage.clock.jump(2 * MINUTE)
    await stage.dispatch()
    await fire(stage, "Also")
    assert (await stage.ends())[1:] == [("succeeded", "verified")]
    assert await stage.reasons("Also", deployment="web") == ["joined", "verified"]


async def test_a_window_holds_a_run_up_when_it_covers_all_alerts_that_ask_for_it(stage: Stage) -> None:
    window = {
        "name": "move",
        "begins": "2020-01-01T00:00:00+00:00",
        "ends": "2090-01-01T00:00:00+00:00",
        "matchers": ['alertname="WebDown"'],
    }
    stage.configure(alerts={**ALERTS, "Also": AUTO}, maintenance=[window])
    await fire(stage, "WebDown", "Also")
    assert await stage.ends() == [("succeeded", "verified")]
    stage.configure(alerts={**ALERTS, "Also": AUTO}, maintenance=[{**window, "matchers": []}])
    for name in ("WebDown", "Also"):
        await stage.resolve(name, deployment="web")
    await stage.advance(HOUR)
    await fire(stage, "WebDown", "Also")
    assert (await stage.ends())[1:] == [("suppressed", "maintenance")]


async def test_an_alert_that_joins_a_run_of_another_run_has_its_own_page(stage: Stage) -> None:
    """Whoever waits for that run goes on without it, and tells nobody."""
    stage.cluster.apply(deployment("redis", "registry.example/redis:1", namespace="shop"))
    child = {"action": "runbook", "with": {"runbook": "test/redis", "labels": {"deployment": "redis"}}}
    steps = [{**child, "on_failed": "continue"}, RESTART]
    stage.write_runbook(runbook("test/redis", scenarios=[{"name": "never", "when": "false", "steps": [RESTART]}]))
    stage.write_runbook(runbook("test/gateway", scenarios=[{"name": "all", "otherwise": True, "steps": steps}]))
    books = {"GatewayDown": "test/gateway", "RedisDown": "test/redis"}
    stage.configure(alerts={name: {**AUTO, "runbook": book} for name, book in books.items()})
    await stage.fire("GatewayDown", deployment="web")
    await stage.dispatch()
    claim = await stage.stores.work.claim("stage", block=0.0)
    assert claim is not None
    await stage._worker._work(Lease(claim, stage.stores.work, stage.clock, seconds=1e9, stopping=asyncio.Event()))
    # Its order has come in by now, and before it is dispatched so has an alert about the same.
    await stage.fire("RedisDown", deployment="redis")
    await stage.settle()
    await stage.advance(MINUTE)
    found = {
        view.remediation.runbook: (view.reason, view.escalated, len(view.incidents)) for view in await stage.runs()
    }
    assert found == {"test/gateway": ("verified", False, 1), "test/redis": ("no_scenario", True, 2)}


async def test_a_run_that_was_put_off_until_nobody_waits_for_it_any_more_is_not_made(stage: Stage) -> None:
    stage.cluster.apply(deployment("redis", "registry.example/redis:1", namespace="shop"))
    steps = [
        {
            "action": "runbook",
            "verify_within": "10m",
            "with": {"runbook": "test/restart", "labels": {"deployment": "redis"}},
        }
    ]
    stage.write_runbook(runbook("test/gateway", scenarios=[{"name": "all", "otherwise": True, "steps": steps}]))
    stage.configure(alerts={"GatewayDown": {**AUTO, "runbook": "test/gateway"}})
    await stage.pause("runbook:test/restart")
    await fire(stage, "GatewayDown")
    await stage.advance(11 * MINUTE)
    assert await stage.ends() == [("unknown", "verification_unknown"), ("suppressed", "paused")]
    await stage.resolve("GatewayDown", deployment="web")
    await stage.resume("runbook:test/restart")
    await stage.settle()
    assert (await stage.ends())[2:] == [("cancelled", "out_of_date")]
    assert stage.writes == []


# -- what is temporary, and what else is so about its target


async def test_nothing_is_taken_away_early_while_its_target_has_another_incident(stage: Stage) -> None:
    await fire(stage, "Busy")
    await stage.resolve("Busy", deployment="web")
    await fire(stage, "WebDown")
    for _ in range(6):
        await stage.advance(10 * MINUTE)
    assert replicas(stage) == 4, "all was well with its own alert, and not with its target"
    await stage.resolve("WebDown", deployment="web")
    await stage.advance(2 * MINUTE)
    assert replicas(stage) == 3
    assert not any(view.escalated for view in await stage.runs())


async def test_what_is_temporary_ends_in_its_time_whatever_fires(stage: Stage) -> None:
    await fire(stage, "Busy")
    await stage.resolve("Busy", deployment="web")
    await fire(stage, "WebDown")
    await stage.advance(HOUR)
    assert replicas(stage) == 4
    await stage.advance(HOUR + MINUTE)
    assert replicas(stage) == 3


async def test_of_two_changes_for_a_time_the_later_one_ends_first_and_nothing_is_left(stage: Stage) -> None:
    await fire(stage, "Busy")
    await stage.advance(HOUR)
    await fire(stage, "Busier")
    assert replicas(stage) == 5
    await stage.advance(HOUR + MINUTE)
    assert replicas(stage) == 5, "what stood when the later one began is not pulled away from under it"
    await stage.advance(HOUR)
    await stage.advance(2 * MINUTE)
    assert replicas(stage) == 3
    assert not any(view.escalated for view in await stage.runs())


async def test_what_another_run_changed_since_is_left_and_that_run_is_named(stage: Stage) -> None:
    await fire(stage, "Busy")
    await fire(stage, "Slow")
    await answer(stage, (await stage.runs())[-1].remediation.id)
    assert replicas(stage) == 5
    await stage.advance(2 * HOUR + MINUTE)
    *_, other, back = await stage.runs()
    assert (back.reason, back.escalated, replicas(stage)) == ("undo_refused", True, 5)
    assert f"{other.remediation.id} changed the same since" in back.detail
