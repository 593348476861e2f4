"""Carry out plans that were made and allowed: change, verify, and put back the half of one that cannot be finished.

One by one, or several items side by side. Called by making.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from bridge.engine.ending import Ended, Finish, HandOver, NotMade, Park
from bridge.engine.failures import ending_for
from bridge.engine.parts import Parts
from bridge.engine.progress import Progress
from bridge.engine.record import Record
from bridge.engine.steps import Steps
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import kinds
from bridge.model.remediation import Outcome
from bridge.model.runbook import Step
from bridge.model.verification import Answer, Verification


class CarryingOut:
    """Carries out the plans of one run."""

    def __init__(self, parts: Parts, record: Record, steps: Steps) -> None:
        self._parts = parts
        self._record = record
        self._steps = steps

    @property
    def _progress(self) -> Progress:
        return self._record.progress

    async def one(self, step: Step, key: str) -> Verification:
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
        await self.leave(key, ending)
        return True

    async def _give_up(self, key: str) -> Finish:
        """Put back what was made of a plan that cannot be finished, where it says so; return how the run ends."""
        piece = self._steps.piece(key)
        if piece.plan.undo_half and piece.made and not piece.back:
            return await self._steps.put_back_half(key)
        assert piece.failure is not None
        return Finish(piece.failure.outcome, piece.failure.reason, piece.failure.detail)

    async def leave(self, key: str, why: Finish) -> None:
        """Journal that the rest of a plan is not made."""
        data = {"step": key, "outcome": why.outcome, "reason": why.reason.value, "detail": why.detail}
        await self._record.write(kinds.NOT_MADE, why.detail, reason=why.reason, data=data)

    # -- several items

    async def several(self, step: Step, keys: Sequence[str]) -> Verification:
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
