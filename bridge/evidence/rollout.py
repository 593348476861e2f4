"""Collector `rollout`: how far a workload's newest revision is, and which revision was healthy before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from bridge.evidence.base import BaseCollector, Facts
from bridge.evidence.objects import (
    ObjectParams,
    age,
    read_revisions,
    read_workload,
    revision_permissions,
    workload_permission,
)
from bridge.model.controller_revisions import never_complete
from bridge.model.permission import Permission
from bridge.model.redact import redact
from bridge.model.revisions import Revision, last_healthy, never_ready, went_back
from bridge.model.workload import at, images, rollout_of
from bridge.ports import ActionContext

_MOST_HISTORY = 20
_LONGEST_CAUSE = 400


class RevisionBrief(Facts):
    revision: int = Field(description="Its number; 0: there is none.")
    image: str = Field(description="Its images, with commas between them.")
    age_seconds: float = Field(description="How long ago it became the newest.")
    judgement: str = Field(
        description="`current`, `same_template`, `ready`, `complete`, `proven`, `unproven` or `abandoned`."
    )


class RevisionItem(RevisionBrief):
    replica_set: str = Field(description="Name of the ReplicaSet or ControllerRevision that keeps it.")
    replicas: int = Field(description="Pods of it that there are.")
    ready: int = Field(description="Pods of it that are ready.")
    available: int = Field(description="Pods of it that are available.")
    change_cause: str = Field(description="Why it was made, as somebody noted it, without credentials.")


class RolloutFacts(Facts):
    kind: str = Field(description="Deployment, StatefulSet or DaemonSet.")
    desired: int = Field(description="How many pods there are to be.")
    updated: int = Field(description="Pods of the newest revision.")
    ready: int = Field(description="Pods that are ready.")
    available: int = Field(description="Pods that are available.")
    complete: bool = Field(description="Whether all pods are new and available and no old one is left.")
    observed: bool = Field(description="Whether its controller has taken up the newest spec.")
    progressing_failed: bool = Field(description="Whether the Deployment controller gave up waiting.")
    paused: bool = Field(description="Whether somebody paused its rollouts.")
    text: str = Field(description="How far it is, in a sentence.")
    revision: int = Field(description="Number of the newest revision; 0: not known.")
    image: str = Field(description="Images of its containers, with commas between them.")
    age_seconds: float = Field(description="How long ago the newest revision came.")
    replica_set: str = Field(description="Name of the ReplicaSet or ControllerRevision that keeps it.")
    went_back: bool = Field(description="Whether what runs was gone back to from a newer version.")
    never_ready: bool | None = Field(description="Whether the newest revision was never healthy; null: not known.")
    last_healthy: RevisionBrief = Field(description="The last revision that was healthy.")
    history: list[RevisionItem] = Field(description="Its revisions, the newest first, 20 at most.")


class RolloutEvidence(BaseCollector):
    name = "rollout"
    summary = "The state of a workload's rollout, and its revisions with their ReplicaSets or ControllerRevisions."
    params: type[BaseModel] = ObjectParams
    result: type[BaseModel] = RolloutFacts

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return [workload_permission(kind, params), *revision_permissions(kind, params)]

    async def gather(self, context: ActionContext, params: ObjectParams) -> RolloutFacts:
        """Return the state; `never_ready` is null where it cannot be known, which is unknown in a condition."""
        ref, workload = await read_workload(context, params)
        revisions = await read_revisions(context, ref, workload)
        state = rollout_of(ref.kind, workload)
        current = revisions[0] if revisions else None
        now = context.reach.clock.now()
        healthy = last_healthy(revisions)
        judge = never_ready if ref.kind == "Deployment" else never_complete
        return RolloutFacts(
            kind=ref.kind,
            desired=state.desired,
            updated=state.updated,
            ready=state.ready,
            available=state.available,
            complete=state.complete,
            observed=state.observed,
            progressing_failed=state.failed,
            paused=bool(at(workload, "spec", "paused")),
            text=state.text,
            revision=current.number if current else 0,
            image=", ".join(images(at(workload, "spec", "template") or {})),
            age_seconds=age(current.began_at, now) if current else 0.0,
            replica_set=current.replica_set if current else "",
            went_back=went_back(revisions),
            never_ready=judge(workload, current),
            last_healthy=_brief(healthy, now),
            history=[_full(revision, now) for revision in revisions[:_MOST_HISTORY]],
        )


def _brief(revision: Revision | None, now: float) -> RevisionBrief:
    if revision is None:
        return RevisionBrief(revision=0, image="", age_seconds=0.0, judgement="")
    return RevisionBrief(
        revision=revision.number,
        image=", ".join(revision.images),
        age_seconds=age(revision.began_at, now),
        judgement=revision.judgement,
    )


def _full(revision: Revision, now: float) -> RevisionItem:
    return RevisionItem(
        **dict(_brief(revision, now)),
        replica_set=revision.replica_set,
        replicas=revision.replicas,
        ready=revision.ready,
        available=revision.available,
        # Often a whole command line, with what it has set.
        change_cause=redact(revision.change_cause, longest=_LONGEST_CAUSE),
    )
