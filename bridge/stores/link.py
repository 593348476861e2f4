"""The way to Redis for every store: commands, scripts and blocking reads, each within a deadline.

Every failure of Redis leaves here as StoreUnavailable. Replies are bytes, in the shapes of RESP2.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import hiredis
from redis.exceptions import NoScriptError, ResponseError

from bridge.errors import StoreUnavailable
from bridge.stores.connection import REDIS_ERRORS, Source, open_source, unavailable
from bridge.stores.keys import prefix
from bridge.stores.options import StoreOptions
from bridge.stores.scripts import Scripts

Arg = bytes | str | int | float

pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
"""Return a command as it is sent. redis-py's asyncio connections do it in Python, ten times slower. (The stub of
hiredis knows tuples of one only.)"""


class NoGroup(Exception):
    """A consumer group that we rely on is not there: Redis came back empty, or was flushed."""


class Link:
    """Shared by all stores of a process."""

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self.clock_offset_ms = options.clock_offset_ms
        """Added to Redis's time to make the store's clock. Tests move it while they run."""
        self.prefix = prefix(options.installation)
        self.scripts = Scripts(options)
        self.source: Source = open_source(options, self.prefix, size=options.connections)
        # Blocking reads would starve the others of connections, and wait longer than any deadline.
        self._waiting: Source = open_source(options, self.prefix, size=256)

    def key(self, name: str) -> str:
        return self.prefix + name

    async def command(self, *args: Arg) -> Any:
        """Return the reply to one command. Raises StoreUnavailable, NoGroup."""
        return await self._exchange(self.source, args, self.options.deadline)

    async def blocking(self, seconds: float, *args: Arg) -> Any:
        """Return the reply to a command that may wait for `seconds` at the server."""
        return await self._exchange(self._waiting, args, seconds + self.options.deadline)

    async def script(self, name: str, *args: Arg) -> Any:
        """Run a script. It gets the prefix of all keys and the offset of the clock (ms) before `args`.

        One key is named, to lead to the right node of a cluster; the others share its slot.
        """
        sha, text = self.scripts.get(name)
        tail = (1, self.prefix, self.prefix, self.clock_offset_ms, *args)
        try:
            return await self._exchange(self.source, ("EVALSHA", sha, *tail), self.options.deadline)
        except NoScriptError:
            return await self._exchange(self.source, ("EVAL", text, *tail), self.options.deadline)

    async def _exchange(self, source: Source, args: tuple[Arg, ...], seconds: float) -> Any:
        try:
            async with asyncio.timeout(seconds), source.connection() as connection:
                await connection.send_packed_command(pack(args))
                return await connection.read_response(disable_decoding=True)
        except NoScriptError:
            raise
        except ResponseError as error:
            if "NOGROUP" in str(error):
                raise NoGroup(str(error)) from error
            raise unavailable(error) from error
        except TimeoutError as error:
            raise StoreUnavailable(f"Redis did not answer within {seconds:g} s") from error
        except REDIS_ERRORS as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        await self.source.close()
        await self._waiting.close()
