"""A TCP line with two valves: what goes there and what comes back can be held, let go or lost.

Put between one of our processes and its Redis, it stops the world at a chosen moment: with `there` closed a
request was sent and never arrived; with `back` closed it was carried out and its answer never came.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.processes import free_port


class Valve:
    """Listens on `port` of loopback and forwards to `target`. Both ways are open at first."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self.target = target
        self.there = asyncio.Event()
        self.back = asyncio.Event()
        self.there.set()
        self.back.set()
        self.held = asyncio.Event()
        """Set as soon as a closed valve, or the trap, holds something."""
        self._trap: tuple[bytes, bool] | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def close_there(self) -> None:
        """Hold what is sent from now on."""
        self.held.clear()
        self.there.clear()

    def close_back(self) -> None:
        """Hold the answers from now on."""
        self.held.clear()
        self.back.clear()

    def trap(self, marker: bytes, *, arrives: bool) -> None:
        """Hold the next request that holds `marker`; or, with `arrives`, let it through and hold its answer.

        Everything else flows on, also over other connections.
        """
        self.held.clear()
        self._trap = marker, arrives

    def open(self) -> None:
        """Let both ways flow again. What was held for a connection that is gone is lost."""
        self.there.set()
        self.back.set()

    def sever(self) -> None:
        """Reset every connection; what was held is lost. New ones are accepted."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self.open()
        self.sever()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, target_writer}
        here = asyncio.Event()
        here.set()
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, target_writer, self.there, here, asks=True),
                self._pump(target_reader, writer, self.back, here),
            )
        finally:
            for end in both:
                end.close()
            self._writers -= both

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        valve: asyncio.Event,
        here: asyncio.Event,
        *,
        asks: bool = False,
    ) -> None:
        """Forward until an end closes; `here` is the valve of this connection's answers."""
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if asks and self._trap is not None and self._trap[0] in data:
                    arrives, self._trap = self._trap[1], None
                    here.clear()
                    self.held.set()
                    if not arrives:
                        await self._wait_or_lose(here, source)
                for each in (valve, *(() if asks else (here,))):
                    if not each.is_set():
                        self.held.set()
                        await self._wait_or_lose(each, source)
                if sink.is_closing():
                    break
                sink.write(data)
                await sink.drain()
        sink.close()

    async def _wait_or_lose(self, valve: asyncio.Event, source: asyncio.StreamReader) -> None:
        """Wait for the valve; a sender that dies meanwhile takes what it had sent with it."""
        opened = asyncio.create_task(valve.wait())
        while not opened.done():
            await asyncio.wait({opened}, timeout=0.02)
            if source.at_eof() or source.exception() is not None:
                opened.cancel()
                raise ConnectionResetError("the sender is gone")


@asynccontextmanager
async def open_valve(target: int) -> AsyncIterator[Valve]:
    """Open a line to the port `target`."""
    valve = Valve(target)
    await valve.start()
    try:
        yield valve
    finally:
        await valve.stop()
