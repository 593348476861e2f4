"""What is counted for an alert, a target and a runbook, and who may tell people first; on every version of Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.model.intake import Assignment
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
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


@pytest.mark.parametrize("name", ["restart", "scale"])
async def test_nothing_is_counted_for_a_run_that_is_not_known(opened: OpenStores, name: str) -> None:
    stores = await opened.open()
    assert (await stores.guardbook.facts(wish(name).remediation)).runs == {}
