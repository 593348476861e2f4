"""Every guard with a state in Redis: with its clock moved, with fifty workers that ask at once, and across restarts.

One body for all: each case makes its guard say no, and says when or by whom that ends. What a count has to stand when
fifty write at once is in test_budget_store.py and test_run_limits_store.py; guards that keep nothing are in
test_guards_ask_again.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bridge.guards.again import AgainGuard
from bridge.guards.attempts import AttemptsGuard
from bridge.guards.budget import verdict_of
from bridge.guards.cooldown import CooldownGuard
from bridge.guards.effectiveness import EffectivenessGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.hold_off import HoldOffGuard
from bridge.guards.pause import PauseGuard
from bridge.guards.run_limits import RunLimitsGuard
from bridge.model.budget import BudgetRules, Limit, Spend
from bridge.model.intake import Assignment, Claim, Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Outcome
from bridge.model.run_limits import RunLimits, RunLimitSettings
from bridge.model.trust import TrustSettings
from bridge.ports import EntryGuard
from bridge.stores import Stores
from tests.support.alerts import claimed, fire, firing, step, wish
from tests.support.redis import OpenStores, RedisServer, fresh_options

MINUTE, HOUR, YEAR = 60.0, 3600.0, 365 * 86400.0
TRUST = TrustSettings(stop_after=3, of=4, at_least=3, approve_below=0.5, observe_below=0.0)
RULES = BudgetRules(limits=(Limit("cluster:c", targets=1),), window=10 * MINUTE)


def wanted(name: str = "web", **more: Any) -> Assignment:
    """Return the wish that the guard is asked about."""
    about = {"cooldown": 0.0, "max_attempts": 100, "labels": {"alertname": "WebDown"}, **more}
    return wish("test/restart", name, **about)


async def run(stores: Stores, *, outcome: Outcome = Outcome.FAILED, **more: Any) -> Assignment:
    """Have a run of the same runbook, target and alert that wrote something and ended."""
    was = wanted(**more)
    claim = await begun(stores, was)
    await stores.journal.append(claim, step("applying"), writing=True)
    await stores.work.finish(claim, outcome, Reason.NOT_FIXED, step(), escalated=True)
    return was


async def begun(stores: Stores, was: Assignment) -> Claim:
    start = round(await stores.health.time() * 1e6)
    alert = "WebDown" if was.remediation.runbook == "test/restart" else f"Down-{was.remediation.target.name}"
    await fire(stores, was, alert=firing(alert, start=start))
    return await claimed(stores)


async def pause(stores: Stores, *, scope: str = "namespace:shop", seconds: float | None = None) -> None:
    now = await stores.health.time()
    until = None if seconds is None else now + seconds
    await stores.guardbook.pause(Pause(scope=scope, by="ann", why="freeze", since=now, until=until))


async def halt(stores: Stores) -> None:
    rules = msgspec.structs.replace(RULES, halt_after=1)
    for name in ("a", "b"):
        claim = await begun(stores, wish("other", name))
        await stores.budgets.reserve(claim, "k", [spend(name)], rules, force=name == "a")


async def runs(stores: Stores, count: int) -> None:
    for _ in range(count):
        await run(stores)


async def undone(stores: Stores) -> None:
    was = await run(stores, outcome=Outcome.SUCCEEDED)
    undo = msgspec.structs.replace(was.remediation, id=f"{was.remediation.id}-undo", undo_of=was.remediation.id)
    await stores.work.undo(undo, step(), ())
    await stores.work.finish(await claimed(stores), Outcome.UNDONE, Reason.UNDONE_BY_HAND, step(), escalated=False)


def spend(name: str) -> Spend:
    return Spend(scopes=("cluster:c",), target=name, workload=name, percent=10.0)


async def spent(stores: Stores, *, ended: bool) -> None:
    claim = await begun(stores, wish("other", "api"))
    assert (await stores.budgets.reserve(claim, "k", [spend("api")], RULES)).granted
    if ended:
        await stores.journal.append(claim, step("applying"), writing=True)
        await stores.work.finish(claim, Outcome.SUCCEEDED, Reason.VERIFIED, step(), escalated=False)


async def cancel_all(stores: Stores) -> None:
    for view in await stores.work.list(limit=10):
        await stores.work.cancel(view.remediation.id, "ann")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A guard, what makes it say no, and when that ends."""

    name: str
    reason: Reason
    arrange: Callable[[Stores], Awaitable[Any]]
    guard: EntryGuard | None = None
    """None: the budget, asked for one target more."""
    about: dict[str, Any] = {}
    over: float | None = None
    """Seconds after which it ends by itself; None: never."""
    lift: Callable[[Stores], Awaitable[Any]] | None = None
    """What a person does that ends it."""
    clears: bool = True
    """False: the guard is of what was created too long ago, which no time mends."""

    async def verdict(self, stores: Stores, about: Assignment) -> Verdict:
        if self.guard is None:
            return verdict_of(await stores.budgets.look([spend("web")], RULES))
        rem = about.remediation
        facts = await stores.guardbook.facts(rem)
        trust = await stores.trust.judge(rem.runbook, "WebDown", TRUST)
        return self.guard.check(rem, msgspec.structs.replace(facts, trust=trust))


def limits(sort: str, **said: Any) -> RunLimitsGuard:
    none = dict.fromkeys(("alert", "target", "runbook"), RunLimits())
    settings = RunLimitSettings.model_validate({**none, sort: RunLimits(**said)})
    return RunLimitsGuard(lambda: settings)


def resume(scope: str) -> Callable[[Stores], Awaitable[Any]]:
    return lambda stores: stores.guardbook.resume(scope)


async def nothing(stores: Stores) -> None:
    """What the guard says depends on the remediation's own record alone."""


CASES = [
    Case(
        name="pause for a while",
        guard=PauseGuard(),
        reason=Reason.PAUSED,
        arrange=lambda stores: pause(stores, seconds=10 * MINUTE),
        over=10 * MINUTE,
    ),
    Case(
        name="pause until resumed",
        guard=PauseGuard(),
        reason=Reason.PAUSED,
        arrange=pause,
        lift=resume("namespace:shop"),
    ),
    Case(name="halt", guard=PauseGuard(), reason=Reason.PAUSED, arrange=halt, lift=resume("all")),
    Case(
        name="hold-off",
        guard=HoldOffGuard(),
        reason=Reason.HOLD_OFF,
        arrange=nothing,
        about={"hold_off": 5 * MINUTE},
        over=5 * MINUTE,
    ),
    Case(
        name="cooldown",
        guard=CooldownGuard(),
        reason=Reason.COOLDOWN,
        arrange=run,
        about={"cooldown": 10 * MINUTE},
        over=10 * MINUTE,
    ),
    Case(
        name="attempts",
        guard=AttemptsGuard(),
        reason=Reason.ATTEMPTS_SPENT,
        arrange=lambda stores: runs(stores, 2),
        about={"max_attempts": 2, "attempts_window": HOUR},
        over=HOUR,
    ),
    Case(name="again", guard=AgainGuard(), reason=Reason.FIRES_AGAIN, arrange=undone, over=HOUR),
    *(
        Case(
            name=f"runs of a day, {sort}",
            guard=limits(sort, day=2),
            reason=Reason.ATTEMPTS_SPENT,
            arrange=lambda stores: runs(stores, 2),
            over=24 * HOUR,
        )
        for sort in ("alert", "target", "runbook")
    ),
    Case(
        name="cooldown of a target",
        guard=limits("target", cooldown=600.0),
        reason=Reason.COOLDOWN,
        arrange=run,
        over=600.0,
    ),
    Case(
        name="stopped runbook",
        guard=EffectivenessGuard(),
        reason=Reason.RUNBOOK_STOPPED,
        arrange=lambda stores: runs(stores, 3),
        lift=resume("runbook:test/restart"),
    ),
    Case(
        name="budget that was spent",
        reason=Reason.BUDGET_SPENT,
        arrange=lambda stores: spent(stores, ended=True),
        over=10 * MINUTE,
    ),
    Case(
        name="budget that is reserved",
        reason=Reason.BUDGET_SPENT,
        arrange=lambda stores: spent(stores, ended=False),
        lift=cancel_all,
    ),
    Case(
        name="freshness",
        guard=FreshnessGuard(),
        reason=Reason.OUT_OF_DATE,
        arrange=nothing,
        about={"created_at": 1.0, "received_at": 1.0},
        clears=False,
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


async def arranged(case: Case, stores: Stores) -> Assignment:
    """Make the guard say no, and return what it is asked about: an open remediation."""
    await case.arrange(stores)
    now = await stores.health.time()
    about = wanted(**{"created_at": now, "received_at": now, **case.about})
    await fire(stores, about, alert=firing("WebDown", start=round(now * 1e6) + 1))
    return about


async def says_no(case: Case, stores: Stores, about: Assignment) -> None:
    verdict = await case.verdict(stores, about)
    assert (verdict.allowed, verdict.reason) == (False, case.reason), verdict.detail
    assert verdict.detail


async def test_a_guard_says_no_for_as_long_as_it_should_and_no_longer(case: Case, opened: OpenStores) -> None:
    stores = await opened.open()
    about = await arranged(case, stores)
    await says_no(case, stores, about)
    if case.over is None:
        await says_no(case, later := await opened.later(YEAR), about)
        # Only the end of what is reserved may come at any time: that is looked for once in a window.
        assert not case.lift or case.guard is None or (await case.verdict(later, about)).retry_at is None
    else:
        await says_no(case, await opened.later(case.over - 10), about)
        later = await opened.later(case.over + 10)
    if case.lift is not None:
        await case.lift(later)
    if case.clears:
        assert (await case.verdict(later, about)).allowed


async def test_of_fifty_workers_that_ask_at_once_none_is_let_in(case: Case, opened: OpenStores) -> None:
    first = await opened.open()
    processes = [first, *[await opened.open() for _ in range(4)]]
    about = await arranged(case, first)
    verdicts = await asyncio.gather(*(case.verdict(processes[nr % 5], about) for nr in range(50)))
    assert {verdict.reason for verdict in verdicts} == {case.reason}


async def test_what_ends_it_lets_all_of_fifty_workers_in(case: Case, opened: OpenStores) -> None:
    """One process ends it; no other one has kept a copy of what was."""
    if not case.clears:
        return
    first = await opened.open()
    about = await arranged(case, first)
    processes = [await opened.later(10 + (case.over or 0.0)) for _ in range(5)]
    if case.lift is not None:
        await case.verdict(processes[1], about)
        await case.lift(processes[0])
    verdicts = await asyncio.gather(*(case.verdict(processes[nr % 5], about) for nr in range(50)))
    assert all(verdict.allowed for verdict in verdicts)


async def test_a_guard_holds_when_all_processes_are_new(case: Case, opened: OpenStores) -> None:
    first = OpenStores(opened.options)
    about = await arranged(case, await first.open())
    await first.close()
    await says_no(case, await opened.open(), about)


async def test_every_guard_holds_when_redis_was_killed(tmp_path: Path) -> None:
    """Fault 6, for the guards: with `appendfsync always` not one of them forgets what it said no for."""
    server = RedisServer(tmp_path, config={"appendfsync": "always"})
    server.start()
    installations = [(case, OpenStores(fresh_options(server.url))) for case in CASES]
    try:
        before = [(case, stores, await arranged(case, await stores.open())) for case, stores in installations]
        server.kill()
        server.start()
        for case, stores, about in before:
            await says_no(case, await stores.open(), about)
    finally:
        for _, stores in installations:
            await stores.close()
        server.stop()


async def test_what_was_lowered_stays_so_across_restarts_and_time_until_a_person_resumes(opened: OpenStores) -> None:
    """The mode, which is no verdict: from auto to approve to observe, and only a person moves it back."""
    stores = await opened.open()
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.FAILED):
        await run(stores, outcome=outcome)
    asked = await asyncio.gather(*(stores.trust.judge("test/restart", "WebDown", TRUST) for _ in range(50)))
    assert {trust.lowered.mode for trust in asked if trust.lowered} == {Mode.APPROVE}
    later = await opened.later(YEAR)
    lowered = (await later.trust.judge("test/restart", "WebDown", TRUST)).lowered
    assert lowered is not None
    assert lowered.mode is Mode.APPROVE
    await later.guardbook.resume("runbook:test/restart")
    assert (await later.trust.judge("test/restart", "WebDown", TRUST)).lowered is None
