"""Collector `rollout`: how far a workload's newest revision is, and which revision was healthy before."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from bridge.evidence.objects import ObjectParams, age, read_revisions, read_workload
from bridge.model.redact import redact
from bridge.model.revisions import Revision, last_healthy, never_ready, went_back
from bridge.model.workload import at, images, rollout_of
from bridge.ports import ActionContext

_MOST_HISTORY = 20
_LONGEST_CAUSE = 400
_NO_REVISION = {"revision": 0, "image": "", "age_seconds": 0.0, "judgement": ""}


class RolloutEvidence:
    """Implements bridge.ports.Collector."""

    name = "rollout"
    summary = "The state of a workload's rollout and, of a Deployment, its revisions with their ReplicaSets."
    params: type[BaseModel] = ObjectParams

    async def collect(self, context: ActionContext, params: ObjectParams) -> dict[str, Any]:
        """Return the state; `never_ready` is null where it cannot be known, which is unknown in a condition.

        `revision` is 0 and `history` empty for kinds without ReplicaSets.
        """
        ref, workload = await read_workload(context, params)
        revisions = await read_revisions(context, ref, workload)
        state = rollout_of(ref.kind, workload)
        current = revisions[0] if revisions else None
        now = context.reach.clock.now()
        own = images(at(workload, "spec", "template") or {})
        healthy = last_healthy(revisions)
        return {
            "kind": ref.kind,
            "desired": state.desired,
            "updated": state.updated,
            "ready": state.ready,
            "available": state.available,
            "complete": state.complete,
            "observed": state.observed,
            "progressing_failed": state.failed,
            "paused": bool(at(workload, "spec", "paused")),
            "text": state.text,
            "revision": current.number if current else 0,
            "image": ", ".join(own),
            "age_seconds": age(current.began_at, now) if current else 0.0,
            "replica_set": current.replica_set if current else "",
            "went_back": went_back(revisions),
            "never_ready": never_ready(workload, current),
            "last_healthy": _brief(healthy, now) if healthy else dict(_NO_REVISION),
            "history": [_full(revision, now) for revision in revisions[:_MOST_HISTORY]],
        }


def _brief(revision: Revision, now: float) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "image": ", ".join(revision.images),
        "age_seconds": age(revision.began_at, now),
        "judgement": revision.judgement,
    }


def _full(revision: Revision, now: float) -> dict[str, Any]:
    return {
        **_brief(revision, now),
        "replica_set": revision.replica_set,
        "replicas": revision.replicas,
        "ready": revision.ready,
        "available": revision.available,
        # Often a whole command line, with what it has set.
        "change_cause": redact(revision.change_cause, longest=_LONGEST_CAUSE),
    }
