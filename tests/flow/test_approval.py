"""A run that asks people first, as time lines: what is written, by whose leave, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.demo.workloads import deployment
from bridge.engine.lease import Lease
from bridge.model import kinds
from bridge.model.approval import ANSWERED, ASKED, Answer, Question, Said
from bridge.model.remediation import Entry, State
from tests.support.installation import runbook
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
ASK = {"runbook": "test/restart", "mode": "approve"}
SCALE = runbook(
    "test/scale",
    scenarios=[{"name": "more", "otherwise": True, "steps": [{"action": "scale", "with": {"by": 1, "max": 9}}]}],
)
MORE = {"action": "scale", "with": {"by": 1, "max": 9}}
TWICE = runbook("test/twice", scenarios=[{"name": "twice", "otherwise": True, "steps": [MORE, MORE]}])
OTHER = {"action": "set_env", "with": {"set": {"LOG_LEVEL": "debug"}}}
BOTH = runbook("test/both", scenarios=[{"name": "both", "otherwise": True, "steps": [MORE, OTHER]}])
ALERTS = {
    "WebDown": ASK,
    "Careful": {**ASK, "approvers": 2},
    "Slow": {"runbook": "test/scale", "mode": "approve"},
    "Both": {"runbook": "test/both", "mode": "approve"},
    "Twice": {"runbook": "test/twice", "mode": "approve"},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[SCALE, TWICE, BOTH], alerts=ALERTS) as stage:
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


async def asked(stage: Stage, alertname: str = "WebDown") -> str:
    """Let an alert ask for a run that waits for people; return its id."""
    await stage.fire(alertname, deployment="web")
    await stage.settle()
    view = (await stage.runs())[-1]
    assert view.state is State.PARKED, view
    return view.remediation.id


async def say(stage: Stage, run: str, by: str, agree: bool = True, digest: str = "", why: str = "") -> Said:
    answer = Answer(by=by, agree=agree, why=why, digest=digest)
    said = (await stage.stores.work.answer(run, answer, f"{by} {'agreed' if agree else 'said no'}")).said
    await stage.settle()
    return said


async def journal(stage: Stage, run: str, kind: str) -> list[Entry]:
    return [entry for entry in await stage.stores.journal.read(run) if entry.kind == kind]


async def questions(stage: Stage, run: str) -> list[str]:
    """Return the digests of the questions that were asked, each once."""
    found = [entry.data["question"] for entry in await journal(stage, run, ASKED)]
    return list(dict.fromkeys(Question(plans=q["plans"], until=0.0).digest for q in found))


def replicas(stage: Stage) -> int:
    found = stage.cluster.get("deployments.apps", "shop", "web")
    assert found is not None
    return int(found["spec"]["replicas"])


def set_replicas(stage: Stage, count: int) -> None:
    found: Any = stage.cluster.get("deployments.apps", "shop", "web")
    found["spec"]["replicas"] = count
    stage.cluster.apply({key: found[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    stage.clock.jump(60)


async def test_nothing_is_written_before_a_person_agrees_and_then_just_what_was_shown(stage: Stage) -> None:
    run = await asked(stage)
    assert stage.writes == []
    assert await stage.reasons("WebDown", deployment="web") == ["created", "approval_needed"]
    view = await stage.stores.work.get(run)
    assert view is not None
    assert (view.worker, view.writing) == ("", False), "neither a claim nor a slot is held"
    planned = (await journal(stage, run, kinds.PLANNED))[-1]

    assert await say(stage, run, "ann", why="go on") is Said.TAKEN
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(stage.writes) == 1
    assert (await journal(stage, run, kinds.PLANNED))[-1].data["hash"] == planned.data["hash"]
    (answer,) = await journal(stage, run, ANSWERED)
    assert (answer.data["by"], answer.data["agree"], answer.data["why"]) == ("ann", True, "go on")
    assert answer.at > 0
    assert "ann" in answer.text


async def test_a_no_is_the_end(stage: Stage) -> None:
    run = await asked(stage)
    assert await say(stage, run, "ann", False, why="not now") is Said.TAKEN
    assert await stage.ends() == [("denied", "approval_denied")]
    assert stage.writes == []
    view = await stage.stores.work.get(run)
    assert view is not None
    assert "ann said no: not now" in view.detail
    assert not view.escalated, "a person has looked already"
    assert await say(stage, run, "bob") is Said.DONE


async def test_a_no_holds_for_its_firing_and_a_new_one_is_asked_about(stage: Stage) -> None:
    run = await asked(stage)
    await say(stage, run, "ann", False)
    for _ in range(12):
        await stage.advance(3600)
    assert await stage.ends() == [("denied", "approval_denied")], "nobody is asked again what he said no to"
    (view,) = await stage.runs()
    labels = {name: text for name, text in view.remediation.labels.items() if name not in ("alertname", "namespace")}
    await stage.resolve(view.remediation.labels["alertname"], **labels)
    await stage.advance(300)
    await stage.fire(view.remediation.labels["alertname"], **labels)
    await stage.settle()
    assert await stage.ends() == [("denied", "approval_denied"), ("parked", "approval_needed")]


async def test_no_answer_in_time_means_no_and_pages(stage: Stage) -> None:
    run = await asked(stage)
    await stage.advance(29 * MINUTE)
    assert await stage.ends() == [("parked", "approval_needed")]
    stage.clock.jump(2 * MINUTE)
    assert (await stage.stores.work.answer(run, Answer(by="ann", agree=True), "")).said is Said.LATE
    await stage.settle()
    assert await stage.ends() == [("denied", "approval_timed_out")]
    assert (await stage.runs())[0].escalated
    assert stage.writes == []


async def test_a_plan_that_changed_meanwhile_is_asked_about_again_and_the_answer_to_the_old_one_is_void(
    stage: Stage,
) -> None:
    run = await asked(stage, "Slow")
    (before,) = await questions(stage, run)
    set_replicas(stage, 5)
    assert await say(stage, run, "ann", digest=before) is Said.TAKEN
    assert stage.writes == []
    assert await stage.ends() == [("parked", "approval_needed")]
    (_, now) = await questions(stage, run)

    assert await say(stage, run, "ann", digest=before) is Said.CHANGED
    assert await say(stage, run, "ann", digest=now) is Said.TAKEN
    assert await stage.ends() == [("succeeded", "verified")]
    assert replicas(stage) == 6


async def test_what_moves_in_the_object_beside_the_changes_keeps_the_approval(stage: Stage) -> None:
    run = await asked(stage)
    set_replicas(stage, 5)
    await say(stage, run, "ann")
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(await questions(stage, run)) == 1


async def test_where_two_are_wanted_nobody_counts_twice(stage: Stage) -> None:
    run = await asked(stage, "Careful")
    assert await say(stage, run, "ann") is Said.TAKEN
    assert await say(stage, run, "ann") is Said.ALREADY
    assert stage.writes == []
    assert await say(stage, run, "bob") is Said.TAKEN
    assert await stage.ends() == [("succeeded", "verified")]


async def test_one_of_two_may_still_say_no(stage: Stage) -> None:
    run = await asked(stage, "Careful")
    await say(stage, run, "ann")
    assert await say(stage, run, "ann", False) is Said.TAKEN
    assert await stage.ends() == [("denied", "approval_denied")]


async def test_half_of_the_answers_in_time_is_no(stage: Stage) -> None:
    run = await asked(stage, "Careful")
    await say(stage, run, "ann")
    await stage.advance(31 * MINUTE)
    assert await stage.ends() == [("denied", "approval_timed_out")]
    assert "1 of 2" in (await stage.runs())[0].detail
    assert await say(stage, run, "bob") is Said.DONE


async def test_a_worker_that_dies_while_it_plans_an_approved_run_costs_nobody_a_second_answer(stage: Stage) -> None:
    """Fault 3: the approval is in the journal, and any worker goes by it."""
    run = await asked(stage)
    await stage.stores.work.answer(run, Answer(by="ann", agree=True), "ann agreed")
    dead = await stage.stores.work.claim("dead", block=0.0)
    assert dead is not None
    await stage.stores.journal.append(dead, Entry(kind=kinds.STARTED, text="taken up"))
    await stage.stores.work.hand_over(dead, Entry(kind=kinds.HANDED_OVER))
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert len(await questions(stage, run)) == 1


async def test_an_answer_that_comes_while_the_run_is_looked_at_is_not_lost(stage: Stage) -> None:
    run = await asked(stage)
    await stage.stores.work.wake(run)
    claim = await stage.stores.work.claim("stage", block=0.0)
    assert claim is not None
    assert (await stage.stores.work.answer(run, Answer(by="ann", agree=True), "")).said is Said.TAKEN
    stopping = asyncio.Event()
    lease = Lease(claim, stage.stores.work, stage.clock, seconds=1e9, stopping=stopping)
    await stage._worker._work(lease)
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]


async def test_a_plan_that_goes_stale_between_yes_and_write_is_asked_about_again(stage: Stage) -> None:
    run = await asked(stage, "Slow")
    guards = stage._worker._parts.plan_guards
    calls = 0

    def moved() -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            # After the last look before the write, and before it.
            set_replicas(stage, 5)
        return guards()

    stage._worker._parts = msgspec.structs.replace(stage._worker._parts, plan_guards=moved)
    await say(stage, run, "ann")
    assert await stage.ends() == [("parked", "approval_needed")]
    assert replicas(stage) == 5, "what was agreed to was for three"
    assert len(await questions(stage, run)) == 2
    await say(stage, run, "ann")
    assert replicas(stage) == 6


async def test_a_resolve_while_people_are_asked_cancels(stage: Stage) -> None:
    run = await asked(stage)
    await stage.resolve("WebDown", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("cancelled", "resolved")]
    assert await say(stage, run, "ann") is Said.DONE
    assert stage.writes == []


async def test_a_pause_while_people_are_asked_holds_what_they_agree_to(stage: Stage) -> None:
    run = await asked(stage)
    await stage.pause()
    await say(stage, run, "ann")
    assert stage.writes == []
    assert await stage.ends() == [("parked", "approval_needed")]
    await stage.advance(MINUTE)
    assert await stage.ends() == [("parked", "approval_needed")]
    await stage.resume()
    await stage.advance(MINUTE)
    assert await stage.ends() == [("succeeded", "verified")]


async def test_a_pause_stops_no_time(stage: Stage) -> None:
    await asked(stage)
    await stage.pause()
    await stage.advance(31 * MINUTE)
    assert await stage.ends() == [("denied", "approval_timed_out")]


async def test_an_answer_later_than_runs_may_wait_for_a_worker_counts(stage: Stage) -> None:
    stage.configure(alerts={"WebDown": {**ASK, "approve_within": "4h"}})
    run = await asked(stage)
    await stage.advance(3 * 60 * MINUTE)
    await say(stage, run, "ann")
    assert await stage.ends() == [("succeeded", "verified")]


async def test_one_answer_covers_every_plan_that_was_shown(stage: Stage) -> None:
    run = await asked(stage, "Both")
    count = replicas(stage)
    await say(stage, run, "ann")
    assert await stage.ends() == [("succeeded", "verified")]
    assert replicas(stage) == count + 1
    assert len(await questions(stage, run)) == 1


async def test_a_later_step_whose_changes_were_not_shown_is_asked_about_when_they_are_known(stage: Stage) -> None:
    run = await asked(stage, "Twice")
    count = replicas(stage)
    await say(stage, run, "ann")
    assert replicas(stage) == count + 1
    assert await stage.ends() == [("parked", "approval_needed")]
    await say(stage, run, "ann")
    assert replicas(stage) == count + 2
    assert await stage.ends() == [("succeeded", "verified")]


async def test_a_no_to_a_later_step_leaves_what_was_made_and_tells_a_person(stage: Stage) -> None:
    run = await asked(stage, "Twice")
    count = replicas(stage)
    await say(stage, run, "ann")
    await say(stage, run, "ann", False)
    assert await stage.ends() == [("failed", "approval_denied")]
    assert replicas(stage) == count + 1
    assert "undo" in (await stage.runs())[0].detail
