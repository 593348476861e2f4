"""`kubectl rollout restart`, with a time that comes from the remediation: doing it again changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.stuck_pods import permissions_for_stuck_pods, remove_stuck_pods
from bridge.actions.workloads import (
    APPS,
    TargetParams,
    look,
    read_workload,
    refuse_idle,
    refuse_on_delete,
    refuse_paused,
)
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, escape_token, read_pointer
from bridge.model.revisions import REVISION
from bridge.model.verification import Answer, Verification
from bridge.model.workload import RESTARTED_AT, WORKLOADS, annotations_of, format_time, parse_time
from bridge.ports import ActionContext

POINTER = f"/spec/template/metadata/annotations/{escape_token(RESTARTED_AT)}"


class RolloutRestart(BaseAction):
    """A new time in the pod template's annotation: the workload's own strategy replaces the pods."""

    name = "rollout_restart"
    summary = "Restart a Deployment, StatefulSet or DaemonSet pod by pod, as `kubectl rollout restart` does."
    params: type[BaseModel] = TargetParams
    example: Mapping[str, Any] = {"kind": "Deployment", "namespace": "o2ims-system", "name": "netweave-gateway"}
    # Putting the old annotation back would restart every pod once more.
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        own = permit(APPS, kind_of(kind, params), "get", "patch")
        return (own, *permissions_for_stuck_pods(kind, params))

    async def plan(self, context: ActionContext, params: TargetParams) -> Plan:
        """Plan the annotation; empty when the workload was restarted since the remediation was asked for."""
        workload = await read_workload(context, params, WORKLOADS)
        refuse_paused(workload)
        refuse_idle(workload)
        refuse_on_delete(workload)
        before = read_pointer(workload.document, POINTER)
        # A restart in a further attempt of the run is one more: the configuration may have been changed again.
        after = format_time(context.planned_at + context.tried)
        if parse_time(before) >= parse_time(after):
            return self.planned(f"{workload.ref} was restarted at {before} already")
        rollout = workload.rollout
        summary = f"restart {workload.ref} ({rollout.ready} of {rollout.desired} pods are ready)"
        fields = [Field(POINTER, before, after)]
        if revision := annotations_of(workload.document).get(REVISION):
            # A new version that came after planning is not to be restarted for the old one's sake.
            fields.append(Field(f"/metadata/annotations/{escape_token(REVISION)}", revision, revision, change=False))
        change = Change(ref=workload.ref, fields=tuple(fields), summary=summary, disruption=workload.disruption)
        return self.planned(summary, change, *await remove_stuck_pods(context, workload))

    async def verify(self, context: ActionContext, plan: Plan, params: TargetParams) -> Verification:
        """Fixed when every pod is of the restarted template and available."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        if workload is None:
            return answer
        found, planned = read_pointer(workload.document, POINTER), plan.changes[0].fields[0].after
        if parse_time(found) < parse_time(planned):
            return Verification(
                Answer.NOT_FIXED, f"the restart was taken back: {RESTARTED_AT} is {found}", final=True
            )
        return answer
