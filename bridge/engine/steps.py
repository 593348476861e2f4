"""Plan, apply, verify and undo one step of a scenario. Called by execute; every write of a run passes here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import Any, TypeVar

import msgspec
import structlog
from pydantic import BaseModel, ValidationError

from bridge.configuration.expressions import render, tell
from bridge.configuration.problems import key_path, sentences
from bridge.engine.apply import ChangeApplier
from bridge.engine.context import RunContext
from bridge.engine.ending import Ended, Finish, HandOver, Park
from bridge.engine.lease import Lease
from bridge.engine.make import Maker
from bridge.engine.parts import Parts
from bridge.engine.progress import Piece
from bridge.engine.putback import PutBack
from bridge.engine.record import Record
from bridge.engine.retry import TRANSIENT, retrying
from bridge.engine.snapshot import Snapshot
from bridge.engine.temporary import undo_record
from bridge.engine.verify import Look, Watch, watch
from bridge.errors import (
    AlertbridgeError,
    KubeNotFound,
    LeaseLost,
    PlanError,
    PlanStale,
    StoreUnavailable,
    TargetReplaced,
    TemporaryError,
)
from bridge.model import kinds
from bridge.model.intake import Claim
from bridge.model.plan import Made, Plan, Repeat
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, Remediation, Revert
from bridge.model.report import received_of
from bridge.model.runbook import Step
from bridge.model.verification import Answer, Verification
from bridge.ports import Action

T = TypeVar("T")

_VERIFY_WITHIN = 300.0
"""Seconds that an action's verification has where neither it nor its step says more."""

log = structlog.get_logger(__name__)


class Steps:
    """The steps of one run, with what they share."""

    def __init__(
        self,
        parts: Parts,
        lease: Lease,
        record: Record,
        context: RunContext,
        rem: Remediation,
        applier: ChangeApplier,
        snapshot: Snapshot,
    ) -> None:
        """`applier` reads for itself; `snapshot` is what everything else of the run reads through."""
        self._parts = parts
        self._lease = lease
        self._record = record
        self.context = context
        self._remediation = rem
        self._maker = Maker(parts, lease, applier, context, remediation=rem.id)
        self._snapshot = snapshot
        self.putback = PutBack(parts, lease, record, self._maker)

    @property
    def claim(self) -> Claim:
        """The claim under which the run works."""
        return self._lease.claim

    def params(self, step: Step, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the step's parameters with their expressions evaluated; raises UnknownValue.

        What an action only tells people (its `texts`) is never the reason not to tell them.
        """
        texts = getattr(self._parts.actions.get(step.action), "texts", ())
        return {name: (tell if name in texts else render)(value, variables) for name, value in step.with_.items()}

    async def plan(self, step: Step, params: Mapping[str, Any], *, later: int = 0) -> Plan:
        """Return what the step would change; reads only. Raises PlanError, also for `until:` without an undo.

        `later` is how many attempts would come before it that have not been made.
        """
        context = msgspec.structs.replace(self.context, tried=len(self._record.progress.tried) + later)
        action = self._maker.action(step.action)
        typed = _typed(action, params)
        try:
            plan = await retrying(
                lambda: self._bounded(action.plan(context, typed), f"planning {step.action}"),
                policy=self._parts.retry,
                clock=self._parts.clock,
            )
        except KubeNotFound as error:
            mend = f"correct what {step.action} or the alert's labels name, or make it first"
            raise KubeNotFound(f"{error}: {mend}", status=error.status, reason=error.reason) from error
        if step.until is not None and plan.changes and not plan.inverses:
            raise PlanError(f"{step.action} cannot be undone, so it cannot be temporary: leave `until:` out")
        return msgspec.structs.replace(plan, undo_failed=False) if step.keep else plan

    async def lock(self, *plans: Plan, also: Iterable[str] = ()) -> None:
        """Take every lock that the plans need, and `also`, or none and park; what is locked already is prolonged."""
        keys = sorted({*also, *(key for plan in plans for key in plan.lock_keys)})
        if not keys:
            return
        seconds, above = self._parts.limits.lock, self._remediation.parents
        holder = await self._parts.locks.acquire(self._lease.claim, keys, seconds=seconds, above=above)
        if holder is not None:
            due = self._parts.clock.now() + self._parts.limits.lock_retry
            raise Ended(Park(due, Reason.LOCKED, f"remediation {holder} holds a lock on {', '.join(keys)}"))

    async def confirm_plan(self, key: str, step: Step) -> None:
        """Plan once more under the locks what counts on others that share one of them; nothing of it is made yet.

        Raises as planning does, PlanStale, and Ended to plan anew: between plan and lock another run had it.
        """
        piece = self.piece(key)
        if not piece.plan.locks:
            return
        self._snapshot.forget()
        if (await self.plan(step, piece.params)).hash != piece.plan.hash:
            error = PlanStale(f"{piece.plan.summary}: it would be another plan by now")
            await self._stale(key, error)
            raise error

    def piece(self, key: str) -> Piece:
        """Return how far the plan with this key is; it was journalled before."""
        return self._record.progress.pieces[key]

    async def apply(self, key: str, until: float | None = None, hold: float | None = None) -> None:
        """Make the changes of a journalled plan that were not made yet, each journalled before and after.

        With `until` they are undone by themselves after so many seconds, and not before `hold` when all is well.
        """
        piece = self.piece(key)
        if piece.in_flight and piece.plan.repeat is Repeat.NEVER:
            text = f"{piece.plan.action} was interrupted while it was under way; it must not be repeated"
            raise Ended(Finish(Outcome.UNKNOWN, Reason.WRITE_UNKNOWN, text))
        for number in range(piece.applied, len(piece.plan.changes)):
            await self._make(key, number, until, hold or 0.0)

    async def _make(self, key: str, number: int, until: float | None, hold: float) -> None:
        plan, doubtful = self.piece(key).plan, self.piece(key).doubtful
        since = self.piece(key).since if doubtful else None
        change = plan.changes[number]
        if self._lease.stopping:
            raise Ended(HandOver())
        await self._lease.confirm()
        # Journal before the write: a crash here repeats the change, and its preconditions absorb the repeat.
        place = {"step": key, "change": number}
        if not self._record.written:
            waited = self._parts.clock.now() - received_of(self._remediation)
            self._parts.metrics.responded(self._remediation.runbook, waited)
        await self._record.write(kinds.APPLYING, change.summary, data=place)
        try:
            results = self.piece(key).results
            made = await self._maker.make(plan, change, doubtful=doubtful, since=since, results=results)
        except PlanStale as error:
            await self._stale(key, error)
            raise
        except StoreUnavailable:
            raise
        except TRANSIENT as error:
            if not doubtful and not self._maker.in_doubt(change, error):
                # Nothing was sent, or nothing was let in: after the wait the run begins with looking again.
                await self._record.write(kinds.REFUSED, str(error), data={"step": key})
            raise
        text = change.summary if made.wrote else f"{change.summary}: it was so already"
        data: dict[str, Any] = {**place, "wrote": made.wrote}
        if made.change != change:
            data["made"] = made.change
        if made.result:
            data["result"] = made.result
        if made.version:
            data["version"] = made.version
        revert = self._revert(key, made, until, hold)
        if revert is not None:
            text += f"; undone by itself in {revert.after / 60:g} min"
            data["temporary"] = revert.after
        await self._record.write(kinds.APPLIED, text, data=data, revert=revert)

    def _revert(self, key: str, made: Made, until: float | None, hold: float) -> Revert | None:
        """Return what ends a temporary change; None where it is none of ours, or nothing undoes it."""
        if until is None or not made.wrote or made.change.inverse is None:
            return None
        back = undo_record(self._remediation, key, why=f"a change of {self._remediation.id} was temporary")
        return Revert(after=until, hold=min(hold, until), remediation=back)

    async def put_back_half(self, key: str) -> Finish:
        """Put back what was made of a plan that could not be finished; return how the run ends with that."""
        piece = self.piece(key)
        failure = piece.failure
        assert failure is not None
        await self.putback.run([piece.as_made], failure.reason, key=key)
        outcome = self.putback.outcome(failure.outcome)
        told = self.putback.told.replace("what was changed", f"what was made of {piece.plan.action}")
        return Finish(outcome, failure.reason, f"{failure.detail}; {told}")

    async def _stale(self, key: str, error: PlanStale) -> None:
        """Record that the precondition refused the write; plan again when nothing of this plan was made."""
        await self._record.write(kinds.STALE, str(error), reason=Reason.PLAN_STALE, data={"step": key})
        progress = self._record.progress
        again = key not in progress.pieces and progress.retries < self._parts.limits.retries
        if again and not isinstance(error, TargetReplaced):
            raise Ended(Park(self._parts.clock.now(), Reason.PLAN_STALE, str(error), retry=True)) from error

    async def verify(self, key: str, step: Step) -> Verification:
        """Wait for the action's own effect, until the step's deadline (which survives a restart)."""
        usual: float = getattr(self._maker.action(step.action), "verify_within", _VERIFY_WITHIN)
        within = usual if step.verify_within is None else step.verify_within
        until = await self.deadline(key, within, f"verifying {step.action}")
        piece = self.piece(key)

        async def ask() -> Verification:
            action = self._maker.action(step.action)
            params = action.params.model_validate(piece.params)
            context = msgspec.structs.replace(self.context, results=tuple(piece.results))
            return await self._bounded(action.verify(context, piece.plan, params), f"verifying {step.action}")

        return await self.watch(lambda: self.look(ask), Watch(key=key, until=until))

    async def watch(self, look: Look, how: Watch) -> Verification:
        """Look until the answer is there, also where another worker began to; see engine.verify."""
        how = msgspec.structs.replace(how, fixed_since=self._record.progress.fixed_since.get(how.key))

        async def anew() -> Verification:
            # Nothing that was read before may answer for what is there now.
            self._snapshot.forget()
            return await look()

        return await watch(anew, how, clock=self._parts.clock, limits=self._parts.limits, lease=self._lease)

    async def deadline(
        self, key: str, seconds: float, text: str, *, kind: str = kinds.VERIFYING, own: float | None = None
    ) -> float:
        """Return when the verification (or wait) with this key gives up; journalled when it begins.

        `own`: the part of the seconds that it has anyway, without what a rule that looks back adds.
        """
        if key not in self._record.progress.deadlines:
            now = self._parts.clock.now()
            until = now + seconds
            more = {} if own is None else {"began": now, "own": now + own}
            await self._record.write(kind, text, data={"step": key, "until": until, **more})
        return self._record.progress.deadlines[key]

    async def look(self, call: Look) -> Verification:
        """Return one look's answer; what could not be asked is unknown, never fixed.

        Raises LeaseLost and StoreUnavailable: those say nothing about the target, and another look follows.
        """
        try:
            return await call()
        except (LeaseLost, StoreUnavailable):
            raise
        except (AlertbridgeError, ValueError) as error:
            return Verification(Answer.UNKNOWN, str(error))
        except Exception as error:
            # An action's own mistake must not turn a change that was made into one that failed.
            log.exception("verification failed")
            return Verification(Answer.UNKNOWN, f"{type(error).__name__}: {error}")

    async def undo(self, place: str, reason: Reason, detail: str) -> None:
        """Put back what an attempt changed, newest first, where its plans call that safe; resumes where it stopped.

        What could not be put back is in `progress.undo.left`.
        """
        plans = [plan for plan in self._record.progress.done_plans(place) if plan.undo_failed]
        await self.lock(*plans)
        await self.putback.run(plans, reason, key=place, detail=detail)

    async def _bounded(self, call: Awaitable[T], what: str) -> T:
        """Return what `call` returns, within the deadline that every call of an action has."""
        seconds = self._parts.limits.call
        try:
            async with asyncio.timeout(seconds):
                return await call
        except TimeoutError as error:
            raise TemporaryError(f"{what}: no answer within {seconds:g} s") from error


def _typed(action: Action, params: Mapping[str, Any]) -> BaseModel:
    """Return the parameters as the action wants them; raise PlanError that says which is wrong, and how."""
    try:
        return action.params.model_validate(params)
    except ValidationError as error:
        found = sentences(action.params, error, refused={})
        wrong = "; ".join(f"{key_path(place)}: {said}" if place else said for place, said in found)
        raise PlanError(f"{action.name}: {wrong}") from None
