"""One circuit breaker as its callers use it. Wrapped around the clusters (guarded.py) and Prometheus (evidence).

While the breaker is known to be closed, its state is believed for a second: a call then costs no round trip to the
store. What a worker must not miss goes there at once: each failure, and the first success after one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bridge.errors import CircuitOpen, StoreUnavailable
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.ports import Breakers, Clock

T = TypeVar("T")


class Circuit:
    """Counts the calls to one dependency; see `call`."""

    def __init__(
        self,
        name: str,
        breakers: Breakers,
        clock: Clock,
        *,
        failures: tuple[type[Exception], ...],
        policy: BreakerPolicy | None = None,
        believe: float = 1.0,
    ) -> None:
        """`failures` are the errors that say it is sick; `believe` is in seconds."""
        self.name = name
        self._breakers = breakers
        self._clock = clock
        self._failures = failures
        self._policy = policy or BreakerPolicy()
        self._believe = believe
        self._closed_until = float("-inf")

    async def call(self, call: Callable[[], Awaitable[T]], *, blame: bool = True) -> T:
        """Return what `call` returns; raise CircuitOpen, StoreUnavailable, or what it raises.

        Without `blame` a failure counts as neither: somebody behind the dependency may be the one who is sick.
        """
        permit = await self._enter()
        try:
            result = await call()
        except self._failures:
            if blame:
                await self._failed(permit)
            elif permit is not None:
                await self._leave(permit, failed=None)
            raise
        except asyncio.CancelledError:
            # A cancellation says nothing about the other side; a probe must be handed back all the same.
            if permit is not None:
                await asyncio.shield(self._leave(permit, failed=None))
            raise
        except Exception:
            if permit is not None:
                await self._leave(permit, failed=False)
            raise
        if permit is not None:
            await self._leave(permit, failed=False)
        return result

    async def _enter(self) -> Permit | None:
        """Return leave, or None when the breaker was closed a moment ago."""
        if self._clock.monotonic() < self._closed_until:
            return None
        return await self._breakers.enter(self.name, self._policy)

    async def _failed(self, permit: Permit | None) -> None:
        self._closed_until = float("-inf")
        try:
            permit = permit or await self._breakers.enter(self.name, self._policy)
        except (StoreUnavailable, CircuitOpen):
            return
        await self._leave(permit, failed=True)

    async def _leave(self, permit: Permit, *, failed: bool | None) -> None:
        """Report; a store that is away must not turn a call that worked into one that failed."""
        try:
            state = await self._breakers.leave(permit, self._policy, failed=failed)
        except StoreUnavailable:
            return
        if failed is False and state is BreakerState.CLOSED:
            self._closed_until = self._clock.monotonic() + self._believe
