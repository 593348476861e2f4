"""Walk through the steps of one attempt, in order: conditions, lists, waits, loops. Called by attempts."""

from __future__ import annotations

from typing import Any

from bridge.configuration.expressions import render
from bridge.engine.drafting import Job
from bridge.engine.ending import Ended, Finish, NotMade
from bridge.engine.failures import ending_for
from bridge.engine.making import Making
from bridge.engine.parts import Parts
from bridge.engine.places import item_key, step_key
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.step_results import results_of
from bridge.engine.waits import Waits
from bridge.errors import LeaseLost, PlanError, StoreUnavailable
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Attempt, Scenario, Step
from bridge.model.verification import Answer, Verification

_NO_HELP = (Outcome.FAILED, Outcome.UNDONE, Outcome.CANCELLED)
SKIPPED = {"skipped": True, "changed": False}


class Walk:
    """Makes the steps of attempts."""

    def __init__(self, parts: Parts, record: Record, sight: Sight, making: Making, waits: Waits) -> None:
        self._parts = parts
        self._record = record
        self._sight = sight
        self._making = making
        self._waits = waits

    async def make(self, scenario: Scenario, attempt: Attempt, place: str) -> Verification:
        """Make every step that is left; return the first answer that is not fixed. Raises as making does."""
        for index, step in enumerate(attempt.steps):
            key = step_key(place, index)
            self._sight.steps = results_of(attempt.steps[:index], place, self._record.progress)
            if key not in self._record.progress.over:
                answer = await self._step(scenario, step, key)
                if answer.answer is Answer.NOT_FIXED and step.on_failed == "continue":
                    await self._pass_over(step, key, answer.detail)
                elif answer.answer is not Answer.FIXED:
                    return answer
        self._sight.steps = {}
        return Verification(Answer.FIXED, "every step was verified")

    async def _step(self, scenario: Scenario, step: Step, key: str) -> Verification:
        if step.when is not None and not self._begun(key) and not await self.holds(step.when, f"step {key}"):
            text = f"{step.action or 'wait'} left out: {step.when} is false"
            await self._record.write(kinds.SKIPPED, text, data={"step": key, "result": SKIPPED})
            return Verification(Answer.FIXED)
        if step.wait is not None:
            return await self._waits.wait(step.wait, key)
        try:
            if step.loop is not None:
                return await self._waits.loop(scenario, step, step.loop, key)
            if step.for_each is not None:
                return await self._for_each(scenario, step, key)
            return await self._making.make(scenario, step, [Job(key=key)])
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            if step.on_failed == "continue" and (detail := self._failed_for_good(error, key)) is not None:
                return Verification(Answer.NOT_FIXED, detail)
            raise

    def _failed_for_good(self, error: Exception, key: str) -> str | None:
        """Return why a step could not be made; None where that may pass, was not allowed, or matters and is unknown.

        Whether a message was taken, a status page's too, is no reason to leave the rest of a repair.
        """
        if isinstance(error, Ended) and not isinstance(error, NotMade):
            return None
        ending = error.finish if isinstance(error, NotMade) else ending_for(error, self._record.progress, self._parts)
        undo = self._record.progress.undo
        if not isinstance(ending, Finish) or ending.reason is Reason.INTERNAL_ERROR or (undo and undo.left):
            return None
        piece = self._record.progress.pieces.get(key)
        told = ending.outcome is Outcome.UNKNOWN and piece is not None and piece.plan.harmless
        return ending.detail if told or ending.outcome in _NO_HELP else None

    async def _pass_over(self, step: Step, key: str, why: str) -> None:
        data = {"step": key, "result": {"failed": True}}
        await self._record.write(kinds.PASSED, f"{step.action} did not help, the next step is made: {why}", data=data)

    def _begun(self, key: str) -> bool:
        """Whether the step is under way: then its condition was asked before."""
        progress = self._record.progress
        return any(
            known == key or known.startswith((f"{key}[", f"{key}#"))
            for names in (progress.pieces, progress.deadlines, progress.items, progress.rounds)
            for known in names
        )

    async def holds(self, condition: str, what: str) -> bool:
        """Return whether a condition holds now; raise Ended when that is not known, also not after a while."""
        await self._sight.refresh()
        holds, detail = self._sight.ask(condition)
        if holds is None:
            passing = self._sight.evidence.passing
            if passing is not None and self._record.progress.retries < self._parts.limits.retries:
                raise passing
            text = f"whether {what} is to be made is not known: {detail}"
            raise Ended(Finish(Outcome.UNKNOWN, Reason.EVIDENCE_MISSING, text))
        return holds

    # -- several items

    async def _for_each(self, scenario: Scenario, step: Step, key: str) -> Verification:
        if key not in self._record.progress.items:
            await self._sight.refresh()
            items = self.items(step)
            text = f"{step.action}: {len(items)} item{'' if len(items) == 1 else 's'}, {step.parallel or 1} at a time"
            await self._record.write(kinds.ITEMS, text, data={"step": key, "items": items})
        jobs = self.jobs(key, self._record.progress.items[key])
        if not jobs:
            return Verification(Answer.FIXED, f"{step.action}: there are no items")
        return await self._making.make(scenario, step, jobs)

    def jobs(self, key: str, items: list[Any]) -> list[Job]:
        return [Job(key=item_key(key, number), more={"item": item}) for number, item in enumerate(items)]

    def items(self, step: Step) -> list[Any]:
        """Return the items of a step; raise PlanError when they are no list, or too many."""
        items = render(step.for_each, self._sight.variables())
        if not isinstance(items, list):
            raise PlanError(f"`for_each: {step.for_each}` gives {items!r:.80}: it has to give a list")
        if len(items) > step.items_at_most:
            raise PlanError(
                f"`for_each: {step.for_each}` gives {len(items)} items, and at most {step.items_at_most} are allowed:"
                " narrow it, or raise the step's `at_most`"
            )
        return items
