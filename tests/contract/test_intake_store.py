"""The intake as ports.Intake promises it, on every version of Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import StoreUnavailable
from bridge.model.alert import Alert
from bridge.model.intake import Seen
from tests.support.alerts import START, entries, firing, resolved, transitions
from tests.support.redis import OpenStores

MINUTE = 60_000_000


async def test_first_firing_becomes_one_stored_transition(opened: OpenStores) -> None:
    stores = await opened.open()
    alert = firing(pod="gateway-0")
    assert await stores.intake.accept([alert]) == [Seen.NEW]
    (entry,) = await entries(stores)
    (transition,) = entry.transitions
    assert (transition.alert, transition.seen) == (alert, Seen.NEW)
    assert transition.received_at > 1_700_000_000


async def test_second_firing_of_an_open_incident_stores_nothing(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await transitions(stores)
    assert await stores.intake.accept([firing(), firing(start=START - MINUTE)]) == [Seen.DUPLICATE] * 2
    assert await transitions(stores) == []


async def test_a_group_sent_again_with_one_new_alert_stores_that_one(opened: OpenStores) -> None:
    stores = await opened.open()
    group = [firing(pod=str(nr)) for nr in range(5)]
    await stores.intake.accept(group[:2] + group[3:])
    await transitions(stores)
    seen = await stores.intake.accept(group)
    assert seen == [Seen.DUPLICATE, Seen.DUPLICATE, Seen.NEW, Seen.DUPLICATE, Seen.DUPLICATE]
    (transition,) = await transitions(stores)
    assert transition.alert == group[2]


async def test_the_same_alert_twice_in_a_request_is_one(opened: OpenStores) -> None:
    stores = await opened.open()
    assert await stores.intake.accept([firing(), firing()]) == [Seen.NEW, Seen.DUPLICATE]
    assert len(await transitions(stores)) == 1


async def test_two_peers_with_one_credential_make_one_incident_and_another_source_its_own(opened: OpenStores) -> None:
    stores = await opened.open()
    both = await asyncio.gather(stores.intake.accept([firing()]), stores.intake.accept([firing()]))
    assert sorted(seen.value for (seen,) in both) == ["duplicate", "new"]
    assert await stores.intake.accept([firing(source="other")]) == [Seen.NEW]


async def test_a_later_start_supersedes_the_open_incident(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    assert await stores.intake.accept([firing(start=START + 1)]) == [Seen.SUPERSEDES]


async def test_resolve_closes_once(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    assert await stores.intake.accept([resolved()]) == [Seen.RESOLVED]
    assert await stores.intake.accept([resolved(), resolved()]) == [Seen.DUPLICATE] * 2
    assert [t.seen for t in await transitions(stores)] == [Seen.NEW, Seen.RESOLVED]


async def test_resolve_without_a_firing_leaves_a_tombstone_that_holds_the_late_firing(opened: OpenStores) -> None:
    """Fault 53: resolved first."""
    stores = await opened.open()
    assert await stores.intake.accept([resolved()]) == [Seen.TOMBSTONE]
    assert await stores.intake.accept([firing()]) == [Seen.HELD]
    assert await transitions(stores) == []


async def test_late_firing_of_a_slow_peer_is_held_and_reopens_when_seen_after_the_window(opened: OpenStores) -> None:
    """Fault 53: a late firing, and a real new firing with the old start."""
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await stores.intake.accept([resolved()])
    assert await stores.intake.accept([firing()]) == [Seen.HELD]
    assert await (await opened.later(100)).intake.accept([firing()]) == [Seen.HELD]
    later = await opened.later(125)
    assert await later.intake.accept([firing()]) == [Seen.REOPENED]
    assert await later.intake.accept([firing()]) == [Seen.DUPLICATE]
    assert [t.seen for t in await transitions(stores)] == [Seen.NEW, Seen.RESOLVED, Seen.REOPENED]


async def test_resolve_sent_again_does_not_close_what_reopened_after_it(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await stores.intake.accept([resolved()])
    await stores.intake.accept([firing()])
    later = await opened.later(125)
    await later.intake.accept([firing()])
    assert await later.intake.accept([resolved()]) == [Seen.STALE]
    assert await later.intake.accept([resolved(end=START + 5 * MINUTE)]) == [Seen.RESOLVED]


async def test_firing_after_the_last_resolve_is_a_new_incident(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await stores.intake.accept([resolved(end=START + MINUTE)])
    assert await stores.intake.accept([firing(start=START + 2 * MINUTE)]) == [Seen.NEW]


async def test_resolve_older_than_the_open_incident_is_stale(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(start=START + 2 * MINUTE)])
    assert await stores.intake.accept([resolved(end=START + MINUTE)]) == [Seen.STALE]


async def test_transitions_of_an_alert_are_numbered_in_order(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await stores.intake.accept([firing(start=START + 1), firing(pod="other")])
    await stores.intake.accept([resolved(start=START + 1)])
    numbers = [t.seq for t in await transitions(stores) if t.alert.labels.keys() == {"alertname"}]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 3


async def test_ten_thousand_alerts_in_one_request_are_all_stored(opened: OpenStores) -> None:
    """Fault 50, the store's part."""
    stores = await opened.open()
    alerts = [firing(pod=str(nr)) for nr in range(10_000)]
    assert set(await stores.intake.accept(alerts)) == {Seen.NEW}
    assert {t.alert.labels["pod"] for t in await transitions(stores)} == {str(nr) for nr in range(10_000)}
    assert set(await stores.intake.accept(alerts)) == {Seen.DUPLICATE}


async def test_requests_at_the_same_time_get_each_its_own_answer(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod="0"), firing(pod="2")])
    answers = await asyncio.gather(*(stores.intake.accept([firing(pod=str(nr))]) for nr in range(4)))
    assert answers == [[Seen.DUPLICATE], [Seen.NEW], [Seen.DUPLICATE], [Seen.NEW]]


async def test_a_request_given_up_by_its_sender_harms_no_other(opened: OpenStores) -> None:
    stores = await opened.open()
    first = asyncio.ensure_future(stores.intake.accept([firing(pod="0")]))
    second = asyncio.ensure_future(stores.intake.accept([firing(pod="1")]))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == [Seen.NEW]


async def test_any_text_comes_back_as_it_was(opened: OpenStores) -> None:
    stores = await opened.open()
    texts = {"a": "{{7*7}}", "b": "x\r\n\x1b[31m\u2028", "c": '"}\\', "d": "é\U0001f600", "e": ""}
    await stores.intake.accept([firing(), firing(**texts), firing(pod="1")])
    assert texts.items() <= (await transitions(stores))[1].alert.labels.items()


async def test_backlog_is_bounded(opened: OpenStores) -> None:
    stores = await opened.open(max_backlog=2)
    await stores.intake.accept([firing(pod="0")])
    await stores.intake.accept([firing(pod="1")])
    with pytest.raises(StoreUnavailable, match="BACKLOG"):
        await stores.intake.accept([firing(pod="2")])
    await transitions(stores)
    assert await stores.intake.accept([firing(pod="2")]) == [Seen.NEW]


async def test_resolve_without_an_end_ends_now(opened: OpenStores) -> None:
    stores = await opened.open()
    alert = firing()
    await stores.intake.accept([alert])
    nameless = Alert(
        source=alert.source, fingerprint=alert.fingerprint, status="resolved", starts_at=START, labels=alert.labels
    )
    assert await stores.intake.accept([nameless]) == [Seen.RESOLVED]
