"""Waits and loops of a run: bounded by deadlines that are journalled when they begin, parked where they are long.

Called by walk. Nothing is changed here but by the loop's own steps, which making.py makes.
"""

from __future__ import annotations

from bridge.engine.drafting import Job
from bridge.engine.ending import Ended, HandOver, Park
from bridge.engine.lease import Lease
from bridge.engine.making import Making
from bridge.engine.parts import Parts
from bridge.engine.places import round_key
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.engine.verify import Watch
from bridge.model import kinds
from bridge.model.runbook import Loop, Scenario, Step, Wait
from bridge.model.verification import Answer, Verification


class Waits:
    """The waits and loops of one run."""

    def __init__(
        self, parts: Parts, lease: Lease, record: Record, steps: Steps, sight: Sight, making: Making
    ) -> None:
        self._parts = parts
        self._lease = lease
        self._record = record
        self._steps = steps
        self._sight = sight
        self._making = making

    async def wait(self, wait: Wait, key: str) -> Verification:
        """Wait; return fixed when the run is to go on. Raises Ended to park, or to hand over."""
        await self._making.hold_locks()
        self._sight.stale = True
        if wait.for_ is not None:
            until = await self._steps.deadline(key, wait.for_, f"waiting for {wait.for_:g} s", kind=kinds.WAITING)
            await self._pass(until)
            await self._over(key, f"waited for {wait.for_:g} s", met=True)
            return Verification(Answer.FIXED)
        found = await self._until(wait.until or "", key, within=wait.within or 0.0, every=wait.every)
        met = {Answer.FIXED: True, Answer.NOT_FIXED: False, Answer.UNKNOWN: None}[found.answer]
        await self._over(key, found.detail, met=met)
        goes_on = wait.otherwise if found.answer is Answer.NOT_FIXED else wait.on_unknown
        if met or goes_on == "continue":
            return Verification(Answer.FIXED, found.detail)
        return Verification(found.answer, f"waited {wait.within:g} s: {found.detail}")

    async def _over(self, key: str, detail: str, *, met: bool | None) -> None:
        # What is not known is left out: an expression that reads it is unknown as well.
        result = {"skipped": False, "changed": False, **({} if met is None else {"met": met})}
        await self._record.write(kinds.WAITED, detail, data={"step": key, "result": result})

    async def _pass(self, until: float) -> None:
        """Let time pass until then (unix seconds): here when that is short, else parked."""
        clock, limits = self._parts.clock, self._parts.limits
        while (left := until - clock.now()) > 0:
            if left > limits.inline_wait:
                # Locks that were taken have to be prolonged meanwhile.
                raise Ended(Park(min(until, clock.now() + limits.lock / 2), None, f"waits for {left:.0f} s more"))
            await self._lease.pause(left)
            if self._lease.stopping:
                raise Ended(HandOver())

    async def _until(self, expression: str, key: str, *, within: float, every: float) -> Verification:
        text = f"waiting until {expression}, for {within:g} s at most"
        until = await self._steps.deadline(key, within, text, kind=kinds.WAITING)
        how = Watch(key=key, until=until, every=every)
        return await self._steps.watch(lambda: self._steps.look(lambda: self._sight.look(expression)), how)

    async def loop(self, scenario: Scenario, step: Step, loop: Loop, key: str) -> Verification:
        """Make the step again and again until the loop's condition holds; not fixed after its last round."""
        await self._making.hold_locks()
        text = ""
        for number in range(self._record.progress.rounds.get(key, 0) + 1, loop.at_most + 1):
            job = Job(key=round_key(key, number))
            made = await self._making.make(scenario, step, [job])
            if made.answer is not Answer.FIXED:
                return made
            self._sight.stale = True
            found = await self._until(loop.until, f"{job.key}/until", within=loop.every, every=min(loop.every, 5.0))
            if found.answer is Answer.UNKNOWN:
                return found
            met, text = found.answer is Answer.FIXED, found.detail
            await self._record.write(
                kinds.ROUND,
                f"round {number} of {loop.at_most}: {text}",
                data={"step": key, "round": number, "met": met},
            )
            if met:
                return Verification(Answer.FIXED, text)
        return Verification(Answer.NOT_FIXED, f"not so after {loop.at_most} rounds: {text or loop.until}")
