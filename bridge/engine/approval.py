"""Ask people before a run writes, and go by what they answered. Called by execute before a first write, and by making
before each step whose changes were not shown yet.

What was agreed to are changes, step by step: a plan made again with the same changes is still agreed to, any other is
asked about anew. While people are asked the run is parked: no claim, no slot, no lock of a first write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.engine.ending import Ended, Finish, Park
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.model.approval import APPROVED, Question, Standing, digest_of
from bridge.model.plan import Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, Remediation

MOST_QUESTIONS = 5
"""How many different questions one run asks, beside those of its later steps: a plan that changes under people's
hands again and again is no plan."""
_NO_HOLDS = 86400.0
"""Seconds for which nobody is asked again about a firing that somebody said no to."""
_LONGEST_HOLD = 300.0
"""Seconds between two looks whether what holds a run up is over: each leaves entries in its journal."""


class Approval:
    """The questions of one run."""

    def __init__(self, parts: Parts, record: Record, remediation: Remediation) -> None:
        self._parts = parts
        self._record = record
        self._remediation = remediation

    @property
    def _standing(self) -> Standing:
        return self._record.progress.approval

    @property
    def asked(self) -> bool:
        """Whether people were asked at all."""
        return self._standing.question is not None

    @property
    def waiting(self) -> bool:
        """Whether people were asked, and nothing was made of their answer yet."""
        return self._standing.open

    def check_answer(self) -> None:
        """Raise Ended when somebody said no, or nobody said anything in time."""
        standing = self._standing
        if standing.no is not None:
            why = f": {standing.no.why}" if standing.no.why else ""
            raise self._over(Reason.APPROVAL_DENIED, f"{standing.no.by} said no{why}")
        if self.waiting and not standing.agreed:
            assert standing.question is not None
            if self._parts.clock.now() >= standing.question.until:
                agreed = sum(standing.answers.values())
                text = f"{agreed} of {standing.question.need} agreed in time, and no answer means no"
                raise self._over(Reason.APPROVAL_TIMED_OUT, text)

    def hold(self, ended: Ended) -> Ended:
        """Return a wait where people were asked, and a guard (a pause, a rollout of somebody) only puts the run off.

        What they agreed to is not lost by it; but nobody's yes is good for ever.
        """
        standing, finish = self._standing, ended.ending
        if not isinstance(finish, Finish) or finish.outcome is not Outcome.SUPPRESSED or standing.question is None:
            return ended
        now, until = self._parts.clock.now(), standing.question.until
        last = until + self._remediation.approve_within if standing.agreed else until
        if now >= last:
            return ended
        # A pause ends when somebody resumes, which wakes no run that waits.
        due = finish.wait_until if finish.wait_until and finish.reason is not Reason.PAUSED else 0.0
        waited = now - (until - self._remediation.approve_within)
        pause = min(max(self._parts.limits.longest_pause, waited / 20), _LONGEST_HOLD)
        due = min(max(due, now + pause), last)
        return Ended(Park(due, finish.reason, f"{'agreed to, and ' if standing.agreed else ''}held: {finish.detail}"))

    async def settle(self, plans: Mapping[str, Plan]) -> None:
        """Return when people agreed to every change of the plans, by their keys; raise Ended otherwise."""
        wanted = {key: plan.hash for key, plan in plans.items() if not plan.empty}
        standing = self._standing
        if standing.covers(wanted):
            return
        question = standing.question
        same = question is not None and question.digest == digest_of(wanted)
        if same and standing.agreed:
            who = sorted(name for name, agrees in standing.answers.items() if agrees)
            self._check_people(who)
            await self._record.write(APPROVED, f"{' and '.join(who)} agreed: it is made", data={"plans": wanted})
            return
        self.check_answer()
        if not same:
            if standing.asked >= MOST_QUESTIONS + len(standing.covered):
                raise Ended(
                    self._end(Reason.PLAN_STALE, f"the plan changed {standing.asked} times while people looked")
                )
            question = Question(
                plans=wanted,
                need=self._remediation.approvers,
                until=self._parts.clock.now() + self._remediation.approve_within,
            )
        assert question is not None
        raise Ended(Park(question.until, Reason.APPROVAL_NEEDED, self._told(question, same), question=question))

    def _check_people(self, who: Sequence[str]) -> None:
        """Raise Ended when too few of those who agreed may still do so: a credential may have been taken back since.

        The question is settled, and takes no other answers: the run ends, and a person is told.
        """
        gone = [name for name in who if not self._parts.may_answer(name)]
        need = self._standing.question.need if self._standing.question else 0
        if len(who) - len(gone) < need:
            text = f"{' and '.join(gone)} agreed, and may not any more (no operator by the configuration of now)"
            raise self._over(Reason.APPROVAL_TIMED_OUT, f"{text}: {len(who) - len(gone)} of {need} agree")

    def _told(self, question: Question, same: bool) -> str:
        standing = self._standing
        people = "a person has" if question.need == 1 else f"{question.need} people have"
        text = f"{people} to agree to plan {question.digest}"
        if same:
            return f"{text}: {sum(standing.answers.values())} did so far"
        if standing.question is not None and standing.open:
            return f"{text}: the plan has changed since {standing.question.digest} was shown"
        return text

    def _over(self, reason: Reason, detail: str) -> Ended:
        return Ended(self._end(reason, detail))

    def _end(self, reason: Reason, detail: str) -> Finish:
        if self._record.progress.changed:
            return Finish(Outcome.FAILED, reason, f"{detail}; what was made before stays, `undo` puts it back")
        # A no is about this firing: nobody is asked again an hour later, nor woken for not answering then.
        again = self._parts.clock.now() + _NO_HOLDS if reason is Reason.APPROVAL_DENIED else None
        return Finish(Outcome.DENIED, reason, detail, wait_until=again)
