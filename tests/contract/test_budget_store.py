"""The disruption budget as ports promises it: in memory, and in Redis with 50 workers that ask at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import LeaseLost
from bridge.model.budget import BudgetAnswer, BudgetRules, Limit, Spend
from bridge.model.intake import Claim, Pause
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.ports import Budgets
from bridge.stores import Stores
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.clock import FakeClock
from tests.support.memory_budgets import MemoryBudgets
from tests.support.processes import until
from tests.support.redis import OpenStores, RedisServer, fresh_options

_NAMES = itertools.count()
WINDOW = 600.0


class Budget:
    """A store under test: what it is asked with, and how time passes for it."""

    def __init__(
        self, store: Budgets, claim: Callable[[], Awaitable[Claim]], later: Callable[[float], Awaitable[Budgets]]
    ) -> None:
        self.store = store
        self.claim = claim
        self._later = later

    async def pass_by(self, seconds: float) -> None:
        self.store = await self._later(seconds)

    async def reserve(self, spend: Spend, how: BudgetRules, **more: Any) -> tuple[Claim, BudgetAnswer]:
        claim = await self.claim()
        return claim, await self.store.reserve(claim, "k", [spend], how, **more)


async def new_claim(stores: Stores) -> Claim:
    name = f"w{next(_NAMES)}"
    await fire(stores, wish("restart", name), alert=firing(pod=name))
    return await claimed(stores)


async def end(stores: Stores, claim: Claim, *, wrote: bool) -> None:
    """End a run as the engine does it."""
    if wrote:
        await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, Outcome.FAILED, Reason.NOT_FIXED, step(), escalated=True)


@pytest.fixture(params=["memory", "redis"])
async def budget(request: pytest.FixtureRequest) -> AsyncIterator[Budget]:
    if request.param == "memory":
        clock = FakeClock()
        memory = MemoryBudgets(clock)

        async def any_claim() -> Claim:
            return Claim(entry="1-0", remediation=f"r{next(_NAMES)}", token=1, worker="w")

        async def advance(seconds: float) -> Budgets:
            clock.advance(seconds)
            return memory

        yield Budget(memory, any_claim, advance)
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    opened = OpenStores(fresh_options(server.url))
    stores = await opened.open()
    passed = 0.0

    async def move(seconds: float) -> Budgets:
        nonlocal passed
        passed += seconds
        return (await opened.later(passed)).budgets

    yield Budget(stores.budgets, lambda: new_claim(stores), move)
    await opened.close()


def spend(name: str, percent: float = 100.0, namespace: str = "shop", node: str = "") -> Spend:
    scopes = ("cluster:c", f"namespace:c/{namespace}")
    return Spend(scopes=scopes, target=name, workload=name, percent=percent, node=node)


def rules(halt_after: int | None = None, window: float = WINDOW, **limits: Any) -> BudgetRules:
    return BudgetRules(limits=(Limit("cluster:c", **limits),), window=window, halt_after=halt_after)


async def test_no_more_targets_than_the_limit_are_let_in(budget: Budget) -> None:
    """Fault 65, the store's part."""
    answers = [(await budget.reserve(spend(name), rules(targets=2)))[1] for name in ("a", "b", "c")]
    assert [answer.granted for answer in answers] == [True, True, False]
    assert (answers[2].scope, answers[2].what) == ("cluster:c", "targets")
    assert (answers[2].used, answers[2].asked, answers[2].most) == (2, 3, 2)


async def test_same_target_again_is_one_target(budget: Budget) -> None:
    for _ in range(3):
        assert (await budget.reserve(spend("a"), rules(targets=1)))[1].granted


async def test_percentages_of_one_workload_add_up_over_all_runs(budget: Budget) -> None:
    how = rules(percent=50.0)
    answers = [(await budget.reserve(spend("a", 20.0), how))[1].granted for _ in range(3)]
    assert answers == [True, True, False]
    assert (await budget.reserve(spend("b", 50.0), how))[1].granted


async def test_nodes_are_counted(budget: Budget) -> None:
    how = rules(nodes=1)
    assert (await budget.reserve(spend("n1", node="n1"), how))[1].granted
    refused = (await budget.reserve(spend("n2", node="n2"), how))[1]
    assert (refused.granted, refused.what) == (False, "nodes")


async def test_each_scope_has_its_own(budget: Budget) -> None:
    how = BudgetRules(limits=(Limit("namespace:c/shop", 1), Limit("namespace:c/bank", 1)), window=WINDOW)
    assert (await budget.reserve(spend("a"), how))[1].granted
    assert (await budget.reserve(spend("b", namespace="bank"), how))[1].granted
    assert not (await budget.reserve(spend("c"), how))[1].granted


async def test_what_wrote_nothing_is_given_back_and_what_wrote_counts_for_the_window_after_its_end(
    budget: Budget,
) -> None:
    how = rules(targets=1)
    first, _ = await budget.reserve(spend("a"), how)
    await budget.store.settle(first, wrote=False)
    second, answer = await budget.reserve(spend("b"), how)
    assert answer.granted
    await budget.pass_by(WINDOW * 3)
    assert not (await budget.reserve(spend("c"), how))[1].granted, "its run is under way still"
    await budget.store.settle(second, wrote=True)
    await budget.pass_by(WINDOW - 5)
    refused = (await budget.reserve(spend("c"), how))[1]
    assert not refused.granted
    assert refused.retry_at is not None
    await budget.pass_by(10)
    assert (await budget.reserve(spend("c"), how))[1].granted


async def test_refusal_says_when_there_is_room_at_the_earliest(budget: Budget) -> None:
    how = rules(targets=2)
    claims = [(await budget.reserve(spend(name), how))[0] for name in ("a", "b")]
    await budget.store.settle(claims[0], wrote=True)
    await budget.pass_by(200)
    await budget.store.settle(claims[1], wrote=True)
    soonest = (await budget.reserve(spend("c"), how))[1].retry_at
    both = (await budget.reserve(spend("c"), how))[1].retry_at
    assert soonest == both
    await budget.pass_by(WINDOW - 199)
    assert (await budget.reserve(spend("c"), how))[1].granted
    later = (await budget.reserve(spend("d"), how))[1].retry_at
    assert soonest is not None
    assert later is not None
    assert later == pytest.approx(soonest + 200, abs=5)


async def test_plan_that_is_more_than_the_whole_budget_never_has_room(budget: Budget) -> None:
    answer = (await budget.reserve(spend("a", 100.0), rules(percent=50.0)))[1]
    assert (answer.granted, answer.retry_at) == (False, None)


async def test_reserving_again_under_the_same_key_takes_the_place_of_the_first(budget: Budget) -> None:
    claim, how = await budget.claim(), rules(targets=1)
    assert (await budget.store.reserve(claim, "k", [spend("a")], how)).granted
    assert (await budget.store.reserve(claim, "k", [spend("b")], how)).granted
    assert not (await budget.store.reserve(claim, "other", [spend("c")], how)).granted


async def test_a_plan_made_anew_takes_the_place_of_all_that_its_run_had_reserved(budget: Budget) -> None:
    """Another worker takes over before the first write, and chooses something else: that is not paid for twice."""
    claim, how = await budget.claim(), rules(targets=2, percent=60.0)
    assert (await budget.store.reserve(claim, "first/0", [spend("a", 50.0)], how, anew=True)).granted
    assert (await budget.store.reserve(claim, "second/0", [spend("a", 50.0)], how, anew=True)).granted
    assert (await budget.reserve(spend("b", 50.0), how))[1].granted
    assert not (await budget.reserve(spend("c", 50.0), how))[1].granted


async def test_a_plan_that_disturbs_nothing_any_more_gives_back_what_it_had_reserved(budget: Budget) -> None:
    claim, how = await budget.claim(), rules(targets=1, halt_after=2)
    assert (await budget.store.reserve(claim, "k", [spend("a")], how)).granted
    assert (await budget.store.reserve(claim, "other", [], how)).granted
    assert not (await budget.reserve(spend("b"), how))[1].granted
    assert (await budget.store.reserve(claim, "k", [], how)).granted
    assert (await budget.reserve(spend("b"), how))[1].granted


async def test_run_never_waits_for_what_it_disturbed_itself(budget: Budget) -> None:
    claim, how = await budget.claim(), rules(targets=1)
    assert (await budget.store.reserve(claim, "first", [spend("a")], how)).granted
    refused = await budget.store.reserve(claim, "second", [spend("b")], how)
    assert (refused.granted, refused.retry_at) == (False, None), "its first plan counts for as long as it goes on"


async def test_a_look_keeps_nothing(budget: Budget) -> None:
    how = rules(targets=1, halt_after=2)
    for name in ("a", "b", "c", "d"):
        assert (await budget.store.look([spend(name)], how)).granted
    assert (await budget.reserve(spend("e"), how))[1].granted
    assert not (await budget.store.look([spend("f")], how)).granted


async def test_force_reserves_beyond_the_limit_and_counts(budget: Budget) -> None:
    how = rules(targets=1)
    assert (await budget.reserve(spend("a"), how))[1].granted
    assert (await budget.reserve(spend("b"), how, force=True))[1].granted
    refused = (await budget.reserve(spend("c"), how))[1]
    assert (refused.granted, refused.used) == (False, 2)


async def test_asking_for_more_targets_than_halt_after_halts(budget: Budget) -> None:
    """Fault 65, the store's part: also those that the budget deferred count."""
    how = rules(targets=1, halt_after=3)
    answers = [(await budget.reserve(spend(name), how))[1] for name in ("a", "b", "c", "d")]
    assert [answer.granted for answer in answers] == [True, False, False, False]
    assert [answer.halted for answer in answers] == [False, False, False, True]
    assert (answers[3].asked, answers[3].most) == (4, 3)
    behind = (await budget.reserve(spend("e"), how))[1]
    assert (behind.granted, behind.halted, behind.paused) == (False, False, True), "one alone has pulled the brake"


async def test_targets_that_were_asked_for_long_ago_do_not_halt(budget: Budget) -> None:
    how = rules(halt_after=2)
    for name in ("a", "b", "c", "d"):
        assert not (await budget.reserve(spend(name), how))[1].halted
        await budget.pass_by(WINDOW / 2 + 1)


async def test_its_use_is_told_as_it_counts(budget: Budget) -> None:
    how = rules(targets=2)
    over, _ = await budget.reserve(spend("a", 20.0), how)
    await budget.store.settle(over, wrote=True)
    first, second = spend("b", 30.0), spend("n", 0.0, node="n")
    under_way = await budget.claim()
    assert (await budget.store.reserve(under_way, "k", [first], how)).granted
    assert (await budget.store.reserve(under_way, "k2", [second], how, force=True)).granted
    await budget.reserve(spend("c"), how)
    use = await budget.store.use(WINDOW)
    told = {run.remediation: (run.settled_at is None, sorted(run.spends, key=str)) for run in use.runs}
    assert told == {
        over.remediation: (False, [spend("a", 20.0)]),
        under_way.remediation: (True, sorted([first, second], key=str)),
    }
    assert use.wanted == 4
    await budget.pass_by(WINDOW + 5)
    use = await budget.store.use(WINDOW)
    assert ([run.remediation for run in use.runs], use.wanted) == ([under_way.remediation], 0)


# -- in Redis alone


async def test_a_halt_is_a_pause_of_everything_that_only_a_resume_ends(opened: OpenStores) -> None:
    """Fault 65, the store's part."""
    stores = await opened.open()
    now = await stores.health.time()
    how = rules(halt_after=1)
    await stores.guardbook.pause(Pause(scope="all", by="ada", why="", since=now, until=now + 60))
    for name in ("a", "b"):
        answer = await stores.budgets.reserve(await new_claim(stores), "k", [spend(name)], how)
    assert answer.halted
    later = await opened.later(86400)
    (pause,) = await later.guardbook.pauses()
    assert (pause.scope, pause.by, pause.until) == ("all", "alertbridge", None)
    assert "halt_after is 1" in pause.why
    assert await stores.guardbook.resume("all")
    assert not (await stores.budgets.reserve(await new_claim(stores), "k", [spend("c")], how)).halted


@pytest.mark.parametrize("wrote", [True, False])
async def test_the_end_of_a_run_settles_what_it_reserved(opened: OpenStores, wrote: bool) -> None:
    stores = await opened.open()
    claim = await new_claim(stores)
    assert (await stores.budgets.reserve(claim, "k", [spend("a")], rules(targets=1))).granted
    await end(stores, claim, wrote=wrote)
    assert (await stores.budgets.look([spend("b")], rules(targets=1))).granted is not wrote
    later = await opened.later(WINDOW + 5)
    assert (await later.budgets.look([spend("b")], rules(targets=1))).granted


async def test_run_that_parks_before_it_wrote_gives_back_what_it_reserved(opened: OpenStores) -> None:
    """It may wait for hours, for a person or a lock: meanwhile it keeps nobody off."""
    stores = await opened.open()
    for writing, granted in ((False, True), (True, False)):
        claim = await new_claim(stores)
        assert (await stores.budgets.reserve(claim, "k", [spend(f"a{writing}")], rules(targets=1))).granted
        if writing:
            await stores.journal.append(claim, step("applying"), writing=True)
        await stores.work.park(claim, None, step())
        assert (await stores.budgets.look([spend("b")], rules(targets=1))).granted is granted


async def test_run_that_is_cancelled_or_dead_gives_back_or_counts_as_any_other(opened: OpenStores) -> None:
    stores = await opened.open(max_deaths=0, claim=0.05)
    await stores.budgets.reserve(cancelled := await new_claim(stores), "k", [spend("a")], rules(targets=1))
    assert await stores.work.cancel(cancelled.remediation, "ann")
    assert (await stores.budgets.look([spend("b")], rules(targets=1))).granted
    await stores.budgets.reserve(dead := await new_claim(stores), "k", [spend("b")], rules(targets=1))
    await stores.journal.append(dead, step("applying"), writing=True)

    async def set_aside() -> bool:
        await stores.work.reclaim("w2")
        return dead.remediation in stores.work.take_dead()

    await until(set_aside, what="the dead letter")
    assert not (await stores.budgets.look([spend("c")], rules(targets=1))).granted
    later = await opened.later(WINDOW + 5)
    assert (await later.budgets.look([spend("c")], rules(targets=1))).granted


async def test_one_whose_claim_is_lost_reserves_nothing(opened: OpenStores) -> None:
    """Fault 5: a thawed worker of a run that is over must not leave a reservation that nobody ends."""
    stores = await opened.open()
    claim = await new_claim(stores)
    await end(stores, claim, wrote=False)
    with pytest.raises(LeaseLost):
        await stores.budgets.reserve(claim, "k", [spend("a")], rules(targets=1))
    assert (await stores.budgets.look([spend("b")], rules(targets=1))).granted


async def test_reservations_outlive_a_kill_of_redis(tmp_path: Path) -> None:
    """Fault 6, for the budget: neither a restart of ours nor one of Redis makes room."""
    server = RedisServer(tmp_path, config={"appendfsync": "always"})
    server.start()
    stores = OpenStores(fresh_options(server.url))
    try:
        first = await stores.open()
        done, under_way = await new_claim(first), await new_claim(first)
        for claim, name in ((done, "a"), (under_way, "b")):
            assert (await first.budgets.reserve(claim, "k", [spend(name)], rules(targets=2))).granted
        await end(first, done, wrote=True)
        server.kill()
        server.start()
        again = await stores.open()
        refused = await again.budgets.look([spend("c")], rules(targets=2))
        assert (refused.granted, refused.used) == (False, 2)
    finally:
        await stores.close()
        server.stop()


_ASKS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([5.0, 20.0, 33.3, 50.0]), st.sampled_from("xyz")),
    min_size=50,
    max_size=50,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(asks=_ASKS, targets=st.integers(0, 6), percent=st.sampled_from([20.0, 50.0, 100.0]), done=st.integers(0, 50))
def test_fifty_workers_at_once_never_exceed_the_budget(
    redis_server: RedisServer, asks: list[tuple[str, str, str]], targets: int, percent: float, done: int
) -> None:
    """Fault 65: whatever they ask for, in whatever order it arrives, and whichever runs end meanwhile."""
    asyncio.run(_storm(redis_server, asks, targets, percent, done))  # type: ignore[arg-type]


async def _storm(
    server: RedisServer, asks: list[tuple[str, float, str]], targets: int, percent: float, done: int
) -> None:
    opened = OpenStores(fresh_options(server.url))
    try:
        processes = [await opened.open() for _ in range(5)]
        claims = [await new_claim(processes[0]) for _ in asks]
        how = BudgetRules(
            limits=(Limit("cluster:c", targets, percent), *(Limit(f"namespace:c/{n}", 2) for n in "xyz")),
            window=WINDOW,
        )

        async def worker(nr: int) -> tuple[Spend, bool]:
            name, share, namespace = asks[nr]
            stores = processes[nr % len(processes)]
            wanted = spend(f"{namespace}/{name}", share, namespace)
            answer = await stores.budgets.reserve(claims[nr], "k", [wanted], how)
            if nr < done:
                await end(stores, claims[nr], wrote=True)
            return wanted, answer.granted

        answers = await asyncio.gather(*(worker(nr) for nr in range(len(asks))))
        granted = [wanted for wanted, yes in answers if yes]
        assert len({each.target for each in granted}) <= targets
        for name in {each.workload for each in granted}:
            assert sum(each.percent for each in granted if each.workload == name) <= percent + 0.01
        for namespace in "xyz":
            assert len({each.target for each in granted if f"namespace:c/{namespace}" in each.scopes}) <= 2
        refused = [wanted for wanted, yes in answers if not yes]
        if targets and any(each.percent <= percent for each, _ in answers):
            assert granted, "a fresh budget has room for the first"
        for wanted in refused:
            assert not (await processes[0].budgets.look([wanted], how)).granted, "what is spent stays spent"
    finally:
        await opened.close()
