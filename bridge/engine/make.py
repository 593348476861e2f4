"""Make one change of a plan, whatever it is: an object's through the applier, a call through its action.

Called by steps and putback. What is not known afterwards is said to be so: a call that may have been made is made
again only where its action declares that safe, or can tell that it was not made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog

from bridge.engine.apply import ChangeApplier
from bridge.engine.context import RunContext
from bridge.engine.copies import keep_before
from bridge.engine.lease import Lease
from bridge.engine.parts import Parts
from bridge.engine.results import kept
from bridge.engine.retry import TRANSIENT, retrying
from bridge.errors import (
    AlertbridgeError,
    CallInDoubt,
    InvalidInput,
    KubeError,
    KubeNotFound,
    KubeUnavailable,
    LeaseLost,
    OutcomeUnknown,
    PermanentError,
    PlanError,
    PlanStale,
    StoreUnavailable,
    TemporaryError,
)
from bridge.model.plan import Change, Made, Operation, Plan, Repeat
from bridge.model.workload import at
from bridge.ports import Action

log = structlog.get_logger(__name__)


class Maker:
    """Makes the changes of one run."""

    def __init__(
        self, parts: Parts, lease: Lease, applier: ChangeApplier, context: RunContext, *, remediation: str
    ) -> None:
        self._parts = parts
        self._lease = lease
        self._applier = applier
        self._context = context
        self._remediation = remediation

    def action(self, name: str) -> Action:
        """Return the action of that name; raise PlanError when this process does not have it."""
        action = self._parts.actions.get(name)
        if action is None:
            raise PlanError(f"there is no action {name!r} here: is its plug-in installed?")
        return action

    def in_doubt(self, change: Change, error: Exception) -> bool:
        """Whether, after `error`, something of this change may have been made."""
        return self._applier.in_doubt(change) or isinstance(error, CallInDoubt)

    async def make(
        self,
        plan: Plan,
        change: Change,
        *,
        doubtful: bool,
        since: float | None = None,
        results: Sequence[dict[str, Any]] = (),
    ) -> Made:
        """Return what became of `change`; `doubtful`: it was begun before, at `since`, and its end never recorded.

        Raises as the applier does, OutcomeUnknown where nobody can tell, and LeaseLost.
        """
        if plan.repeat is Repeat.NEVER and doubtful:
            raise OutcomeUnknown(f"{plan.action} was interrupted while it was under way; it must not be repeated")
        if change.operation is Operation.CALL:
            return await self._call(plan, change, doubtful=doubtful, results=results)
        if since is not None:
            await self._refuse_what_may_be_over(change, since)
        await keep_before(self._context.reach, change, self._remediation)
        made = await retrying(
            lambda: self._applier.apply(change, remediation=self._remediation, confirm=self._lease.confirm),
            policy=self._parts.retry,
            clock=self._parts.clock,
        )
        if made.wrote or doubtful:
            self._parts.metrics.written(self._context.target.cluster, change.ref.kind)
        # An interrupted write that is found made was ours: the undo must know it.
        return msgspec.structs.replace(made, wrote=made.wrote or doubtful)

    async def _refuse_what_may_be_over(self, change: Change, since: float) -> None:
        """Raise OutcomeUnknown for a Job that may have been made then, ended, and been removed by the cluster."""
        if change.operation is not Operation.CREATE or change.ref.kind != "Job":
            return
        kept_for = at(change.manifest, "spec", "ttlSecondsAfterFinished")
        if not isinstance(kept_for, int) or self._parts.clock.now() - since < kept_for:
            return
        try:
            await self._context.reach.cluster.get(change.ref)
        except KubeNotFound as error:
            text = f"{change.ref} was to be made, and is not there: whether it ran and was removed cannot be told"
            raise OutcomeUnknown(text) from error

    async def _call(self, plan: Plan, change: Change, *, doubtful: bool, results: Sequence[dict[str, Any]]) -> Made:
        action = self.action(plan.action)
        context = msgspec.structs.replace(self._context, results=tuple(results))
        lost: Exception | None = OutcomeUnknown(f"{plan.action} was interrupted") if doubtful else None

        async def once() -> dict[str, Any] | None:
            """Return the call's result, None when an earlier one turns out to have been made."""
            nonlocal lost
            if lost is not None and await self._was_made(action, plan, change, context, lost):
                return None
            if plan.repeat is Repeat.DETECTABLE:
                lost = None
            try:
                await self._lease.confirm()
                return await self._perform(action, context, change)
            except OutcomeUnknown as error:
                lost = error
                raise CallInDoubt(str(error)) from error

        try:
            result = await retrying(once, policy=self._parts.retry, clock=self._parts.clock)
        except TRANSIENT as error:
            if lost is None or isinstance(error, CallInDoubt):
                raise
            raise CallInDoubt(str(error)) from error
        self._parts.metrics.written(self._context.target.cluster, change.ref.kind)
        return Made(True, change, kept(result or {}))

    async def _was_made(
        self, action: Action, plan: Plan, change: Change, context: RunContext, lost: Exception
    ) -> bool:
        """Whether a call whose end is not known was made; raises OutcomeUnknown when that cannot be told."""
        if plan.repeat is Repeat.SAFE:
            return False
        if plan.repeat is Repeat.NEVER:
            raise OutcomeUnknown(f"{plan.action}: {lost}; it must not be repeated") from lost
        seconds = self._parts.limits.call
        try:
            async with asyncio.timeout(seconds):
                found = await action.done(context, change)
        except TimeoutError as error:
            raise TemporaryError(f"looking whether {plan.action} was made: no answer within {seconds:g} s") from error
        if found is None:
            raise OutcomeUnknown(f"{plan.action}: {lost}; whether it was made cannot be told") from lost
        return found

    async def _perform(self, action: Action, context: RunContext, change: Change) -> dict[str, Any]:
        """Perform it. Raises TRANSIENT (nothing was begun), what refuses it for good, or OutcomeUnknown."""
        seconds = self._parts.limits.perform
        try:
            async with asyncio.timeout(seconds):
                return await action.perform(context, change)
        except TimeoutError as error:
            raise OutcomeUnknown(f"{action.name}: no end within {seconds:g} s") from error
        except (OutcomeUnknown, LeaseLost, StoreUnavailable):
            raise
        except KubeUnavailable as error:
            if error.status:
                # A server's own error does not say that nothing happened.
                raise OutcomeUnknown(str(error)) from error
            raise
        except (TemporaryError, PermanentError, InvalidInput, KubeError, PlanStale):
            raise
        except AlertbridgeError as error:
            raise OutcomeUnknown(str(error)) from error
        except Exception as error:
            log.exception("an action's call failed", action=action.name)
            raise OutcomeUnknown(f"{type(error).__name__}: {error}") from error
