"""Whether runbooks help, as ports promises it: in memory and in Redis, where the end of a run counts by itself."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.trust import TrustSettings
from bridge.ports import Trustbook
from bridge.stores import Stores
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.clock import FakeClock
from tests.support.memory_trust import MemoryTrustbook
from tests.support.redis import OpenStores, RedisServer, fresh_options

_NAMES = itertools.count()
POLICY = TrustSettings(stop_after=3, of=4, at_least=4, approve_below=0.6, observe_below=0.3)
Ran = Callable[[str, str, bool], Awaitable[None]]


async def run(
    stores: Stores, runbook: str, alert: str, outcome: Outcome, *, wrote: bool = True, undo_of: str = ""
) -> None:
    name = f"w{next(_NAMES)}"
    wanted = wish(runbook, name, labels={"alertname": alert}, undo_of=undo_of)
    await fire(stores, wanted, alert=firing(alert, pod=name))
    claim = await claimed(stores)
    if wrote:
        await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, outcome, Reason.NOT_FIXED, step(), escalated=True)


@pytest.fixture(params=["memory", "redis"])
async def trust(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Trustbook, Ran]]:
    if request.param == "memory":
        book = MemoryTrustbook(FakeClock())

        async def note(runbook: str, alert: str, helped: bool) -> None:
            book.ended(runbook, alert, helped=helped)

        yield book, note
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    opened = OpenStores(fresh_options(server.url))
    stores = await opened.open()

    async def end(runbook: str, alert: str, helped: bool) -> None:
        await run(stores, runbook, alert, Outcome.SUCCEEDED if helped else Outcome.FAILED)

    yield stores.trust, end
    await opened.close()


async def test_runbook_whose_last_runs_did_not_help_is_stopped(trust: tuple[Trustbook, Ran]) -> None:
    book, ran = trust
    for helped in (False, False, True, False, False):
        await ran("restart", "WebDown", helped)
    assert (await book.judge("restart", "WebDown", POLICY)).stopped is None
    await ran("restart", "ApiDown", False)
    stopped = (await book.judge("restart", "Other", POLICY)).stopped
    assert stopped is not None
    assert stopped.runs == 3
    assert list(await book.stopped()) == ["restart"]
    assert (await book.judge("scale", "WebDown", POLICY)).stopped is None


async def test_what_is_stopped_stays_so_until_a_person_trusts_it_again(trust: tuple[Trustbook, Ran]) -> None:
    book, ran = trust
    for _ in range(3):
        await ran("restart", "WebDown", False)
    assert (await book.judge("restart", "WebDown", POLICY)).stopped is not None
    for _ in range(9):
        await ran("restart", "WebDown", True)
    assert (await book.judge("restart", "WebDown", POLICY)).stopped is not None
    assert await book.restore("restart")
    assert not await book.restore("restart")
    assert (await book.judge("restart", "WebDown", POLICY)).stopped is None


async def test_share_that_helped_lowers_from_auto_to_approve_to_observe_and_never_back(
    trust: tuple[Trustbook, Ran],
) -> None:
    book, ran = trust
    modes = []
    for helped in (True, False, True, False, False, False, True, True, True, True):
        await ran("restart", "WebDown", helped)
        lowered = (await book.judge("restart", "WebDown", POLICY)).lowered
        modes.append(lowered.mode.value if lowered else "auto")
    assert modes == ["auto"] * 3 + ["approve"] + ["observe"] * 6
    assert list(await book.lowered()) == [("WebDown", "restart")]
    assert (await book.judge("restart", "ApiDown", POLICY)).lowered is None
    assert await book.restore("restart")
    assert (await book.judge("restart", "WebDown", POLICY)).lowered is None


async def test_too_few_runs_say_nothing(trust: tuple[Trustbook, Ran]) -> None:
    book, ran = trust
    for _ in range(2):
        await ran("restart", "WebDown", False)
    found = await book.judge("restart", "WebDown", POLICY)
    assert (found.stopped, found.lowered) == (None, None)
    never = POLICY.model_copy(update={"stop_after": None, "at_least": 9, "of": 9})
    await ran("restart", "WebDown", False)
    assert (await book.judge("restart", "WebDown", never)).stopped is None


# -- in Redis alone


async def test_only_runs_that_wrote_and_are_no_undo_count(opened: OpenStores) -> None:
    stores = await opened.open()
    for _ in range(4):
        await run(stores, "restart", "WebDown", Outcome.FAILED, wrote=False)
        await run(stores, "restart", "WebDown", Outcome.SUPPRESSED)
        await run(stores, "restart", "WebDown", Outcome.FAILED, undo_of="r0")
    assert (await stores.trust.judge("restart", "WebDown", POLICY)).stopped is None


async def test_what_is_unknown_or_was_put_back_did_not_help(opened: OpenStores) -> None:
    stores = await opened.open()
    for outcome in (Outcome.UNKNOWN, Outcome.UNDONE, Outcome.FAILED):
        await run(stores, "restart", "WebDown", outcome)
    assert (await stores.trust.judge("restart", "WebDown", POLICY)).stopped is not None


async def test_it_holds_across_a_restart_and_resuming_the_runbook_ends_it(opened: OpenStores) -> None:
    stores = await opened.open()
    for _ in range(3):
        await run(stores, "netweave/restart", "Web|Down", Outcome.FAILED)
    await stores.trust.judge("netweave/restart", "Web|Down", POLICY)
    restarted = await opened.later(86400)
    assert (await restarted.trust.judge("netweave/restart", "Web|Down", POLICY)).stopped is not None
    assert await restarted.guardbook.resume("runbook:netweave/restart")
    assert (await restarted.trust.judge("netweave/restart", "Web|Down", POLICY)).stopped is None
    assert not await restarted.guardbook.resume("runbook:netweave/restart")
