"""Make one step: plan, guard, lock, brake, apply, verify; several items of it side by side. Called by walk.

A single step is the case of one job. All jobs of a step are planned, and looked at by the guards together, before
the first of them is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from bridge.engine import admission
from bridge.engine.approval import Approval
from bridge.engine.ending import Ended, Finish, HandOver, NotMade, Park
from bridge.engine.failures import ending_for
from bridge.engine.parts import Parts
from bridge.engine.progress import Piece, Progress
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.errors import LeaseLost, PlanError, StoreUnavailable
from bridge.model import kinds
from bridge.model.intake import Claim
from bridge.model.mode import Mode, strictest
from bridge.model.plan import Plan, Undo
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook, Scenario, Step
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification


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


class Making:
    """Makes the steps of one run."""

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

    async def hold_locks(self) -> None:
        """Prolong the locks of all that was changed, and of the targets; park where another run has one by now."""
        if self._progress.changed:
            await self._steps.lock(*self._progress.done_plans(), also=self._target_locks)

    @property
    def _target_locks(self) -> list[str]:
        """A lock on each target: runs for several targets have queues of their own."""
        version = self._runbook.target.api_version
        return [
            ObjectRef(version, t.kind, t.namespace, t.name, cluster=t.cluster).lock_key
            for t in self._remediation.all_targets
        ]

    # -- planning

    async def draft(self, step: Step, jobs: Sequence[Job]) -> list[Drafted]:
        """Return what the jobs would change; reads only. Whether that is allowed says `allow`."""
        drafted = []
        for job in jobs:
            params = self._steps.params(step, self._sight.variables(**job.more))
            drafted.append(Drafted(job, await self._steps.plan(step, params), params))
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
            await admission.check_plan(
                self._parts, looked_at, plan, self._sight.context, asked=asked, claim=claim, key=key
            )

    async def note(self, drafted: Drafted, *, foreseen: bool = False) -> None:
        """Journal a plan; one that is only `foreseen` is made again before it is carried out."""
        plan, job = drafted.plan, drafted.job
        text = plan.summary if plan.changes or plan.waits else f"nothing to change: {plan.summary}"
        data = {"step": job.key, "plan": msgspec.to_builtins(plan), "hash": plan.hash, "params": drafted.params}
        more = {**job.more, "foreseen": True} if foreseen else job.more
        await self._record.write(kinds.PLANNED, text, data={**data, **more})

    async def _plan(self, scenario: Scenario, step: Step, jobs: Sequence[Job]) -> None:
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
            raise self._held_up(ended) from ended
        if self._progress.permit is None and any(not each.plan.empty for each in drafted):
            permit = await admission.admit(self._parts, self._remediation)
            await self._record.write(
                kinds.ADMITTED, "the runbook's circuit breaker allows it", data={"permit": permit}
            )
        for each in drafted:
            await self.note(each)

    def _held_up(self, ended: Ended) -> Ended:
        """Return a wait where a run that changed something already is only deferred: it is not left half done."""
        ending = ended.ending
        if (
            self._progress.changed
            and isinstance(ending, Finish)
            and ending.reason in (Reason.BUDGET_SPENT, Reason.ROLLOUT_IN_PROGRESS)
            and ending.wait_until is not None
        ):
            return Ended(Park(ending.wait_until, ending.reason, ending.detail))
        return self.approval.hold(ended)

    # -- making

    async def make(self, scenario: Scenario, step: Step, jobs: Sequence[Job]) -> Verification:
        """Plan, lock, apply and verify; return the worst answer of all jobs.

        Raises NotMade when a change cannot be made for good, and what was made of its plan is put back; Ended when
        the run is to wait or was stopped, and any other error of planning and writing.
        """
        began = self._parts.clock.monotonic()
        try:
            answer, result = await self._make(scenario, step, jobs)
        except NotMade:
            self._count(step, "error", began)
            raise
        except (Ended, LeaseLost, StoreUnavailable):
            # Not the step's end: it is waited with, or another worker carries on.
            raise
        except Exception:
            self._count(step, "error", began)
            raise
        self._count(step, result, began)
        return answer

    def _count(self, step: Step, result: str, began: float) -> None:
        self._parts.metrics.step_finished(step.action, result, self._parts.clock.monotonic() - began)

    async def _make(self, scenario: Scenario, step: Step, jobs: Sequence[Job]) -> tuple[Verification, str]:
        await self._plan(scenario, step, jobs)
        pieces = [self._steps.piece(job.key) for job in jobs]
        if all(_nothing_to_do(piece) for piece in pieces):
            text = "; ".join(f"{piece.plan.action}: {piece.plan.summary}" for piece in pieces[:5])
            return Verification(Answer.FIXED, text), "nothing_to_do"
        if all(piece.answer == Answer.FIXED.value or _nothing_to_do(piece) for piece in pieces):
            return Verification(Answer.FIXED), Answer.FIXED.value
        await self._steps.lock(*(piece.plan for piece in pieces), also=self._target_locks)
        if not any(piece.begun for piece in pieces):
            await self._brake(scenario, pieces)
            for piece in pieces:
                await self._steps.confirm_plan(piece.key, step)
        elif not all(piece.complete or piece.failure for piece in pieces):
            await self._rest_while_paused(pieces)
            for piece in pieces:
                await self._still_allowed(piece)
        self._sight.stale = True
        if len(pieces) == 1:
            answer = await self._one(step, pieces[0].key)
        else:
            answer = await self._several(step, [piece.key for piece in pieces if not _nothing_to_do(piece)])
        return answer, answer.answer.value

    async def _brake(self, scenario: Scenario, pieces: Sequence[Piece]) -> None:
        """Raise Ended when a person has said meanwhile that nothing is to be written: by a pause, or by the mode.

        In mode approve, when people did not agree to just these changes: then they are asked.
        """
        mode = self.mode(scenario)
        try:
            await admission.check_brakes(self._parts, self._sight.view)
        except Ended as ended:
            raise self.approval.hold(ended) from ended
        if mode is Mode.APPROVE:
            await self.approval.settle({piece.key: piece.plan for piece in pieces})
        elif mode is not Mode.AUTO:
            reason = Reason.OBSERVE_ONLY
            if self._progress.changed:
                raise Ended(Finish(Outcome.SUPPRESSED, reason, f"mode {mode.value} since: nothing more was changed"))
            raise Ended(Finish(Outcome.OBSERVED, reason, f"mode {mode.value} since: nothing was changed"))
        if self._remediation.group and not self._progress.writing:
            await self._settle_targets()

    async def _rest_while_paused(self, pieces: Sequence[Piece]) -> None:
        """Raise Ended to wait, with what is made left as it is, while a plan that was waited with is paused.

        A plan that is made at one go is finished; a drain that waits for budgets can be stopped between two pods. A
        write whose fate is not known is looked at first.
        """
        if any(piece.doubtful for piece in pieces):
            return
        try:
            await admission.check_brakes(self._parts, self._sight.view)
        except Ended as ended:
            if not isinstance(ended.ending, Finish):
                raise
            due = self._parts.clock.now() + self._parts.limits.paused_pause
            raise Ended(Park(due, ended.ending.reason, f"half made: {ended.ending.detail}")) from ended

    async def _still_allowed(self, piece: Piece) -> None:
        """Journal that the rest of a plan that was waited with is not made when a guard denies it by now."""
        if piece.doubtful or piece.complete or piece.failure or not piece.applied:
            return
        rest = msgspec.structs.replace(piece.plan, changes=piece.plan.changes[piece.applied :])
        try:
            await admission.check_rest(self._parts, self._remediation, rest, self._sight.context)
        except Ended as ended:
            if not isinstance(ended.ending, Finish):
                raise
            await self._record.write(
                kinds.NOT_MADE,
                ended.ending.detail,
                reason=ended.ending.reason,
                data={
                    "step": piece.key,
                    "outcome": Outcome.FAILED,
                    "reason": ended.ending.reason.value,
                    "detail": ended.ending.detail,
                },
            )

    async def _settle_targets(self) -> None:
        """Take no further targets; raise Ended when some have joined, or left, since the run was taken up."""
        names = ", ".join(str(target) for target in self._remediation.all_targets)
        await self._record.write(kinds.SETTLED, f"its targets: {names}")
        now = await self._sight.read_again()
        if now.remediation.targets != self._remediation.targets:
            raise Ended(Park(self._parts.clock.now(), None, "its targets have changed meanwhile: it is planned anew"))

    async def _one(self, step: Step, key: str) -> Verification:
        """Make what is left of a plan, and wait for its effect."""
        if self._steps.piece(key).failure is not None:
            raise NotMade(await self._give_up(key))
        try:
            await self._steps.apply(key, step.until, step.hold)
        except (Ended, LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            if not await self._not_made(key, error):
                raise
            raise NotMade(await self._give_up(key)) from error
        return await self._verify(step, key)

    async def _verify(self, step: Step, key: str) -> Verification:
        answer = await self._steps.verify(key, step)
        text = f"{self._steps.piece(key).plan.action}: {answer.detail or answer.answer.value}"
        await self._record.write(kinds.VERIFIED, text, data={"step": key, "answer": answer.answer.value})
        return answer

    async def _not_made(self, key: str, error: Exception) -> bool:
        """Journal that the rest of a plan cannot be made; False when that is not known, or may pass."""
        ending = ending_for(error, self._progress, self._parts)
        if not isinstance(ending, Finish) or ending.outcome is Outcome.UNKNOWN or key not in self._progress.pieces:
            return False
        data = {"step": key, "outcome": ending.outcome, "reason": ending.reason.value, "detail": ending.detail}
        await self._record.write(kinds.NOT_MADE, ending.detail, reason=ending.reason, data=data)
        return True

    async def _give_up(self, key: str) -> Finish:
        """Put back what was made of a plan that cannot be finished, where it says so; return how the run ends."""
        piece = self._steps.piece(key)
        if piece.plan.undo_half and piece.made and not piece.back:
            return await self._steps.put_back_half(key)
        assert piece.failure is not None
        return Finish(piece.failure.outcome, piece.failure.reason, piece.failure.detail)

    # -- several items

    async def _several(self, step: Step, keys: Sequence[str]) -> Verification:
        """Make the items, at most `parallel` at a time; once one fails, or is to be waited with, none is begun.

        With `on_failed: continue` one that fails stops none of the others.
        """
        each_alone = step.on_failed == "continue"
        stop = any(self._failed(key) for key in keys) and not each_alone
        gate = asyncio.Semaphore(step.parallel or 1)

        async def one(key: str) -> None:
            nonlocal stop
            async with gate:
                if stop and not self._steps.piece(key).begun:
                    return
                try:
                    await self._item(step, key)
                except Exception:
                    stop = True
                    raise
                stop = stop or (self._failed(key) and not each_alone)

        left = [key for key in keys if not self._steps.piece(key).answer and not self._failed(key)]
        left.sort(key=lambda key: not self._steps.piece(key).begun)
        ended = await asyncio.gather(*(one(key) for key in left), return_exceptions=True)
        _raise_first([error for error in ended if isinstance(error, BaseException)])
        failed = [key for key in keys if (found := self._progress.pieces.get(key)) and found.failure]
        finishes = [await self._give_up(key) for key in failed]
        if finishes:
            raise NotMade(finishes[0])
        return self._worst(keys)

    def _failed(self, key: str) -> bool:
        piece = self._progress.pieces.get(key)
        return piece is not None and (piece.failure is not None or piece.answer not in ("", Answer.FIXED.value))

    async def _item(self, step: Step, key: str) -> None:
        try:
            await self._steps.apply(key, step.until, step.hold)
        except (Ended, LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            if await self._not_made(key, error):
                # What was made of it is put back when nothing else is under way.
                return
            ending = ending_for(error, self._progress, self._parts)
            raise Ended(ending) from error
        await self._verify(step, key)

    def _worst(self, keys: Sequence[str]) -> Verification:
        """Return the worst answer of all; items that were not begun were stopped by one of the others."""
        answers = {key: Answer(self._steps.piece(key).answer) for key in keys if self._steps.piece(key).answer}
        for worst in (Answer.UNKNOWN, Answer.NOT_FIXED):
            bad = [self._steps.piece(key).plan.summary for key, answer in answers.items() if answer is worst]
            if bad:
                text = f"{worst.value.replace('_', ' ')}: {'; '.join(bad)}"
                rest = len(keys) - len(answers)
                return Verification(worst, text + (f"; {rest} more were not begun" if rest else ""))
        return Verification(Answer.FIXED, f"all {len(answers)} items were verified")


def _nothing_to_do(piece: Piece) -> bool:
    return piece.plan.empty and not piece.plan.waits


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


def _raise_first(errors: Sequence[BaseException]) -> None:
    """Raise what counts most: the claim or the store is lost, a write's fate is unknown, there is to be waited."""
    for error in errors:
        if not isinstance(error, Ended):
            raise error
    endings = [error.ending for error in errors if isinstance(error, Ended)]
    finishes = [ending for ending in endings if isinstance(ending, Finish)]
    for finish in finishes:
        if finish.outcome is Outcome.UNKNOWN:
            raise Ended(finish)
    since = {
        key: at for ending in endings if not isinstance(ending, Finish) for key, at in ending.fixed_since.items()
    }
    if any(isinstance(ending, HandOver) for ending in endings):
        raise Ended(HandOver(since))
    parks = [ending for ending in endings if isinstance(ending, Park)]
    if parks:
        first = min(parks, key=lambda park: park.due_at)
        retry = any(park.retry for park in parks)
        raise Ended(msgspec.structs.replace(first, fixed_since=since, retry=retry))
    if finishes:
        raise Ended(finishes[0])
