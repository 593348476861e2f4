"""Kept copies as ports promises them: in Redis, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bridge.errors import InvalidInput
from bridge.model.outside import Copy
from bridge.model.target import ObjectRef
from bridge.ports import Copies
from tests.support.clock import FakeClock
from tests.support.memory_copies import MemoryCopies
from tests.support.redis import OpenStores, RedisServer, fresh_options

REF = ObjectRef("v1", "ConfigMap", "shop", "web-config", uid="u1", cluster="main")


@dataclass
class Shelf:
    """Where copies are kept; `later` gives the same some seconds on."""

    now: Copies
    later: Callable[[float], Awaitable[Copies]]


@pytest.fixture(params=["memory", "redis"])
async def shelf(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Shelf]:
    if request.param == "memory":
        clock = FakeClock()
        copies = MemoryCopies(clock)

        async def later(seconds: float) -> Copies:
            clock._now += seconds
            return copies

        yield Shelf(copies, later)
        return
    stores = OpenStores(fresh_options(redis_server.url))
    passed = 0.0

    async def later_redis(seconds: float) -> Copies:
        nonlocal passed
        passed += seconds
        return (await stores.later(passed)).copies

    try:
        yield Shelf((await stores.open()).copies, later_redis)
    finally:
        await stores.close()


def config(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-config"}, "data": data}


def kept(*, good: bool = False, why: str = "", **data: str) -> Copy:
    return Copy(taken_at=0.0, manifest=config(**data), good=good, why=why)


async def data_of(copies: Copies, ref: ObjectRef = REF) -> list[tuple[str, bool]]:
    return [(copy.manifest["data"]["a"], copy.good) for copy in await copies.of(ref)]


async def test_copies_come_back_newest_first_with_the_stores_time(shelf: Shelf) -> None:
    assert await shelf.now.of(REF) == []
    assert await shelf.now.keep(REF, kept(a="1", why="first"))
    later = await shelf.later(60)
    await later.keep(REF, kept(a="2", good=True, why="second"))
    new, old = await later.of(REF)
    assert (new.manifest, new.good, new.why) == (config(a="2"), True, "second")
    assert (old.manifest, old.good, old.why) == (config(a="1"), False, "first")
    assert new.taken_at - old.taken_at == pytest.approx(60, abs=5)


async def test_an_equal_copy_is_kept_once_and_may_turn_out_good(shelf: Shelf) -> None:
    await shelf.now.keep(REF, kept(a="1", why="before a change"))
    later = await shelf.later(600)
    await later.keep(REF, kept(a="1", good=True, why="well for 10 minutes"))
    await later.keep(REF, kept(a="1", why="before another change"))
    (copy,) = await later.of(REF)
    assert (copy.good, copy.why) == (True, "well for 10 minutes")


async def test_content_that_was_good_once_is_good_when_it_comes_back(shelf: Shelf) -> None:
    await shelf.now.keep(REF, kept(a="1", good=True))
    await shelf.now.keep(REF, kept(a="2"))
    await shelf.now.keep(REF, kept(a="1"))
    assert await data_of(shelf.now) == [("1", True), ("2", False)]


async def test_bad_versions_never_push_out_the_newest_good_one(shelf: Shelf) -> None:
    await shelf.now.keep(REF, kept(a="older", good=True))
    await shelf.now.keep(REF, kept(a="good", good=True))
    for number in range(9):
        await shelf.now.keep(REF, kept(a=str(number)))
    found = await data_of(shelf.now)
    assert len(found) == 5
    assert found == [("8", False), ("7", False), ("6", False), ("5", False), ("good", True)]


async def test_objects_are_told_apart_but_a_remade_one_finds_its_copies(shelf: Shelf) -> None:
    other = ObjectRef("v1", "ConfigMap", "shop", "other", cluster="main")
    await shelf.now.keep(REF, kept(a="1"))
    await shelf.now.keep(other, kept(a="2"))
    remade = ObjectRef("v1", "ConfigMap", "shop", "web-config", uid="u2", cluster="main")
    assert await data_of(shelf.now, remade) == [("1", False)]
    assert await data_of(shelf.now, other) == [("2", False)]
    assert await shelf.now.of(ObjectRef("v1", "ConfigMap", "shop", "web-config", cluster="berlin")) == []


async def test_what_a_secret_holds_is_never_kept(shelf: Shelf) -> None:
    secret = ObjectRef("v1", "Secret", "shop", "web-tls", cluster="main")
    with pytest.raises(InvalidInput):
        await shelf.now.keep(secret, kept(a="1"))
    assert await shelf.now.of(secret) == []


async def test_what_is_too_large_is_not_kept(shelf: Shelf) -> None:
    assert not await shelf.now.keep(REF, kept(a="x" * (5 << 20)))
    assert await shelf.now.of(REF) == []


async def test_time_is_counted_while_it_is_well_with_the_same_content(shelf: Shelf) -> None:
    assert await shelf.now.watched(REF, config(a="1"), well=True, gap=150) < 2
    later = await shelf.later(60)
    assert await later.watched(REF, config(a="1"), well=True, gap=150) == pytest.approx(60, abs=5)
    assert await later.watched(REF, config(a="2"), well=True, gap=150) < 2
    later = await shelf.later(60)
    assert await later.watched(REF, config(a="2"), well=True, gap=150) == pytest.approx(60, abs=5)
    assert await later.watched(REF, config(a="2"), well=False, gap=150) == 0
    assert await later.watched(REF, config(a="2"), well=True, gap=150) < 2


async def test_a_gap_between_looks_proves_nothing(shelf: Shelf) -> None:
    await shelf.now.watched(REF, config(a="1"), well=True, gap=150)
    later = await shelf.later(600)
    assert await later.watched(REF, config(a="1"), well=True, gap=150) < 2


async def test_one_of_all_processes_takes_the_turn(shelf: Shelf) -> None:
    assert [await shelf.now.take_turn(300) for _ in range(3)] == [True, False, False]


async def test_all_copies_together_are_bounded(opened: OpenStores) -> None:
    copies = (await opened.open(max_copied_objects=3)).copies
    refs = [ObjectRef("v1", "ConfigMap", "shop", f"c{n}", cluster="main") for n in range(5)]
    for ref in refs:
        await copies.keep(ref, kept(a="1"))
    assert [len(await copies.of(ref)) for ref in refs] == [0, 0, 1, 1, 1]
    small = (await opened.open(max_copies_bytes=1)).copies
    await small.keep(refs[4], kept(a="2"))
    assert [len(await small.of(ref)) for ref in refs] == [0, 0, 0, 0, 2]
    link = (await opened.open()).copies._link
    held = int(await link.command("GET", link.key("copies:bytes")))
    blobs = (await link.script("copy_read", "main|ConfigMap|shop|c4"))[1:]
    assert held == sum(map(len, blobs))
