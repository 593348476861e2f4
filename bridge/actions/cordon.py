"""`kubectl cordon` and `kubectl uncordon`: whether new pods are put on a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.nodes import (
    UNSCHEDULABLE,
    LeavingParams,
    NodeParams,
    cordon_change,
    is_cordoned,
    node_permissions,
    one_at_a_time,
    read_node,
    refuse_last,
    taints_left,
)
from bridge.actions.objects import fields_hold
from bridge.errors import PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan
from bridge.model.verification import Verification
from bridge.model.workload import Document, at, condition
from bridge.ports import ActionContext

_MANAGER = "alertbridge"


class Cordon(BaseAction):
    """No new pods on a node; those that are there stay."""

    name = "cordon"
    summary = "Put no new pods on a node, as `kubectl cordon` does."
    params: type[BaseModel] = LeavingParams
    example: Mapping[str, Any] = {"name": "node-2"}
    # A node that was taken out for nothing is missing elsewhere.
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (node_permissions("get", "list", "patch"),)

    async def plan(self, context: ActionContext, params: LeavingParams) -> Plan:
        """Plan the switch; raise PlanError when too few other nodes take pods."""
        ref, node = await read_node(context, params)
        if is_cordoned(node):
            return self.planned(f"{ref} is cordoned already")
        await refuse_last(context, ref, params.others)
        summary = f"cordon {ref}"
        return self.planned(summary, cordon_change(ref, node, summary), locks=one_at_a_time(ref))

    async def verify(self, context: ActionContext, plan: Plan, params: LeavingParams) -> Verification:
        """Fixed when the switch is as planned."""
        return await fields_hold(context, plan)


class UncordonParams(NodeParams):
    anybodys: bool = ParamField(
        default=False,
        description="Uncordon also what alertbridge did not cordon; left out, a person's cordon is left alone.",
    )


class Uncordon(BaseAction):
    """New pods on a node again."""

    name = "uncordon"
    summary = "Put new pods on a node again, as `kubectl uncordon` does."
    params: type[BaseModel] = UncordonParams
    example: Mapping[str, Any] = {"name": "node-2"}
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (node_permissions("get", "patch"),)

    async def plan(self, context: ActionContext, params: UncordonParams) -> Plan:
        """Plan the switch; raise PlanError for a node that somebody else took out of service."""
        ref, node = await read_node(context, params)
        if not is_cordoned(node):
            return self.planned(f"{ref} takes pods already")
        who = cordoned_by(node)
        if who != _MANAGER and not params.anybodys:
            raise PlanError(
                f"{ref} was cordoned by {who or 'somebody'}, not by alertbridge: `kubectl uncordon {ref.name}` when "
                "it may be used again, or `anybodys: true` in the step"
            )
        notes = []
        if condition(node, "Ready").get("status") != "True":
            notes.append("the node is not ready: no pod starts there before it is")
        if taints := taints_left(node):
            notes.append(f"taints still keep pods away: {', '.join(taints)}")
        summary = f"uncordon {ref}"
        field = Field(UNSCHEDULABLE, at(node, "spec", "unschedulable"), None)
        return self.planned(summary, Change(ref=ref, fields=(field,), summary=summary), notes=tuple(notes))

    async def verify(self, context: ActionContext, plan: Plan, params: UncordonParams) -> Verification:
        """Fixed when the switch is as planned."""
        return await fields_hold(context, plan)


def cordoned_by(node: Document) -> str:
    """Return the field manager that set `spec.unschedulable`, empty when the server does not say."""
    for entry in at(node, "metadata", "managedFields") or []:
        if at(entry, "fieldsV1", "f:spec", "f:unschedulable") is not None:
            return str(entry.get("manager", ""))
    return ""
