"""The line with valves loses and delays exactly what it should."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.valve import open_valve


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[int, list[bytes]]]:
    """Serve an echo; yield its port and everything that it received."""
    received: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            received.append(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], received
    finally:
        server.close()


async def test_what_a_dead_sender_had_sent_into_a_closed_valve_never_arrives() -> None:
    async with echo() as (port, received), open_valve(port) as valve:
        _reader, writer = await asyncio.open_connection("127.0.0.1", valve.port)
        valve.close_there()
        writer.write(b"lost")
        await asyncio.wait_for(valve.held.wait(), 2)
        writer.transport.abort()
        await asyncio.sleep(0.1)
        valve.open()
        reader, writer = await asyncio.open_connection("127.0.0.1", valve.port)
        writer.write(b"kept")
        assert await asyncio.wait_for(reader.read(100), 2) == b"kept"
        writer.close()
    assert received == [b"kept"]


async def test_an_answer_waits_at_a_closed_valve_while_the_request_has_arrived() -> None:
    async with echo() as (port, received), open_valve(port) as valve:
        reader, writer = await asyncio.open_connection("127.0.0.1", valve.port)
        valve.close_back()
        writer.write(b"done")
        await asyncio.wait_for(valve.held.wait(), 2)
        assert received == [b"done"]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)
        valve.open()
        assert await asyncio.wait_for(reader.read(100), 2) == b"done"
        writer.close()


@pytest.mark.parametrize("arrives", [False, True])
async def test_a_trap_holds_one_request_and_nothing_else(arrives: bool) -> None:
    async with echo() as (port, received), open_valve(port) as valve:
        valve.trap(b"poison", arrives=arrives)
        reader, writer = await asyncio.open_connection("127.0.0.1", valve.port)
        writer.write(b"some poison")
        await asyncio.wait_for(valve.held.wait(), 2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)
        assert received == ([b"some poison"] if arrives else [])
        writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", valve.port)
        writer.write(b"more poison")
        assert await asyncio.wait_for(reader.read(100), 2) == b"more poison"
        writer.close()
    assert received == ([b"some poison"] if arrives else []) + [b"more poison"]
