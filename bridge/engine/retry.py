"""Try again what failed for now. Called by execute around each read and write of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from bridge.errors import KubeBusy, KubeUnavailable, TemporaryError
from bridge.ports import Clock

T = TypeVar("T")

TRANSIENT = (KubeBusy, KubeUnavailable, TemporaryError)
"""The only errors that are tried again; a cancellation never is."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """Caps on attempts and on total seconds, and the back-off's first and longest wait in seconds."""

    attempts: int = 4
    total: float = 20.0
    first: float = 0.25
    longest: float = 5.0


async def retrying(call: Callable[[], Awaitable[T]], *, policy: RetryPolicy, clock: Clock) -> T:
    """Return what `call` returns; repeat it on TRANSIENT errors with jittered back-off.

    A server's Retry-After (or an error's own delay) is waited for in full, or not at all when it would
    pass the cap on total time: then the last error is raised, and the caller parks the remediation.
    """
    started = clock.monotonic()
    jitter = wait_random_exponential(multiplier=policy.first, max=policy.longest)

    def wait(state: RetryCallState) -> float:
        return max(jitter(state), asked_delay(_error(state)) or 0.0)

    def stop(state: RetryCallState) -> bool:
        spent = clock.monotonic() - started
        return state.attempt_number >= policy.attempts or spent + (state.upcoming_sleep or 0.0) > policy.total

    retry = AsyncRetrying(
        retry=retry_if_exception_type(TRANSIENT), wait=wait, stop=stop, sleep=clock.sleep, reraise=True
    )
    async for attempt in retry:
        with attempt:
            return await call()
    raise AssertionError("unreachable: tenacity re-raises the last error")


def asked_delay(error: BaseException | None) -> float | None:
    """Return how many seconds an error asks to wait, or None."""
    if isinstance(error, KubeBusy | KubeUnavailable):
        return error.retry_after
    if isinstance(error, TemporaryError):
        return error.delay
    return None


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
