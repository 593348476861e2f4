"""The audit trail as ports promises it: in memory, and on every version of Redis."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from bridge.errors import JournalFull
from bridge.model.audit import Happened, Note
from bridge.model.budget import BudgetRules, Spend
from bridge.model.intake import Pause
from bridge.model.notice import Ack
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.trust import TrustSettings
from bridge.ports import Audit
from tests.support.alerts import claimed, decision, fire, firing, step, wish
from tests.support.clock import FakeClock
from tests.support.memory_audit import MemoryAudit
from tests.support.memory_stores import MemoryWork
from tests.support.redis import OpenStores


async def everything(audit: Audit, since: float = 0.0, until: float = math.inf) -> list[Happened]:
    return [one async for one in audit.read(since=since, until=until)]


@pytest.fixture
async def trails(opened: OpenStores) -> list[tuple[Any, Any, Any]]:
    """Return each trail, the work queue whose journals it tells of, and what fires an alert of a wish."""
    clock = FakeClock()
    work = MemoryWork(clock)
    stores = await opened.open()

    async def add(wanted: Any) -> None:
        work.add(wanted.remediation)

    async def put(wanted: Any) -> None:
        await fire(stores, wanted)

    return [(MemoryAudit(clock, work), work, add), (stores.audit, _Both(stores), put)]


class _Both:
    """Queue and journal as one, as MemoryWork has them."""

    def __init__(self, stores: Any) -> None:
        self.claim, self.park, self.finish = stores.work.claim, stores.work.park, stores.work.finish
        self.append = stores.journal.append


async def test_what_a_journal_and_a_person_say_is_in_the_trail_in_order(trails: list[Any]) -> None:
    for audit, work, put in trails:
        wanted = wish()
        await put(wanted)
        claim = await work.claim("w", block=1)
        await work.append(claim, step("applying", "scale it"))
        await work.append(claim, step("applied", "scaled"))
        await audit.record(Note(what="paused", who="ann", why="upgrade", about="all"))
        await work.finish(claim, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished", "well"), escalated=False)
        found = [one for one in await everything(audit) if one.decision is None]
        assert [one.at for one in found] == sorted(one.at for one in found)
        assert [one.note for one in found if one.note] == [Note(what="paused", who="ann", why="upgrade", about="all")]
        entries = [one for one in found if one.entry]
        assert [(one.remediation, one.number, one.entry.kind if one.entry else "") for one in entries] == [
            (wanted.remediation.id, 0, "applying"),
            (wanted.remediation.id, 1, "applied"),
            (wanted.remediation.id, 2, "finished"),
        ]


async def test_only_what_is_asked_for_is_told(trails: list[Any]) -> None:
    for audit, _, _ in trails:
        await audit.record(Note(what="paused", who="ann"))
        (one,) = await everything(audit)
        assert await everything(audit, since=one.at + 0.001) == []
        assert await everything(audit, until=one.at) == []
        assert await everything(audit, since=one.at, until=one.at + 0.001) == [one]


async def test_every_decision_is_in_the_trail_also_those_to_do_nothing(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, decisions=(decision("no_route", detail="no route names a runbook"),))
    found = await everything(stores.audit)
    assert [(one.decision.reason, one.decision.detail) for one in found if one.decision] == [
        ("no_route", "no route names a runbook")
    ]
    assert found[0].fingerprint == firing().fingerprint


async def test_the_trail_keeps_what_the_list_of_decisions_drops(opened: OpenStores) -> None:
    """`explain` shows the last decisions; the trail has all of them."""
    stores = await opened.open(max_decisions=1)
    await fire(stores, wish(), decisions=(decision("muted"),))
    name = firing().fingerprint
    assert len(await stores.guardbook.explain(name)) == 1
    reasons = [one.decision.reason for one in await everything(stores.audit) if one.decision]
    assert reasons == ["created", "muted"]


async def test_a_refused_write_of_the_journal_leaves_no_trace(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step("finished"), escalated=True)
    before = await everything(stores.audit)
    with pytest.raises(Exception, match="no longer"):
        await stores.journal.append(claim, step("applying"))
    assert await everything(stores.audit) == before


async def test_what_is_older_than_its_time_is_swept_and_the_rest_stays(opened: OpenStores) -> None:
    stores = await opened.open(keep_audit=3600.0)
    await stores.audit.record(Note(what="paused", who="ann"))
    await stores.intake_queue.expire(limit=10)
    assert len(await everything(stores.audit)) == 1
    later = await opened.later(3601, keep_audit=3600.0)
    await later.intake_queue.expire(limit=10)
    assert await everything(stores.audit) == []


async def test_the_trail_is_bounded_by_number(opened: OpenStores) -> None:
    stores = await opened.open(max_audit=100)
    for number in range(500):
        await stores.audit.record(Note(what="paused", who=f"p{number}"))
    found = await everything(stores.audit)
    # Redis cuts whole nodes of a stream: some more stay.
    assert 100 <= len(found) < 400
    assert found[-1].note is not None
    assert found[-1].note.who == "p499"


async def test_a_clock_that_is_set_back_an_hour_refuses_no_entry(opened: OpenStores) -> None:
    """Fault 19: the trail is written in the scripts that accept and decide, and must never make them fail."""
    ahead = await opened.later(3600)
    await ahead.audit.record(Note(what="paused", who="ann"))
    back = await opened.open()
    await back.audit.record(Note(what="resumed", who="ben"))
    whats = [one.note.what for one in await everything(back.audit) if one.note]
    assert whats == ["paused", "resumed"]


async def notes(audit: Audit) -> list[tuple[str, str, str, str]]:
    return [
        (one.note.what, one.note.who, one.note.why, one.note.about) for one in await everything(audit) if one.note
    ]


async def test_a_pause_and_its_end_are_in_the_trail_with_their_own_step(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.guardbook.pause(Pause(scope="all", by="ann", why="upgrade", since=0.0))
    assert await stores.guardbook.resume("all", by="ben", why="done")
    assert not await stores.guardbook.resume("all", by="ben")
    assert await notes(stores.audit) == [("pause", "ann", "upgrade", "all"), ("resume", "ben", "done", "all")]


async def test_what_alertbridge_halts_or_stops_by_itself_is_in_the_trail(opened: OpenStores) -> None:
    stores = await opened.open()
    policy = TrustSettings.model_validate({"stop_after": 2, "at_least": 2})
    for number in range(2):
        await fire(stores, wish(), alert=firing(pod=str(number)))
        claim = await claimed(stores)
        await stores.journal.append(claim, step("applying"), writing=True)
        await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step("finished"), escalated=True)
    await stores.trust.judge(wish().remediation.runbook, "A", policy)
    await fire(stores, wish(), alert=firing(pod="3"))
    spends = [Spend(scopes=("cluster:",), target=f"t{number}") for number in range(3)]
    rules = BudgetRules(window=600.0, halt_after=2, limits=())
    answer = await stores.budgets.reserve(await claimed(stores), "s/0", spends, rules)
    assert answer.halted
    told = await notes(stores.audit)
    assert [(what, who) for what, who, _, _ in told] == [("runbook_stopped", "alertbridge"), ("pause", "alertbridge")]
    assert "its last 2 runs did not help" in told[0][2]
    assert "3 targets" in told[1][2]


async def test_everything_that_people_do_about_a_run_is_in_its_journal_by_name(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    name = wanted.remediation.id
    await stores.notices.acknowledge(name, Ack(by="ann", why="on it"))
    await stores.notices.acknowledge(name, Ack(by="ben"))
    assert await stores.work.cancel(name, "ben", "not now")
    said = [(entry.kind, entry.data.get("by"), entry.text) for entry in await stores.journal.read(name)]
    assert said == [
        ("acknowledged", "ann", "ann took it on: on it"),
        ("cancelled", "ben", "cancelled by ben: not now"),
    ]


async def test_who_asked_by_hand_and_in_spite_of_what_stands_in_the_decision(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    asked = msgspec.structs.replace(
        wanted.remediation, requested_by="olga", why="release", override=("cooldown", "paused")
    )
    await fire(stores, msgspec.structs.replace(wanted, remediation=asked))
    (created,) = [one.decision for one in await everything(stores.audit) if one.decision]
    assert (created.reason, created.detail) == (
        "created",
        "olga asked for it by hand: release; in spite of: cooldown, paused",
    )


async def test_a_run_whose_journal_is_full_does_nothing_that_is_not_journalled_and_can_still_end(
    opened: OpenStores,
) -> None:
    stores = await opened.open(max_journal=3)
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    for _ in range(3):
        await stores.journal.append(claim, step("applying"), writing=True)
    with pytest.raises(JournalFull):
        await stores.journal.append(claim, step("applying"), writing=True)
    with pytest.raises(JournalFull):
        await stores.journal.keep_evidence(claim, b"x", step("evidence"))
    await stores.work.finish(claim, Outcome.FAILED, Reason.INTERNAL_ERROR, step("finished"), escalated=True)
    kinds = [entry.kind for entry in await stores.journal.read(wanted.remediation.id)]
    assert kinds == ["applying", "applying", "applying", "finished"]
    told = [one.entry.kind for one in await everything(stores.audit) if one.entry]
    assert told == kinds


async def test_a_decision_keeps_no_more_than_a_page_and_its_journal_the_whole(opened: OpenStores) -> None:
    """Each of the alerts of a run has it, and the trail has all of them."""
    stores = await opened.open()
    long = "é" * 50_000
    wanted = wish()
    await fire(stores, wanted, decisions=(decision("muted", detail=long),))
    claim = await claimed(stores)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step("finished", long), escalated=True)
    details = [one.decision.detail for one in await everything(stores.audit) if one.decision]
    assert [len(detail) for detail in details] == [0, 2000, 2000]
    assert (await stores.journal.read(wanted.remediation.id))[-1].text == long
