"""Make one step: plan, guard, lock, brake, apply, verify. Called by walk.

A single step is the case of one job.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.engine import admission
from bridge.engine.carrying_out import CarryingOut
from bridge.engine.downtime import Downtime
from bridge.engine.drafting import Drafting, Job
from bridge.engine.ending import Ended, Finish, NotMade, Park
from bridge.engine.parts import Parts
from bridge.engine.progress import Piece, Progress
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Runbook, Scenario, Step
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification


class Making:
    """Makes the steps of one run."""

    def __init__(
        self, parts: Parts, record: Record, steps: Steps, sight: Sight, drafting: Drafting, runbook: Runbook
    ) -> None:
        self._parts = parts
        self._record = record
        self._steps = steps
        self._sight = sight
        self._drafting = drafting
        self._carrying_out = CarryingOut(parts, record, steps)
        self._downtime = Downtime(parts, record, sight)
        self._runbook = runbook
        self._remediation = sight.view.remediation

    @property
    def _progress(self) -> Progress:
        return self._record.progress

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
        if not any(job.key in self._progress.pieces and self._steps.piece(job.key).begun for job in jobs):
            await self._downtime.check(scenario)
        await self._drafting.plan(scenario, step, jobs)
        pieces = [self._steps.piece(job.key) for job in jobs]
        if all(piece.idle for piece in pieces):
            text = "; ".join(f"{piece.plan.action}: {piece.plan.summary}" for piece in pieces[:5])
            return Verification(Answer.FIXED, text), "nothing_to_do"
        if all(piece.answer == Answer.FIXED.value or piece.idle for piece in pieces):
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
            answer = await self._carrying_out.one(step, pieces[0].key)
        else:
            answer = await self._carrying_out.several(step, [piece.key for piece in pieces if not piece.idle])
        return answer, answer.answer.value

    async def _brake(self, scenario: Scenario, pieces: Sequence[Piece]) -> None:
        """Raise Ended when a person has said meanwhile that nothing is to be written: by a pause, or by the mode.

        In mode approve, when people did not agree to just these changes: then they are asked.
        """
        mode = self._drafting.mode(scenario)
        try:
            await admission.check_brakes(self._parts, self._sight.view, [piece.plan for piece in pieces])
        except Ended as ended:
            raise self._drafting.put_off(ended) from ended
        if mode is Mode.APPROVE:
            await self._ask(pieces)
        elif mode is not Mode.AUTO:
            reason = Reason.OBSERVE_ONLY
            if self._progress.changed:
                raise Ended(Finish(Outcome.SUPPRESSED, reason, f"mode {mode.value} since: nothing more was changed"))
            raise Ended(Finish(Outcome.OBSERVED, reason, f"mode {mode.value} since: nothing was changed"))
        if not self._progress.writing:
            waited = self._progress.waited
            await admission.take_turn(self._parts, self._sight.view, self._steps.claim, waited=waited)
            if self._remediation.group:
                await self._settle_targets()

    async def _ask(self, pieces: Sequence[Piece]) -> None:
        """Raise Ended until people agreed to just these changes; what they would disturb is free meanwhile."""
        try:
            await self._drafting.approval.settle({piece.key: piece.plan for piece in pieces})
        except Ended as ended:
            if isinstance(ended.ending, Park):
                await admission.give_back(self._parts, self._steps.claim, pieces[0].key)
            raise

    async def _rest_while_paused(self, pieces: Sequence[Piece]) -> None:
        """Raise Ended to wait, with what is made left as it is, while a plan that was waited with is paused.

        A plan that is made at one go is finished; a drain that waits for budgets can be stopped between two pods. A
        write whose fate is not known is looked at first.
        """
        if any(piece.doubtful for piece in pieces):
            return
        try:
            await admission.check_brakes(self._parts, self._sight.view, [piece.plan for piece in pieces])
        except Ended as ended:
            if not isinstance(ended.ending, Finish):
                raise
            raise self._drafting.put_off(ended, changed=True) from ended

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
            # With the verdict's own words, but as a failure: something of it was made.
            await self._carrying_out.leave(piece.key, msgspec.structs.replace(ended.ending, outcome=Outcome.FAILED))

    async def _settle_targets(self) -> None:
        """Take no further targets; raise Ended when some have joined, or left, since the run was taken up."""
        names = ", ".join(str(target) for target in self._remediation.all_targets)
        await self._record.write(kinds.SETTLED, f"its targets: {names}")
        now = await self._sight.read_again()
        if now.remediation.targets != self._remediation.targets:
            raise Ended(Park(self._parts.clock.now(), None, "its targets have changed meanwhile: it is planned anew"))
