"""`kubectl create configmap incident-tracker`: the facts of an incident in the cluster, where its people look.

Made by the first call of a remediation, brought up to date by the later ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.configmaps import KIND, Key, Text, change_data
from bridge.actions.objects import fields_hold, find_object, values
from bridge.actions.permits import permit
from bridge.actions.workloads import refuse_deleted
from bridge.errors import PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Operation, Plan
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import format_time, labels_of, ref_of
from bridge.ports import ActionContext

LABEL = "alertbridge.io/incident"
_OWN = ("incident_id", "target", "opened_at")


class TrackerParams(Strict):
    namespace: str | None = ParamField(default=None, description="Where it is kept; left out: the target's.")
    name: str = ParamField(
        default="incident-tracker",
        max_length=200,
        description="The first part of its name; the remediation's id follows.",
    )
    severity: Text | None = ParamField(default=None, description="E.g. critical, or `${labels.severity}`.")
    status: Text = ParamField(default="active", description="E.g. active, mitigated, resolved.")
    facts: dict[Key, Text] = ParamField(default={}, max_length=50, description="Whatever else people should find.")


class IncidentTracker(BaseAction):
    """A ConfigMap with the incident's facts."""

    name = "incident_tracker"
    summary = "Keep the incident's facts in a ConfigMap: made once, brought up to date by later steps."
    params: type[BaseModel] = TrackerParams
    example: Mapping[str, Any] = {"namespace": "omnimesh-core", "severity": "critical", "status": "active"}
    # It tells what happened, also when that did not help.
    undo_failed = False
    texts = ("facts",)

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (permit("v1", KIND, "create", "delete", "get", "patch"),)

    async def plan(self, context: ActionContext, params: TrackerParams) -> Plan:
        """Plan the ConfigMap or its new values; raise PlanError where one of that name is somebody else's."""
        asked = _ref(context, params)
        wanted: dict[str, str | None] = {**params.facts, "status": params.status}
        if params.severity is not None:
            wanted["severity"] = params.severity
        document = await find_object(context, asked)
        if document is None:
            return self._created(context, asked, wanted)
        ref = ref_of(document, "v1", KIND, asked.cluster)
        refuse_deleted(ref, document)
        if labels_of(document).get(LABEL) != context.remediation:
            raise PlanError(f"{ref} is no tracker of this incident: take another `name`")
        for key in _OWN:
            wanted.pop(key, None)
        words = ", ".join(f"{key} {value}" for key, value in sorted(wanted.items()) if _is_new(document, key, value))
        summary = f"note in {ref}: {words[:200]}"
        change = change_data(ref, document, wanted, summary)
        return self.planned(summary, change) if change else self.planned(f"{ref} says so already")

    def _created(self, context: ActionContext, ref: ObjectRef, wanted: Mapping[str, Any]) -> Plan:
        own = {
            "incident_id": context.remediation,
            "target": str(context.target),
            "opened_at": format_time(context.planned_at),
        }
        manifest = {
            "apiVersion": "v1",
            "kind": KIND,
            "metadata": {"name": ref.name, "namespace": ref.namespace, "labels": {LABEL: context.remediation}},
            "data": {**wanted, **own},
        }
        summary = f"open {ref} ({wanted['status']})"
        return self.planned(summary, Change(ref=ref, operation=Operation.CREATE, manifest=manifest, summary=summary))

    async def verify(self, context: ActionContext, plan: Plan, params: TrackerParams) -> Verification:
        """Fixed when the ConfigMap says what was planned."""
        if plan.empty or plan.changes[0].operation is Operation.PATCH:
            return await fields_hold(context, plan)
        planned = plan.changes[0]
        document = await find_object(context, planned.ref)
        if document is None or values(document, "data") != (planned.manifest or {}).get("data"):
            return Verification(Answer.NOT_FIXED, f"{planned.ref} does not say what was planned")
        return Verification(Answer.FIXED, f"{planned.ref} is kept")


def _ref(context: ActionContext, params: TrackerParams) -> ObjectRef:
    name = f"{check_name(params.name)}-{context.remediation}".lower()
    namespace = check_namespace(params.namespace or context.target.namespace)
    return ObjectRef("v1", KIND, namespace, check_name(name), cluster=context.target.cluster)


def _is_new(document: Mapping[str, Any], key: str, value: Any) -> bool:
    return bool(values(document, "data").get(key) != value)
