"""What the receiver keeps besides alerts: refused ones, and signatures that it has seen. Called by ingest."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.model.refusal import Refusal
from bridge.stores.codec import ENCODER
from bridge.stores.link import Link

_REFUSAL = msgspec.json.Decoder(Refusal)


class RedisRefusals:
    """Implements ports.Refusals."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def record(self, refusals: Sequence[Refusal]) -> None:
        key, most = self._link.key("refused"), self._link.options.max_refusals
        newest = refusals[-most:]
        for at in range(0, len(newest), 500):
            await self._link.script("refuse", key, most, *map(ENCODER.encode, newest[at : at + 500]))

    async def recent(self, *, limit: int) -> list[Refusal]:
        rows = await self._link.command("LRANGE", self._link.key("refused"), 0, limit - 1)
        return [_REFUSAL.decode(row) for row in rows]


class RedisReplayMemory:
    """Implements ports.ReplayMemory."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def remember(self, signature: str, seconds: float) -> bool:
        key = self._link.key(f"signature:{signature}")
        return await self._link.command("SET", key, 1, "NX", "PX", max(1, int(seconds * 1000))) is not None

    async def forget(self, signature: str) -> None:
        await self._link.command("DEL", self._link.key(f"signature:{signature}"))
