"""Locks on objects, owned by remediations. Called by engine from a first write to the end of its verification."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import LeaseLost
from bridge.model.intake import Claim
from bridge.stores.link import Link


class RedisLocks:
    """Implements ports.Locks. A lock ends with its remediation, or at its deadline."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def acquire(
        self, claim: Claim, keys: Sequence[str], *, seconds: float, above: Sequence[str] = ()
    ) -> str | None:
        """See ports.Locks."""
        given: tuple[str | float, ...] = (len(above), *above, *sorted(keys))
        reply = await self._link.script("lock", claim.remediation, claim.token, seconds, *given)
        if reply[0] == b"lost":
            raise LeaseLost(f"{claim.remediation} is no longer this worker's")
        return reply[1].decode() if reply[0] == b"held" else None

    async def release(self, claim: Claim) -> None:
        await self._link.script("unlock", claim.remediation, claim.token)
