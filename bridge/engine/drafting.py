"""Plan a step, and let the guards look at what it would change. Called by making; by foresee for what is only shown.

All jobs of a step are planned, and looked at together, before the first of them is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from bridge.engine import admission
from bridge.engine.approval import Approval
from bridge.engine.ending import Ended, Finish, Park
from bridge.engine.parts import Parts
from bridge.engine.progress import PUT_OFF, Progress
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.errors import PlanError
from bridge.model import kinds
from bridge.model.intake import Claim
from bridge.model.mode import Mode, strictest
from bridge.model.plan import Plan, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook, Scenario, Step


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One plan to be made: of a step, of one of its items, or of one of its rounds."""

    key: str
    more: dict[str, Any] = {}
    """Variables that only this one sees: `item`."""


class Drafted(msgspec.Struct, frozen=True):
    """What a job would change."""

    job: Job
    plan: Plan
    params: dict[str, Any]


class Drafting:
    """Plans the steps of one run, and knows how far they may go."""

    def __init__(self, parts: Parts, record: Record, steps: Steps, sight: Sight, runbook: Runbook) -> None:
        self._parts = parts
        self._record = record
        self._steps = steps
        self._sight = sight
        self._runbook = runbook
        self._remediation = sight.view.remediation
        self.ceiling: Mode | None = None
        """How far it may go at most, by how often its runbook helped."""
        self.approval = Approval(parts, record, self._remediation)

    @property
    def _progress(self) -> Progress:
        return self._record.progress

    def mode(self, scenario: Scenario) -> Mode:
        """Return how far the scenario may go; its strictest step counts, so that none is left half done."""
        return strictest(self._parts.process_mode(), self._said_mode(scenario))

    def _said_mode(self, scenario: Scenario) -> Mode:
        """Return how far route, runbook and its successes let the scenario go, whatever the process allows."""
        said = (self._remediation.mode, self._runbook.mode, self.ceiling)
        return strictest(*said, *(step.mode for step in scenario.all_steps))

    async def draft(self, step: Step, jobs: Sequence[Job], *, later: int = 0) -> list[Drafted]:
        """Return what the jobs would change; reads only. Whether that is allowed says `allow`."""
        drafted = []
        for job in jobs:
            params = self._steps.params(step, self._sight.variables(**job.more))
            drafted.append(Drafted(job, await self._steps.plan(step, params, later=later), params))
        _refuse_shared([each.plan for each in drafted if not each.plan.empty])
        return drafted

    async def allow(
        self, scenario: Scenario, drafted: Sequence[Drafted], *, asked: bool, claim: Claim | None = None
    ) -> None:
        """Return when every plan guard allows what a step would change; raise Ended otherwise.

        With the claim what they disturb is reserved, for they are about to be made.
        """
        changing = [each.plan for each in drafted if not each.plan.empty]
        if changing:
            # A runbook or a step that waits for a person has one look at it, as a route that says so does.
            looked_at = msgspec.structs.replace(self._remediation, mode=self._said_mode(scenario))
            plan, key = _together(changing), drafted[0].job.key
            context, anew = self._sight.context, not self._progress.writing
            await admission.check_plan(
                self._parts, looked_at, plan, context, asked=asked, claim=claim, key=key, anew=anew
            )

    async def note(self, drafted: Drafted, *, foreseen: bool = False) -> None:
        """Journal a plan; one that is only `foreseen` is made again before it is carried out, and says so."""
        plan, job = drafted.plan, drafted.job
        changing = bool(plan.changes or plan.waits)
        text = plan.summary if changing else f"nothing to change: {plan.summary}"
        if foreseen and changing:
            text = f"would be made: {text}"
        data = {"step": job.key, "plan": msgspec.to_builtins(plan), "hash": plan.hash, "params": drafted.params}
        more = {**job.more, "foreseen": True} if foreseen else job.more
        await self._record.write(kinds.PLANNED, text, data={**data, **more})

    async def plan(self, scenario: Scenario, step: Step, jobs: Sequence[Job]) -> None:
        """Plan those jobs that have no plan yet, and journal their plans; raise Ended when they may not be made."""
        jobs = [job for job in jobs if job.key not in self._progress.pieces]
        if not jobs:
            return
        # An earlier step, or time, changed the world: this one is planned on what is there now.
        await self._sight.refresh()
        drafted = await self.draft(step, jobs)
        asked = self.mode(scenario) is Mode.APPROVE
        try:
            await self.allow(scenario, drafted, asked=asked, claim=self._steps.claim)
        except Ended as ended:
            if isinstance(ended.ending, Finish) and not asked:
                # Whoever reads why nothing was done wants to see what it would have been; who was asked has seen it.
                for each in drafted:
                    await self.note(each, foreseen=True)
            raise self.put_off(ended) from ended
        if self._progress.permit is None and any(not each.plan.empty for each in drafted):
            permit = await admission.admit(self._parts, self._remediation)
            await self._record.write(
                kinds.ADMITTED, "the runbook's circuit breaker allows it", data={"permit": permit}
            )
        for each in drafted:
            await self.note(each)

    def put_off(self, ended: Ended, *, changed: bool = False) -> Ended:
        """Return a wait where a run that changed something already is only deferred: it is not left half done.

        Two runs that are half made may wait for each other's share of a budget: not for ever. Then what was changed
        is put back where that is safe, but under a pause: that leaves it as it is to the person who is told.
        """
        ending, limits, now = ended.ending, self._parts.limits, self._parts.clock.now()
        changed = changed or self._progress.changed
        if not (changed and isinstance(ending, Finish) and ending.reason in PUT_OFF):
            return self.approval.hold(ended)
        waited = now - (self._progress.put_off_since or now)
        paused = ending.reason is Reason.PAUSED
        if waited < limits.half_made:
            # A pause ends when somebody resumes, which wakes no run that waits.
            due = now + limits.paused_pause if paused or ending.wait_until is None else ending.wait_until
            return Ended(Park(due, ending.reason, f"half made: {ending.detail}"))
        detail = f"put off for {waited / 60:.0f} min: {ending.detail}"
        if paused:
            return Ended(msgspec.structs.replace(ending, detail=detail))
        return Ended(Finish(Outcome.FAILED, Reason.APPLY_FAILED, f"half made, and {detail}"))


def _refuse_shared(plans: Sequence[Plan]) -> None:
    """Raise PlanError for items that a lock of their own sort keeps apart: each is planned when the last is over."""
    known: set[str] = set()
    for plan in plans:
        if known.intersection(plan.locks):
            raise PlanError(
                f"{plan.action} goes one after the other ({', '.join(plan.locks)}): {len(plans)} items of one step "
                "would be planned as if each were the only one; give each a step of its own"
            )
        known.update(plan.locks)


def _together(plans: Sequence[Plan]) -> Plan:
    """Return one plan with the changes of all: guards and budget see at once what a step comes to."""
    if len(plans) == 1:
        return plans[0]
    undos = [plan.undo for plan in plans]
    return msgspec.structs.replace(
        plans[0],
        summary=f"{plans[0].action} for {len(plans)} items: {'; '.join(plan.summary for plan in plans[:5])}",
        changes=tuple(change for plan in plans for change in plan.changes),
        undo=next((undo for undo in (Undo.NONE, Undo.COMPENSATING) if undo in undos), Undo.EXACT),
        locks=tuple(sorted({lock for plan in plans for lock in plan.locks})),
    )
