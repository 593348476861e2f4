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
        """Set as soon as a closed valve holds something."""
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
        self._writers |= both
        try:
            await asyncio.gather(
                self._pump(reader, target_writer, self.there),
                self._pump(target_reader, writer, self.back),
            )
        finally:
            for end in both:
                end.close()
            self._writers -= both

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, valve: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if not valve.is_set():
                    self.held.set()
                    await self._wait_or_lose(valve, source)
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
