"""Verification has three answers; it waits without holding what others need."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from bridge.engine.ending import Ended, HandOver, Park
from bridge.engine.lease import Lease
from bridge.engine.parts import Limits
from bridge.engine.verify import Watch, watch
from bridge.model.intake import Claim
from bridge.model.verification import Answer, Verification
from tests.support.clock import START, FakeClock

FIXED = Verification(Answer.FIXED, "all ready")
NOT_YET = Verification(Answer.NOT_FIXED, "2 of 3 ready")
NEVER = Verification(Answer.NOT_FIXED, "past its progress deadline", final=True)
UNKNOWN = Verification(Answer.UNKNOWN, "no sample")


class Looks:
    """Answers in turn, the last one for ever."""

    def __init__(self, *answers: Verification) -> None:
        self._answers = list(answers)
        self.count = 0

    async def __call__(self) -> Verification:
        self.count += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


class Watcher:
    def __init__(self, **limits: Any) -> None:
        self.clock = FakeClock(auto=True)
        self.stopping = asyncio.Event()
        self.limits = Limits(**{"inline_wait": 1000.0, **limits})

    async def __call__(self, looks: Looks, *, within: float = 60.0, **how: Any) -> Verification:
        claim = Claim(entry="1-0", remediation="r1", token=1, worker="w1")
        lease = Lease(claim, None, self.clock, seconds=4.0, stopping=self.stopping)  # type: ignore[arg-type]
        return await watch(
            looks,
            Watch(until=self.clock.now() + within, **how),
            clock=self.clock,
            limits=self.limits,
            lease=lease,
        )

    @property
    def passed(self) -> float:
        return self.clock.now() - START


async def test_the_first_fixed_ends_it() -> None:
    watcher, looks = Watcher(), Looks(NOT_YET, UNKNOWN, FIXED)
    assert await watcher(looks, every=2.0) == FIXED
    assert (looks.count, watcher.passed) == (3, 4.0)


async def test_not_fixed_stands_only_when_the_time_is_over() -> None:
    watcher, looks = Watcher(), Looks(NOT_YET)
    assert await watcher(looks, within=30.0, every=5.0) == NOT_YET
    assert watcher.passed == 30.0


async def test_a_final_not_fixed_is_not_waited_for() -> None:
    watcher, looks = Watcher(), Looks(NOT_YET, NEVER)
    assert await watcher(looks) == NEVER
    assert looks.count == 2


async def test_what_could_never_be_asked_ends_as_unknown() -> None:
    assert (await Watcher()(Looks(UNKNOWN), within=10.0)).answer is Answer.UNKNOWN


async def test_the_last_answer_counts_and_not_an_earlier_one() -> None:
    assert (await Watcher()(Looks(NOT_YET, NOT_YET, UNKNOWN), within=10.0)).answer is Answer.UNKNOWN


async def test_fixed_has_to_hold_for_the_settle_time() -> None:
    watcher, looks = Watcher(), Looks(FIXED)
    assert await watcher(looks, every=2.0, settle=10.0) == FIXED
    assert watcher.passed == 10.0


async def test_a_break_starts_the_settle_time_again() -> None:
    watcher, looks = Watcher(), Looks(FIXED, FIXED, NOT_YET, FIXED)
    assert await watcher(looks, every=2.0, settle=4.0) == FIXED
    assert watcher.passed == 10.0


async def test_fixed_that_had_no_time_to_settle_is_unknown() -> None:
    found = await Watcher()(Looks(NOT_YET, NOT_YET, FIXED), within=6.0, every=2.0, settle=30.0)
    assert found.answer is Answer.UNKNOWN
    assert "did not hold long enough" in found.detail


async def test_a_deadline_that_passed_while_nobody_looked_still_gives_one_look() -> None:
    assert await Watcher()(Looks(FIXED), within=-500.0) == FIXED
    assert await Watcher()(Looks(NOT_YET), within=-500.0) == NOT_YET


async def test_a_long_wait_parks_between_looks() -> None:
    watcher, looks = Watcher(inline_wait=20.0), Looks(NOT_YET)
    with pytest.raises(Ended) as ended:
        await watcher(looks, within=3600.0, every=2.0)
    park = ended.value.ending
    assert isinstance(park, Park)
    assert (park.reason, park.retry, park.detail) == (None, False, "2 of 3 ready")
    assert watcher.passed <= 20.0
    assert watcher.clock.now() < park.due_at <= watcher.clock.now() + 30.0


async def test_looks_that_are_far_apart_park_at_once() -> None:
    """A slot is not held through a minute of sleep."""
    watcher, looks = Watcher(inline_wait=20.0), Looks(NOT_YET)
    with pytest.raises(Ended) as ended:
        await watcher(looks, within=3600.0, every=60.0)
    assert ended.value.ending == Park(START + 60.0, None, "2 of 3 ready")
    assert looks.count == 1


async def test_a_settle_time_goes_on_through_parking() -> None:
    watcher = Watcher(inline_wait=20.0)
    until, since, parks = START + 3600.0, None, 0
    while True:
        try:
            left = until - watcher.clock.now()
            await watcher(Looks(FIXED), within=left, every=2.0, settle=300.0, fixed_since=since)
            break
        except Ended as ended:
            park = cast(Park, ended.ending)
            since, parks = park.fixed_since.get(""), parks + 1
            watcher.clock.advance(park.due_at - watcher.clock.now())
    assert parks > 3
    assert 300.0 <= watcher.passed <= 330.0


async def test_a_break_seen_after_parking_starts_the_settle_time_again() -> None:
    watcher = Watcher()
    assert await watcher(Looks(NOT_YET, FIXED), every=2.0, settle=10.0, fixed_since=START - 500.0) == FIXED
    assert watcher.passed == 12.0


async def test_a_stop_ends_the_wait_at_once_and_hands_over() -> None:
    """Fault 61. A sleep between two looks must not outlast the grace period."""
    watcher, looks = Watcher(), Looks(NOT_YET)
    watcher.clock = FakeClock()
    task = asyncio.create_task(watcher(looks, within=3600.0, every=600.0))
    await watcher.clock.pass_time(1.0)
    assert not task.done()
    watcher.stopping.set()
    with pytest.raises(Ended) as ended:
        await task
    assert ended.value.ending == HandOver()
    assert (looks.count, watcher.passed, watcher.clock.sleepers) == (1, 1.0, 0)


async def test_an_answer_that_is_there_is_given_even_when_the_process_stops() -> None:
    watcher = Watcher()
    watcher.stopping.set()
    assert await watcher(Looks(FIXED)) == FIXED


async def test_a_wall_clock_set_forward_does_not_settle_what_has_not_settled() -> None:
    """Fault 19."""
    watcher, looks = Watcher(), Looks(FIXED)
    task = asyncio.create_task(watcher(looks, within=90000.0, every=2.0, settle=60.0))
    await asyncio.sleep(0)
    watcher.clock.step(3600.0)
    began = watcher.clock.monotonic()
    await task
    assert watcher.clock.monotonic() - began >= 58.0


async def test_a_wall_clock_set_back_does_not_hold_the_slot_for_an_hour() -> None:
    """Fault 19."""
    watcher, looks = Watcher(inline_wait=20.0), Looks(NOT_YET)
    began = watcher.clock.monotonic()
    task = asyncio.create_task(watcher(looks, within=600.0, every=2.0))
    await asyncio.sleep(0)
    watcher.clock.step(-3600.0)
    with pytest.raises(Ended):
        await task
    assert watcher.clock.monotonic() - began <= 20.0
