"""What somebody who was woken up may do wrong with questions, and what the answer tells: where, why, what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.api.answers import Answers
from bridge.api.operation import Refused
from bridge.demo.workloads import deployment
from bridge.model.approval import ANSWERED, standing_of
from bridge.model.principal import Principal, Role
from bridge.model.remediation import State
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
MORE = {"action": "scale", "with": {"by": 1, "max": 9}}
SCALE = runbook("test/scale", scenarios=[{"name": "more", "otherwise": True, "steps": [MORE]}])
ASK = {"mode": "approve", "cooldown": "1m"}
ALERTS = {
    "Slow": {"runbook": "test/scale", **ASK},
    "WebDown": {"runbook": "test/restart", **ASK},
    "Careful": {"runbook": "test/scale", "approvers": 3, **ASK},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[SCALE], alerts=ALERTS) as stage:
        for name in ("web", "api"):
            stage.cluster.apply(deployment(name, "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def asked(stage: Stage, alertname: str, workload: str = "web") -> tuple[str, str]:
    """Let an alert ask for a run that waits for people; return its id and the plan that it asks about."""
    await stage.fire(alertname, deployment=workload)
    await stage.settle()
    view = (await stage.runs())[-1]
    assert view.state is State.PARKED, view
    return view.remediation.id, await plan_of(stage, view.remediation.id)


async def plan_of(stage: Stage, run: str) -> str:
    question = standing_of(await stage.stores.journal.read(run)).question
    assert question is not None
    return question.digest


def answers(stage: Stage) -> Answers:
    return Answers(stage.stores.work, stage.stores.journal)


async def say(stage: Stage, run: str, *, agree: bool = True, plan: str = "", by: str = "ann") -> Any:
    who = Principal(by, frozenset({Role.OPERATOR}))
    said = await answers(stage).say(run, who, agree=agree, digest=plan)
    await stage.settle()
    return said


async def refused(stage: Stage, run: str, **more: Any) -> str:
    with pytest.raises(Refused) as caught:
        await say(stage, run, **more)
    assert caught.value.status == 409
    await stage.settle()
    return caught.value.detail


def set_replicas(stage: Stage, count: int) -> None:
    found: Any = stage.cluster.get("deployments.apps", "shop", "web")
    found["spec"]["replicas"] = count
    stage.cluster.apply({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    stage.clock.jump(60)


async def test_an_old_link_agrees_to_nothing_and_names_the_new_plan(stage: Stage) -> None:
    run, old = await asked(stage, "Slow")
    set_replicas(stage, 5)
    await stage.stores.work.wake(run)
    await stage.settle()
    new = await plan_of(stage, run)
    assert new != old
    told = await refused(stage, run, plan=old)
    assert f"it asks about {new} now" in told
    assert f"alertbridge show {run}" in told
    assert stage.writes == []
    await say(stage, run, plan=new)
    assert await stage.ends() == [("succeeded", "verified")]


async def test_of_two_open_questions_the_answer_to_one_is_no_answer_to_the_other(stage: Stage) -> None:
    _, plan_of_one = await asked(stage, "Slow")
    other, plan_of_other = await asked(stage, "WebDown", "api")
    assert "the plan has changed" in await refused(stage, other, plan=plan_of_one)
    assert stage.writes == []
    await say(stage, other, plan=plan_of_other)
    assert await stage.ends() == [("parked", "approval_needed"), ("succeeded", "verified")]


async def test_what_was_over_before_the_answer_tells_how_it_ended(stage: Stage) -> None:
    run, plan = await asked(stage, "Slow")
    await stage.resolve("Slow", deployment="web")
    await stage.settle()
    assert "it is over: cancelled (resolved: " in await refused(stage, run, plan=plan)

    run, plan = await asked(stage, "WebDown")
    await stage.advance(31 * MINUTE)
    told = await refused(stage, run, plan=plan)
    assert "it is over: denied (approval_timed_out: 0 of 1 agreed in time" in told
    assert "`alertbridge trigger` asks at once" in told
    assert stage.writes == []


async def test_a_no_after_enough_have_agreed_says_who_and_what_stops_it(stage: Stage) -> None:
    run, plan = await asked(stage, "Slow")
    await answers(stage).say(run, Principal("ann", frozenset({Role.OPERATOR})), agree=True, digest=plan)
    told = await refused(stage, run, agree=False, by="bob")
    assert "settled already, ann agreed" in told
    assert f"alertbridge cancel {run}" in told


async def test_what_was_agreed_to_can_be_cancelled_until_it_writes(stage: Stage) -> None:
    run, plan = await asked(stage, "Slow")
    await answers(stage).say(run, Principal("ann", frozenset({Role.OPERATOR})), agree=True, digest=plan)
    assert await stage.stores.work.cancel(run, "bob")
    await stage.settle()
    assert await stage.ends() == [("cancelled", "cancelled_by_operator")]
    assert stage.writes == []


async def test_fifty_answers_at_once_are_as_many_as_are_needed_and_one_repair(stage: Stage) -> None:
    run, plan = await asked(stage, "Careful")

    async def answer(number: int) -> str:
        try:
            who = Principal(f"person{number}", frozenset({Role.OPERATOR}))
            await answers(stage).say(run, who, agree=True, digest=plan)
        except Refused as error:
            return error.detail
        return "taken"

    said = await asyncio.gather(*(answer(number) for number in range(50)))
    await stage.settle()
    assert said.count("taken") == 3
    assert sum("settled already" in each for each in said) == 47
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(stage.writes) == 1
    assert [entry.kind for entry in await stage.stores.journal.read(run)].count(ANSWERED) == 3


async def test_of_fifty_yes_and_one_no_at_once_it_is_either_made_or_denied_and_nobody_is_told_otherwise(
    stage: Stage,
) -> None:
    run, plan = await asked(stage, "Careful")
    taken: dict[bool, int] = {True: 0, False: 0}
    others: list[str] = []

    async def answer(number: int, agree: bool) -> None:
        try:
            who = Principal(f"person{number}", frozenset({Role.OPERATOR}))
            await answers(stage).say(run, who, agree=agree, digest=plan)
            taken[agree] += 1
        except Refused as error:
            others.append(error.detail)

    await asyncio.gather(*(answer(number, agree=number != 25) for number in range(50)))
    await stage.settle()
    assert all("settled already" in each for each in others)
    ended = await stage.ends()
    assert ended == ([("denied", "approval_denied")] if taken[False] else [("succeeded", "verified")])
    assert len(stage.writes) == (0 if taken[False] else 1)


async def test_a_no_that_was_taken_holds_although_nobody_needs_to_be_asked_any_more(stage: Stage) -> None:
    """The mode becomes auto while a question is open, and a worker is about to write when somebody says no."""
    stage.configure(alerts={"Slow": {**ALERTS["Slow"], "mode": "auto"}}, mode="approve")
    run, _ = await asked(stage, "Slow")
    stage.configure(alerts={"Slow": {**ALERTS["Slow"], "mode": "auto"}}, mode="auto")
    await stage.stores.work.wake(run)
    enter = stage.stores.breakers.enter
    left = [Principal("ann", frozenset({Role.OPERATOR}))]

    async def meanwhile(name: str, *args: Any) -> Any:
        # After the last look at the journal, before the first write.
        if left and name.startswith("runbook:"):
            await answers(stage).say(run, left.pop(), agree=False)
        return await enter(name, *args)

    stage.stores.breakers.enter = meanwhile  # type: ignore[method-assign]
    await stage.settle()
    assert not left
    assert stage.writes == []
    assert await stage.ends() == [("denied", "approval_denied")]
