"""Find what helps: choose a scenario, try its attempts in order, fall through to the next. Called by execute.

An attempt that did not help, or could not be made, is put back where its plans call that safe before the next one is
tried. What is unknown ends the search: then nothing more is changed.
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from bridge.engine.choose import choose
from bridge.engine.ending import Ended, Ending, Finish, RestLeft
from bridge.engine.failures import ending_for
from bridge.engine.making import Making
from bridge.engine.parts import Parts
from bridge.engine.places import is_probe, place_of, probe_place, proof_key
from bridge.engine.progress import Progress
from bridge.engine.proof import Proof
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.engine.walk import Walk
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import kinds
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.runbook import Attempt, Runbook, Scenario
from bridge.model.verification import Answer, Verification

_NO_HELP = frozenset({Outcome.FAILED, Outcome.UNDONE, Outcome.CANCELLED, Outcome.DENIED})
"""Outcomes after which something else may help. Any other is the run's."""
_NO_HOPE = frozenset({Reason.EVIDENCE_MISSING, Reason.INTERNAL_ERROR, Reason.CLUSTER_UNAVAILABLE, Reason.UNDO_NONE})
"""Reasons for which a person is asked, and not another attempt."""


class Attempts:
    """The search of one run."""

    def __init__(
        self, parts: Parts, record: Record, steps: Steps, sight: Sight, making: Making, walk: Walk, runbook: Runbook
    ) -> None:
        self._parts = parts
        self._record = record
        self._steps = steps
        self._sight = sight
        self._making = making
        self._walk = walk
        self._runbook = runbook

    @property
    def _progress(self) -> Progress:
        return self._record.progress

    # -- scenarios

    async def choose(self, among: tuple[Scenario, ...]) -> Scenario:
        """Return the scenario that holds, by the evidence at hand, and journal it; raise Ended when none does."""
        choice = choose(among, self._sight.variables())
        passing, again = self._sight.evidence.passing, self._progress.retries < self._parts.limits.retries
        if choice.scenario is None and choice.unknown and passing is not None and again:
            # What could not be asked just now may be known in a minute: only after that is it a person's.
            raise passing
        if choice.scenario is None:
            reason = Reason.EVIDENCE_MISSING if choice.unknown else Reason.NO_SCENARIO
            why = (
                self._sight.with_reasons(choice.why, *(each.when or "true" for each in among))
                if choice.unknown
                else ""
            )
            raise Ended(Finish(Outcome.UNKNOWN if why else Outcome.FAILED, reason, why or choice.why))
        await self._record.write(kinds.SCENARIO, choice.why, data={"name": choice.scenario.name})
        if not choice.scenario.attempts:
            detail = f"{choice.scenario.name}: {Reason.LEFT_TO_A_PERSON.text}"
            raise Ended(Finish(Outcome.FAILED, Reason.LEFT_TO_A_PERSON, detail))
        return choice.scenario

    def current(self) -> Scenario:
        """Return the scenario that the run stands in."""
        return next(s for s in self._runbook.scenarios if s.name == self._progress.scenario)

    async def run(self, scenario: Scenario) -> Ending:
        """Try this scenario, and those that it falls through to; return how the run ends."""
        while True:
            finish = await self._scenario(scenario)
            later = self._later(scenario)
            if not later or not self._goes_on(finish):
                return self._all_told(finish)
            await self._sight.look_around()
            try:
                scenario = await self.choose(later)
            except Ended as ended:
                return self._none_left(ended, finish)

    def _later(self, scenario: Scenario) -> tuple[Scenario, ...]:
        """Return the scenarios that are asked when this one did not help."""
        if scenario.on_not_fixed != "next":
            return ()
        return self._runbook.scenarios[self._runbook.scenarios.index(scenario) + 1 :]

    def _none_left(self, ended: Ended, finish: Finish) -> Ending:
        found = ended.ending
        if isinstance(found, Finish) and found.reason is Reason.NO_SCENARIO:
            return self._all_told(msgspec.structs.replace(finish, detail=f"{finish.detail}; {found.detail}"))
        if isinstance(found, Finish) and found.reason is Reason.LEFT_TO_A_PERSON:
            return self._all_told(found)
        return found

    # -- attempts

    async def _scenario(self, scenario: Scenario) -> Finish:
        """Try the attempts that are left; return the first success, or how the last that was made ended."""
        for attempt in scenario.attempts:
            place = place_of(scenario.name, attempt.name)
            if place in self._progress.tried:
                continue
            finish = await self._attempt(scenario, attempt, place)
            left_out = finish.reason is Reason.NO_SCENARIO
            if not self._goes_on(finish) or not (left_out or self._falls(scenario, attempt)):
                return finish
            await self._give_up(place, finish)
        ended = [self._progress.tried[place_of(scenario.name, attempt.name)] for attempt in scenario.attempts]
        made = [each for each in ended if each.reason is not Reason.NO_SCENARIO]
        last = (made or ended)[-1]
        return Finish(last.outcome, last.reason, last.detail)

    def _goes_on(self, finish: Finish) -> bool:
        """Whether something else may help: not where something is unknown, or could not be put back."""
        undo = self._progress.undo
        hope = finish.reason not in _NO_HOPE and not self._progress.rest_left
        return finish.outcome in _NO_HELP and hope and not (undo and undo.left)

    def _falls(self, scenario: Scenario, attempt: Attempt) -> bool:
        """Whether something else is tried after this attempt."""
        return attempt.name != scenario.attempts[-1].name or bool(self._later(scenario))

    async def _give_up(self, place: str, finish: Finish) -> None:
        data = {"place": place, "outcome": finish.outcome, "reason": finish.reason.value, "detail": finish.detail}
        await self._record.write(kinds.TRIED, f"did not help: {finish.detail}", data=data)
        self._sight.stale = True

    async def _attempt(self, scenario: Scenario, attempt: Attempt, place: str) -> Finish:
        """Make an attempt and prove it; return how the run ends with it, with what did not help put back."""
        undo = self._progress.undo
        if undo is not None and undo.key == place:
            return await self._put_back(place, Reason.of(undo.reason), undo.detail)
        answer = await self._answered(place, self._make(scenario, attempt, place))
        if isinstance(answer, Finish):
            return answer
        healed = any(piece.made for key, piece in self._progress.pieces.items() if not is_probe(key))
        if answer.answer is Answer.FIXED:
            answer = await self._prove(scenario, attempt, place, answer)
        probe = self._runbook.verify.steps if self._runbook.verify is not None else ()
        if answer.answer is Answer.FIXED and probe:
            trying = Attempt(name=attempt.name, steps=probe)
            tried = await self._answered(place, self._walk.make(scenario, trying, probe_place(place)))
            if isinstance(tried, Finish):
                return tried
            answer = answer if tried.answer is Answer.FIXED else tried
        if self._progress.rest_left and answer.detail != self._progress.rest_left:
            answer = msgspec.structs.replace(answer, detail=f"{answer.detail}; {self._progress.rest_left}")
        if answer.answer is Answer.FIXED:
            # What is well without a write of ours was not healed by us.
            reason = Reason.VERIFIED if healed else Reason.NOTHING_TO_DO
            return Finish(
                Outcome.SUCCEEDED, reason, f"{attempt.name}: {answer.detail}" if attempt.name else answer.detail
            )
        if answer.answer is Answer.UNKNOWN:
            return Finish(Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN, answer.detail)
        return await self._put_back(place, Reason.NOT_FIXED, answer.detail)

    async def _make(self, scenario: Scenario, attempt: Attempt, place: str) -> Verification | Finish:
        if self._progress.place != place:
            if attempt.when is not None and not await self._walk.holds(attempt.when, f"attempt {attempt.name!r}"):
                return Finish(Outcome.FAILED, Reason.NO_SCENARIO, f"left out: {attempt.when} is false")
            if scenario.try_:
                await self._record.write(kinds.TRYING, f"trying: {attempt.name}", data={"place": place})
        return await self._walk.make(scenario, attempt, place)

    async def _answered(self, place: str, made: Awaitable[Verification | Finish]) -> Verification | Finish:
        """Return what steps came to; how the run ends with one that could not be made, with the attempt put back."""
        try:
            return await made
        except (LeaseLost, StoreUnavailable):
            raise
        except RestLeft as left:
            # Nothing is called mended for being left alone: without a proof that is for a person to say.
            return Verification(Answer.FIXED if self._runbook.verify else Answer.UNKNOWN, left.why)
        except Ended as ended:
            return await self._not_made(place, ended.ending)
        except Exception as error:
            ending = ending_for(error, self._progress, self._parts)
            return await self._not_made(place, ending)

    async def _not_made(self, place: str, ending: Ending) -> Finish:
        """Return how the run ends with a step that could not be made; raise Ended when that ends the search too.

        What the steps before it changed is not left half done: a workload that was switched off for a restore that
        cannot be made is switched on again.
        """
        if not isinstance(ending, Finish) or ending.outcome not in _NO_HELP or ending.reason in _NO_HOPE:
            raise Ended(ending)
        return await self._put_back(place, ending.reason, ending.detail, otherwise=ending)

    async def _put_back(self, place: str, reason: Reason, detail: str, *, otherwise: Finish | None = None) -> Finish:
        """Put back what the attempt changed, where that is safe; return how the run ends with that."""
        plans = self._progress.done_plans(place)
        if not any(plan.undo_failed and plan.inverses for plan in plans):
            if otherwise is None:
                return Finish(Outcome.FAILED, reason, detail)
            changed = self._progress.changed and otherwise.outcome is not Outcome.FAILED
            return msgspec.structs.replace(otherwise, outcome=Outcome.FAILED) if changed else otherwise
        await self._steps.undo(place, reason, detail)
        putback, stays = self._steps.putback, self._progress.staying()
        if not stays:
            return Finish(putback.outcome(Outcome.UNDONE), reason, f"{detail}; {putback.told}")
        # Undone is only what is undone as a whole: what stays for a time still has to end.
        named = "; ".join(plan.summary for plan in stays[:5])
        told = f"{detail}; {putback.told}, but this stays as it is: {named}"
        return Finish(putback.outcome(Outcome.FAILED), reason, told)

    # -- the proof

    async def _prove(self, scenario: Scenario, attempt: Attempt, place: str, made: Verification) -> Verification:
        """Return whether the runbook's own verification says fixed."""
        spec = self._runbook.verify
        if spec is None:
            return made
        # The locks last as long as the proof does, however often it is interrupted.
        await self._making.hold_locks()
        key = proof_key(place)
        within = spec.within if attempt.verify_within is None else attempt.verify_within
        if self._falls(scenario, attempt) and not self._progress.changed_in(place):
            # Nothing was made here: what is so now decides whether the next attempt is needed.
            # One look more than it has to hold for: the first one took its time as well.
            within = min(within, spec.settle and spec.settle + spec.every)
        proof = Proof(self._parts, self._sight, self._steps, self._record, spec, self._runbook.evidence)
        answer = await proof.run(key, within, looks_back=self._progress.changed_in(place))
        data = {"step": key, "answer": answer.answer.value}
        entry = self._record.entry(kinds.VERIFIED, answer.detail, data=data)
        await self._record.keep_proof(self._sight.proof, entry, at=self._parts.clock.now())
        return answer

    # -- what people are told

    def _all_told(self, finish: Finish) -> Finish:
        """Return the end with what was tried before it, where it is no success."""
        before = [f"{place}: {each.detail}" for place, each in self._progress.tried.items()]
        if finish.outcome is Outcome.SUCCEEDED or not before:
            return finish
        finish = self._weightiest(finish)
        return msgspec.structs.replace(finish, detail=f"{finish.detail} (tried: {'; '.join(before)})")

    def _weightiest(self, finish: Finish) -> Finish:
        """Return the end for the reason that says most: what a guard forbids, before what only could not be planned.

        Who is called reads there what to do instead.
        """
        tried = self._progress.tried.values()
        denied = next((each for each in reversed(list(tried)) if each.outcome is Outcome.DENIED), None)
        if finish.reason is not Reason.PLAN_FAILED or denied is None:
            return finish
        outcome = finish.outcome if self._progress.changed else denied.outcome
        detail = denied.detail if finish.detail == denied.detail else f"{denied.detail}; {finish.detail}"
        return msgspec.structs.replace(finish, outcome=outcome, reason=denied.reason, detail=detail)
