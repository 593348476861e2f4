"""Guards that keep nothing are asked again whenever a run comes back from a wait, for the world of then.

For these a crowd and a restart mean the same: whoever planned before the world changed, and however many did, none of
them writes after it. Each case lets a plan pass, has it wait for a lock, and changes the world meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from bridge.guards.changes import ChangesGuard
from bridge.guards.freshness import FreshnessGuard
from bridge.guards.maintenance import MaintenanceGuard
from bridge.guards.own_part import OwnPartGuard, OwnParts
from bridge.guards.owner import OwnerGuard
from bridge.guards.pause import PauseGuard
from bridge.guards.protected import ProtectedGuard
from bridge.guards.reversible import ReversibleGuard
from bridge.guards.silence import SilenceGuard
from bridge.model import kinds
from bridge.model.changes import ChangeSettings
from bridge.model.intake import Pause
from bridge.model.maintenance import Maintenance
from bridge.model.mode import Mode
from bridge.model.plan import Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, State
from bridge.model.silence import Silence
from bridge.model.target import Target
from tests.support.bench import REF, Bench, runbook

pytestmark = pytest.mark.usefixtures("quiet_log")

SUPPRESSED, DENIED = Outcome.SUPPRESSED, Outcome.DENIED


class Silenced:
    """Implements ports.Silences."""

    def __init__(self) -> None:
        self.there: list[Silence] = []

    async def covering(self, labels: Any) -> list[Silence]:
        return list(self.there)


class World:
    """A bench with all these guards, and what happens to it while a run waits."""

    def __init__(self) -> None:
        self.bench = bench = Bench()
        self.windows: list[Maintenance] = []
        self.silences = Silenced()
        self.own = OwnParts()
        self.protected = ProtectedGuard()
        bench.silences = self.silences
        bench.entry_guards = [
            PauseGuard(),
            MaintenanceGuard(lambda: self.windows),
            SilenceGuard(),
            FreshnessGuard(),
        ]
        self.reload()

    def reload(self) -> None:
        """Put the plan guards together by the configuration of now."""
        settings = ChangeSettings.model_validate({"within": "10m", "recent": "ask"})
        self.bench.plan_guards = [
            self.protected,
            OwnPartGuard(self.own),
            OwnerGuard(),
            ReversibleGuard(),
            ChangesGuard(settings),
        ]

    def wait(self) -> None:
        """Have somebody else hold the lock on what is to be changed."""
        self.bench.locks.held[msgspec.structs.replace(REF, uid="").lock_key] = "another"

    def go_on(self) -> None:
        self.bench.locks.held.clear()
        self.bench.clock.advance(60)


def pauses(world: World) -> None:
    world.bench.guardbook.known["pauses"] = (Pause(scope="all", by="ann", why="freeze", since=0.0),)


def maintains(world: World) -> None:
    now = world.bench.clock.now()
    begins, ends = (datetime.fromtimestamp(now + at, UTC) for at in (-1, 3600))
    world.windows.append(Maintenance(name="move", begins=begins, ends=ends))


def silences(world: World) -> None:
    world.silences.there.append(Silence(id="s1", created_by="ann", comment="I am at it"))


def takes_long(world: World) -> None:
    world.bench.clock.advance(7200)


def marks(world: World) -> None:
    world.bench.cluster.edit(REF, {"metadata": {"annotations": {"alertbridge.io/mode": "off"}}})


def labels(world: World) -> None:
    world.bench.cluster.edit(REF, {"metadata": {"labels": {"alertbridge.io/mode": "off"}}})


def protects(world: World) -> None:
    world.protected = ProtectedGuard(("shop",))
    world.reload()


def is_ours(world: World) -> None:
    world.own = OwnParts(uids=(REF.uid,))
    world.reload()


def is_helms(world: World) -> None:
    meta = {"labels": {"app.kubernetes.io/managed-by": "Helm"}}
    world.bench.cluster.edit(REF, {"metadata": meta})


def is_for_good(world: World) -> None:
    world.bench.action.undo = Undo.NONE


def is_edited(world: World) -> None:
    at = datetime.fromtimestamp(world.bench.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    managed = [{"manager": "kubectl-edit", "operation": "Update", "time": at}]
    world.bench.cluster.edit(REF, {"metadata": {"managedFields": managed}})


CASES = [
    (pauses, SUPPRESSED, Reason.PAUSED),
    (maintains, SUPPRESSED, Reason.MAINTENANCE),
    (silences, SUPPRESSED, Reason.SILENCED),
    (takes_long, SUPPRESSED, Reason.OUT_OF_DATE),
    (marks, DENIED, Reason.PROTECTED_OBJECT),
    (labels, DENIED, Reason.PROTECTED_OBJECT),
    (protects, DENIED, Reason.PROTECTED_NAMESPACE),
    (is_ours, DENIED, Reason.OWN_PART),
    (is_helms, DENIED, Reason.OWNER_WOULD_REVERT),
    (is_for_good, DENIED, Reason.UNDO_NONE),
    (is_edited, DENIED, Reason.CHANGED_RECENTLY),
]


@pytest.mark.parametrize(("happens", "outcome", "reason"), CASES, ids=lambda value: getattr(value, "__name__", ""))
async def test_what_was_allowed_before_a_wait_is_asked_about_again_after_it(
    happens: Callable[[World], None], outcome: Outcome, reason: Reason
) -> None:
    """Another worker takes it up, which knows of the wait by the journal alone."""
    world = World()
    bench = world.bench
    bench.add()
    world.wait()
    view = await bench.stretch("r1", "w1")
    assert view.state is State.PARKED
    assert bench.entries()[-1].reason == "locked", "every guard had allowed the plan"
    happens(world)
    world.go_on()
    view = await bench.stretch("r1", "w2")
    assert (view.outcome, view.reason) == (outcome, reason.value)
    assert bench.entries()[-1].reason == reason.value
    assert bench.writes == []


@pytest.mark.parametrize(("happens", "outcome", "reason"), CASES, ids=lambda value: getattr(value, "__name__", ""))
async def test_of_fifty_workers_that_had_planned_before_none_writes_after(
    happens: Callable[[World], None], outcome: Outcome, reason: Reason
) -> None:
    world = World()
    bench = world.bench
    names = [f"r{number}" for number in range(50)]
    for name in names:
        bench.add(name=name)
    world.wait()
    await asyncio.gather(*(bench.stretch(name, f"w-{name}") for name in names))
    assert {bench.view(name).state for name in names} == {State.PARKED}
    happens(world)
    world.go_on()
    await asyncio.gather(*(bench.stretch(name, f"v-{name}") for name in names))
    assert {(bench.view(name).outcome, bench.view(name).reason) for name in names} == {(outcome, reason.value)}
    assert bench.writes == []


@pytest.mark.parametrize(
    ("happens", "reason"),
    [(marks, Reason.PROTECTED_OBJECT), (is_ours, Reason.OWN_PART), (is_helms, Reason.OWNER_WOULD_REVERT)],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_people_agreed_to_is_guarded_again_before_it_is_made(
    happens: Callable[[World], None], reason: Reason
) -> None:
    """They may have taken hours."""
    from bridge.model.approval import Answer

    world = World()
    bench = world.bench
    bench.add(mode=Mode.APPROVE, approve_within=86400.0)
    assert (await bench.stretch()).state is State.PARKED
    bench.clock.advance(6 * 3600)
    happens(world)
    await bench.work.answer("r1", Answer(by="ann", agree=True), "ann agreed")
    assert await bench.run() == (DENIED, reason)
    assert bench.writes == []


async def test_a_second_step_is_guarded_by_the_world_that_the_first_has_left() -> None:
    world = World()
    bench = world.bench
    verify = bench.action.verify

    async def verified(*args: Any) -> Any:
        protects(world)
        return await verify(*args)

    bench.action.verify = verified  # type: ignore[method-assign]
    steps = [{"action": "set"}, {"action": "set", "with": {"value": 7, "names": ["worker"]}}]
    bench.add(runbook(steps=steps), target=Target("", "Deployment", "shop", "web"))
    assert await bench.run() == (Outcome.FAILED, Reason.PROTECTED_NAMESPACE)
    assert bench.writes == [5]
    assert bench.view().escalated
    assert kinds.PLANNED in bench.kinds()
