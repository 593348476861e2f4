"""One case of an action on its site: what the bodies of the contract are made of.

trial = trials()                    # at the top of a module of tests: a fixture over all cases
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import msgspec
import pytest

from bridge.actions.base import BaseAction
from bridge.actions.registry import actions
from bridge.errors import KubeNotFound
from bridge.model.plan import Made, Plan
from bridge.model.target import ObjectRef
from bridge.ports import Action
from tests.contract.action_cases import Case, Env, Scene, all_cases
from tests.support.cluster import Site, open_site
from tests.support.rig import Rig

T = TypeVar("T")
WRITES = "PATCH|POST|PUT|DELETE"


class Trial:
    """One case on its site."""

    def __init__(self, case: Case, site: Site, scene: Scene) -> None:
        self.case = case
        self.site = site
        self.scene = scene
        action = action_of(case)
        self.rig = Rig(site, action, scene.params, scene.about, reach=scene.reach, planned_at=scene.planned_at)
        self.action = action

    async def effects(self) -> int:
        """How often what the action does has taken place."""
        if self.scene.effects is not None:
            return await self.scene.effects()
        return len(self.site.proxy.applied())

    def writes(self, plan: Plan) -> int:
        return len(plan.changes) if self.scene.writes is None else self.scene.writes

    async def undo(self, plan: Plan, made: list[Made]) -> None:
        """Put back what was made, as the engine does it."""
        done = msgspec.structs.replace(plan, changes=tuple(each.change for each in made))
        for change in done.inverses:
            await self.rig.make(done, change)

    async def look(self, ref: ObjectRef) -> dict[str, Any] | None:
        try:
            return await self.site.cluster.get(ref)
        except KubeNotFound:
            return None

    def lose(self, *, reply: bool) -> None:
        """Let the next write lose its reply, or itself."""
        if self.needed("loss", self.scene.lose)(reply) is NotImplemented:
            self.site.proxy.faults.cut(method=WRITES, after=reply)

    def needed(self, word: str, found: T | None) -> T:
        """Return what the test is about; fail where the scene does not have it: its case is to say that."""
        if found is None:
            pytest.fail(f"{self.case.id} has no `{word}`: give it one, or say in `lacks` that there cannot be one")
        return found

    @property
    def calls(self) -> bool:
        """Whether the action makes calls: what cannot be read back at an API server."""
        return makes_calls(self.action)


def trials(
    where: Callable[[Action], bool] = lambda action: True, more: Sequence[Case] = (), *, about: str = ""
) -> Any:
    """Return the fixture that gives a test every case of the actions that it is about, ready on a site of its own.

    `more` are further cases, for this test alone. `about` leaves out the cases that say that they lack it.
    """
    cases = [case for case in (*all_cases(), *more) if where(action_of(case)) and about not in case.lacks]
    return pytest.fixture(params=cases, ids=lambda case: case.id)(_trial)


def action_of(case: Case) -> Action:
    return case.make() if case.make is not None else actions()[case.action]


def makes_calls(action: Action) -> bool:
    """Whether it makes calls: what cannot be read back at an API server."""
    return type(action).perform is not BaseAction.perform


async def _trial(request: pytest.FixtureRequest) -> AsyncIterator[Trial]:
    case: Case = request.param
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(open_site())
        await site.needs(*case.needs)
        scene = await case.prepare(Env(site, stack, request.getfixturevalue))
        for word, found in (("meddle", scene.meddle), ("trample", scene.trample), ("loss", scene.lose)):
            assert found is None or word not in case.lacks, f"{case.id} has `{word}`, and says that it lacks it"
        site.proxy.clear()
        yield Trial(case, site, scene)
