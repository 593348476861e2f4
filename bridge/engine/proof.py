"""The runbook's own verification of an attempt, with what its rule looks back on. Called by attempts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.engine.decay import Decay, Tail
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
from bridge.engine.verify import Watch
from bridge.model import kinds
from bridge.model.runbook import Collect, VerifySpec
from bridge.model.verification import Answer, Verification


class Proof:
    """One proof, from its beginning to its answer; taken up again by whoever resumes the run."""

    def __init__(
        self,
        parts: Parts,
        sight: Sight,
        steps: Steps,
        record: Record,
        spec: VerifySpec,
        evidence: Mapping[str, Collect],
    ) -> None:
        self._parts = parts
        self._sight = sight
        self._steps = steps
        self._record = record
        self._spec = spec
        self._decay = Decay(parts, sight, spec, {**evidence, **spec.evidence})
        self._tail: Tail | None = None
        self._alone = Verification(Answer.UNKNOWN)
        """What the time since the repair alone said last."""

    async def run(self, key: str, within: float, *, looks_back: bool) -> Verification:
        """Return whether it is fixed; whoever resumes the run goes on looking.

        Without `looks_back` nothing was repaired: what a rule sees of the time before is as true as ever.
        """
        until: float | None = await self._begin(key, within, looks_back=looks_back)
        while until is not None:
            how = Watch(key=key, until=until, every=self._spec.every, settle=self._spec.settle)
            answer = await self._steps.watch(lambda: self._look(key), how)
            until = None
            if looks_back and answer.answer is Answer.NOT_FIXED and not answer.final:
                answer, until = await self._doubt(key, answer)
        return answer

    async def _begin(self, key: str, within: float, *, looks_back: bool) -> float:
        """Return until when it is looked (unix seconds); journalled when it begins."""
        text = f"verifying: {self._spec.fixed}"
        if key in self._record.progress.deadlines:
            return self._record.progress.deadlines[key]
        self._tail = await self._decay.tail() if looks_back else Tail()
        if self._tail.seconds:
            text += f"; {self._tail.why}: up to {self._tail.seconds:g} s longer"
        elif self._tail.blind:
            text += f"; for how long the alert may go on is not known: {self._tail.blind}"
        own = within if looks_back else None
        return await self._steps.deadline(key, within + self._tail.seconds, text, own=own)

    async def _look(self, key: str) -> Verification:
        """Return what is so now; once its own time is over, not fixed is final where that is so since the repair."""
        found = await self._sight.look(self._spec.fixed, self._spec.evidence)
        own = self._record.progress.own_time.get(key)
        if own is None or found.answer is not Answer.NOT_FIXED or self._parts.clock.now() < own[1]:
            return found
        since, tail = self._parts.clock.now() - own[0], await self._known()
        if not tail.seconds:
            return found
        self._alone = alone = await self._steps.look(lambda: self._decay.since(since, tail))
        if alone.answer is Answer.NOT_FIXED:
            detail = f"{found.detail}; and of the {since:.0f} s since the repair alone: {alone.detail}"
            return msgspec.structs.replace(found, detail=detail, final=True)
        return msgspec.structs.replace(found, detail=f"{found.detail}; it may be left over from before the repair")

    async def _known(self) -> Tail:
        if self._tail is None:
            self._tail = await self._decay.tail()
        return self._tail

    async def _doubt(self, key: str, found: Verification) -> tuple[Verification, float | None]:
        """Return what is to be made of a proof that ended without being fixed, and until when it goes on, if it does.

        Not fixed is only what cannot be left over from before the repair.
        """
        if (await self._known()).blind:
            # Whoever could not say before may do so by now.
            self._tail = await self._decay.tail()
        tail, own = await self._known(), self._record.progress.own_time.get(key)
        if tail.blind:
            why = f"for how long the alert may go on after a repair is not known: {tail.blind}"
            return self._unknown(found, f"{why} (`verify.decay: 0s` says: not at all)"), None
        until = 0.0 if own is None else own[1] + tail.seconds
        if own is not None and self._parts.clock.now() < until:
            text = f"verifying: {self._spec.fixed}; {tail.why}: up to {tail.seconds:g} s longer"
            data = {"step": key, "until": until, "began": own[0], "own": own[1]}
            await self._record.write(kinds.VERIFYING, text, data=data)
            return found, until
        if tail.cut:
            return self._unknown(found, f"it may go on for longer than `verify.decay: {self._spec.decay:g}s`"), None
        if tail.seconds and self._alone.answer is Answer.FIXED:
            return self._unknown(found, "by what is seen since the repair alone it is well"), None
        return found, None

    @staticmethod
    def _unknown(found: Verification, why: str) -> Verification:
        return Verification(Answer.UNKNOWN, f"{found.detail}; {why}")
