"""An action out of one Python function, for plug-ins: the decorator `action`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bridge.actions.base import BaseAction
from bridge.actions.calls import shown
from bridge.actions.permits import permit
from bridge.errors import PermanentError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Repeat, Undo
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS
from bridge.ports import ActionContext

Perform = Callable[[ActionContext, Any], Awaitable[Mapping[str, Any] | None]]
Look = Callable[[ActionContext, Any], Awaitable[Verification | bool | None]]


class FunctionAction(BaseAction):
    """Implements bridge.ports.Action with a plan of one call, which runs the function. Made by `action`."""

    def __init__(
        self,
        function: Perform,
        *,
        params: type[BaseModel],
        repeat: Repeat,
        example: Mapping[str, Any],
        undo_failed: bool,
        permissions: Sequence[Permission],
    ) -> None:
        self.name = function.__name__
        self.summary = (inspect.getdoc(function) or "").partition("\n")[0]
        if not self.summary:
            raise TypeError(f"{self.name} has no docstring: its first line is the action's summary")
        self.params, self.example = params, example
        self.repeat, self.undo, self.undo_failed = repeat, Undo.NONE, undo_failed
        self._permissions = tuple(permissions)
        self._perform = function
        self._undo: Perform | None = None
        self._look: Look | None = None

    def verifies(self, function: Look) -> Look:
        """Mark the function that looks once whether it worked: True or False, None for unknown, or a Verification."""
        self._look = function
        return function

    def undoes(self, function: Perform) -> Perform:
        """Mark the function that makes up for it; the action's undo is `compensating` then."""
        self._undo = function
        self.undo = Undo.COMPENSATING
        return function

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        # Whether its target may be touched is read from that.
        about = (permit("apps/v1", kind, "get"),) if kind in WORKLOADS else ()
        return (*self._permissions, *about)

    async def plan(self, context: ActionContext, params: BaseModel) -> Plan:
        """Plan one call about the remediation's target."""
        target, given = context.target, params.model_dump(mode="json", exclude_defaults=True)
        said = ", ".join(f"{name}={value}" for name, value in given.items())
        summary = self.summary.rstrip(".") + (f" ({shown(said)})" if said else "")
        change = Change(
            ref=ObjectRef("", self.name, target.namespace, target.name, cluster=target.cluster),
            operation=Operation.CALL,
            call={"params": given},
            inverse_call={"params": given, "undo": True} if self._undo else None,
            summary=summary,
        )
        return self.planned(summary, change)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        function = self._undo if change.call.get("undo") else self._perform
        if function is None:
            raise PermanentError(f"{self.name} has no undo any more")
        return dict(await function(context, self.params.model_validate(change.call["params"])) or {})

    async def verify(self, context: ActionContext, plan: Plan, params: BaseModel) -> Verification:
        """Fixed when the function came to its end, or what the author's own look says."""
        if self._look is None:
            return Verification(Answer.FIXED, f"{self.name} came to its end")
        found = await self._look(context, params)
        if isinstance(found, Verification):
            return found
        answer = {True: Answer.FIXED, False: Answer.NOT_FIXED, None: Answer.UNKNOWN}[found]
        return Verification(answer, f"{self.name} says {answer.value.replace('_', ' ')}")


def action(
    *,
    params: type[BaseModel],
    repeat: Repeat | str,
    example: Mapping[str, Any],
    undo_failed: bool = False,
    permissions: Sequence[Permission] = (),
) -> Callable[[Perform], FunctionAction]:
    """Make an async function `(context, params) -> mapping or None` an action of the function's name.

    `repeat` says what may be done after a crash in its midst: `safe`, or `never`. What the function returns is kept
    in the journal as the result. It raises TemporaryError when nothing was begun, PermanentError when it was refused
    for good, and anything else when its effect is not known.
    """

    def make(function: Perform) -> FunctionAction:
        declared = Repeat(repeat)
        if declared is Repeat.DETECTABLE:
            raise ValueError("a function cannot be asked whether it was done: use safe or never, or a class")
        return FunctionAction(
            function,
            params=params,
            repeat=declared,
            example=example,
            undo_failed=undo_failed,
            permissions=permissions,
        )

    return make
