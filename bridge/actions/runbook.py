"""Have another runbook mend what this one depends on: a run of its own, for a target of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.calls import own_ref
from bridge.actions.configmaps import text_of
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan, Undo
from bridge.model.remediation import Outcome, State
from bridge.model.runbook import Strict
from bridge.model.verification import Answer, Verification
from bridge.ports import ActionContext

_ANSWERS = {Outcome.SUCCEEDED: Answer.FIXED, Outcome.UNKNOWN: Answer.UNKNOWN}


def _texts(value: object) -> object:
    return {key: text_of(item) for key, item in value.items()} if isinstance(value, dict) else value


class RunbookParams(Strict):
    runbook: str = ParamField(min_length=1, max_length=200, description="The runbook's name.")
    labels: Annotated[dict[str, str], BeforeValidator(_texts)] = ParamField(
        default={},
        max_length=50,
        description="Labels beside, or in place of, those of the alert: with the `alertname` that its own route "
        "matches, that route's mode and limits count for it.",
    )
    params: dict[str, Any] = ParamField(
        default={}, max_length=100, description="Its parameters, in place of its route's."
    )


class RunRunbook(BaseAction):
    """One order for a run; it is made once for a remediation, however often it is asked for."""

    name = "runbook"
    summary = "Run another runbook for another target, and wait for its end."
    params: type[BaseModel] = RunbookParams
    example: Mapping[str, Any] = {"runbook": "example/redis-down", "labels": {"deployment": "redis"}}
    # What the other run changed is its own to put back.
    undo = Undo.NONE
    verify_within = 3600.0

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return ()

    async def plan(self, context: ActionContext, params: RunbookParams) -> Plan:
        """Plan the order; raise InvalidInput and PlanError as ports.Runs.order."""
        ordered = context.reach.runs.order(context.run, params.runbook, params.labels, params.params)
        summary = f"run {params.runbook} for {ordered.target}"
        ref = own_ref(context, "Runbook", f"{params.runbook}/{ordered.target}")
        change = Change(ref=ref, operation=Operation.CALL, call=dict(ordered.order), summary=summary)
        return self.planned(summary, change, harmless=True)

    async def perform(self, context: ActionContext, change: Change) -> dict[str, Any]:
        await context.reach.runs.ask(change.call)
        return {}

    async def verify(self, context: ActionContext, plan: Plan, params: RunbookParams) -> Verification:
        """As it ended: succeeded is fixed, unknown is unknown, everything else not fixed. Unknown while it runs."""
        view = await context.reach.runs.found(plan.changes[0].call)
        if view is None:
            return Verification(Answer.UNKNOWN, f"{params.runbook} was asked for, and has not begun")
        told = f"{params.runbook} is remediation {view.remediation.id}"
        if view.state is not State.DONE or view.outcome is None:
            return Verification(Answer.UNKNOWN, f"{told}, which is {view.state.value}")
        told = f"{told}, which ended as {view.outcome.value}: {view.detail or view.reason}"
        if view.outcome is Outcome.SUPPRESSED:
            # It only came at a bad time, and is looked at again.
            return Verification(Answer.UNKNOWN, told)
        return Verification(_ANSWERS.get(view.outcome, Answer.NOT_FIXED), told, final=True)
