"""Consumer groups: made at the start, and made again when Redis comes back empty. Used by both queues."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from bridge.errors import StoreUnavailable
from bridge.stores.link import Link, NoGroup

log = structlog.get_logger(__name__)

GROUPS = (("intake", "dispatch"), ("work", "workers"))
TIDY_EVERY = 60.0
"""Seconds between two looks at the consumers of dead processes."""
CONSUMER_IDLE_MS = 3_600_000


class Groups:
    """`recreated` counts how often a group that had been there was gone: an alarm, for data was lost."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._made = False
        self._tidied = 0.0
        self.recreated = 0

    async def make(self) -> None:
        """Make the groups that are not there, from the first entry on: what was stored before is not skipped."""
        for stream, group in GROUPS:
            try:
                await self._link.command("XGROUP", "CREATE", self._link.key(stream), group, "0", "MKSTREAM")
            except StoreUnavailable as error:
                if "BUSYGROUP" not in str(error):
                    raise
            else:
                if self._made:
                    self.recreated += 1
                    log.error("consumer group was gone: Redis came back empty or was flushed", stream=stream)
        self._made = True

    async def script(self, name: str, *args: Any) -> Any:
        """Run a script that needs the groups. Raises StoreUnavailable."""
        try:
            return await self._link.script(name, *args)
        except NoGroup:
            await self.make()
            return await self._link.script(name, *args)

    async def read(
        self, stream: str, group: str, worker: str, *, count: int, block: float
    ) -> list[tuple[bytes, list[bytes]]]:
        """Return new entries as (id, flat fields), waiting at most `block` seconds."""
        if not self._made:
            await self.make()
        # BLOCK 0 would wait for ever.
        wait = ("BLOCK", max(1, int(block * 1000))) if block > 0 else ()
        command = ("XREADGROUP", "GROUP", group, worker, "COUNT", count, *wait)
        rest = ("STREAMS", self._link.key(stream), ">")
        try:
            reply = await self._link.blocking(block, *command, *rest)
        except NoGroup:
            await self.make()
            return []
        # An entry whose fields are nil was deleted meanwhile.
        return [(entry, flat) for entry, flat in reply[0][1] if flat] if reply else []

    async def tidy(self) -> None:
        """Now and then, drop the consumers of processes that are long gone."""
        now = asyncio.get_running_loop().time()
        if now - self._tidied >= TIDY_EVERY:
            self._tidied = now
            await self.script("consumers", CONSUMER_IDLE_MS)
