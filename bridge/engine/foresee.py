"""Plan all of a scenario that can be planned now, and change nothing: modes observe and approve. Called by execute.

What depends on the steps before it, or on what only shows when they are made, cannot be known yet: that is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.engine.drafting import Drafted, Drafting, Job
from bridge.engine.ending import Ended, Finish
from bridge.engine.places import place_of, probe_place, round_key, step_key
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.walk import Walk
from bridge.errors import InvalidInput, PermanentError, UnknownValue
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.plan import Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Attempt, Scenario, Step, Wait


class Foresight:
    """Plans what a run would do."""

    def __init__(
        self, record: Record, sight: Sight, drafting: Drafting, walk: Walk, probe: Sequence[Step] = ()
    ) -> None:
        """`probe` are the steps by which the runbook's verification tries whether it works."""
        self._probe = probe
        self._record = record
        self._sight = sight
        self._drafting = drafting
        self._walk = walk
        self._asked = False
        self._problem: Exception | None = None
        self._moves = False
        """Whether a step before this one of the attempt would change something."""
        self.plans: dict[str, Plan] = {}
        """Every plan that could be made, by its key."""
        self._later = 0
        """How many attempts would have been made before the one that is looked at."""
        self._seen = 0
        """How many steps could be planned, or will only be known later."""

    async def run(self, scenario: Scenario, mode: Mode) -> Finish:
        """Journal every plan that can be made now. Raises when nothing at all can be planned, or is allowed."""
        self._asked = mode is Mode.APPROVE
        for self._later, attempt in enumerate(scenario.attempts):
            await self._attempt(scenario, attempt)
        if self._problem is not None and not self._seen:
            raise self._problem
        reason = Reason.OBSERVE_ONLY if mode is Mode.OBSERVE else Reason.APPROVAL_NEEDED
        return Finish(Outcome.OBSERVED, reason, f"mode {mode.value}: nothing was changed")

    async def _attempt(self, scenario: Scenario, attempt: Attempt) -> None:
        place = place_of(scenario.name, attempt.name)
        if scenario.try_:
            await self._record.write(kinds.TRYING, f"would try: {attempt.name}", data={"place": place})
        if attempt.when is not None and self._sight.ask(attempt.when)[0] is False:
            await self._say(place, f"would be left out: {attempt.when} is false")
            return
        self._moves = False
        steps = [(step_key(place, index), step) for index, step in enumerate(attempt.steps)]
        steps += [(step_key(probe_place(place), index), step) for index, step in enumerate(self._probe)]
        for index, (key, step) in enumerate(steps):
            try:
                await self._step(scenario, step, key)
            except (UnknownValue, PermanentError, InvalidInput, ValueError) as error:
                if not scenario.try_ and not index and step.on_failed == "fail":
                    raise
                await self._not_yet(key, step, error, first=not index)
            except Ended as ended:
                if not (scenario.try_ and isinstance(ended.ending, Finish)):
                    raise
                await self._not_yet(key, step, ended, first=True)

    async def _not_yet(self, key: str, step: Step, error: Exception, *, first: bool) -> None:
        why = ended.detail if isinstance(error, Ended) and isinstance(ended := error.ending, Finish) else str(error)
        if first:
            # What a guard forbids says more than what only could not be planned.
            weightier = _denied(error) and not _denied(self._problem)
            self._problem = error if weightier else self._problem or error
            await self._say(key, f"{step.action} would not be made: {why}")
        else:
            await self._say(key, f"{step.action} can only be planned when the steps before it are made: {why}")

    async def _step(self, scenario: Scenario, step: Step, key: str) -> None:
        if step.when is not None and self._sight.ask(step.when)[0] is False:
            await self._say(key, f"{step.action or 'wait'} would be left out: {step.when} is false")
            return
        if step.wait is not None:
            await self._say(key, _would_wait(step.wait))
            return
        if step.for_each is not None:
            jobs = self._walk.jobs(key, self._walk.items(step))
            await self._say(
                key, f"{step.action}: {len(jobs)} item{'' if len(jobs) == 1 else 's'}, {step.parallel or 1} at a time"
            )
        elif step.loop is not None:
            jobs = [Job(key=round_key(key, 1))]
            await self._say(key, f"{step.action} at most {step.loop.at_most} times, until {step.loop.until}")
        else:
            jobs = [Job(key=key)]
        drafted = await self._drafting.draft(step, jobs, later=self._later)
        try:
            await self._drafting.allow(scenario, drafted, asked=self._asked)
        except Ended as ended:
            if isinstance(ended.ending, Finish):
                # What a guard denies is shown as well: whoever is to allow it wants to see what that would be.
                await self._note(drafted)
            raise
        await self._note(drafted)
        self.plans.update((each.job.key, each.plan) for each in drafted)
        self._seen += len(drafted)

    async def _note(self, drafted: Sequence[Drafted]) -> None:
        for each in drafted:
            if each.plan.empty and not each.plan.waits and self._moves:
                # A count that is right now is not when the step before has set it to 0.
                text = f"{each.plan.action}: nothing as things are now, which the steps before it change"
                await self._say(each.job.key, text)
            else:
                await self._drafting.note(each, foreseen=True)
        self._moves = self._moves or any(not each.plan.empty for each in drafted)

    async def _say(self, key: str, text: str) -> None:
        await self._record.write(kinds.FORESEEN, text, data={"step": key})


def _denied(error: Exception | None) -> bool:
    ending = error.ending if isinstance(error, Ended) else None
    return isinstance(ending, Finish) and ending.outcome is Outcome.DENIED


def _would_wait(wait: Wait) -> str:
    if wait.for_ is not None:
        return f"would wait for {wait.for_:g} s"
    return f"would wait until {wait.until}, for {wait.within:g} s at most"
