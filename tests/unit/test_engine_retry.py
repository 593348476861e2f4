"""What failed for now is tried again, within caps; what failed for good, or was cancelled, never is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.retry import RetryPolicy, asked_delay, retrying
from bridge.errors import (
    CircuitOpen,
    InvalidInput,
    KubeBusy,
    KubeConflict,
    KubeForbidden,
    KubeInvalid,
    KubeNotFound,
    KubeReplyLost,
    KubeUnauthorized,
    KubeUnavailable,
    LeaseLost,
    PermanentError,
    PlanStale,
    TemporaryError,
)
from tests.support.clock import FakeClock

POLICY = RetryPolicy(attempts=4, total=20.0, first=0.25, longest=5.0)


class Flaky:
    """Fails with each of `errors` in turn, then answers."""

    def __init__(
        self, errors: Sequence[BaseException], *, takes: float = 0.0, clock: FakeClock | None = None
    ) -> None:
        self._errors = list(errors)
        self._takes = takes
        self._clock = clock
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self._clock is not None:
            self._clock.advance(self._takes)
        if self._errors:
            raise self._errors.pop(0)
        return "done"


async def run(flaky: Flaky, clock: FakeClock | None = None, policy: RetryPolicy = POLICY) -> str:
    return await retrying(flaky, policy=policy, clock=clock or FakeClock(auto=True))


@pytest.mark.parametrize("error", [KubeBusy("busy"), KubeUnavailable("away"), TemporaryError("not yet")])
async def test_what_may_pass_is_tried_again(error: Exception) -> None:
    flaky = Flaky([error, error])
    assert await run(flaky) == "done"
    assert flaky.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        KubeForbidden("no"),
        KubeUnauthorized("no"),
        KubeNotFound("no"),
        KubeConflict("no"),
        KubeInvalid("no"),
        KubeReplyLost("no answer"),
        PermanentError("no"),
        InvalidInput("no"),
        PlanStale("no"),
        LeaseLost("no"),
        ValueError("a mistake of ours"),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_everything_else_is_raised_at_once(error: Exception) -> None:
    flaky = Flaky([error])
    with pytest.raises(type(error)):
        await run(flaky)
    assert flaky.calls == 1


async def test_a_cancellation_is_never_tried_again() -> None:
    flaky = Flaky([asyncio.CancelledError()])
    with pytest.raises(asyncio.CancelledError):
        await run(flaky)
    assert flaky.calls == 1


async def test_a_cancellation_ends_the_wait_between_two_tries() -> None:
    flaky = Flaky([KubeUnavailable("away")] * 9)
    clock = FakeClock()
    task = asyncio.create_task(run(flaky, clock))
    await clock.pass_time(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert flaky.calls == 1


async def test_the_last_error_is_raised_when_the_attempts_are_spent() -> None:
    flaky = Flaky([KubeUnavailable("one"), KubeBusy("two"), KubeUnavailable("three"), KubeUnavailable("four")])
    with pytest.raises(KubeUnavailable, match="four"):
        await run(flaky)
    assert flaky.calls == 4


async def test_the_time_that_the_calls_themselves_take_counts() -> None:
    clock = FakeClock(auto=True)
    flaky = Flaky([KubeUnavailable("slow")] * 9, takes=11.0, clock=clock)
    with pytest.raises(KubeUnavailable):
        await run(flaky, clock)
    assert flaky.calls == 2


async def test_a_servers_retry_after_is_waited_for_in_full() -> None:
    """Fault 21."""
    clock = FakeClock(auto=True)
    began = clock.monotonic()
    await run(Flaky([KubeBusy("busy", retry_after=7.0)]), clock)
    assert clock.monotonic() - began >= 7.0


async def test_a_retry_after_beyond_the_cap_on_time_is_not_cut_short_but_left_to_the_caller() -> None:
    """Fault 21. To come back early would be to disobey."""
    clock = FakeClock(auto=True)
    flaky = Flaky([KubeBusy("busy", retry_after=21.0)])
    with pytest.raises(KubeBusy):
        await run(flaky, clock)
    assert (flaky.calls, clock.slept) == (1, [])


async def test_an_open_breaker_is_not_waited_for() -> None:
    flaky = Flaky([CircuitOpen("open", delay=30.0)])
    with pytest.raises(CircuitOpen):
        await run(flaky)
    assert flaky.calls == 1


async def test_a_wall_clock_that_is_set_forward_or_back_changes_nothing() -> None:
    """Fault 19."""
    for hour in (3600.0, -3600.0):
        clock = FakeClock(auto=True)

        class Moved(Flaky):
            async def __call__(self) -> str:
                clock.step(hour)  # noqa: B023
                return await super().__call__()

        moved = Moved([KubeUnavailable("away")] * 3)
        assert await run(moved, clock) == "done"
        assert moved.calls == 4


@given(
    asked=st.lists(st.none() | st.floats(0, 40), max_size=12),
    attempts=st.integers(1, 8),
    total=st.floats(0, 60),
)
async def test_neither_cap_is_ever_passed(asked: list[float | None], attempts: int, total: float) -> None:
    clock = FakeClock(auto=True)
    began = clock.monotonic()
    flaky = Flaky([KubeBusy("busy", retry_after=seconds) for seconds in asked])
    policy = RetryPolicy(attempts=attempts, total=total, first=0.25, longest=5.0)
    with contextlib.suppress(KubeBusy):
        assert await run(flaky, clock, policy) == "done"
    assert flaky.calls <= attempts
    assert clock.monotonic() - began <= total + 1e-6
    for slept, wanted in zip(clock.slept, asked, strict=False):
        assert slept >= (wanted or 0.0)


def test_only_errors_that_carry_a_delay_ask_for_one() -> None:
    assert asked_delay(KubeBusy("busy", retry_after=3.0)) == 3.0
    assert asked_delay(KubeUnavailable("away")) is None
    assert asked_delay(TemporaryError("later", delay=30)) == 30
    assert asked_delay(KubeForbidden("no", retry_after=3.0)) is None
    assert asked_delay(None) is None
