"""Guardbook, breakers, refusals and replay memory as ports promises them, on every version of Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import CircuitOpen
from bridge.model.breaker import BreakerPolicy, BreakerState
from bridge.model.intake import Pause
from bridge.model.reason import Reason
from bridge.model.refusal import Refusal, Refused
from bridge.model.remediation import Outcome
from bridge.model.trust import TrustSettings
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.intake import MemoryHealth, MemoryRefusals, MemoryReplays
from tests.support.redis import OpenStores, RedisServer, fresh_options


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    server.start()
    try:
        yield server
    finally:
        server.stop()


POLICY = BreakerPolicy(threshold=3, window=60.0, cooldown=30.0, probe_timeout=10.0)


async def test_pauses_are_told_until_they_are_resumed_or_over(opened: OpenStores) -> None:
    stores = await opened.open()
    remediation = wish().remediation
    now = (await stores.guardbook.facts(remediation)).now
    lasting = Pause(scope="all", by="ada", why="migration", since=now)
    short = Pause(scope="namespace:shop", by="ada", why="", since=now + 1, until=now + 60)
    await stores.guardbook.pause(lasting)
    await stores.guardbook.pause(short)
    assert set((await stores.guardbook.facts(remediation)).pauses) == {lasting, short}
    assert await stores.guardbook.pauses() == [lasting, short]
    later = await opened.later(61)
    assert (await later.guardbook.facts(remediation)).pauses == (lasting,)
    assert await later.guardbook.pauses() == [lasting]
    assert await stores.guardbook.resume("all")
    assert not await stores.guardbook.resume("all")
    assert await stores.guardbook.pauses() == []


async def test_to_look_at_pauses_ends_none_but_those_that_are_over_and_trusts_no_runbook_again(
    opened: OpenStores,
) -> None:
    """Looking is no resume: a runbook that was stopped stays so when a pause of it runs out."""
    stores = await opened.open()
    policy = TrustSettings.model_validate({"stop_after": 1})
    await fire(stores, wish())
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)
    name = wish().remediation.runbook
    assert (await stores.trust.judge(name, "A", policy)).stopped is not None
    now = (await stores.guardbook.facts(wish().remediation)).now
    await stores.guardbook.pause(Pause(scope=f"runbook:{name}", by="ada", why="", since=now, until=now + 60))
    later = await opened.later(61)
    assert await later.guardbook.pauses() == []
    assert (await later.trust.judge(name, "A", policy)).stopped is not None


async def test_everything_can_be_paused_when_memory_is_full(own_server: RedisServer) -> None:
    """Fault 13: whoever stops everything must be able to."""
    opened = OpenStores(fresh_options(own_server.url))
    stores = await opened.open()
    try:
        await fire(stores, wish())
        own_server.call("CONFIG", "SET", "maxmemory", "1mb")
        await stores.guardbook.pause(Pause(scope="all", by="ada", why="disk", since=0.0))
        assert len(await stores.guardbook.pauses()) == 1
        assert await stores.guardbook.resume("all", by="ada")
    finally:
        await opened.close()


async def test_a_pause_that_ends_by_itself_trusts_nothing_again_and_forgets_no_halt(opened: OpenStores) -> None:
    """Only a person moves back what was lowered: the end of a timed pause, which anybody may read, is none."""
    stores, policy = await opened.open(), TrustSettings(stop_after=1)
    await fire(stores, wish("restart"))
    claim = await claimed(stores)
    await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)
    assert (await stores.trust.judge("restart", "", policy)).stopped is not None
    now = await stores.health.time()
    for scope in ("runbook:restart", "all"):
        await stores.guardbook.pause(Pause(scope=scope, by="ada", why="", since=now, until=now + 60))
    later = await opened.later(61)
    assert await later.guardbook.pauses() == []
    assert (await later.trust.judge("restart", "", policy)).stopped is not None
    assert await later.guardbook.resume("runbook:restart")


async def test_only_runs_with_a_write_count_as_attempts(opened: OpenStores) -> None:
    stores = await opened.open()
    for nr, writes in enumerate((True, False, True)):
        await fire(stores, wish(), alert=firing(pod=str(nr)))
        claim = await claimed(stores)
        if writes:
            await stores.journal.append(claim, step("applying"), writing=True)
            await stores.journal.append(claim, step("applying"), writing=True)
        await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)
    facts = await stores.guardbook.facts(wish().remediation)
    assert len(facts.attempts) == 2
    assert list(facts.attempts) == sorted(facts.attempts)
    assert facts.last_finished_at == pytest.approx(facts.now, abs=5)
    assert (await stores.guardbook.facts(wish("other").remediation)).attempts == ()


async def test_attempt_counts_from_its_first_write_and_not_from_its_end(opened: OpenStores) -> None:
    stores = await opened.open()
    wanted = wish()
    await fire(stores, wanted)
    await stores.journal.append(await claimed(stores), step("applying"), writing=True)
    facts = await stores.guardbook.facts(wanted.remediation)
    assert (len(facts.attempts), facts.last_finished_at, facts.open_incidents) == (1, None, 1)


async def test_breaker_opens_after_failures_in_a_row_and_lets_one_probe_through(opened: OpenStores) -> None:
    """Fault 22, the store's part."""
    stores = await opened.open()
    breakers = stores.breakers
    for _ in range(2):
        await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=True)
    assert await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=True) is BreakerState.OPEN
    with pytest.raises(CircuitOpen) as refused:
        await breakers.enter("kube", POLICY)
    assert refused.value.delay == pytest.approx(30, abs=1)
    later = (await opened.later(31)).breakers
    assert await later.states() == {"kube": BreakerState.HALF_OPEN}
    answers = await asyncio.gather(*(later.enter("kube", POLICY) for _ in range(20)), return_exceptions=True)
    (probe,) = [answer for answer in answers if not isinstance(answer, CircuitOpen)]
    assert not isinstance(probe, BaseException)
    assert await later.leave(probe, POLICY, failed=False) is BreakerState.CLOSED
    assert await later.states() == {"kube": BreakerState.CLOSED}


async def test_a_success_between_failures_keeps_it_closed(opened: OpenStores) -> None:
    breakers = (await opened.open()).breakers
    for failed in (True, True, False, True, True):
        state = await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=failed)
        assert state is BreakerState.CLOSED


async def test_failures_spread_wider_than_the_window_keep_it_closed(opened: OpenStores) -> None:
    for seconds in (0, 70, 140, 210):
        breakers = (await opened.later(seconds)).breakers
        await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=True)
        state = await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=True)
        assert state is BreakerState.CLOSED


async def test_cancelled_call_counts_as_neither(opened: OpenStores) -> None:
    """Fault 61: a cancellation is no breaker failure."""
    breakers = (await opened.open()).breakers
    for failed in (True, True, None, None, None):
        state = await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=failed)
    assert state is BreakerState.CLOSED
    assert await breakers.leave(await breakers.enter("kube", POLICY), POLICY, failed=True) is BreakerState.OPEN


async def test_cancelled_probe_lets_another_one_through(opened: OpenStores) -> None:
    breakers = (await opened.open()).breakers
    once = BreakerPolicy(threshold=1, cooldown=30, probe_timeout=10)
    await breakers.leave(await breakers.enter("kube", once), once, failed=True)
    later = (await opened.later(31)).breakers
    await later.leave(await later.enter("kube", once), once, failed=None)
    assert (await later.enter("kube", once)).probe


async def test_probe_that_never_reports_is_given_up_and_its_late_answer_ignored(opened: OpenStores) -> None:
    once = BreakerPolicy(threshold=1, cooldown=30, probe_timeout=10)
    breakers = (await opened.open()).breakers
    await breakers.leave(await breakers.enter("kube", once), once, failed=True)
    lost = await (await opened.later(31)).breakers.enter("kube", once)
    later = (await opened.later(42)).breakers
    second = await later.enter("kube", once)
    assert second.probe
    await later.leave(lost, once, failed=True)
    assert await later.leave(second, once, failed=False) is BreakerState.CLOSED


async def test_failed_probe_opens_it_again(opened: OpenStores) -> None:
    once = BreakerPolicy(threshold=1, cooldown=30, probe_timeout=10)
    breakers = (await opened.open()).breakers
    await breakers.leave(await breakers.enter("kube", once), once, failed=True)
    later = (await opened.later(31)).breakers
    assert await later.leave(await later.enter("kube", once), once, failed=True) is BreakerState.OPEN
    with pytest.raises(CircuitOpen):
        await (await opened.later(60)).breakers.enter("kube", once)


@pytest.mark.parametrize("memory", [False, True])
async def test_refused_alerts_are_kept_newest_first_and_capped(opened: OpenStores, memory: bool) -> None:
    store = MemoryRefusals(5) if memory else (await opened.open(max_refusals=5)).refusals
    refusals = [
        Refusal(
            at=float(nr),
            source="am",
            sender="alertmanager",
            reason=next(iter(Refused)),
            detail="labels: wrong",
            index=nr,
            excerpt="{",
        )
        for nr in range(8)
    ]
    await store.record(refusals[:2])
    await store.record(refusals[2:])
    assert await store.recent(limit=2) == [refusals[7], refusals[6]]
    assert [refusal.index for refusal in await store.recent(limit=100)] == [7, 6, 5, 4, 3]


@pytest.mark.parametrize("memory", [False, True])
async def test_signature_is_new_once(opened: OpenStores, memory: bool) -> None:
    """Fault 48, the store's part."""
    replays = MemoryReplays() if memory else (await opened.open()).replays
    assert sorted(await asyncio.gather(*(replays.remember("abc", 300) for _ in range(5)))) == [False] * 4 + [True]
    await replays.forget("abc")
    assert await replays.remember("abc", 0.02)
    await asyncio.sleep(0.04)
    assert await replays.remember("abc", 300)


@pytest.mark.parametrize("memory", [False, True])
async def test_a_store_that_answers_knows_the_time(opened: OpenStores, memory: bool) -> None:
    health = MemoryHealth() if memory else (await opened.open()).health
    await health.ping()
    assert abs(await health.time() - time.time()) < 60


async def test_installations_do_not_see_each_other(opened: OpenStores) -> None:
    stores = await opened.open()
    other = await opened.open(installation="another")
    await fire(stores, wish())
    assert await other.work.list(limit=10) == []
    assert await other.work.claim("w", block=0) is None


async def test_ping_of_a_healthy_store_is_silent(opened: OpenStores) -> None:
    await (await opened.open()).health.ping()
