"""The runbook's own verification of an attempt, with what its rule looks back on. Called by attempts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.engine.decay import Decay, Tail
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.engine.sight import Sight
from bridge.engine.steps import Steps
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

    async def begin(self, key: str, within: float, *, looks_back: bool) -> float:
        """Return until when it is looked (unix seconds); journalled when it begins.

        Without `looks_back` nothing was repaired: what a rule sees of the time before is as true as ever.
        """
        text = f"verifying: {self._spec.fixed}"
        if key in self._record.progress.deadlines:
            return self._record.progress.deadlines[key]
        self._tail = await self._decay.tail() if looks_back else Tail()
        if not self._tail.seconds:
            return await self._steps.deadline(key, within, text)
        text += f"; {self._tail.why}: up to {self._tail.seconds:g} s longer"
        return await self._steps.deadline(key, within + self._tail.seconds, text, own=within)

    async def look(self, key: str) -> Verification:
        """Return what is so now; once its own time is over, not fixed is final where that is so since the repair."""
        found = await self._sight.look(self._spec.fixed, self._spec.evidence)
        own = self._record.progress.own_time.get(key)
        if own is None or found.answer is not Answer.NOT_FIXED or self._parts.clock.now() < own[1]:
            return found
        since = self._parts.clock.now() - own[0]
        if self._tail is None:
            self._tail = await self._decay.tail()
        tail = self._tail
        alone = await self._steps.look(lambda: self._decay.since(since, tail))
        if alone.answer is Answer.NOT_FIXED:
            detail = f"{found.detail}; and of the {since:.0f} s since the repair alone: {alone.detail}"
            return msgspec.structs.replace(found, detail=detail, final=True)
        return msgspec.structs.replace(found, detail=f"{found.detail}; it may be left over from before the repair")
