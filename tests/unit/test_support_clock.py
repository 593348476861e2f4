"""The tests' own clock keeps its promises."""

from __future__ import annotations

import asyncio

from tests.support.clock import START, FakeClock, settle


async def test_a_sleeper_wakes_when_time_was_moved_far_enough() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(10))
    await settle()
    clock.advance(9.5)
    await settle()
    assert not task.done()
    assert clock.sleepers == 1
    clock.advance(0.5)
    await task
    assert (clock.now(), clock.sleepers) == (START + 10, 0)


async def test_passing_time_wakes_each_sleeper_at_its_own_time() -> None:
    clock = FakeClock()
    woken: list[float] = []

    async def every(seconds: float) -> None:
        while True:
            await clock.sleep(seconds)
            woken.append(clock.now() - START)

    tasks = [asyncio.create_task(every(2)), asyncio.create_task(every(3))]
    await clock.pass_time(6)
    assert woken == [2, 3, 4, 6, 6]
    for task in tasks:
        task.cancel()


async def test_by_itself_it_jumps_to_the_earliest_sleeper() -> None:
    clock = FakeClock(auto=True)
    order: list[str] = []

    async def wait(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        order.append(name)

    await asyncio.gather(wait("hour", 3600), wait("minute", 60), wait("second", 1))
    assert order == ["second", "minute", "hour"]
    assert clock.now() == START + 3600


async def test_a_cancelled_sleeper_does_not_hold_up_the_others() -> None:
    clock = FakeClock(auto=True)
    task = asyncio.create_task(clock.sleep(5))
    await asyncio.sleep(0)
    task.cancel()
    await clock.sleep(60)
    assert clock.now() == START + 60
    assert clock.slept == [5, 60]


async def test_stepping_the_wall_clock_lets_no_time_pass() -> None:
    clock = FakeClock()
    before = clock.monotonic()
    clock.step(-3600)
    assert (clock.now(), clock.monotonic()) == (START - 3600, before)
