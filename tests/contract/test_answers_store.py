"""People's answers to what a run asks: one body for the real stores and for those in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.errors import SaidNo
from bridge.model.approval import ANSWERED, Answer, Question, Said, Standing, after
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome, State
from tests.support.alerts import claimed, fire, step, wish
from tests.support.memory_stores import MemoryWork
from tests.support.redis import OpenStores, RedisServer, fresh_options

PLANS = {"broken/0": "0123456789abcdef"}


class RealClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Asking:
    """A claimed remediation, and the stores that it is in."""

    def __init__(self, work: Any, journal: Any, claim: Claim) -> None:
        self.work = work
        self.journal = journal
        self.claim = claim
        self.id = claim.remediation

    async def ask(self, *, need: int = 1, within: float = 600.0, plans: dict[str, str] = PLANS) -> Question:
        """Park it with a question."""
        question = Question(plans=plans, need=need, until=time.time() + within)
        await self.work.park(self.claim, question.until, step("asked"), question)
        return question

    async def again(self) -> None:
        """Take it up again."""
        await self.work.wake(self.id)
        claim = await self.work.claim("w2", block=1.0)
        assert claim is not None
        self.claim = claim

    async def say(self, by: str, agree: bool = True, digest: str = "", why: str = "") -> tuple[Said, int, int]:
        answered = await self.work.answer(self.id, Answer(by=by, agree=agree, why=why, digest=digest), f"{by}: {why}")
        return answered.said, answered.agreed, answered.need

    async def state(self) -> State:
        view = await self.work.get(self.id)
        assert view is not None
        return State(view.state)

    async def answers(self) -> list[Entry]:
        return [entry for entry in await self.journal.read(self.id) if entry.kind == ANSWERED]


@pytest.fixture(params=["redis", "memory"])
async def asking(request: pytest.FixtureRequest) -> AsyncIterator[Asking]:
    if request.param == "memory":
        memory = MemoryWork(RealClock())
        wanted = wish().remediation
        memory.add(wanted)
        yield Asking(memory, memory, memory.take(wanted.id))
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    opened = OpenStores(fresh_options(server.url))
    stores = await opened.open()
    await fire(stores, wish())
    yield Asking(stores.work, stores.journal, await claimed(stores))
    await opened.close()


async def test_an_answer_is_journalled_with_its_author_its_time_and_why_and_wakes_the_run(asking: Asking) -> None:
    question = await asking.ask()
    assert await asking.state() is State.PARKED
    assert await asking.say("ann", why='looks right / "ok" é') == (Said.TAKEN, 1, 1)
    assert await asking.state() is State.QUEUED
    (answer,) = await asking.answers()
    assert answer.data == {"by": "ann", "agree": True, "why": 'looks right / "ok" é', "question": question.digest}
    assert answer.at == pytest.approx(time.time(), abs=60)
    standing = after(after(Standing(), "asked", {"question": _plain(question)}), ANSWERED, answer.data)
    assert standing.agreed


async def test_nobody_counts_twice_and_the_run_sleeps_until_enough_agree(asking: Asking) -> None:
    await asking.ask(need=2)
    assert await asking.say("ann") == (Said.TAKEN, 1, 2)
    assert await asking.say("ann") == (Said.ALREADY, 1, 2)
    assert await asking.state() is State.PARKED
    assert await asking.say("bob") == (Said.TAKEN, 2, 2)
    assert await asking.state() is State.QUEUED
    assert await asking.say("carl") == (Said.SETTLED, 2, 2)
    assert await asking.say("ann", False) == (Said.SETTLED, 2, 2)
    assert len(await asking.answers()) == 2


async def test_those_that_wait_for_people_are_counted_until_enough_agree(asking: Asking) -> None:
    assert (await asking.work.depth())["approvals"] == 0
    await asking.ask(need=2)
    assert (await asking.work.depth())["approvals"] == 1
    await asking.say("ann")
    assert (await asking.work.depth())["approvals"] == 1
    await asking.say("bob")
    assert (await asking.work.depth())["approvals"] == 0


async def test_of_many_at_once_just_as_many_are_taken_as_are_needed(asking: Asking) -> None:
    await asking.ask(need=3)
    said = await asyncio.gather(*(asking.say(f"p{number % 10}") for number in range(50)))
    assert sum(one[0] is Said.TAKEN for one in said) == 3
    assert len(await asking.answers()) == 3


async def test_one_no_wakes_the_run_whatever_the_others_say(asking: Asking) -> None:
    await asking.ask(need=3)
    await asking.say("ann")
    assert (await asking.say("ann", False))[0] is Said.TAKEN, "who agreed may think again until enough do"
    assert await asking.state() is State.QUEUED
    assert (await asking.say("bob"))[0] is Said.SETTLED


async def test_an_answer_about_another_plan_is_refused(asking: Asking) -> None:
    question = await asking.ask()
    assert (await asking.say("ann", digest="f" * 16))[0] is Said.CHANGED
    assert await asking.answers() == []
    assert (await asking.say("ann", digest=question.digest))[0] is Said.TAKEN


async def test_another_question_voids_the_answers_and_the_same_keeps_them(asking: Asking) -> None:
    first = await asking.ask(need=2)
    await asking.say("ann")
    await asking.again()
    same = await asking.ask(need=2)
    assert same.digest == first.digest
    assert await asking.say("ann") == (Said.ALREADY, 1, 2)
    await asking.again()
    await asking.ask(need=2, plans={"broken/0": "f" * 16})
    assert await asking.say("ann") == (Said.TAKEN, 1, 2)


async def test_an_answer_too_late_and_one_that_nobody_asked_for_change_nothing(asking: Asking) -> None:
    assert (await asking.say("ann"))[0] is Said.NOT_ASKED
    await asking.ask(within=-1.0)
    assert (await asking.say("ann"))[0] is Said.LATE
    await asking.again()
    await asking.work.finish(
        asking.claim, Outcome.DENIED, Reason.APPROVAL_TIMED_OUT, step("finished"), escalated=True
    )
    assert (await asking.say("ann"))[0] is Said.DONE
    assert (await asking.work.answer("nobody", Answer(by="ann", agree=True), "")).said is Said.GONE
    assert await asking.answers() == []


async def test_once_it_writes_no_answer_changes_anything(asking: Asking) -> None:
    await asking.ask()
    await asking.say("ann")
    await asking.again()
    await asking.journal.append(asking.claim, step("applying"), writing=True)
    assert (await asking.say("bob", False))[0] is Said.NOT_ASKED


async def test_a_no_that_was_taken_lets_nothing_be_written_any_more(asking: Asking) -> None:
    """Also by a worker that looked before it was said; what is no write is journalled as ever."""
    await asking.ask(need=2)
    await asking.again()
    assert (await asking.say("ann"))[0] is Said.TAKEN
    assert (await asking.say("bob", False))[0] is Said.TAKEN
    await asking.journal.append(asking.claim, step("planned"))
    with pytest.raises(SaidNo):
        await asking.journal.append(asking.claim, step("applying"), writing=True)
    view = await asking.work.get(asking.id)
    assert view is not None
    assert not view.writing
    await asking.work.park(asking.claim, time.time() + 600, step("parked"))
    assert await asking.state() is State.QUEUED, "whoever said no has woken it"


def _plain(question: Question) -> dict[str, Any]:
    return {"plans": question.plans, "need": question.need, "until": question.until}
