"""A line between two Alertmanagers that can be cut: forwards their gossip, TCP and UDP, until it is told not to.

Each peer advertises the port of a line instead of its own, so that everything that is said to it passes here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.processes import free_port


class Line(asyncio.DatagramProtocol):
    """What others say to one peer: listens on `port`, forwards to `peer`, both on loopback."""

    def __init__(self, peer: int) -> None:
        self.port = free_port()
        self.peer = peer
        self.cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", self.port))
        self._tcp = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    def sever(self) -> None:
        """Drop every connection and every packet from now on."""
        self.cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        self.cut = False

    async def close(self) -> None:
        self.sever()
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
            await self._tcp.wait_closed()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        # The answer needs no way back: it names the port that its receiver advertises.
        if not self.cut and self._udp is not None:
            self._udp.sendto(data, ("127.0.0.1", self.peer))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.cut:
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            peer_reader, peer_writer = await asyncio.open_connection("127.0.0.1", self.peer)
            self._writers |= {writer, peer_writer}
            await asyncio.gather(_pump(reader, peer_writer), _pump(peer_reader, writer))
            self._writers -= {writer, peer_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_lines(*peers: int) -> AsyncIterator[tuple[Line, ...]]:
    """Open one line to each of the ports `peers`."""
    lines = tuple(Line(peer) for peer in peers)
    try:
        for line in lines:
            await line.open()
        yield lines
    finally:
        for line in lines:
            await line.close()
