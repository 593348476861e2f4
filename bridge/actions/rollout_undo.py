"""`kubectl rollout undo`, to the last revision that was healthy instead of simply the one before."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.workloads import TargetParams, Workload, look, read_workload, refuse_paused
from bridge.errors import PlanError
from bridge.model.plan import Change, Field, Plan, Repeat, Undo, escape_token
from bridge.model.revisions import CHANGE_CAUSE, REVISION, Revision, last_healthy, revisions_of
from bridge.model.verification import Answer, Verification
from bridge.model.workload import annotations_of, at, selector_of
from bridge.ports import ActionContext

_MOST_REPLICA_SETS = 500
_WHY = {
    "ready": "it has {ready} ready pods",
    "proven": "it served for longer than the progress deadline",
    "unproven": "it is the newest one that is not known to be bad",
}


class UndoParams(TargetParams):
    to_revision: int | None = ParamField(default=None, ge=1)
    """A revision's number; left out: the last one that was healthy (see bridge.model.revisions)."""


class RolloutUndo:
    """Implements bridge.ports.Action."""

    name = "rollout_undo"
    summary = "Roll a Deployment back to its last healthy revision, or to a given one."
    params: type[BaseModel] = UndoParams
    repeat = Repeat.SAFE
    undo = Undo.EXACT
    # It would bring the revision back that was bad enough to leave.
    undo_failed = False

    async def plan(self, context: ActionContext, params: UndoParams) -> Plan:
        """Plan the pod template of the revision; raise PlanError when there is none to go back to."""
        workload = await read_workload(context, params, ("Deployment",))
        refuse_paused(workload)
        current = annotations_of(workload.document).get(REVISION, "")
        if params.to_revision is not None and current == str(params.to_revision):
            return self._plan(f"{workload.ref} is at revision {current} already", ())
        revisions = await _revisions(context, workload)
        chosen = _choose(workload, revisions, params.to_revision)
        summary = (
            f"roll {workload.ref} back from revision {current or '?'} ({_images(revisions[:1])}) "
            f"to {chosen.number} ({_images([chosen])})"
        )
        if chosen.judgement in _WHY:
            summary += f": {_WHY[chosen.judgement].format(ready=chosen.ready)}"
        change = Change(
            ref=workload.ref,
            fields=tuple(_fields(workload, chosen, current)),
            summary=summary,
            disruption=workload.disruption,
        )
        return self._plan(summary, (change,))

    async def verify(self, context: ActionContext, plan: Plan, params: UndoParams) -> Verification:
        """Fixed when the rollout of the older template is complete."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        template = plan.changes[0].fields[0]
        if workload is not None and at(workload.document, "spec", "template") == template.before:
            return Verification(Answer.NOT_FIXED, "somebody brought the bad revision back", final=True)
        return answer

    def _plan(self, summary: str, changes: tuple[Change, ...]) -> Plan:
        return Plan(
            action=self.name,
            summary=summary,
            changes=changes,
            repeat=self.repeat,
            undo=self.undo,
            undo_failed=self.undo_failed,
        )


async def _revisions(context: ActionContext, workload: Workload) -> list[Revision]:
    """Return the revisions, newest first; raise PlanError until the newest has its ReplicaSet."""
    selector = selector_of(workload.document)
    found = await context.reach.cluster.list(
        "apps/v1", "ReplicaSet", workload.ref.namespace, labels=selector, limit=_MOST_REPLICA_SETS
    )
    revisions = revisions_of(workload.document, found)
    if not revisions or not workload.rollout.observed:
        raise PlanError(f"{workload.ref} has no settled revision: its controller has not taken up the newest version")
    return revisions


def _choose(workload: Workload, revisions: Sequence[Revision], wanted: int | None) -> Revision:
    if wanted is None:
        chosen = last_healthy(revisions)
        if chosen is None:
            known = ", ".join(f"{r.number} ({r.judgement})" for r in revisions)
            raise PlanError(f"{workload.ref} has no healthy revision to go back to; it has {known}")
        return chosen
    for revision in revisions:
        if revision.number == wanted:
            return revision
    known = ", ".join(str(r.number) for r in revisions)
    raise PlanError(f"{workload.ref} has no revision {wanted}; it has {known}")


def _fields(workload: Workload, chosen: Revision, current: str) -> list[Field]:
    fields = [Field("/spec/template", at(workload.document, "spec", "template"), chosen.template)]
    cause, old_cause = chosen.change_cause or None, annotations_of(workload.document).get(CHANGE_CAUSE)
    if cause != old_cause:
        # As kubectl does: the cause that is shown belongs to the version that runs.
        fields.append(Field(f"/metadata/annotations/{escape_token(CHANGE_CAUSE)}", old_cause, cause))
    # Somebody else's rollout in between makes this plan wrong even when it brings the same template.
    fields.append(Field(f"/metadata/annotations/{escape_token(REVISION)}", current or None, current, change=False))
    return fields


def _images(revisions: Sequence[Revision]) -> str:
    return ", ".join(image for revision in revisions for image in revision.images) or "no image"
