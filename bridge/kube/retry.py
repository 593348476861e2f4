"""Try reads again that failed for now. Wrapped around a cluster by bridge.kube.clusters.

Writes pass through untouched: whether a write may be repeated is for the engine to say, which journals it. So do
waits, which have a back-off of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from bridge.errors import KubeBusy, KubeError, KubeUnavailable
from bridge.ports import Clock, Cluster
from bridge.ports.layer import ClusterLayer, Way

T = TypeVar("T")


class ReadRetry(msgspec.Struct, frozen=True):
    """Caps on attempts and on total seconds, and the back-off's first and longest wait in seconds.

    Small on purpose: the engine tries whole steps again, and parks a run whose cluster stays away.
    """

    attempts: int = 3
    total: float = 4.0
    first: float = 0.1
    longest: float = 1.0


class RetryingCluster(ClusterLayer):
    """Implements bridge.ports.Cluster: repeats reads on KubeBusy and KubeUnavailable, with jitter and caps.

    Retry-After is obeyed in full, or the error is raised at once where that would pass the cap on total time.
    """

    def __init__(self, inner: Cluster, clock: Clock, policy: ReadRetry | None = None) -> None:
        super().__init__(inner)
        self._clock = clock
        self._policy = policy or ReadRetry()

    async def _pass(self, way: Way, call: Callable[[], Awaitable[T]]) -> T:
        if way.writes or way is Way.WAIT:
            return await call()
        try:
            # Nearly every read succeeds at once: the machinery below is not free.
            return await call()
        except (KubeBusy, KubeUnavailable) as error:
            if self._policy.attempts < 2:
                raise
            first = error
        return await self._again(call, first)

    async def _again(self, call: Callable[[], Awaitable[T]], first: KubeError) -> T:
        policy = self._policy
        started = self._clock.monotonic()
        jitter = wait_random_exponential(multiplier=policy.first, max=policy.longest)
        pending: list[KubeError] = [first]

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome is not None else None
            asked = error.retry_after if isinstance(error, KubeError) else None
            return max(jitter(state), asked or 0.0)

        def stop(state: RetryCallState) -> bool:
            spent = self._clock.monotonic() - started
            return state.attempt_number >= policy.attempts or spent + (state.upcoming_sleep or 0.0) > policy.total

        retry = AsyncRetrying(
            retry=retry_if_exception_type((KubeBusy, KubeUnavailable)),
            wait=wait,
            stop=stop,
            sleep=self._clock.sleep,
            reraise=True,
        )
        async for attempt in retry:
            with attempt:
                if pending:
                    # The call that failed already is the first attempt.
                    raise pending.pop()
                return await call()
        raise AssertionError("unreachable: tenacity re-raises the last error")
