"""Circuit breakers in memory, with a count of what they were asked."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.errors import CircuitOpen
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.ports import Clock


class MemoryBreakers:
    """Implements bridge.ports.Breakers for one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._open_until: dict[str, float] = {}
        self._probing: set[str] = set()
        self.entered = 0
        self.left: list[bool | None] = []

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        self.entered += 1
        until = self._open_until.get(name)
        if until is None:
            return Permit(name, False)
        wait = until - self._clock.monotonic()
        if wait > 0 or name in self._probing:
            raise CircuitOpen(f"{name} is open", delay=max(wait, 0.1))
        self._probing.add(name)
        return Permit(name, True)

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        self.left.append(failed)
        name = permit.name
        if permit.probe:
            self._probing.discard(name)
        if failed:
            self._failures[name] = self._failures.get(name, 0) + 1
            if permit.probe or self._failures[name] >= policy.threshold:
                self._open_until[name] = self._clock.monotonic() + policy.cooldown
        elif failed is False:
            self._failures[name] = 0
            if permit.probe:
                self._open_until.pop(name, None)
        return (await self.states()).get(name, BreakerState.CLOSED)

    async def states(self) -> Mapping[str, BreakerState]:
        now = self._clock.monotonic()
        return {
            name: BreakerState.OPEN if until > now else BreakerState.HALF_OPEN
            for name, until in self._open_until.items()
        }
