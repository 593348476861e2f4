"""`kubectl rollout undo`, to the last revision that was healthy instead of simply the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.history import History, read_history, read_pods
from bridge.actions.permits import kind_of, permit
from bridge.actions.stuck_pods import permissions_for_stuck_pods, remove_stuck_pods
from bridge.actions.workloads import (
    APPS,
    TargetParams,
    Workload,
    look,
    read_workload,
    refuse_idle,
    refuse_on_delete,
    refuse_paused,
)
from bridge.errors import PlanError, TemporaryError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field, Plan, escape_token
from bridge.model.pod import is_failing
from bridge.model.revisions import CHANGE_CAUSE, REVISION, Revision, last_healthy, went_back
from bridge.model.verification import Answer, Verification
from bridge.model.workload import annotations_of, at
from bridge.ports import ActionContext

TEMPLATE = "/spec/template"
_LOOK_AGAIN = 30.0
"""Seconds. Longer than a step is tried again without a break: after it, evidence and scenario are chosen anew."""
_WHY = {
    "ready": "it has {ready} ready pods",
    "complete": "its rollout was complete",
    "proven": "it served for longer than the progress deadline",
    "unproven": "it is the newest one that is not known to be bad",
}
_NOT_KNOWN = (
    "whether revision {number} was ever healthy is not known: Kubernetes keeps no record of it; revisions that "
    "somebody left by going back are not considered"
)


class UndoParams(TargetParams):
    to_revision: int | None = ParamField(
        default=None, ge=1, description="A revision's number; left out: the last one that was healthy."
    )
    patience: float = ParamField(
        default=60.0,
        ge=0,
        le=3600,
        description="Seconds that a version gets to show itself, by a ready pod or a failing one, before it is "
        "rolled back. Without it, a mend that somebody has just rolled out is undone before it could start.",
    )


class RolloutUndo(BaseAction):
    """An older pod template again, chosen by what is known of the revisions."""

    name = "rollout_undo"
    summary = "Roll a Deployment, StatefulSet or DaemonSet back to its last healthy revision, or to a given one."
    params: type[BaseModel] = UndoParams
    example: Mapping[str, Any] = {
        "kind": "Deployment",
        "namespace": "o2ims-system",
        "name": "netweave-gateway",
        "patience": 60,
    }
    # It would bring the revision back that was bad enough to leave.
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        kind = kind_of(kind, params)
        kept = "ReplicaSet" if kind == "Deployment" else "ControllerRevision"
        return (
            permit(APPS, kind, "get", "patch"),
            permit(APPS, kept, "list"),
            permit("v1", "Pod", "list"),
            *permissions_for_stuck_pods(kind, params),
        )

    async def plan(self, context: ActionContext, params: UndoParams) -> Plan:
        """Plan the pod template of the revision; raise PlanError when there is none to go back to.

        Raises TemporaryError while the newest version has had no time to show what it is.
        """
        workload = await read_workload(context, params)
        refuse_paused(workload)
        refuse_idle(workload)
        refuse_on_delete(workload)
        history = await read_history(context, workload)
        current = history.current
        if params.to_revision is None:
            _refuse_second_step(history)
            await _let_it_show_itself(context, history, params.patience)
        chosen = _choose(history, params.to_revision)
        if chosen is current or chosen.template == at(workload.document, "spec", "template"):
            return self.planned(f"{workload.ref} is at the template of revision {chosen.number} already")
        summary = (
            f"roll {workload.ref} back from revision {current.number} ({_images(current)}) "
            f"to {chosen.number} ({_images(chosen)})"
        )
        if chosen.judgement in _WHY:
            summary += f": {_WHY[chosen.judgement].format(ready=chosen.ready)}"
        change = Change(
            ref=workload.ref,
            fields=tuple(_fields(workload, chosen)),
            summary=summary,
            disruption=_disruption(workload, chosen),
        )
        stuck = await remove_stuck_pods(context, workload, keep=chosen.replica_set)
        known = params.to_revision is not None or chosen.judgement != "unproven"
        notes = () if known else (_NOT_KNOWN.format(number=chosen.number),)
        return self.planned(summary, change, *stuck, notes=notes)

    async def verify(self, context: ActionContext, plan: Plan, params: UndoParams) -> Verification:
        """Fixed when the rollout of the older template is complete."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        template = plan.changes[0].fields[0]
        if workload is not None and at(workload.document, "spec", "template") == template.before:
            return Verification(Answer.NOT_FIXED, "somebody brought the bad revision back", final=True)
        return answer


def _refuse_second_step(history: History) -> None:
    """Raise PlanError where the current revision was gone back to: see bridge.model.revisions.went_back."""
    if went_back(history.revisions):
        raise PlanError(
            f"{history.workload.ref} was rolled back already, to revision {history.current.number}: that did not "
            "help, and a second step back is for a person (`to_revision`)"
        )


async def _let_it_show_itself(context: ActionContext, history: History, patience: float) -> None:
    """Raise TemporaryError while the newest revision is young, and none of its pods is ready or fails."""
    workload, newest = history.workload, history.current
    young = context.reach.clock.now() - newest.began_at < patience
    if not young or newest.ready or workload.rollout.failed or history.never_ready is False:
        return
    pods = await read_pods(context, workload)
    if not any(is_failing(pod) for pod in pods if history.is_current(pod)):
        text = (
            f"revision {newest.number} of {workload.ref} began less than {patience:g} s ago: it may become ready yet"
        )
        raise TemporaryError(text, delay=_LOOK_AGAIN)


def _choose(history: History, wanted: int | None) -> Revision:
    ref, revisions = history.workload.ref, history.revisions
    if wanted is None:
        chosen = last_healthy(revisions)
        if chosen is None:
            known = ", ".join(f"{r.number} ({r.judgement})" for r in revisions)
            raise PlanError(f"{ref} has no healthy revision to go back to; it has {known}")
        return chosen
    for revision in revisions:
        if revision.number == wanted:
            return revision
    known = ", ".join(str(r.number) for r in revisions)
    raise PlanError(f"{ref} has no revision {wanted}; it has {known}")


def _fields(workload: Workload, chosen: Revision) -> list[Field]:
    """Return the template, and what shows that nobody has rolled out something else meanwhile.

    Somebody else's rollout in between makes this plan wrong even when it brings the same template.
    """
    document = workload.document
    fields = [Field(TEMPLATE, at(document, "spec", "template"), chosen.template)]
    if workload.ref.kind == "StatefulSet":
        revision = at(document, "status", "updateRevision")
        return [*fields, Field("/status/updateRevision", revision, revision, change=False)]
    if workload.ref.kind == "DaemonSet":
        generation = at(document, "metadata", "generation")
        return [*fields, Field("/metadata/generation", generation, generation, change=False)]
    cause, old_cause = chosen.change_cause or None, annotations_of(document).get(CHANGE_CAUSE)
    if cause != old_cause:
        # As kubectl does: the cause that is shown belongs to the version that runs.
        fields.append(Field(f"/metadata/annotations/{escape_token(CHANGE_CAUSE)}", old_cause, cause))
    current = annotations_of(document).get(REVISION)
    fields.append(Field(f"/metadata/annotations/{escape_token(REVISION)}", current, current, change=False))
    return fields


def _disruption(workload: Workload, chosen: Revision) -> Disruption:
    """Return what the rollback replaces: pods that are ready now, but for those of the chosen revision."""
    whole = workload.disruption
    lost = max(whole.ready_pods - chosen.ready, 0)
    return Disruption(lost, round(whole.percent * lost / whole.ready_pods, 1) if whole.ready_pods else 0.0)


def _images(revision: Revision) -> str:
    return ", ".join(revision.images) or "no image"
