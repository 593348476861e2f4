"""A connection of its own for the intake, kept open, one call at a time. Used by intake.

It leaves out what a pool does for each call; the protocol, TLS, authentication and the search for the primary
stay redis-py's.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from bridge.errors import StoreUnavailable
from bridge.stores.connection import REDIS_ERRORS, moved_on, unavailable
from bridge.stores.link import Link, pack

IDLE = 1.0
"""Seconds after which the connection is looked at before it is used again: the server may have gone meanwhile."""


class Lane:
    def __init__(self, link: Link) -> None:
        self._link = link
        self._stack = AsyncExitStack()
        self._connection: Any = None
        self._used = 0.0

    async def script(self, name: str, *args: Any) -> bytes:
        """Run a script; with `min_replicas`, return only when that many replicas have what it wrote.

        Raises StoreUnavailable within the deadline. Never repeats a call whose fate is not known.
        """
        sha, text = self._link.scripts.get(name)
        deadline = self._link.options.deadline
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(deadline):
                connection = self._connection
                if connection is None or loop.time() - self._used > IDLE:
                    connection = await self._ready()
                try:
                    reply = await self._call(connection, ("EVALSHA", sha, *args))
                except NoScriptError:
                    reply = await self._call(connection, ("EVAL", text, *args))
                self._used = loop.time()
                return reply
        except TimeoutError as error:
            await self._drop()
            raise StoreUnavailable(f"Redis did not answer within {deadline:g} s") from error
        except REDIS_ERRORS as error:
            if moved_on(error) or not getattr(self._connection, "is_connected", False):
                await self._drop()
                await self._link.source.forget()
            raise unavailable(error) from error
        except BaseException:
            await self._drop()
            raise

    async def _call(self, connection: Any, args: tuple[Any, ...]) -> bytes:
        replicas = self._link.options.min_replicas
        packed = pack(args)
        if replicas:
            # On the same connection: WAIT is about what this one has written.
            patience = int(self._link.options.deadline * 500)
            packed += pack(("WAIT", replicas, patience))
        await connection.send_packed_command(packed)
        try:
            reply: bytes = await connection.read_response(disable_decoding=True)
        except RedisError:
            if replicas and connection.is_connected:
                await connection.read_response()
            raise
        if replicas:
            confirmed = int(await connection.read_response())
            if confirmed < replicas:
                raise StoreUnavailable(f"{confirmed} of {replicas} replicas confirmed the write")
        return reply

    async def _ready(self) -> Any:
        if self._connection is not None and await self._connection.can_read():
            await self._drop()
        if self._connection is None:
            self._connection = await self._stack.enter_async_context(self._link.source.connection())
        return self._connection

    async def _drop(self) -> None:
        """Let go of the connection; the next call takes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._stack.aclose()

    async def close(self) -> None:
        await self._drop()
