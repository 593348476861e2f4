"""Whether alerts could be stored now. Called by the readiness endpoint."""

from __future__ import annotations

from collections.abc import Callable

from bridge.stores.link import Link


class RedisHealth:
    """Implements ports.StoreHealth."""

    def __init__(self, link: Link, *, kept: Callable[[], None] | None = None) -> None:
        self._link = link
        self._kept = kept

    async def ping(self) -> None:
        """Write one key: a replica, a full memory or a full disk would answer a PING. Raises StoreUnavailable."""
        if self._kept is not None:
            self._kept()
        await self._link.script("ping")

    async def time(self) -> float:
        seconds, micros = await self._link.command("TIME")
        return int(seconds) + int(micros) / 1_000_000 + self._link.clock_offset_ms / 1000
