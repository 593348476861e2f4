"""What people are told, as ports promises it: in Redis, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from bridge.model.notice import Ack, Event, Notice
from bridge.model.outside import Message
from bridge.ports import Notices
from bridge.stores.link import Link
from bridge.stores.notices import RedisNotices
from tests.support.clock import FakeClock
from tests.support.memory_notices import MemoryNotices
from tests.support.redis import RedisServer, fresh_options


@dataclass
class Desk:
    """The store, and what a test does beside it."""

    store: Notices
    bounded: Notices
    """The same with room for two messages of a channel."""
    append: Callable[[str], Awaitable[None]]
    """A remediation gets an entry in its journal; the first makes it exist."""
    wait: Callable[[float], None]


@pytest.fixture(params=["memory", "redis"])
async def desk(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Desk]:
    if request.param == "memory":
        clock = FakeClock()
        lengths: dict[str, int] = {}
        store = MemoryNotices(clock, lengths.get)
        bounded = MemoryNotices(clock, lengths.get, most_waiting=2)
        bounded.__dict__.update({name: value for name, value in store.__dict__.items() if name != "_most"})

        async def append(remediation: str) -> None:
            lengths[remediation] = lengths.get(remediation, 0) + 1
            store.news(remediation)

        yield Desk(store, bounded, append, clock.advance)
        return
    link = Link(fresh_options(redis_server.url))

    async def append_in_redis(remediation: str) -> None:
        rem = link.key(f"rem:{remediation}")
        await link.command("HSET", rem, "token", "7", "rk", "r")
        assert await link.script("append", remediation, "7", '{"kind":"x"}', 0)

    def wait(seconds: float) -> None:
        link.clock_offset_ms += round(seconds * 1000)

    try:
        yield Desk(RedisNotices(link), RedisNotices(link, most_waiting=2), append_in_redis, wait)
    finally:
        await link.close()


def notice(name: str, channel: str = "team", text: str = "") -> Notice:
    message = Message(title=name, text=text, thread="r1")
    return Notice(name=f"{name}/{channel}", channel=channel, event=Event.DONE, message=message)


async def told(desk: Desk, *notices: Notice, remediation: str = "r1", read: int = 1) -> None:
    await desk.append(remediation)
    due = next(each for each in await desk.store.take("notices", limit=10) if each.remediation == remediation)
    assert await desk.store.keep("notices", due, b"{}", read=read, look_at=None, notices=notices)


async def names(desk: Desk, channel: str = "team") -> list[str]:
    return [each.name for each in await desk.store.send(channel, limit=10)]


async def test_what_is_journalled_is_looked_at_once_and_again_with_more_news(desk: Desk) -> None:
    assert await desk.store.take("notices", limit=10) == []
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    assert (due.remediation, due.kept, due.ack) == ("r1", b"", None)
    assert await desk.store.take("notices", limit=10) == []
    assert await desk.store.keep("notices", due, b"seen", read=1, look_at=None)
    desk.wait(3600)
    assert await desk.store.take("notices", limit=10) == []
    await desk.append("r1")
    assert [each.kept for each in await desk.store.take("notices", limit=10)] == [b"seen"]


async def test_a_look_that_nobody_keeps_comes_again(desk: Desk) -> None:
    await desk.append("r1")
    await desk.store.take("notices", limit=10)
    desk.wait(31)
    assert [each.remediation for each in await desk.store.take("notices", limit=10)] == ["r1"]


async def test_of_two_looks_at_the_same_one_is_kept(desk: Desk) -> None:
    await desk.append("r1")
    (first,) = await desk.store.take("notices", limit=10)
    desk.wait(31)
    (second,) = await desk.store.take("notices", limit=10)
    assert await desk.store.keep("notices", second, b"", read=1, look_at=None, notices=[notice("done")])
    assert not await desk.store.keep("notices", first, b"", read=1, look_at=None, notices=[notice("other")])
    assert await names(desk) == ["done/team"]


async def test_news_that_came_during_a_look_are_looked_at(desk: Desk) -> None:
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    await desk.append("r1")
    assert await desk.store.keep("notices", due, b"", read=1, look_at=None)
    assert len(await desk.store.take("notices", limit=10)) == 1


async def test_a_look_may_ask_for_the_next_one(desk: Desk) -> None:
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    at = (await desk.store.deliveries("r1"), due)[1]
    await desk.store.keep("notices", at, b"", read=1, look_at=0.0)
    assert len(await desk.store.take("notices", limit=10)) == 1


async def test_another_list_is_entered_by_a_look_and_has_versions_of_its_own(desk: Desk) -> None:
    await desk.append("r1")
    assert await desk.store.take("holds", limit=10) == []
    (due,) = await desk.store.take("notices", limit=10)
    await desk.store.keep("notices", due, b"n", read=1, look_at=None, enrol="holds")
    (hold,) = await desk.store.take("holds", limit=10)
    assert (hold.kept, hold.version) == (b"", 0)
    assert await desk.store.keep("holds", hold, b"h", read=1, look_at=None)
    await desk.append("r1")
    assert await desk.store.take("holds", limit=10) == []
    assert [each.kept for each in await desk.store.take("notices", limit=10)] == [b"n"]


async def test_messages_are_handed_out_oldest_first_and_by_channel(desk: Desk) -> None:
    await told(desk, notice("started"), notice("started", "on-call"))
    desk.wait(1)
    await told(desk, notice("done"), remediation="r2")
    assert await names(desk) == ["started/team", "done/team"]
    assert await names(desk, "on-call") == ["started/on-call"]
    assert await names(desk) == []


async def test_a_message_is_written_once(desk: Desk) -> None:
    await told(desk, notice("done", text="first"))
    await told(desk, notice("done", text="second"), read=2)
    (sending,) = await desk.store.send("team", limit=10)
    assert sending.message.text == "first"
    await desk.store.sent("team", sending)
    await told(desk, notice("done"), read=3)
    assert await names(desk) == []


async def test_a_sender_that_dies_with_a_message_loses_nothing(desk: Desk) -> None:
    await told(desk, notice("done"))
    assert await names(desk) == ["done/team"]
    desk.wait(91)
    (again,) = await desk.store.send("team", limit=10)
    assert again.attempts == 2
    await desk.store.sent("team", again)
    desk.wait(91)
    assert await names(desk) == []


async def test_a_failed_try_waits_and_is_seen(desk: Desk) -> None:
    await told(desk, notice("done"))
    (sending,) = await desk.store.send("team", limit=10)
    await desk.store.failed("team", sending, "no answer", retry_at=sending.at + 10)
    assert await names(desk) == []
    (seen,) = (await desk.store.deliveries("r1")).messages
    assert (seen.state, seen.error, seen.attempts) == ("waiting", "no answer", 1)
    desk.wait(11)
    assert await names(desk) == ["done/team"]


async def test_what_is_given_up_stays_to_be_seen(desk: Desk) -> None:
    await told(desk, notice("done"), notice("done", "on-call"))
    (sending,) = await desk.store.send("team", limit=10)
    await desk.store.failed("team", sending, "no such channel", retry_at=None)
    (other,) = await desk.store.send("on-call", limit=10)
    await desk.store.sent("on-call", other)
    seen = {each.channel: (each.state, each.error) for each in (await desk.store.deliveries("r1")).messages}
    assert seen == {"team": ("lost", "no such channel"), "on-call": ("sent", "")}
    assert not any((await desk.store.waiting()).values())


async def test_a_dead_channel_cannot_fill_the_memory(desk: Desk) -> None:
    await told(desk)
    for number in range(4):
        desk.wait(1)
        await desk.append("r1")
        (due,) = await desk.store.take("notices", limit=10)
        await desk.bounded.keep("notices", due, b"", read=9, look_at=None, notices=[notice(str(number))])
    assert (await desk.store.waiting())["team"] == 2
    states = {each.name: each.state for each in (await desk.store.deliveries("r1")).messages}
    assert states == {"0/team": "lost", "1/team": "lost", "2/team": "waiting", "3/team": "waiting"}


async def test_the_first_who_acknowledges_stays_and_the_next_look_sees_it(desk: Desk) -> None:
    assert await desk.store.acknowledge("nobody", Ack(by="ann")) is None
    await told(desk)
    first = await desk.store.acknowledge("r1", Ack(by="ann", why="on it"))
    second = await desk.store.acknowledge("r1", Ack(by="bob"))
    assert first == second
    assert first is not None
    assert (first.by, first.why) == ("ann", "on it")
    (due,) = await desk.store.take("notices", limit=10)
    assert due.ack == first
    assert (await desk.store.deliveries("r1")).ack == first


async def test_a_look_that_began_before_an_acknowledgement_is_not_kept(desk: Desk) -> None:
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    await desk.store.acknowledge("r1", Ack(by="ann"))
    assert not await desk.store.keep("notices", due, b"", read=1, look_at=None, notices=[notice("escalated-2")])
    assert await names(desk) == []


async def test_what_is_out_of_date_is_not_sent_any_more_and_stays_to_be_seen(desk: Desk) -> None:
    await told(desk, notice("started"), notice("escalated-1"), notice("escalated-1", "on-call"))
    (sending,) = await desk.store.send("on-call", limit=1)
    await desk.store.sent("on-call", sending)
    desk.wait(1)
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    new = [notice("escalated-2")]
    assert await desk.store.keep("notices", due, b"", read=9, look_at=None, notices=new, withdraw=("escalated",))
    assert await names(desk) == ["started/team"]
    states = {each.name: each.state for each in (await desk.store.deliveries("r1")).messages}
    assert states == {
        "started/team": "waiting",
        "escalated-1/team": "withdrawn",
        "escalated-1/on-call": "sent",
        "escalated-2/team": "waiting",
    }


async def test_what_is_withdrawn_while_it_is_sent_stays_withdrawn(desk: Desk) -> None:
    await told(desk, notice("update-1"))
    (sending,) = await desk.store.send("team", limit=1)
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    assert await desk.store.keep(
        "notices", due, b"", read=9, look_at=None, notices=[notice("done")], withdraw=("up",)
    )
    assert await names(desk) == []
    await desk.store.failed("team", sending, "no answer", retry_at=sending.at)
    assert await names(desk) == ["done/team"]
    assert not any(each.state == "lost" for each in (await desk.store.deliveries("r1")).messages)


async def test_messages_of_a_remediation_are_sent_one_at_a_time_and_hold_up_no_other(desk: Desk) -> None:
    """An end that arrives before its beginning would open again what it closed."""
    await told(desk, notice("escalated-1"))
    desk.wait(1)
    await told(desk, notice("resolved"), read=2)
    await told(desk, notice("done"), remediation="r2")
    (first,) = await desk.store.send("team", limit=1)
    (other,) = await desk.store.send("team", limit=1)
    assert (first.name, other.remediation) == ("escalated-1/team", "r2")
    assert await desk.store.send("team", limit=1) == []
    await desk.store.sent("team", first)
    assert await names(desk) == ["resolved/team"]


async def test_a_pace_gives_a_few_in_a_minute_and_many_that_are_due_at_once(desk: Desk) -> None:
    for number in range(3):
        await told(desk, notice("done"), remediation=f"r{number}")
    for _ in range(3):
        (sending,) = await desk.store.send("team", limit=1, pace=3)
        await desk.store.sent("team", sending)
    for number in range(3, 8):
        await told(desk, notice("done"), remediation=f"r{number}")
    assert await desk.store.send("team", limit=1, pace=3) == []
    desk.wait(61)
    assert len(await desk.store.send("team", limit=1, pace=3)) == 5
    await told(desk, notice("done"), remediation="r9")
    assert await desk.store.send("team", limit=1, pace=3) == []
    assert len(await desk.store.send("team", limit=1)) == 1, "without a pace"


async def test_what_is_remembered_of_a_cause_is_kept_by_who_read_the_last_of_it_and_wakes_others(desk: Desk) -> None:
    for name in ("r1", "r2"):
        await desk.append(name)
    first, second = await desk.store.take("notices", limit=10)
    nothing = await desk.store.remembered("web is down")
    assert (nothing.version, nothing.kept) == (0, b"")
    known = replace(nothing, kept=b"r1 calls", seconds=3600.0, wake=("r2", "never looked at"))
    assert await desk.store.keep("notices", first, b"", read=1, look_at=None, memory=known)
    found = await desk.store.remembered("web is down")
    assert (found.kept, found.wake) == (b"r1 calls", ())
    assert await desk.store.remembered("api is down") == replace(nothing, cause="api is down")

    late = replace(nothing, kept=b"r2 calls", seconds=3600.0)
    calls = [notice("escalated-1")]
    assert not await desk.store.keep("notices", second, b"", read=1, look_at=None, notices=calls, memory=late)
    assert (await desk.store.remembered("web is down")).kept == b"r1 calls"
    assert await names(desk) == []
    (again,) = await desk.store.take("notices", limit=10)
    assert again.remediation == "r2", "it looks again at once"
    more = replace(found, kept=b"r1 calls, r2 knows", seconds=3600.0, wake=("r1",))
    assert await desk.store.keep("notices", again, b"", read=1, look_at=None, memory=more)
    assert [each.remediation for each in await desk.store.take("notices", limit=10)] == ["r1"]


async def test_a_memory_of_a_look_that_was_overtaken_is_not_kept(desk: Desk) -> None:
    await desk.append("r1")
    (due,) = await desk.store.take("notices", limit=10)
    await desk.store.acknowledge("r1", Ack(by="ann"))
    known = replace(await desk.store.remembered("c"), kept=b"old", seconds=60.0)
    assert not await desk.store.keep("notices", due, b"", read=1, look_at=None, memory=known)
    assert (await desk.store.remembered("c")).version == 0
