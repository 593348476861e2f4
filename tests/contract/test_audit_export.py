"""A long trail over HTTP: 100,000 entries in flat memory, whoever reads slowly, and never a part taken for all."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bridge.model.plan import Change, Field, Plan, Undo
from bridge.model.remediation import Decision, Entry
from bridge.model.target import ObjectRef
from bridge.stores import Stores
from tests.support.api_fakes import Memory, client
from tests.support.redis import OpenStores, RedisServer, fresh_options

DECISIONS, RUNS = 90_000, 2_500
"""Each run has four entries, one of them a plan of some size."""
FLAT = 12 << 20
"""Bytes that memory may move by while one export runs; what it reads is twice that."""

FILL = """
local prefix, decision, now = ARGV[1], ARGV[2], redis.call('TIME')[1] * 1000
for number = 1, tonumber(ARGV[3]) do
  redis.call('XADD', prefix .. 'audit', '*', 'at', string.format('%.0f', now), 'f', 'fp' .. number, 'd', decision)
end
for run = 1, tonumber(ARGV[4]) do
  local id = 'run' .. run
  for number = 5, #ARGV do
    redis.call('RPUSH', prefix .. 'journal:' .. id, ARGV[number])
    redis.call('XADD', prefix .. 'audit', '*', 'at', string.format('%.0f', now), 'r', id, 'n', number - 5)
  end
end
"""


def journal() -> list[bytes]:
    web = ObjectRef("apps/v1", "Deployment", "shop", "web", uid="u1")
    fields = (Field("/spec/replicas", 3, 5), Field("/metadata/annotations/large", None, "x" * 3_000))
    change = Change(ref=web, summary="scale to 5", fields=fields)
    plan = Plan(action="scale", summary="scale", changes=(change,), undo=Undo.EXACT)
    entries = [
        Entry(kind="started", at=1.0, text="taken up"),
        Entry(kind="planned", at=2.0, text="scale", data={"step": "s/0", "plan": msgspec.to_builtins(plan)}),
        Entry(kind="applied", at=3.0, text="scale to 5", data={"step": "s/0", "change": 0, "wrote": True}),
        Entry(kind="finished", at=4.0, text="succeeded", reason="verified"),
    ]
    return [msgspec.json.encode(entry) for entry in entries]


async def fill(stores: Stores) -> None:
    link = stores.work._link
    decision = msgspec.json.encode(Decision(at=1.0, reason="no_route", detail="no route names a runbook"))
    await link.command("EVAL", FILL, 0, link.prefix, decision, DECISIONS, RUNS, *journal())


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Stores]:
    opened = OpenStores(fresh_options(redis_server.url, deadline=20.0))
    stores = await opened.open()
    await fill(stores)
    yield stores
    await opened.close()


async def test_a_hundred_thousand_entries_are_exported_in_flat_memory_also_to_a_slow_reader(stores: Stores) -> None:
    http = await client(Memory(), "view-token", audit=stores.audit, queue=stores.work, journal=stores.journal)
    kinds, bytes_read, sizes = Counter[str](), 0, list[int]()
    try:
        async with http.get("/api/v1/audit") as response:
            assert response.status == 200
            await asyncio.sleep(0.3)
            async for line in response.content:
                bytes_read += len(line)
                kinds[msgspec.json.decode(line)["kind"]] += 1
                if kinds.total() % 5_000 == 0:
                    sizes.append(resident())
    finally:
        await http.close()
    assert kinds == Counter(decision=DECISIONS, started=RUNS, planned=RUNS, applied=RUNS, finished=RUNS)
    assert bytes_read > 2 * FLAT
    assert max(sizes) - min(sizes) < FLAT, [size >> 20 for size in sizes]


async def test_a_store_that_goes_away_in_the_middle_breaks_the_stream_off(stores: Stores) -> None:
    read, count = stores.audit.read, 0

    async def broken(*, since: float, until: float):  # type: ignore[no-untyped-def]
        nonlocal count
        async for one in read(since=since, until=until):
            count += 1
            if count == 5_000:
                raise RuntimeError("gone")
            yield one

    class Broken:
        record, read = stores.audit.record, staticmethod(broken)

    http = await client(Memory(), "view-token", audit=Broken(), queue=stores.work, journal=stores.journal)
    try:
        async with http.get("/api/v1/audit") as response:
            with pytest.raises(aiohttp.ClientError):
                await response.read()
    finally:
        await http.close()
