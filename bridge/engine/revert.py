"""Put back what another remediation changed: the run of a remediation with `undo_of`. Called by execute.

Its plan is the inverses in the original's journal, each under its own preconditions. It is let in whatever cooldown
and attempts say; a pause, and mode `observe` of the process, put it off.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bridge.engine import admission
from bridge.engine.byhand import Undone
from bridge.engine.ending import Ended, Ending, Finish, HandOver, Park
from bridge.engine.lease import Lease
from bridge.engine.meanwhile import look
from bridge.engine.parts import Parts
from bridge.engine.places import proof_key
from bridge.engine.putback import inverses
from bridge.engine.record import Record
from bridge.engine.steps import Steps
from bridge.engine.verify import Watch
from bridge.errors import KubeNotFound
from bridge.model import kinds
from bridge.model.mode import Mode
from bridge.model.plan import Change, Operation, Plan, read_pointer
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView
from bridge.model.verification import Answer, Verification

_PLACE = "undo"
"""What an undo run's only part is called in its journal."""
_PROOF = 60.0
"""Seconds that reading back may take: what is deleted may take a moment to go."""
_WHOLE = frozenset({Operation.CREATE, Operation.DELETE, Operation.EVICT})
"""What makes or removes an object: nothing of it is as it was left before."""


class UndoRun:
    """One claim's work on a remediation that undoes another."""

    def __init__(self, parts: Parts, lease: Lease, view: RemediationView, record: Record, steps: Steps) -> None:
        self._parts = parts
        self._lease = lease
        self._view = view
        self._rem: Remediation = view.remediation
        self._record = record
        self._steps = steps

    async def run(self) -> Ending:
        """Return how it ended for now. Raises as every step of a run does: execute says how that ends."""
        await self._record.write(kinds.STARTED, f"taken up to undo {self._rem.undo_of}")
        entries = await self._parts.journal.read(self._rem.undo_of)
        if not entries:
            text = f"the journal of {self._rem.undo_of} is gone: what it changed has to be put back by hand"
            return Finish(Outcome.FAILED, Reason.UNDO_REFUSED, text)
        known = await self._undone(entries)
        if self._record.progress.undo is None:
            if not inverses(known.left(self._rem.undo_step)):
                return Finish(Outcome.UNDONE, Reason.NOTHING_TO_DO, "nothing of it is left to be put back")
            await self._let_in(known.left(self._rem.undo_step))
            await self._give_way(known.left(self._rem.undo_step), entries)
        await self._steps.lock(*known.left(self._rem.undo_step))
        if self._record.progress.undo is None:
            # Whoever had the locks may have put it back meanwhile.
            known = await self._undone(entries)
        plans = known.left(self._rem.undo_step)
        await self._steps.putback.run(plans, self._reason, key=_PLACE, doubts=known.doubts)
        return await self._prove(plans, entries)

    async def _undone(self, entries: list[Entry]) -> Undone:
        return await Undone.read(self._parts.journal, self._rem.undo_of, entries, but=self._rem.id)

    @property
    def _reason(self) -> Reason:
        """Why it is put back: a step's time is over, or a person asked for all of it."""
        return Reason.TEMPORARY_ENDED if self._rem.undo_step else Reason.UNDONE_BY_HAND

    async def _let_in(self, plans: list[Plan]) -> None:
        """Raise Ended when it must not be, or not now."""
        if self._lease.stopping:
            raise Ended(HandOver())
        await self._defer_while_paused(plans)
        for plan in plans:
            back = msgspec.structs.replace(plan, changes=plan.inverses)
            if not back.empty:
                await self._allow(back)

    async def _give_way(self, plans: list[Plan], entries: list[Entry]) -> None:
        """Raise Ended to wait while something else about the same comes first; whoever asks by hand does not wait."""
        if not self._rem.undo_step:
            return
        now = self._parts.clock.now()
        why = (await look(self._parts, self._rem, plans, entries)).wait_for(now)
        if why and now - self._rem.created_at < self._parts.limits.undo_wait:
            raise Ended(Park(now + self._parts.limits.paused_pause, Reason.GIVES_WAY, why))

    async def _allow(self, back: Plan) -> None:
        try:
            await admission.check_plan(self._parts, self._rem, back, self._steps.context)
        except Ended as ended:
            if isinstance(finish := ended.ending, Finish) and finish.outcome is Outcome.SUPPRESSED:
                raise Ended(self._later(finish.reason, finish.detail)) from ended
            raise

    async def _defer_while_paused(self, plans: list[Plan]) -> None:
        try:
            await admission.check_brakes(self._parts, self._view, plans)
        except Ended as ended:
            if not isinstance(ended.ending, Finish):
                raise
            raise Ended(self._later(ended.ending.reason, ended.ending.detail)) from ended
        if self._parts.process_mode() is Mode.OBSERVE:
            raise Ended(self._later(Reason.OBSERVE_ONLY, "mode observe: what was changed for a time stays for now"))

    def _later(self, reason: Reason, detail: str) -> Ending:
        """Return a wait that grows; after days of it a person is told."""
        limits, waited = self._parts.limits, self._parts.clock.now() - self._rem.created_at
        if waited > limits.undo_wait:
            return Finish(
                Outcome.FAILED, Reason.UNDO_REFUSED, f"not put back for {waited / 86400:.0f} days: {detail}"
            )
        pause = min(max(limits.lock_retry, waited / 2), limits.undo_pause)
        return Park(self._parts.clock.now() + pause, reason, detail)

    # -- proof

    async def _prove(self, plans: list[Plan], entries: list[Entry]) -> Ending:
        putback = self._steps.putback
        if (undo := self._record.progress.undo) is not None and undo.left:
            others = (await look(self._parts, self._rem, plans, entries)).on_top
            also = f" ({', '.join(others[:5])} changed the same since)" if others else ""
            return Finish(putback.outcome(Outcome.UNDONE), Reason.UNDO_REFUSED, f"{putback.told}{also}")
        until = await self._steps.deadline(proof_key(_PLACE), _PROOF, "reading back")
        changes = lasting([change for _, change in inverses(plans) if change.operation is not Operation.CALL])
        how = Watch(key=proof_key(_PLACE), until=until)
        answer = await self._steps.watch(lambda: self._steps.look(lambda: self._look(changes)), how)
        if answer.answer is Answer.UNKNOWN:
            return Finish(Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN, answer.detail)
        if answer.answer is Answer.NOT_FIXED:
            return Finish(Outcome.FAILED, Reason.UNDO_REFUSED, f"put back, and not so any more: {answer.detail}")
        return Finish(Outcome.UNDONE, self._reason, putback.told)

    async def _look(self, changes: list[Change]) -> Verification:
        for change in changes:
            if (wrong := await self._wrong(change)) is not None:
                return Verification(Answer.NOT_FIXED, wrong)
        return Verification(Answer.FIXED, "everything reads back as it was")

    async def _wrong(self, change: Change) -> str | None:
        """Return what is not as the change left it."""
        removed = change.operation in (Operation.DELETE, Operation.EVICT)
        try:
            found = await self._steps.context.reach.cluster.get(change.ref)
        except KubeNotFound:
            return None if removed else f"{change.ref} does not exist"
        meta = found["metadata"]
        if removed:
            there = meta.get("uid") == change.ref.uid and not meta.get("deletionTimestamp")
            return f"{change.ref} is still there" if there else None
        for field in change.fields:
            if field.change and not field.is_made(read_pointer(found, field.pointer)):
                return f"{change.ref} {field.pointer} has another value"
        return None


def lasting(changes: Sequence[Change]) -> list[Change]:
    """Return what of the changes has to be so once all are made, in their order: what a later one touches is its."""
    left = []
    for number, change in enumerate(changes):
        later = [other for other in changes[number + 1 :] if other.ref.lock_key == change.ref.lock_key]
        if any(other.operation in _WHOLE for other in later):
            continue
        touched = [field.pointer for other in later for field in other.fields if field.change]
        fields = (field for field in change.fields if not any(_touch(field.pointer, other) for other in touched))
        left.append(msgspec.structs.replace(change, fields=tuple(fields)))
    return left


def _touch(one: str, other: str) -> bool:
    """Whether two JSON pointers name the same, or one of them something within the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")
