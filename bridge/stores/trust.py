"""Whether runbooks help, shared by all workers through Redis. Called through admission.

How a run ended is counted by the script that ends it (see lua/remediation.lua), once, whoever ends it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.model.trust import Lowered, Stopped, Trust, TrustSettings
from bridge.stores.codec import pairs
from bridge.stores.link import Link

_STOPPED = msgspec.json.Decoder(Stopped)
_LOWERED = msgspec.json.Decoder(Lowered)


class RedisTrustbook:
    """Implements ports.Trustbook."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def judge(self, runbook: str, alert: str, policy: TrustSettings) -> Trust:
        stopped, lowered = await self._link.script(
            "trust_judge",
            runbook,
            alert,
            "" if policy.stop_after is None else policy.stop_after,
            policy.of,
            policy.at_least,
            policy.approve_below,
            policy.observe_below,
        )
        return Trust(
            stopped=_STOPPED.decode(stopped) if stopped else None,
            lowered=_LOWERED.decode(lowered) if lowered else None,
        )

    async def restore(self, runbook: str) -> bool:
        return bool(await self._link.script("trust_restore", runbook))

    async def stopped(self) -> Mapping[str, Stopped]:
        found = pairs(await self._link.command("HGETALL", self._link.key("trust:stopped")))
        return {name.decode(): _STOPPED.decode(value) for name, value in found.items()}

    async def lowered(self) -> Mapping[tuple[str, str], Lowered]:
        found = pairs(await self._link.command("HGETALL", self._link.key("trust:lowered")))
        return {_pair(name.decode()): _LOWERED.decode(value) for name, value in found.items()}


def _pair(name: str) -> tuple[str, str]:
    # An alert's name may hold anything, a runbook's no bar.
    alert, _, runbook = name.rpartition("|")
    return alert, runbook
