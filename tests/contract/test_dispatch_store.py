"""The dispatcher's side of the intake as ports.IntakeQueue promises it, on every version of Redis."""

from __future__ import annotations

import asyncio

import msgspec

from bridge.model.intake import Dispatch, Seen
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from tests.support.alerts import START, claimed, decision, fire, firing, resolve, resolved, step, transitions, wish
from tests.support.redis import OpenStores

DAY = 86400


async def test_new_alert_creates_a_remediation_and_queues_it(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    transition = await fire(stores, wanted)
    view = await stores.work.get(wanted.remediation.id)
    assert view is not None
    assert (view.state, view.incidents, view.open_incidents) == (
        State.QUEUED,
        (transition.alert.incident_id,),
        (transition.alert.incident_id,),
    )
    assert view.remediation.created_at > 1_700_000_000
    assert (await stores.work.depth())["work"] == 1


async def test_a_transition_is_dispatched_once(opened: OpenStores) -> None:
    stores = await opened.open()
    transition = await fire(stores, wish())
    again = await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish("other"),)))
    assert again.stale
    assert len(await stores.work.list(limit=10)) == 1


async def test_an_older_transition_than_the_last_does_nothing(opened: OpenStores) -> None:
    """Fault 53: the resolve is dispatched before its firing."""
    stores = await opened.open()
    await stores.intake.accept([firing()])
    await stores.intake.accept([resolved()])
    fired, ended = await transitions(stores)
    assert not (await stores.intake_queue.dispatch(Dispatch(transition=ended))).stale
    assert (await stores.intake_queue.dispatch(Dispatch(transition=fired, assignments=(wish(),)))).stale
    assert await stores.work.list(limit=10) == []


async def test_second_alert_for_the_same_runbook_and_target_joins(opened: OpenStores) -> None:
    stores = await opened.open()
    first, second = wish(), wish()
    await fire(stores, first)
    await stores.intake.accept([firing(pod="1")])
    (transition,) = await transitions(stores)
    done = await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(second,)))
    assert done.joined == (first.remediation.id,)
    view = await stores.work.get(first.remediation.id)
    assert view is not None
    assert len(view.open_incidents) == 2
    assert await stores.work.get(second.remediation.id) is None


async def test_remediation_is_cancelled_when_the_last_of_its_incidents_resolves(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    await fire(stores, wish(), alert=firing(pod="1"))
    assert await resolve(stores) == ()
    assert await resolve(stores, resolved(pod="1")) == (wanted.remediation.id,)
    view = await stores.work.get(wanted.remediation.id)
    assert view is not None
    assert (view.state, view.outcome, view.reason) == (State.DONE, Outcome.CANCELLED, "resolved")
    assert await stores.work.claim("worker", block=0) is None


async def test_cancelling_the_head_of_a_queue_starts_the_next(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish("first"))
    second = wish("second")
    await fire(stores, second, alert=firing("HighErrorRate"))
    await resolve(stores)
    assert (await claimed(stores)).remediation == second.remediation.id


async def test_resolve_of_one_that_writes_cancels_nothing_and_wakes_it(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.park(claim, None, step("parked"))
    assert await resolve(stores) == ()
    again = await claimed(stores)
    view = await stores.work.get(again.remediation)
    assert view is not None
    assert view.writing
    assert view.open_incidents == ()


async def test_superseding_firing_keeps_the_remediation_that_it_still_asks_for(opened: OpenStores) -> None:
    stores = await opened.open()
    kept, dropped = wish("restart"), wish("scale", "other")
    await fire(stores, kept, dropped)
    await stores.intake.accept([firing(start=START + 1)])
    (transition,) = await transitions(stores)
    assert transition.seen is Seen.SUPERSEDES
    done = await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish("restart"),)))
    assert (done.joined, done.cancelled) == ((kept.remediation.id,), (dropped.remediation.id,))
    view = await stores.work.get(kept.remediation.id)
    assert view is not None
    assert view.open_incidents == (transition.alert.incident_id,)


async def test_waiting_incident_is_due_when_its_time_comes_and_then_paced(opened: OpenStores) -> None:
    stores = await opened.open()
    now = (await stores.guardbook.facts(wish().remediation)).now
    transition = await fire(stores, wait="muted", wait_until=now + 600)
    assert await stores.intake_queue.due(limit=10) == []
    later = await opened.later(601)
    assert await later.intake_queue.due(limit=10) == [transition]
    assert await later.intake_queue.due(limit=10) == []
    assert await (await opened.later(662)).intake_queue.due(limit=10) == [transition]


async def test_waiting_incident_may_be_dispatched_again_under_its_seq(opened: OpenStores) -> None:
    stores = await opened.open()
    transition = await fire(stores, wait="paused")
    assert (await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish(),)))).stale
    assert await stores.intake_queue.wake([Reason.PAUSED, Reason.MUTED]) == 1
    assert await stores.intake_queue.due(limit=10) == [transition]
    done = await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish(),)))
    assert len(done.created) == 1
    assert (await stores.work.depth())["waiting"] == 0


async def test_resolved_incident_waits_no_more(opened: OpenStores) -> None:
    stores = await opened.open()
    transition = await fire(stores, wait="paused")
    await stores.intake_queue.wake([Reason.PAUSED])
    await stores.intake_queue.due(limit=10)
    await resolve(stores)
    assert await (await opened.later(100_000)).intake_queue.due(limit=10) == []
    assert (await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish(),)))).stale


async def test_wake_reaches_every_one_of_thousands_that_wait(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod=str(nr)) for nr in range(1500)])
    for transition in await transitions(stores):
        await stores.intake_queue.dispatch(Dispatch(transition=transition, wait="no_route"))
    assert await stores.intake_queue.wake([Reason.NO_ROUTE]) == 1500
    assert len(await stores.intake_queue.due(limit=100)) == 100


async def test_denied_remediation_lets_its_incident_wait_and_be_tried_again(opened: OpenStores) -> None:
    """Decision 1: an open incident without a finished remediation is evaluated again."""
    stores = await opened.open()
    transition = await fire(stores, wish(), wish("other"))
    first = await claimed(stores)
    await stores.work.finish(first, Outcome.SUCCEEDED, Reason.VERIFIED, step("finished"), escalated=False)
    second = await claimed(stores)
    await stores.work.finish(second, Outcome.DENIED, Reason.PROTECTED_NAMESPACE, step("finished"), escalated=True)
    assert await stores.intake_queue.wake([Reason.PROTECTED_NAMESPACE]) == 1
    assert await stores.intake_queue.due(limit=10) == [transition]
    again = Dispatch(transition=transition, assignments=(wish(), wish("other")))
    done = await stores.intake_queue.dispatch(again)
    (created,) = done.created
    view = await stores.work.get(created)
    assert view is not None
    assert view.remediation.runbook == "other"


async def test_resumed_after_a_pause_what_was_suppressed_runs(opened: OpenStores) -> None:
    stores = await opened.open()
    transition = await fire(stores, wish())
    await stores.work.finish(
        await claimed(stores), Outcome.SUPPRESSED, Reason.PAUSED, step("finished"), escalated=False
    )
    assert await stores.intake_queue.wake([Reason.PAUSED]) == 1
    assert await stores.intake_queue.due(limit=10) == [transition]


async def test_failed_remediation_is_not_tried_again_for_the_same_incident(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    await stores.work.finish(await claimed(stores), Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)
    assert await (await opened.later(DAY / 2)).intake_queue.due(limit=10) == []


async def test_incident_that_still_fires_does_not_expire_and_a_silent_one_does(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    silent = await fire(stores, wanted)
    await fire(stores, alert=firing(pod="loud"))
    half = await opened.later(DAY / 2)
    assert await half.intake.accept([firing(pod="loud")]) == [Seen.DUPLICATE]
    late = await opened.later(DAY + 60)
    assert await late.intake_queue.expire(limit=10) == [silent.alert.incident_id]
    assert await late.intake_queue.expire(limit=10) == []
    view = await stores.work.get(wanted.remediation.id)
    assert view is not None
    assert (view.outcome, view.reason) == (Outcome.CANCELLED, "expired")
    assert await late.intake.accept([firing()]) == [Seen.NEW]


async def test_old_records_of_the_intake_are_swept(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([resolved(pod=str(nr)) for nr in range(50)])
    late = await opened.later(2 * DAY)
    for _ in range(32):
        await late.intake_queue.expire(limit=10)
    assert await late.intake.accept([resolved(pod="7")]) == [Seen.TOMBSTONE]


async def test_entry_of_a_dead_dispatcher_is_reclaimed_and_its_tries_are_counted(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing()])
    (entry,) = await stores.intake_queue.read("first", count=10, block=0)
    assert await stores.intake_queue.reclaim("second") == []
    await asyncio.sleep(0.35)
    (again,) = await stores.intake_queue.reclaim("second")
    assert (again.id, again.transitions, again.deliveries) == (entry.id, entry.transitions, 2)
    assert [await stores.intake_queue.begin_alert(entry.id, 0) for _ in range(2)] == [1, 2]
    await stores.intake_queue.done([entry.id])
    assert (await stores.work.depth())["intake"] == 0


async def test_dispatcher_that_gets_on_keeps_its_entries(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod=str(nr)) for nr in range(4)])
    (entry,) = await stores.intake_queue.read("first", count=10, block=0)
    for transition in entry.transitions:
        await asyncio.sleep(0.1)
        await stores.intake_queue.dispatch(Dispatch(transition=transition))
    assert await stores.intake_queue.reclaim("second") == []


async def test_entry_that_a_dispatcher_gave_up_is_not_held_by_what_it_does_later(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod="given-up")])
    (given_up,) = await stores.intake_queue.read("w", count=10, block=0)
    for nr in range(4):
        await asyncio.sleep(0.1)
        await fire(stores, alert=firing(pod=str(nr)))
    (again,) = await stores.intake_queue.reclaim("w")
    assert again.id == given_up.id


async def test_poison_alert_is_set_aside_with_its_error_and_costs_no_sibling(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod="bad"), firing(pod="good")])
    (entry,) = await stores.intake_queue.read("w", count=10, block=0)
    bad, good = entry.transitions
    await stores.intake_queue.dead_letter(entry.id, 0, bad, "ValueError: boom")
    await stores.intake_queue.dispatch(Dispatch(transition=good, assignments=(wish(),)))
    await stores.intake_queue.done([entry.id])
    (letter,) = await stores.work.dead_letters(limit=10)
    assert (letter["kind"], letter["error"], letter["alert"]["labels"]["pod"]) == ("alert", "ValueError: boom", "bad")
    (told,) = await stores.guardbook.explain(bad.alert.fingerprint)
    assert told.reason == "dead_letter"


async def test_alert_that_cannot_be_decoded_is_set_aside_and_its_siblings_run(opened: OpenStores) -> None:
    stores = await opened.open()
    await stores.intake.accept([firing(pod="a"), firing(pod="b")])
    link = stores.work._link
    ((entry, flat),) = await link.command("XRANGE", link.key("intake"), "-", "+")
    await link.command("XDEL", link.key("intake"), entry)
    flat[-1] = flat[-1].replace(b'{"source"', b'{"sourceless"', 1)
    await link.command("XADD", link.key("intake"), "*", *flat)
    (read,) = await stores.intake_queue.read("w", count=10, block=0)
    assert (read.undecodable, [t.alert.labels["pod"] for t in read.transitions]) == (1, ["b"])
    (letter,) = await stores.work.dead_letters(limit=10)
    assert letter["kind"] == "undecodable"


async def test_decisions_are_told_oldest_first_and_a_repeated_one_once(opened: OpenStores) -> None:
    stores = await opened.open()
    transition = await fire(stores, decisions=(decision("no_route"),), wait="no_route")
    for _ in range(3):
        await stores.intake_queue.wake([Reason.NO_ROUTE])
        assert await stores.intake_queue.due(limit=1)
        again = Dispatch(transition=transition, decisions=(decision("no_route"),), wait="no_route")
        await stores.intake_queue.dispatch(again)
    await stores.intake_queue.wake([Reason.NO_ROUTE])
    await stores.intake_queue.due(limit=1)
    await stores.intake_queue.dispatch(Dispatch(transition=transition, assignments=(wish(),)))
    told = await stores.guardbook.explain(transition.alert.fingerprint)
    assert [(d.reason, d.incident) for d in told] == [
        ("no_route", transition.alert.incident_id),
        ("created", transition.alert.incident_id),
    ]
    assert all(d.at > 1_700_000_000 for d in told)


async def test_entry_of_a_newer_version_is_left_to_a_newer_dispatcher(opened: OpenStores) -> None:
    """Decision 13."""
    stores = await opened.open()
    await stores.intake.accept([firing()])
    link = stores.work._link
    ((entry, flat),) = await link.command("XRANGE", link.key("intake"), "-", "+")
    await link.command("XDEL", link.key("intake"), entry)
    await link.command("XADD", link.key("intake"), "*", "v", 99, *flat[2:])
    assert await stores.intake_queue.read("old", count=10, block=0) == []
    await asyncio.sleep(0.35)
    assert await stores.intake_queue.reclaim("old") == []
    assert (await stores.work.depth())["intake"] == 1


async def test_incidents_of_a_fingerprint_are_told_with_state_and_remediations(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    alert = (await fire(stores, wanted)).alert
    (told,) = await stores.guardbook.incidents(alert.fingerprint)
    assert (told["state"], told["incident"], told["remediations"]) == (
        "open",
        alert.incident_id,
        [wanted.remediation.id],
    )
    await resolve(stores)
    await stores.intake.accept([alert])
    (told,) = await stores.guardbook.incidents(alert.fingerprint)
    assert told["state"] == "held"
    assert msgspec.json.encode(told)
