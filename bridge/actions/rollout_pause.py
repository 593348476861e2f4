"""`kubectl rollout pause` and `resume` of a Deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from bridge.actions.base import BaseAction
from bridge.actions.permits import permit
from bridge.actions.workloads import APPS, TargetParams, look, read_workload
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan
from bridge.model.verification import Answer, Verification
from bridge.model.workload import at
from bridge.ports import ActionContext

POINTER = "/spec/paused"


class _Pausing(BaseAction):
    """What the two share; they differ in the value."""

    params: type[BaseModel] = TargetParams
    # A pause that somebody forgets holds up the next version; a resume that did not help goes back to what was.
    undo_failed = True
    paused: ClassVar[bool]
    example: Mapping[str, Any] = {"kind": "Deployment", "namespace": "o2ims-system", "name": "netweave-gateway"}

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (permit(APPS, "Deployment", "get", "patch"),)

    async def plan(self, context: ActionContext, params: TargetParams) -> Plan:
        """Plan the switch; empty when it is so already. No pod is disturbed by it."""
        workload = await read_workload(context, params, ("Deployment",))
        before = at(workload.document, "spec", "paused")
        word = "paused" if self.paused else "not paused"
        if bool(before) is self.paused:
            return self.planned(f"{workload.ref} is {word}")
        summary = f"{'pause' if self.paused else 'resume'} the rollouts of {workload.ref}"
        change = Change(ref=workload.ref, fields=(Field(POINTER, before, self.paused or None),), summary=summary)
        return self.planned(summary, change)

    async def verify(self, context: ActionContext, plan: Plan, params: TargetParams) -> Verification:
        """Fixed when the controller has seen it; whether what a resume lets go is complete, `rollout_status` says."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        if workload is None:
            return answer
        if bool(at(workload.document, "spec", "paused")) is not self.paused:
            word = "resumed" if self.paused else "paused"
            return Verification(Answer.NOT_FIXED, f"it is {word} again", final=True)
        seen = workload.rollout.observed
        return Verification(Answer.FIXED if seen else Answer.NOT_FIXED, workload.rollout.text)


class RolloutPause(_Pausing):
    """No new version is rolled out until somebody resumes."""

    name = "rollout_pause"
    summary = "Pause a Deployment's rollouts, as `kubectl rollout pause` does; the pods stay as they are."
    paused = True


class RolloutResume(_Pausing):
    """What was held back is rolled out."""

    name = "rollout_resume"
    summary = "Resume a Deployment's rollouts, as `kubectl rollout resume` does."
    paused = False
