"""A workload's revisions as the actions need them: read, settled, and with the pods of the newest. Reads only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from bridge.actions.workloads import APPS, Workload
from bridge.errors import TemporaryError
from bridge.model.controller_revisions import controller_revisions_of, is_of, never_complete
from bridge.model.pod import controller_of
from bridge.model.revisions import REVISION, Revision, never_ready, revisions_of
from bridge.model.workload import Document, annotations_of, at, selector_of
from bridge.ports import ActionContext

_MOST_REVISIONS = 500
_MOST_PODS = 1000
_LOOK_AGAIN = 30.0
"""Seconds. Longer than a step is tried again without a break: after it, evidence and scenario are chosen anew."""


class History(msgspec.Struct, frozen=True):
    """The revisions of a workload, newest (and current) first; there is at least one."""

    workload: Workload
    revisions: tuple[Revision, ...]

    @property
    def current(self) -> Revision:
        return self.revisions[0]

    @property
    def never_ready(self) -> bool | None:
        """Whether no rollout of the current revision was ever complete; None: not known."""
        judge = never_ready if self.workload.ref.kind == "Deployment" else never_complete
        return judge(self.workload.document, self.current)

    def is_current(self, pod: Document) -> bool:
        """Whether the pod was made from the current revision."""
        if self.workload.ref.kind == "Deployment":
            owner = controller_of(pod)
            return (owner.get("kind"), owner.get("name")) == ("ReplicaSet", self.current.replica_set)
        return is_of(pod, self.current.replica_set)


async def read_history(context: ActionContext, workload: Workload) -> History:
    """Return the revisions; raise TemporaryError until the controller has taken up the newest version."""
    ref, document = workload.ref, workload.document
    kind = "ReplicaSet" if ref.kind == "Deployment" else "ControllerRevision"
    kept = await context.reach.cluster.list(
        APPS, kind, ref.namespace, labels=selector_of(document), limit=_MOST_REVISIONS
    )
    since = context.run.started_at if context.run is not None and context.run.started_at else math.inf
    if kind == "ReplicaSet":
        found = revisions_of(document, kept, wrong_since=since)
    else:
        found = controller_revisions_of(document, kept, await read_pods(context, workload), wrong_since=since)
    if not workload.rollout.observed or not _settled(workload, found):
        text = f"{ref} has no settled revision: its controller has not taken up the newest version"
        raise TemporaryError(text, delay=_LOOK_AGAIN)
    return History(workload, tuple(found))


async def read_pods(context: ActionContext, workload: Workload) -> list[dict[str, object]]:
    """Return the pods that the workload selects, those of others among them."""
    selector = selector_of(workload.document)
    return await context.reach.cluster.list("v1", "Pod", workload.ref.namespace, labels=selector, limit=_MOST_PODS)


def _settled(workload: Workload, found: Sequence[Revision]) -> bool:
    """Whether the newest revision is the one that the controller rolls out."""
    if not found:
        return False
    if workload.ref.kind == "StatefulSet":
        return bool(at(workload.document, "status", "updateRevision") == found[0].replica_set)
    if workload.ref.kind == "Deployment":
        revision = annotations_of(workload.document).get(REVISION)
        return revision is None or revision == str(found[0].number)
    return True
