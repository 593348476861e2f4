"""`kubectl rollout undo`, to the last revision that was healthy instead of simply the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.permits import kind_of, permit
from bridge.actions.workloads import APPS, TargetParams, Workload, look, read_workload, refuse_idle, refuse_paused
from bridge.errors import PlanError, TemporaryError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, escape_token
from bridge.model.revisions import (
    CHANGE_CAUSE,
    REVISION,
    Revision,
    last_healthy,
    never_ready,
    revisions_of,
    went_back,
)
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, annotations_of, at, number, selector_of
from bridge.ports import ActionContext

_MOST_REPLICA_SETS = 500
_MOST_PODS = 500
_LOOK_AGAIN = 30.0
"""Seconds. Longer than a step is tried again without a break: after it, evidence and scenario are chosen anew."""
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
_WHY = {
    "ready": "it has {ready} ready pods",
    "proven": "it served for longer than the progress deadline",
    "unproven": "it is the newest one that is not known to be bad",
}


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
    summary = "Roll a Deployment back to its last healthy revision, or to a given one."
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
        return (
            permit(APPS, kind_of(kind, params), "get", "patch"),
            permit(APPS, "ReplicaSet", "list"),
            permit("v1", "Pod", "list"),
        )

    async def plan(self, context: ActionContext, params: UndoParams) -> Plan:
        """Plan the pod template of the revision; raise PlanError when there is none to go back to.

        Raises TemporaryError while the newest version has had no time to show what it is.
        """
        workload = await read_workload(context, params, ("Deployment",))
        refuse_paused(workload)
        refuse_idle(workload)
        current = annotations_of(workload.document).get(REVISION, "")
        if params.to_revision is not None and current == str(params.to_revision):
            return self.planned(f"{workload.ref} is at revision {current} already")
        revisions = await _revisions(context, workload)
        if params.to_revision is None:
            _refuse_second_step(workload, revisions)
            await _let_it_show_itself(context, workload, revisions[0], params.patience)
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
        return self.planned(summary, change)

    async def verify(self, context: ActionContext, plan: Plan, params: UndoParams) -> Verification:
        """Fixed when the rollout of the older template is complete."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        workload, answer = await look(context, plan)
        template = plan.changes[0].fields[0]
        if workload is not None and at(workload.document, "spec", "template") == template.before:
            return Verification(Answer.NOT_FIXED, "somebody brought the bad revision back", final=True)
        return answer


def _refuse_second_step(workload: Workload, revisions: Sequence[Revision]) -> None:
    """Raise PlanError where the current revision was gone back to: see bridge.model.revisions.went_back."""
    if went_back(revisions):
        raise PlanError(
            f"{workload.ref} was rolled back already, to revision {revisions[0].number}: that did not help, and a "
            "second step back is for a person (`to_revision`)"
        )


async def _let_it_show_itself(context: ActionContext, workload: Workload, newest: Revision, patience: float) -> None:
    """Raise TemporaryError while the newest revision is young, and none of its pods is ready or fails."""
    young = context.reach.clock.now() - newest.began_at < patience
    if not young or newest.ready or workload.rollout.failed or never_ready(workload.document, newest) is False:
        return
    pods = await context.reach.cluster.list(
        "v1", "Pod", workload.ref.namespace, labels=selector_of(workload.document), limit=_MOST_PODS
    )
    if not any(_fails(pod) for pod in pods if _is_of(pod, newest)):
        text = (
            f"revision {newest.number} of {workload.ref} began less than {patience:g} s ago: it may become ready yet"
        )
        raise TemporaryError(text, delay=_LOOK_AGAIN)


def _is_of(pod: Document, revision: Revision) -> bool:
    owners = at(pod, "metadata", "ownerReferences") or []
    return any((owner.get("kind"), owner.get("name")) == ("ReplicaSet", revision.replica_set) for owner in owners)


def _fails(pod: Document) -> bool:
    """Whether a container of the pod was restarted, ended with an error or cannot be started."""
    statuses = [
        *(at(pod, "status", "initContainerStatuses") or []),
        *(at(pod, "status", "containerStatuses") or []),
    ]
    return at(pod, "status", "phase") == "Failed" or any(
        number(status, "restartCount")
        or number(status, "state", "terminated", "exitCode")
        or str(at(status, "state", "waiting", "reason") or "") not in _STARTING
        for status in statuses
    )


async def _revisions(context: ActionContext, workload: Workload) -> list[Revision]:
    """Return the revisions, newest first; raise TemporaryError until the newest has its ReplicaSet."""
    selector = selector_of(workload.document)
    found = await context.reach.cluster.list(
        "apps/v1", "ReplicaSet", workload.ref.namespace, labels=selector, limit=_MOST_REPLICA_SETS
    )
    revisions = revisions_of(workload.document, found)
    if not revisions or not workload.rollout.observed:
        text = f"{workload.ref} has no settled revision: its controller has not taken up the newest version"
        raise TemporaryError(text, delay=_LOOK_AGAIN)
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
