"""Faults 15, 38, 48, 50, 51 and 55 at the receiver over a real Redis: what the answer says is what Redis has."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from bridge.ingest.credentials import SIGNATURE_HEADER, Credential
from bridge.model.refusal import Refused
from bridge.stores import Link, Stores, connect
from tests.support.receiver import SENDER, Answer, Served, served
from tests.support.redis import RedisServer, fresh_options
from tests.support.webhooks import alert, body

STAMPED = Credential(name="grafana", type="hmac", secrets=("k",), timestamp_header="X-Stamp")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that these tests may stop."""
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[Stores]:
    opened = connect(Link(fresh_options(server.url, deadline=1.5)))
    yield opened
    await opened.close()


@pytest.fixture
async def receiver(stores: Stores) -> AsyncIterator[Served]:
    async with served(SENDER, STAMPED, stores=stores) as one:
        yield one


async def stored(stores: Stores) -> list[str]:
    """Return the pods of all alerts that a dispatcher gets."""
    found: list[str] = []
    while entries := await stores.intake_queue.read("test", count=1000, block=0.01):
        found += [one.alert.labels["pod"] for entry in entries for one in entry.transitions]
        await stores.intake_queue.done([entry.id for entry in entries])
    return found


async def test_a_redis_that_hangs_is_503_within_our_own_deadline(
    server: RedisServer, stores: Stores, receiver: Served
) -> None:
    """Faults 15 and 55: and the re-send of what was answered 503 becomes one alert each, whatever Redis had got."""
    data = body(alert(1), alert(2))
    assert (await receiver.post(body(alert(0)))).status == 200
    server.signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        assert (await receiver.post(data)).status == 503
        assert time.monotonic() - begin < 3
    finally:
        server.signal(signal.SIGCONT)
    answer = await receiver.post(data)
    assert answer.status == 200
    assert sorted(await stored(stores)) == ["gw-0", "gw-1", "gw-2"]


async def test_10_000_alerts_in_one_post_are_stored_in_under_5_seconds(stores: Stores, receiver: Served) -> None:
    """Fault 50."""
    data = body(*(alert(n) for n in range(10_000)))
    begin = time.monotonic()
    answer = await receiver.post(data)
    assert time.monotonic() - begin < 5
    assert answer.json == {"alerts": 10_000, "new": 10_000}
    assert len(set(await stored(stores))) == 10_000
    again = await receiver.post(data)
    assert again.json == {"alerts": 10_000, "duplicate": 10_000}
    assert not await stored(stores)


async def test_a_group_sent_again_with_one_new_alert_stores_that_one(stores: Stores, receiver: Served) -> None:
    assert (await receiver.post(body(*(alert(n) for n in range(5))))).json == {"alerts": 5, "new": 5}
    assert len(await stored(stores)) == 5
    answer = await receiver.post(body(*(alert(n) for n in range(6))))
    assert answer.json == {"alerts": 6, "new": 1, "duplicate": 5}
    assert await stored(stores) == ["gw-5"]


async def test_every_alert_answered_2xx_of_a_thousand_posts_is_stored_once(stores: Stores, receiver: Served) -> None:
    """Fault 51: as fast as it goes, over 100 connections."""

    async def sender(first: int) -> list[int]:
        return [n for n in range(first, first + 10) if (await receiver.post(body(alert(n)))).status == 200]

    taken = [n for part in await asyncio.gather(*(sender(n * 10) for n in range(100))) for n in part]
    assert sorted(await stored(stores)) == sorted(f"gw-{n}" for n in taken)


async def test_a_refused_alert_is_kept_for_a_person_to_read(stores: Stores, receiver: Served) -> None:
    """Fault 38."""
    answer = await receiver.post(body(alert(1), alert(2, startsAt="yesterday")))
    assert (answer.status, answer.json["refused"]) == (200, 1)
    (record,) = await stores.refusals.recent(limit=10)
    assert (record.reason, record.index, record.source) == (Refused.BAD_TIME, 1, "am")
    assert "yesterday" in record.excerpt


def signed(data: bytes, stamp: float) -> dict[str, str]:
    text = str(int(stamp))
    digest = hmac.new(b"k", text.encode() + b":" + data, hashlib.sha256).hexdigest()
    return {SIGNATURE_HEADER: digest, "X-Stamp": text}


async def test_a_signature_replayed_at_another_replica_is_401(server: RedisServer, stores: Stores) -> None:
    """Fault 48: replicas share what they have seen; of two at the same moment one wins."""
    other = connect(Link(stores.work._link.options))
    async with served(STAMPED, stores=stores) as first, served(STAMPED, stores=other) as second:
        data = body(alert(1))
        headers = signed(data, first.clock.now())
        both: list[Answer] = await asyncio.gather(
            first.post(data, headers=headers), second.post(data, headers=headers)
        )
        assert sorted(answer.status for answer in both) == [200, 401]
        for replica in (first, second):
            assert (await replica.post(data, headers=headers)).status == 401
    await other.close()
