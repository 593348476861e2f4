"""What undoes temporary changes by itself: a durable list, on every version of Redis."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bridge.errors import LeaseLost
from bridge.model.intake import Assignment, Claim
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, Remediation, Revert, State, Undoing
from bridge.stores import Stores
from tests.support.alerts import START, claimed, fire, firing, resolve, resolved, step, wish
from tests.support.redis import OpenStores


def undo(of: Remediation, name: str = "0") -> Remediation:
    return msgspec.structs.replace(of, id=f"{of.id}-undo-{name}", undo_of=of.id, undo_step=name)


async def temporary(
    stores: Stores, wanted: Assignment, *, after: float = 900.0, name: str = "0"
) -> tuple[Claim, Remediation]:
    """Claim a new remediation, and let it make a temporary change."""
    await fire(stores, wanted)
    claim = await claimed(stores)
    back = undo(wanted.remediation, name)
    revert = Revert(after=after, remediation=back)
    await stores.journal.append(claim, step("applied"), revert=revert)
    return claim, back


async def end(stores: Stores, claim: Claim, outcome: Outcome = Outcome.SUCCEEDED) -> None:
    await stores.work.finish(claim, outcome, Reason.VERIFIED, step("finished"), escalated=False)


async def test_a_temporary_change_waits_outside_of_the_queue_and_then_is_a_remediation_of_its_own(
    opened: OpenStores,
) -> None:
    stores = await opened.open()
    wanted = wish()
    claim, back = await temporary(stores, wanted)
    await end(stores, claim)
    assert await stores.work.promote() == 0
    view = await stores.work.get(claim.remediation)
    assert view is not None
    assert view.state is State.DONE

    later = await opened.later(901)
    assert await later.work.promote() == 1
    taken = await claimed(later)
    assert taken.remediation == back.id
    view = await later.work.get(back.id)
    assert view is not None
    assert (view.remediation.undo_of, view.remediation.target) == (claim.remediation, wanted.remediation.target)
    assert view.remediation.created_at > 0
    await end(later, taken)
    assert await later.work.promote() == 0


async def test_what_waits_to_be_undone_blocks_no_other_runbook_of_its_target(opened: OpenStores) -> None:
    stores = await opened.open()
    claim, _ = await temporary(stores, wish("a"))
    await end(stores, claim)
    other = wish("b")
    await fire(stores, other, alert=firing("Other"))
    assert (await claimed(stores)).remediation == other.remediation.id


async def test_an_undo_that_is_due_waits_behind_the_one_that_works_on_its_target(opened: OpenStores) -> None:
    stores = await opened.open()
    claim, back = await temporary(stores, wish("a"), after=0.0)
    assert await stores.work.promote() == 1
    assert await stores.work.claim("w", block=0.01) is None
    await end(stores, claim)
    assert (await claimed(stores)).remediation == back.id


@pytest.mark.parametrize("writing", [False, True])
async def test_an_undo_does_not_wait_for_one_that_waits_and_has_changed_nothing(
    opened: OpenStores, writing: bool
) -> None:
    """It may wait for a day, or for a person: what is temporary would last as long."""
    stores = await opened.open()
    first, back = await temporary(stores, wish("a"), after=0.0)
    await end(stores, first)
    await fire(stores, wish("b"), alert=firing("Other"))
    waiting = await claimed(stores)
    if writing:
        await stores.journal.append(waiting, step("applying"), writing=True)
    await stores.work.park(waiting, None, step("parked"))
    assert await stores.work.promote() == 1
    found = await stores.work.claim("w", block=0.01)
    assert (found.remediation if found else None) == (None if writing else back.id)


async def test_many_workers_create_it_once(opened: OpenStores) -> None:
    stores = await opened.open()
    claim, back = await temporary(stores, wish(), after=0.0)
    await end(stores, claim)
    assert sorted(await asyncio.gather(*(stores.work.promote() for _ in range(5)))) == [0, 0, 0, 0, 1]
    assert (await claimed(stores)).remediation == back.id
    assert await stores.work.claim("w", block=0.01) is None


async def test_the_first_change_of_a_step_sets_the_time_and_a_repeat_moves_nothing(opened: OpenStores) -> None:
    stores = await opened.open()
    claim, back = await temporary(stores, wish(), after=60.0)
    await stores.journal.append(claim, step("applied"), revert=Revert(after=900.0, remediation=back))
    await end(stores, claim)
    later = await opened.later(61)
    assert await later.work.promote() == 1


async def test_the_steps_of_one_run_end_each_at_its_own_time(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    claim, _ = await temporary(stores, wanted, after=60.0)
    await stores.journal.append(
        claim, step("applied"), revert=Revert(after=900.0, remediation=undo(wanted.remediation, "1"))
    )
    await end(stores, claim)
    assert await (await opened.later(61)).work.promote() == 1
    assert await (await opened.later(901)).work.promote() == 1


async def test_what_is_put_back_already_is_not_due_any_more(opened: OpenStores) -> None:
    stores = await opened.open()
    claim, _ = await temporary(stores, wish())
    await end(stores, claim, Outcome.UNDONE)
    later = await opened.later(901)
    assert await later.work.promote() == 0
    link = later.work._link
    assert await link.command("EXISTS", link.key("reverts")) == 0


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
async def test_a_run_that_did_not_help_still_ends_what_it_changed_for_a_time(
    opened: OpenStores, outcome: Outcome
) -> None:
    """Anything temporary ends by itself."""
    stores = await opened.open()
    claim, back = await temporary(stores, wish(), after=0.0)
    await end(stores, claim, outcome)
    assert await stores.work.promote() == 1
    assert (await claimed(stores)).remediation == back.id


async def test_a_worker_that_lost_its_claim_puts_nothing_on_the_list(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    late = msgspec.structs.replace(claim, token=claim.token - 1)
    with pytest.raises(LeaseLost):
        await stores.journal.append(
            late, step("applied"), revert=Revert(after=0.0, remediation=undo(wanted.remediation))
        )
    assert await stores.work.promote() == 0


async def test_an_undo_is_no_attempt_and_no_cooldown_of_its_runbook(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    claim, _ = await temporary(stores, wanted, after=0.0)
    await end(stores, claim)
    await stores.work.promote()
    taken = await claimed(stores)
    await stores.journal.append(taken, step("putting_back"), writing=True)
    await end(stores, taken)
    facts = await stores.guardbook.facts(wanted.remediation)
    assert (facts.attempts, facts.last_finished_at) == ((), None)


async def due(stores: Stores, seconds: float, opened: OpenStores) -> bool:
    """Whether something is undone so many seconds from now (which undoes it)."""
    return await (await opened.later(seconds)).work.promote() > 0


async def held(stores: Stores, wanted: Assignment, *, after: float, hold: float) -> Claim:
    """A finished remediation whose temporary change stays for `hold` at least, and `after` at most."""
    await fire(stores, wanted)
    claim = await claimed(stores)
    revert = Revert(after=after, hold=hold, remediation=undo(wanted.remediation))
    await stores.journal.append(claim, step("applied"), revert=revert)
    await end(stores, claim)
    return claim


async def test_a_resolve_brings_the_end_near_and_firing_again_puts_it_off(opened: OpenStores) -> None:
    stores = await opened.open()
    claim = await held(stores, wish(), after=7200.0, hold=60.0)
    await resolve(stores)
    assert not await due(stores, 890.0, opened)
    later = await opened.later(890.0)
    await fire(later, wish(), alert=firing(start=START + 900_000_000))
    assert not await due(stores, 7190.0, opened)
    assert await due(stores, 7201.0, opened)
    told = [entry.text for entry in await stores.journal.read(claim.remediation) if entry.kind == "stability"]
    assert len(told) == 2


@pytest.mark.parametrize(("after", "hold", "ends"), [(7200.0, 1800.0, 1800.0), (300.0, 0.0, 300.0)])
async def test_it_ends_neither_before_its_least_time_nor_after_its_most(
    opened: OpenStores, after: float, hold: float, ends: float
) -> None:
    stores = await opened.open()
    await held(stores, wish(), after=after, hold=hold)
    await resolve(stores)
    assert not await due(stores, ends - 10, opened)
    assert await due(stores, ends + 1, opened)


async def test_firing_again_and_resolving_again_starts_the_time_anew(opened: OpenStores) -> None:
    """However often: a flapping alert does not keep what is temporary for as long as it may."""
    stores = await opened.open()
    claim = await held(stores, wish(), after=7200.0, hold=60.0)
    start = START
    for _ in range(3):
        await resolve(stores, resolved(start=start, end=start + 60_000_000))
        start += 900_000_000
        await fire(stores, wish("another"), alert=firing(start=start))
    assert not await due(stores, 1000.0, opened)
    await resolve(stores, resolved(start=start, end=start + 60_000_000))
    assert not await due(stores, 890.0, opened)
    assert await due(stores, 910.0, opened)
    told = [entry.text for entry in await stores.journal.read(claim.remediation) if entry.kind == "stability"]
    assert len(told) == 7


async def test_a_resolve_before_the_change_is_made_starts_the_time_as_well(opened: OpenStores) -> None:
    """The alert was over while its run went on: no resolve comes afterwards."""
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await resolve(stores)
    revert = Revert(after=7200.0, remediation=undo(wanted.remediation))
    await stores.journal.append(claim, step("applied"), revert=revert)
    await end(stores, claim)
    assert not await due(stores, 890.0, opened)
    assert await due(stores, 901.0, opened)


async def test_an_undo_by_hand_is_created_once_and_takes_the_place_of_the_one_by_itself(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    claim, back = await temporary(stores, wanted)
    record = undo(wanted.remediation, "")
    record = msgspec.structs.replace(record, id=f"{wanted.remediation.id}-undo")
    assert await stores.work.undo(record, step("undo_asked"), [back.id]) is Undoing.NOT_DONE
    await end(stores, claim)
    said = await asyncio.gather(*(stores.work.undo(record, step("undo_asked"), [back.id]) for _ in range(10)))
    assert sorted(one.value for one in said) == ["again"] * 9 + ["taken"]
    taken = await claimed(stores)
    assert taken.remediation == record.id
    assert [entry.kind for entry in await stores.journal.read(record.id)] == ["undo_asked"]
    await end(stores, taken, Outcome.UNDONE)
    assert await (await opened.later(1000)).work.promote() == 0
    nobody = msgspec.structs.replace(record, undo_of="nobody", id="nobody-undo")
    assert await stores.work.undo(nobody, step(), []) is Undoing.GONE


async def test_the_guards_are_told_when_it_was_put_back(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    claim, _ = await temporary(stores, wanted)
    await end(stores, claim)
    assert "undone" not in (await stores.guardbook.facts(wanted.remediation)).runs
    later = await opened.later(901)
    await later.work.promote()
    await end(later, await claimed(later), Outcome.UNDONE)
    facts = await later.guardbook.facts(wish().remediation)
    assert facts.now - facts.runs["undone"][0] < 60
