"""The disruption budget through any life of any runs: what is granted never adds up to more than its limits.

Hypothesis plays the workers: plans of all sizes, in any order, planned again, parked, taken over, cancelled, ended
with and without a write, by processes that come and go while time passes. A model written for that alone says what
the answer has to be.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from bridge.errors import LeaseLost
from bridge.model.budget import BudgetRules, Limit, Spend
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.stores import Link, Stores, connect
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.redis import RedisServer, fresh_options

WINDOW = 600.0
LIMITS = (
    Limit("cluster:c", targets=3, percent=60.0, nodes=1),
    Limit("namespace:c/x", targets=2),
    Limit("namespace:c/y", targets=2, percent=30.0),
)
RULES = BudgetRules(limits=LIMITS, window=WINDOW)
_NAMES = itertools.count()


def spend_of(drawn: tuple[str, str, float, bool]) -> Spend:
    name, place, percent, node = drawn
    if node:
        return Spend(scopes=("cluster:c",), target=f"node-{name}", node=f"node-{name}")
    workload = f"{place}/{name}"
    return Spend(scopes=("cluster:c", f"namespace:c/{place}"), target=workload, workload=workload, percent=percent)


PLANS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from([10.0, 30.0, 50.0]), st.booleans()).map(
        spend_of
    ),
    min_size=1,
    max_size=3,
)


class Run(msgspec.Struct):
    """What the model knows of one run."""

    claim: Claim
    plans: dict[str, list[Spend]] = {}
    writing: bool = False
    ended_at: float | None = None


def added_up(spends: list[Spend], scope: str) -> dict[str, float]:
    """Return the sums of one scope by what its limits are about."""
    sums: dict[str, float] = defaultdict(float)
    within = [spend for spend in spends if scope in spend.scopes]
    sums["targets"] = len({spend.target for spend in within} - {""})
    sums["nodes"] = len({spend.node for spend in within} - {""})
    for spend in within:
        if spend.workload:
            sums[f"percent {spend.workload}"] += spend.percent
    return sums


def beyond(spends: list[Spend]) -> set[str]:
    """Return what is above a limit."""
    return {
        f"{limit.scope} {what}"
        for limit in LIMITS
        for what, used in added_up(spends, limit.scope).items()
        if (most := getattr(limit, what.partition(" ")[0])) is not None and used > most + 0.001
    }


def machine(server: RedisServer) -> type[RuleBasedStateMachine]:
    """Return the machine over this Redis."""

    class Lives(RuleBasedStateMachine):
        going: Bundle[str] = Bundle("going")

        def __init__(self) -> None:
            super().__init__()
            self.loop = asyncio.new_event_loop()
            self.options = fresh_options(server.url)
            self.now = 0.0
            self.runs: dict[str, Run] = {}
            self.stores: Stores = self._connected()

        def _connected(self) -> Stores:
            return connect(Link(msgspec.structs.replace(self.options, clock_offset_ms=int(self.now * 1000))))

        def do(self, work: Any) -> Any:
            return self.loop.run_until_complete(work)

        def teardown(self) -> None:
            self.do(self.stores.close())
            self.loop.close()

        # -- the lives of runs

        async def _begin(self) -> str:
            name = f"w{next(_NAMES)}"
            await fire(self.stores, wish("restart", name), alert=firing(pod=name))
            claim = await claimed(self.stores)
            self.runs[claim.remediation] = Run(claim)
            return claim.remediation

        @initialize(target=going)
        def some_begin(self) -> Any:
            return multiple(*(self.do(self._begin()) for _ in range(3)))

        @rule(target=going)
        def begin(self) -> str:
            name: str = self.do(self._begin())
            return name

        @rule(name=going, key=st.sampled_from(["first", "second"]))
        def plan_what_disturbs_nothing(self, name: str, key: str) -> None:
            self._plan(name, key, [])

        @rule(name=going, key=st.sampled_from(["first", "second"]), spends=PLANS)
        def plan(self, name: str, key: str, spends: list[Spend]) -> None:
            self._plan(name, key, spends)

        @rule(plans=st.lists(PLANS, min_size=3, max_size=6))
        def many_plan_at_once(self, plans: list[list[Spend]]) -> None:
            """A storm: new runs, each with a plan."""
            for spends in plans:
                name = self.do(self._begin())
                self._plan(name, "first", spends)
                self.write(name)

        def _plan(self, name: str, key: str, spends: list[Spend]) -> None:
            """As the engine does: what has written nothing is planned anew."""
            run = self.runs[name]
            kept = {} if not run.writing else {each: spent for each, spent in run.plans.items() if each != key}
            others = [spend for other, life in self.runs.items() if other != name for spend in self._counts(life)]
            before = others + [spend for spent in kept.values() for spend in spent]
            fits = not (beyond(before + spends) - beyond(before)) or not spends
            answer = self.do(
                self.stores.budgets.reserve(run.claim, key, spends, RULES, anew=not run.writing),
            )
            assert answer.granted is fits
            if fits:
                run.plans = kept | ({key: spends} if spends else {})

        @rule(name=going)
        def write(self, name: str) -> None:
            self.do(self.stores.journal.append(self.runs[name].claim, step("applying"), writing=True))
            self.runs[name].writing = True

        @rule(name=going)
        def wait(self, name: str) -> None:
            """For a lock or a person; then another worker goes on."""
            run = self.runs[name]
            self.do(self.stores.work.park(run.claim, None, step()))
            assert self.do(self.stores.work.wake(run.claim.remediation))
            run.claim = self.do(claimed(self.stores))
            if not run.writing:
                run.plans = {}

        @rule(name=going, spends=PLANS)
        def is_taken_over(self, name: str, spends: list[Spend]) -> None:
            """A worker that thaws has no say any more."""
            run, old = self.runs[name], self.runs[name].claim
            self.do(self.stores.work.hand_over(old, step()))
            run.claim = self.do(claimed(self.stores))
            with pytest.raises(LeaseLost):
                self.do(self.stores.budgets.reserve(old, "first", spends, RULES))

        @rule(name=consumes(going), outcome=st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUPPRESSED]))
        def end(self, name: str, outcome: Outcome) -> None:
            run = self.runs[name]
            self.do(self.stores.work.finish(run.claim, outcome, Reason.NOT_FIXED, step(), escalated=False))
            run.ended_at = self.now
            if not run.writing:
                run.plans = {}

        @rule(name=going)
        def cancel(self, name: str) -> None:
            run = self.runs[name]
            if run.writing:
                assert not self.do(self.stores.work.cancel(run.claim.remediation, "ann"))
            else:
                # It stays in the bundle no longer than its claim is good for: begun anew under the same name.
                assert self.do(self.stores.work.cancel(run.claim.remediation, "ann"))
                again = self.runs.pop(self.do(self._begin()))
                self.runs[name] = again

        # -- the world

        @rule(seconds=st.sampled_from([170.0, 310.0, 650.0]))
        def time_passes(self, seconds: float) -> None:
            self.now += seconds
            self.restart()

        @rule()
        def restart(self) -> None:
            """Every process is a new one."""
            self.do(self.stores.close())
            self.stores = self._connected()

        def _counts(self, run: Run) -> list[Spend]:
            if run.ended_at is not None and run.ended_at + WINDOW <= self.now:
                return []
            return [spend for spent in run.plans.values() for spend in spent]

        @invariant()
        def nothing_adds_up_to_more_than_its_limit(self) -> None:
            use = self.do(self.stores.budgets.use(WINDOW))
            spends = [spend for run in use.runs for spend in run.spends]
            assert beyond(spends) == set()
            modelled = [spend for run in self.runs.values() for spend in self._counts(run)]
            assert sorted(map(str, spends)) == sorted(map(str, modelled))

    return Lives


def test_no_life_of_any_runs_exceeds_the_budget(redis_server: RedisServer) -> None:
    """Fault 65."""
    run_state_machine_as_test(
        machine(redis_server), settings=settings(max_examples=40, stateful_step_count=25, deadline=None)
    )
