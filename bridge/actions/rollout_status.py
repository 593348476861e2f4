"""`kubectl rollout status`: wait until a rollout is complete. Changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from pydantic import BaseModel

from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import APPS, TargetParams, progress_of, read_workload, refuse_on_delete, refuse_paused
from bridge.model.permission import Permission
from bridge.model.plan import Plan
from bridge.model.verification import Verification
from bridge.ports import ActionContext


class RolloutStatus(BaseAction):
    """A plan without changes, that is verified all the same: the step's `verify_within` is how long it waits."""

    name = "rollout_status"
    summary = "Wait until the rollout of a Deployment, StatefulSet or DaemonSet is complete, and fail if it does not."
    params: type[BaseModel] = TargetParams
    example: Mapping[str, Any] = {"kind": "StatefulSet", "namespace": "omendb-prod", "name": "omendb"}

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (permit(APPS, kind_of(kind, params), "get"),)

    async def plan(self, context: ActionContext, params: TargetParams) -> Plan:
        """Plan to wait; raise PlanError for a rollout that is never complete by itself (paused, OnDelete)."""
        workload = await read_workload(context, params)
        refuse_paused(workload)
        refuse_on_delete(workload)
        if workload.rollout.complete:
            return self.planned(f"the rollout of {workload.ref} is complete: {workload.rollout.text}")
        return self.planned(f"wait for the rollout of {workload.ref}: {workload.rollout.text}", waits=True)

    async def verify(self, context: ActionContext, plan: Plan, params: TargetParams) -> Verification:
        """Fixed when every pod is of the newest template and available; not fixed for good past the deadline."""
        workload = await read_workload(context, params)
        answer = progress_of(context, workload)
        # Whoever began it: steps before this one were verified, so that no deadline of an older rollout lingers.
        return msgspec.structs.replace(answer, final=answer.final or workload.rollout.failed)
