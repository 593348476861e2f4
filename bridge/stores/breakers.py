"""Circuit breakers, shared by all workers through Redis. Called by engine around calls to a dependency."""

from __future__ import annotations

from collections.abc import Mapping

from bridge.errors import CircuitOpen
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.stores.codec import pairs
from bridge.stores.link import Link


class RedisBreakers:
    """Implements ports.Breakers."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        reply = await self._link.script("breaker_enter", name, int(policy.probe_timeout * 1000))
        if reply[0] == b"wait":
            raise CircuitOpen(f"the circuit breaker {name} is open", delay=float(reply[1]) / 1000)
        if reply[0] == b"probe":
            return Permit(name, True, reply[1].decode())
        return Permit(name, False)

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        result = "neither" if failed is None else "failed" if failed else "fine"
        window, cooldown = int(policy.window * 1000), int(policy.cooldown * 1000)
        state = await self._link.script(
            "breaker_leave", permit.name, permit.token, result, policy.threshold, window, cooldown
        )
        return BreakerState(state.decode())

    async def states(self) -> Mapping[str, BreakerState]:
        """Return the state of every breaker that was ever used."""
        found = pairs(await self._link.script("breaker_states"))
        return {name.decode(): BreakerState(state.decode()) for name, state in found.items()}
