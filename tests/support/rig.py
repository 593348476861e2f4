"""One action at a site: planned, made and undone through the engine's own code, over stores in memory.

Time is real, but nobody sleeps longer than a moment: what is waited for is looked at again soon.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bridge.engine.apply import ChangeApplier
from bridge.engine.context import RunContext
from bridge.engine.lease import Lease
from bridge.engine.make import Maker
from bridge.engine.parts import Limits, Parts
from bridge.engine.retry import RetryPolicy
from bridge.engine.worker import Worker, WorkerOptions
from bridge.evidence.registry import collectors
from bridge.model.mode import Mode
from bridge.model.plan import Change, Made, Plan
from bridge.model.remediation import Remediation, RemediationView, State
from bridge.model.runbook import Runbook
from bridge.model.target import ObjectRef, Target
from bridge.model.verification import Answer, Verification
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import Action, Connections, PlanGuard
from bridge.telemetry import Metrics
from tests.support.cluster import Site
from tests.support.memory_stores import MemoryBreakers, MemoryGuardbook, MemoryLocks, MemoryWork

REMEDIATION = "rem-1"
_MOMENT = 0.02


class Killed(BaseException):
    """The process died here."""


class SoonClock:
    """Real time, in which every sleep ends within a moment."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, _MOMENT))


class Rig:
    """An action with its parameters, and what runs it."""

    def __init__(
        self,
        site: Site,
        action: Action,
        params: dict[str, Any],
        about: ObjectRef,
        *,
        reach: Connections | None = None,
        planned_at: float | None = None,
    ) -> None:
        self.site = site
        self.action = action
        self.raw_params = params
        self.params = action.params.model_validate(params)
        self.clock = SoonClock()
        self.locks = MemoryLocks()
        self.work = MemoryWork(self.clock, self.locks)
        self.mode = Mode.AUTO
        self.guards: tuple[PlanGuard, ...] = ()
        self.reach = reach or Reach(site.cluster, self.clock, Outside(OutsideSettings()))
        self.target = Target(site.cluster.name, about.kind, about.namespace, about.name)
        self._about = about
        self._created = planned_at if planned_at is not None else self.clock.now()
        self.context = RunContext(
            remediation=REMEDIATION, planned_at=self._created, target=self.target, reach=self.reach
        )

    # -- part by part

    async def plan(self) -> Plan:
        """Return its plan, which changes something."""
        plan = await self.action.plan(self.context, self.params)
        assert not plan.empty, plan.summary
        return plan

    async def make(self, plan: Plan, change: Change, *, doubtful: bool = False, results: Any = ()) -> Made:
        """Make one change as a process does that knows of no earlier try."""
        claim = self._work().take(REMEDIATION)
        lease = Lease(claim, self.work, self.clock, seconds=4.0, stopping=asyncio.Event())
        maker = Maker(self._parts(), lease, ChangeApplier(self.reach.cluster), self.context, remediation=REMEDIATION)
        return await maker.make(plan, change, doubtful=doubtful, results=results)

    async def make_all(self, plan: Plan, *, doubtful: bool = False) -> list[Made]:
        """Make the whole plan."""
        made: list[Made] = []
        for change in plan.changes:
            made.append(await self.make(plan, change, doubtful=doubtful, results=[each.result for each in made]))
        return made

    async def verified(self, plan: Plan, made: list[Made]) -> Verification:
        """Look until it is fixed or never will be, or the site's patience ends."""
        answer = Verification(Answer.UNKNOWN)
        context = self.after(made)

        async def done() -> bool:
            nonlocal answer
            answer = await self.action.verify(context, plan, self.params)
            return answer.answer is Answer.FIXED or answer.final

        await self.site.until(done)
        return answer

    def after(self, made: list[Made]) -> RunContext:
        """Return the context that `verify` gets."""
        return RunContext(
            remediation=REMEDIATION,
            planned_at=self._created,
            target=self.target,
            reach=self.reach,
            results=tuple(each.result for each in made),
        )

    # -- the whole engine

    async def run(self, *, seconds: float = 0.0, stretches: int = 100) -> RemediationView:
        """Work on it until it is done, with another worker after each wait and each death.

        `work.point` says where workers die (by raising Killed) or stand still.
        """
        for number in range(stretches):
            try:
                await self.stretch(f"w{number + 1}", seconds=seconds)
            except Killed:
                continue
            view = self._work().rows[REMEDIATION].view
            if view.state is State.DONE:
                return view
        raise AssertionError(f"not done after {stretches} stretches of work: {self.told()}")

    async def stretch(self, worker: str, *, seconds: float = 0.0) -> None:
        """One worker's go at it. With `seconds` 0 its claim is confirmed before each write."""
        claim = self._work().take(REMEDIATION, worker)
        lease = Lease(claim, self.work, self.clock, seconds=seconds, stopping=asyncio.Event())
        await Worker(self._parts(), WorkerOptions(name=worker))._work(lease)

    def told(self) -> list[str]:
        """Return the journal as people read it."""
        return [f"{entry.kind}: {entry.text}" for entry in self.work.rows[REMEDIATION].entries]

    def _work(self) -> MemoryWork:
        if REMEDIATION not in self.work.rows:
            self.work.add(self._remediation())
        return self.work

    @property
    def runbook(self) -> Runbook:
        """The action as the only step of a runbook."""
        step = {
            "action": self.action.name,
            "with": self.raw_params,
            "verify_within": f"{int(self.site.patience)}s",
        }
        return Runbook.model_validate(
            {
                "name": "test/case",
                "summary": "The case of one action.",
                "target": {"kind": self._about.kind, "namespace": self._about.namespace, "name": self._about.name},
                "scenarios": [{"name": "only", "otherwise": True, "steps": [step]}],
            }
        )

    def _remediation(self) -> Remediation:
        runbook = self.runbook
        return Remediation(
            id=REMEDIATION,
            runbook=runbook.name,
            target=self.target,
            mode=self.mode,
            runbook_doc=runbook.model_dump(mode="json", by_alias=True),
            created_at=self._created,
        )

    def _parts(self) -> Parts:
        return Parts(
            queue=self.work,
            journal=self.work,
            locks=self.locks,
            guardbook=MemoryGuardbook(self.clock),
            breakers=MemoryBreakers(self.clock),
            clusters=None,  # type: ignore[arg-type]
            connections=lambda name: self.reach,
            prometheus=False,
            actions={self.action.name: self.action},
            collectors=collectors(),
            entry_guards=(),
            plan_guards=lambda: self.guards,
            process_mode=lambda: self.mode,
            clock=self.clock,
            notifier=_Silent(),
            metrics=Metrics("test"),
            retry=RetryPolicy(attempts=3, total=5.0, first=0.01, longest=0.02),
            limits=Limits(retries=20, longest_asked=1.0),
        )


class _Silent:
    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        pass
