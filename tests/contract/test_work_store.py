"""Work queue, journal and locks as ports promises them, on every version of Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import LeaseLost
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import SCHEMA, Outcome, State
from bridge.stores import Stores
from tests.support.alerts import claimed, fire, firing, resolve, step, wish
from tests.support.redis import OpenStores


async def end(stores: Stores, claim: Claim, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    await stores.work.finish(claim, outcome, Reason.VERIFIED, step("finished", "it is well"), escalated=False)


async def test_one_target_is_worked_on_once_at_a_time_and_others_beside_it(opened: OpenStores) -> None:
    """Fault 68: two rules, one target."""
    stores = await opened.open()
    first, second, other = wish("a"), wish("b"), wish("a", "elsewhere")
    await fire(stores, first, second, other)
    out = {(claim := await claimed(stores)).remediation: claim for _ in range(2)}
    assert out.keys() == {first.remediation.id, other.remediation.id}
    assert await stores.work.claim("w", block=0.01) is None
    await end(stores, out[first.remediation.id])
    assert (await claimed(stores)).remediation == second.remediation.id


async def test_claim_waits_for_work(opened: OpenStores) -> None:
    stores = await opened.open()
    waiting = asyncio.ensure_future(stores.work.claim("w", block=5))
    await asyncio.sleep(0.02)
    await fire(stores, wish())
    assert await asyncio.wait_for(waiting, 5) is not None


async def test_tokens_grow_with_every_claim(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish("a"), wish("a", "elsewhere"))
    assert (await claimed(stores)).token < (await claimed(stores)).token


async def test_remediation_of_a_dead_worker_is_taken_by_another_and_the_death_is_counted(opened: OpenStores) -> None:
    """Fault 3, the store's part."""
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores, "dead")
    assert await stores.work.reclaim("alive") is None
    await asyncio.sleep(0.35)
    taken = await stores.work.reclaim("alive")
    assert taken is not None
    assert (taken.remediation, taken.deaths, taken.worker) == (claim.remediation, 1, "alive")
    assert taken.token > claim.token
    assert await stores.work.reclaim("third") is None


async def test_thawed_worker_can_do_nothing_more(opened: OpenStores) -> None:
    """Fault 5, the store's part: every write of a worker is fenced by its token."""
    stores = await opened.open()
    await fire(stores, wish())
    old = await claimed(stores, "frozen")
    await asyncio.sleep(0.35)
    new = await stores.work.reclaim("alive")
    assert new is not None
    for call in (
        stores.work.renew(old),
        stores.work.park(old, None, step()),
        stores.work.hand_over(old, step()),
        end(stores, old),
        stores.journal.append(old, step("applying"), writing=True),
        stores.journal.keep_evidence(old, b"x"),
        stores.locks.acquire(old, ["k"], seconds=10),
    ):
        with pytest.raises(LeaseLost):
            await call
    await stores.locks.acquire(new, ["k"], seconds=10)
    await stores.locks.release(old)
    assert await stores.journal.read(new.remediation) == []
    await end(stores, new)


async def test_renewed_claim_is_not_taken(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    for _ in range(4):
        await asyncio.sleep(0.1)
        await stores.work.renew(claim)
    assert await stores.work.reclaim("other") is None


async def test_what_kills_every_worker_becomes_a_dead_letter_and_its_queue_goes_on(opened: OpenStores) -> None:
    """Fault 56."""
    stores = await opened.open()
    poison, healthy = wish("poison"), wish("healthy")
    transition = await fire(stores, poison, healthy)
    await claimed(stores)
    deaths = []
    for nr in range(3):
        await asyncio.sleep(0.35)
        taken = await stores.work.reclaim(f"worker{nr}")
        assert taken is not None
        deaths.append(taken.deaths)
    assert deaths == [1, 2, 3]
    await asyncio.sleep(0.35)
    assert await stores.work.reclaim("last") is None
    view = await stores.work.get(poison.remediation.id)
    assert view is not None
    assert (view.outcome, view.reason, view.escalated, view.deaths) == (Outcome.UNKNOWN, "dead_letter", True, 4)
    assert (await stores.journal.read(poison.remediation.id))[-1].reason == "dead_letter"
    assert (await stores.work.depth())["dead"] == 1
    assert (stores.work.take_dead(), stores.work.take_dead()) == ([poison.remediation.id], []), "told once"
    assert (await stores.guardbook.explain(transition.alert.fingerprint))[-1].reason == "dead_letter"
    assert (await claimed(stores)).remediation == healthy.remediation.id


async def test_worker_that_died_before_it_claimed_counts_no_death(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    link = stores.work._link
    await link.command("XREADGROUP", "GROUP", "workers", "gone", "COUNT", 1, "STREAMS", link.key("work"), ">")
    await asyncio.sleep(0.35)
    taken = await stores.work.reclaim("alive")
    assert taken is not None
    assert taken.deaths == 0


async def test_parked_one_comes_back_when_it_is_due(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    now = (await stores.guardbook.facts(wanted.remediation)).now
    await stores.work.park(claim, now + 60, step("parked", "verification takes long"))
    view = await stores.work.get(claim.remediation)
    assert view is not None
    assert view.state is State.PARKED
    assert view.due_at == pytest.approx(now + 60, abs=0.01)
    assert await stores.work.promote() == 0
    assert await (await opened.later(61)).work.promote() == 1
    assert (await claimed(stores)).deaths == 0


async def test_parked_one_keeps_its_place_before_others_of_its_target(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish("a"), wish("b"))
    claim = await claimed(stores)
    await stores.work.park(claim, None, step("parked"))
    assert await stores.work.claim("w", block=0) is None
    assert await stores.work.wake(claim.remediation)
    assert (await claimed(stores)).remediation == claim.remediation


async def test_woken_while_it_still_runs_it_does_not_sleep(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    assert not await stores.work.wake(claim.remediation)
    await stores.work.park(claim, None, step("parked"))
    assert (await claimed(stores)).remediation == claim.remediation


async def test_handed_over_it_is_taken_at_once_and_nobody_died(opened: OpenStores) -> None:
    """Fault 61, the store's part."""
    stores = await opened.open()
    await fire(stores, wish())
    await stores.work.hand_over(await claimed(stores, "leaving"), step("handed_over"))
    assert (await claimed(stores, "staying")).deaths == 0


async def test_end_is_recorded_with_everything_in_one_step(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    transition = await fire(stores, wanted)
    claim = await claimed(stores)
    await stores.locks.acquire(claim, ["object"], seconds=60)
    await end(stores, claim)
    view = await stores.work.get(claim.remediation)
    assert view is not None
    assert (view.state, view.outcome, view.reason, view.detail, view.worker) == (
        State.DONE,
        Outcome.SUCCEEDED,
        "verified",
        "it is well",
        "",
    )
    assert view.finished_at is not None
    told = (await stores.guardbook.explain(transition.alert.fingerprint))[-1]
    assert (told.reason, told.remediation) == ("verified", claim.remediation)
    await fire(stores, wish("another", "elsewhere"), alert=firing("Other"))
    assert await stores.locks.acquire(await claimed(stores), ["object"], seconds=60) is None
    with pytest.raises(LeaseLost):
        await end(stores, claim)


async def test_cancelled_one_takes_the_claim_from_its_worker(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    assert await stores.work.cancel(claim.remediation, "ada")
    with pytest.raises(LeaseLost):
        await stores.journal.append(claim, step("applying"), writing=True)
    view = await stores.work.get(claim.remediation)
    assert view is not None
    assert (view.outcome, view.reason, view.detail) == (
        Outcome.CANCELLED,
        "cancelled_by_operator",
        "cancelled by ada",
    )


async def test_what_has_begun_to_write_or_is_over_is_not_cancelled(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    assert not await stores.work.cancel(claim.remediation, "ada")
    await end(stores, claim)
    assert not await stores.work.cancel(claim.remediation, "ada")
    assert not await stores.work.cancel("no-such-one", "ada")


async def test_list_is_newest_first_in_pages_and_by_state(opened: OpenStores) -> None:
    stores = await opened.open()
    ids = []
    for nr in range(5):
        wanted = wish(name=f"d{nr}")
        ids.append(wanted.remediation.id)
        await fire(stores, wanted, alert=firing(pod=str(nr)))
    await end(stores, await claimed(stores))
    listed = [view.remediation.id for view in await stores.work.list(limit=10)]
    assert sorted(listed) == sorted(ids)
    page = [view.remediation.id for view in await stores.work.list(limit=2)]
    rest = [view.remediation.id for view in await stores.work.list(limit=10, before=page[-1])]
    assert page + rest == listed
    (done,) = await stores.work.list(limit=10, state="done")
    assert done.remediation.id == ids[0]
    assert await stores.work.list(limit=10, before="gone") == []


async def test_remediation_of_a_newer_version_is_left_to_a_newer_worker(opened: OpenStores) -> None:
    """Decision 13: version N reads N-1 and leaves a newer one."""
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    link = stores.work._link
    await link.command("HSET", link.key(f"rem:{wanted.remediation.id}"), "v", SCHEMA + 1)
    assert await stores.work.claim("old", block=0) is None
    await asyncio.sleep(0.35)
    assert await stores.work.reclaim("old") is None
    await link.command("HSET", link.key(f"rem:{wanted.remediation.id}"), "v", SCHEMA - 1)
    taken = await stores.work.reclaim("new")
    assert taken is not None
    assert taken.deaths == 0


async def test_record_of_the_version_before_is_read(opened: OpenStores) -> None:
    """Decision 13: a field that the older version did not write has its default."""
    stores = await opened.open()
    wanted = wish(cooldown=5.0)
    await fire(stores, wanted)
    link = stores.work._link
    key = link.key(f"rem:{wanted.remediation.id}")
    doc = (await link.command("HGET", key, "doc")).replace(b'"cooldown":5.0,', b"")
    await link.command("HSET", key, "doc", doc, "v", SCHEMA - 1)
    view = await stores.work.get(wanted.remediation.id)
    assert view is not None
    assert view.remediation.cooldown == 600.0


async def test_journal_is_kept_in_order_with_the_stores_time(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    for kind in ("started", "evidence", "planned"):
        await stores.journal.append(claim, step(kind, "{}\n"))
    entries = await stores.journal.read(claim.remediation)
    assert [entry.kind for entry in entries] == ["started", "evidence", "planned"]
    assert all(entry.at > 1_700_000_000 for entry in entries)


async def test_follower_sees_every_entry_and_ends_with_the_remediation(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)

    async def follow() -> list[str]:
        return [entry.kind async for entry in stores.journal.follow(claim.remediation)]

    following = asyncio.ensure_future(follow())
    await stores.journal.append(claim, step("started"))
    await asyncio.sleep(0.05)
    await stores.journal.append(claim, step("planned"))
    await end(stores, claim)
    assert await asyncio.wait_for(following, 2) == ["started", "planned", "finished"]
    assert [entry async for entry in stores.journal.follow("nobody")] == []


async def test_evidence_is_kept_as_it_was_given(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish())
    claim = await claimed(stores)
    assert await stores.journal.evidence(claim.remediation) is None
    blob = bytes(range(256)) * 100
    await stores.journal.keep_evidence(claim, blob)
    assert await stores.journal.evidence(claim.remediation) == blob


async def test_locks_are_taken_all_or_none(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish("a"), wish("a", "other"))
    one, two = await claimed(stores), await claimed(stores)
    assert await stores.locks.acquire(one, ["b"], seconds=60) is None
    assert await stores.locks.acquire(two, ["c", "b", "a"], seconds=60) == one.remediation
    assert await stores.locks.acquire(one, ["a", "b", "c"], seconds=60) is None
    await stores.locks.release(one)
    assert await stores.locks.acquire(two, ["c", "b", "a"], seconds=60) is None


async def test_locks_of_a_run_that_waits_keep_the_one_it_waits_for_out_of_nothing(opened: OpenStores) -> None:
    stores = await opened.open()
    await fire(stores, wish("a"), wish("a", "other"))
    waiting, under_way = await claimed(stores), await claimed(stores)
    above = [waiting.remediation]
    await stores.locks.acquire(waiting, ["b"], seconds=60)
    assert await stores.locks.acquire(under_way, ["b", "c"], seconds=60, above=above) is None
    assert await stores.locks.acquire(waiting, ["c"], seconds=60) == under_way.remediation
    await stores.locks.release(under_way)
    assert await stores.locks.acquire(under_way, ["b"], seconds=60) == waiting.remediation, "it was never given up"


async def test_lock_survives_its_worker_and_ends_at_its_deadline(opened: OpenStores) -> None:
    """Decision 9: a lock is the remediation's, not the claim's."""
    stores = await opened.open()
    await fire(stores, wish("a"), wish("a", "other"))
    one, two = await claimed(stores), await claimed(stores)
    await stores.locks.acquire(one, ["k"], seconds=60)
    await stores.work.park(one, None, step("parked"))
    assert await stores.locks.acquire(two, ["k"], seconds=60) == one.remediation
    later = await opened.later(61)
    assert await later.locks.acquire(two, ["k"], seconds=60) is None


async def test_consumers_of_dead_workers_are_dropped_only_without_anything_pending(opened: OpenStores) -> None:
    """Fault 57."""
    stores = await opened.open()
    await fire(stores, wish())
    await claimed(stores, "busy")
    await stores.work.claim("idle", block=0)
    await asyncio.sleep(0.02)
    assert await stores.work._groups.script("consumers", 10) >= 1
    link = stores.work._link
    names = {flat[1] for flat in await link.command("XINFO", "CONSUMERS", link.key("work"), "workers")}
    assert names == {b"busy"}


async def test_nothing_is_left_of_what_is_over_but_what_expires(opened: OpenStores) -> None:
    """Retention: every key that a finished remediation leaves ends by itself, or is bounded."""
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await stores.journal.keep_evidence(claim, b"x")
    await stores.locks.acquire(claim, ["k"], seconds=60)
    await end(stores, claim)
    await resolve(stores)
    link = stores.work._link
    lasting = set()
    for key in await link.command("KEYS", link.prefix.replace("{", "\\{").replace("}", "\\}") + "*"):
        if await link.command("TTL", key) == -1:
            lasting.add(key.decode("latin-1").removeprefix(link.prefix).partition(":")[0])
    # Streams (emptied), counters, the index (swept), the sources (as many as credentials), the intake's records
    # (swept), what has news (taken by those who tell people), the trail (bounded).
    assert lasting <= {"audit", "watch", "intake", "work", "seq", "token", "index", "sources", "seen"}
