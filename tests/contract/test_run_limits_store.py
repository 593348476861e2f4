"""What is counted for an alert, a target and a runbook, and who may tell people first; on every version of Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.errors import LeaseLost
from bridge.model.intake import Assignment
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.run_limits import Most
from bridge.stores import Stores
from bridge.stores.keys import runs_key
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.redis import OpenStores


async def run(stores: Stores, wanted: Assignment, alert: str, *, wrote: bool = True) -> None:
    await fire(stores, wanted, alert=firing(alert))
    claim = await claimed(stores)
    if wrote:
        await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)


async def counted(stores: Stores, wanted: Assignment, alert: str) -> dict[str, int]:
    """Return how many runs of the last day speak against a run for this."""
    await fire(stores, wanted, alert=firing(alert))
    runs = (await stores.guardbook.facts(wanted.remediation)).runs
    await stores.work.cancel(wanted.remediation.id, "test")
    return {sort: len(times) for sort, times in runs.items()}


async def test_runs_are_counted_by_alert_and_target_and_runbook(opened: OpenStores) -> None:
    stores = await opened.open()
    await run(stores, wish("restart", "web"), "WebDown")
    await run(stores, wish("restart", "api"), "ApiDown")
    await run(stores, wish("scale", "web"), "WebSlow")
    await run(stores, wish("scale", "web"), "WebHot", wrote=False)
    assert await counted(stores, wish("restart", "web"), "Other") == {"runbook": 2, "target": 2, "alert": 0}
    # A later start is a new firing of the same alert.
    again = await counted(stores, wish("scale", "cart"), "Else")
    assert again == {"runbook": 1, "target": 0, "alert": 0}


async def test_runs_of_an_alert_are_counted_over_all_its_firings(opened: OpenStores) -> None:
    """Fault 52, the store's part."""
    stores = await opened.open()
    await run(stores, wish("restart", "web"), "WebDown")
    flapped = firing("WebDown", start=1_800_000_000_000_000)
    wanted = wish("scale", "api")
    await fire(stores, wanted, alert=flapped)
    assert len((await stores.guardbook.facts(wanted.remediation)).runs["alert"]) == 1


async def test_counts_outlive_the_process_and_end_after_a_day(opened: OpenStores) -> None:
    stores = await opened.open()
    await run(stores, wish("restart", "web"), "WebDown")
    restarted = await opened.open()
    wanted = wish("scale", "web")
    await fire(restarted, wanted, alert=firing("Other"))
    assert len((await restarted.guardbook.facts(wanted.remediation)).runs["target"]) == 1
    later = await opened.later(86410)
    assert (await later.guardbook.facts(wanted.remediation)).runs["target"] == ()


async def test_runs_are_remembered_for_as_long_as_their_route_counts_them(opened: OpenStores) -> None:
    """Also where that is longer than `retention.runs`."""
    stores = await opened.open(keep_runs=1.0)
    wanted = wish("restart", "web", cooldown=30.0, attempts_window=60.0)
    await run(stores, wanted, "WebDown")
    await asyncio.sleep(1.2)
    facts = await stores.guardbook.facts(wanted.remediation)
    assert (len(facts.attempts), facts.last_finished_at) == (1, pytest.approx(facts.now, abs=10))


async def test_as_many_attempts_are_remembered_as_a_route_may_allow(opened: OpenStores) -> None:
    stores, wanted = await opened.open(), wish("restart", "web")
    key = stores.work._link.key(f"runs:{runs_key(wanted.remediation)}")
    await stores.work._link.command("RPUSH", key, *([1.0] * 999))
    await run(stores, wanted, "WebDown")
    assert len((await stores.guardbook.facts(wanted.remediation)).attempts) == 1000


async def test_the_first_tells_and_the_others_not_until_its_time_is_over(opened: OpenStores) -> None:
    book = (await opened.open()).guardbook
    assert await book.first_to_tell("spent|web", "r1", 60)
    assert await book.first_to_tell("spent|web", "r1", 60), "a run that was carried on after a death tells once more"
    assert not await book.first_to_tell("spent|web", "r2", 60)
    assert await book.first_to_tell("spent|api", "r2", 60)
    assert await (await opened.later(61)).guardbook.first_to_tell("spent|web", "r2", 60)


async def test_whoever_asks_after_a_quiet_time_tells_again(opened: OpenStores) -> None:
    book = (await opened.open()).guardbook
    assert await book.first_to_tell("spent|web", "r1", 600, quiet=60)
    later = (await opened.later(59)).guardbook
    assert not await later.first_to_tell("spent|web", "r2", 600, quiet=60)
    later = (await opened.later(118)).guardbook
    assert not await later.first_to_tell("spent|web", "r3", 600, quiet=60), "it went on meanwhile"
    assert await (await opened.later(179)).guardbook.first_to_tell("spent|web", "r4", 600, quiet=60)


async def test_of_fifty_runs_at_once_no_more_are_counted_than_a_limit_allows(opened: OpenStores) -> None:
    """All were let in when nothing had run yet; the count is what decides."""
    processes = [await opened.open() for _ in range(5)]
    claims = []
    for nr in range(50):
        await fire(processes[0], wish("restart", f"web-{nr}"), alert=firing(pod=str(nr)))
        claims.append(await claimed(processes[0]))
    limits = [Most("runbook", 7, 3600.0), Most("target", 1, 3600.0)]
    taken = await asyncio.gather(
        *(processes[nr % 5].guardbook.take_run(claim, limits) for nr, claim in enumerate(claims))
    )
    assert sum(taken) == 7
    again = [await processes[0].guardbook.take_run(claim, limits) for claim in claims]
    assert again == taken, "whoever is counted is counted once, and nobody else has room by asking again"
    later = await opened.later(3601)
    assert await later.guardbook.take_run(claims[taken.index(False)], limits)


async def test_run_that_writes_nothing_in_the_end_counts_no_more(opened: OpenStores) -> None:
    stores, limits = await opened.open(), [Most("runbook", 1, 3600.0)]
    for nr, how in enumerate(("parks", "ends", "is cancelled", "writes")):
        await fire(stores, wish("restart", f"web-{nr}"), alert=firing(pod=str(nr)))
        claim = await claimed(stores)
        assert await stores.guardbook.take_run(claim, limits), how
        if how == "parks":
            await stores.work.park(claim, None, step())
        elif how == "is cancelled":
            assert await stores.work.cancel(claim.remediation, "ann")
        elif how == "ends":
            await stores.work.finish(claim, Outcome.SUPPRESSED, Reason.PAUSED, step(), escalated=False)
        else:
            await stores.journal.append(claim, step("applying"), writing=True)
            await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)
    assert await counted(stores, wish("restart", "web-9"), "Other") == {"runbook": 1, "target": 0, "alert": 0}
    facts = await stores.guardbook.facts(wish("restart", "web-3").remediation)
    assert len(facts.attempts) == 1, "counted once, by whichever came first"


async def test_own_count_of_a_run_whose_worker_died_before_it_wrote_does_not_speak_against_it(
    opened: OpenStores,
) -> None:
    """Fault 3, for what is counted."""
    stores, limits = await opened.open(claim=0.2), [Most("target", 1, 3600.0)]
    wanted = wish("restart", "web")
    await fire(stores, wanted)
    assert await stores.guardbook.take_run(await claimed(stores), limits)
    await asyncio.sleep(0.3)
    claim = await stores.work.reclaim("w2")
    assert claim is not None
    facts = await stores.guardbook.facts(wanted.remediation)
    assert (facts.attempts, facts.runs["target"]) == ((), ())
    assert await stores.guardbook.take_run(claim, limits)
    await stores.journal.append(claim, step("applying"), writing=True)
    assert len((await stores.guardbook.facts(wanted.remediation)).runs["target"]) == 1


async def test_one_whose_claim_is_lost_is_not_counted(opened: OpenStores) -> None:
    """Fault 5."""
    stores = await opened.open()
    await fire(stores, wish("restart", "web"))
    claim = await claimed(stores)
    await stores.work.finish(claim, Outcome.SUPPRESSED, Reason.PAUSED, step(), escalated=False)
    with pytest.raises(LeaseLost):
        await stores.guardbook.take_run(claim, [])
    assert await counted(stores, wish("restart", "web"), "Other") == {"runbook": 0, "target": 0, "alert": 0}


@pytest.mark.parametrize("name", ["restart", "scale"])
async def test_nothing_is_counted_for_a_run_that_is_not_known(opened: OpenStores, name: str) -> None:
    stores = await opened.open()
    assert (await stores.guardbook.facts(wish(name).remediation)).runs == {}
