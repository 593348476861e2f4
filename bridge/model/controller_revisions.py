"""The revisions of a StatefulSet or DaemonSet, from its ControllerRevisions. Pure functions.

Judged as a Deployment's are (bridge.model.revisions), by less: a revision that is gone back to gets the newest number
and forgets its old one, and no time of that is kept. What is known instead:

- a pod carries the revision that it was made from, so that one with ready pods is `ready`;
- a StatefulSet's `status.currentRevision` moves on only when a rollout is complete, so that it names one that was
  healthy as a whole (`complete`), unless it is the first that there ever was;
- one that is younger than the one numbered after it was left by going back: `abandoned`.

What is only `proven` or `unproven` is not known to have been healthy, and whoever takes it has to say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bridge.model.pod import is_leaving, is_ready
from bridge.model.revisions import (
    CHANGE_CAUSE,
    DEADLINE,
    Judgement,
    Revision,
    essence,
    served,
    with_restarts_of_abandoned,
)
from bridge.model.workload import Document, annotations_of, at, images, labels_of, number, owned_by, parse_time

HASH = "controller-revision-hash"
"""The pod's label: the revision's name for a StatefulSet, the end of it for a DaemonSet."""


def controller_revisions_of(
    workload: Document, kept: Sequence[Document], pods: Sequence[Document], *, wrong_since: float = math.inf
) -> list[Revision]:
    """Return the revisions, newest first; the first is the current one once the controller has seen the newest spec.

    `kept` are ControllerRevisions, `pods` the workload's pods; those of others are left out. `wrong_since`: when it
    began to be wrong, unix seconds.
    """
    uid = at(workload, "metadata", "uid")
    own = sorted((found for found in kept if owned_by(found, uid)), key=_number, reverse=True)
    mine = [pod for pod in pods if owned_by(pod, uid) and not is_leaving(pod)]
    live = at(workload, "spec", "template") or {}
    found = []
    for index, document in enumerate(own):
        members = [pod for pod in mine if is_of(pod, document["metadata"]["name"])]
        ready = sum(is_ready(pod) for pod in members)
        template = template_of(document, live)
        found.append(
            Revision(
                number=_number(document),
                replica_set=document["metadata"]["name"],
                images=images(template),
                began_at=_created(document),
                created_at=_created(document),
                returned=_returned(own, index),
                replicas=len(members),
                ready=ready,
                available=ready,
                judgement=_judge(workload, own, index, template, ready, wrong_since),
                change_cause=annotations_of(document).get(CHANGE_CAUSE, ""),
                template=template,
            )
        )
    return with_restarts_of_abandoned(found)


def is_of(pod: Document, revision: str) -> bool:
    """Whether the pod was made from the ControllerRevision of that name."""
    mark = labels_of(pod).get(HASH, "")
    return bool(mark) and (mark == revision or revision.endswith(f"-{mark}"))


def template_of(revision: Document, live: Document) -> dict[str, Any]:
    """Return the pod template that the revision's patch makes of a workload that has the template `live`.

    Its data is a strategic merge patch whose `$patch: replace` lets nothing of the live template stand. Nulls in it
    mean nothing; one that an older server itself answers with (`creationTimestamp`) stays as it is there.
    """
    template = at(revision, "data", "spec", "template") or {}
    plain = {key: _without_nulls(value) for key, value in template.items() if key != "$patch" and value is not None}
    metadata = at(live, "metadata") or {}
    nulls = {key: None for key, value in metadata.items() if value is None}
    if nulls:
        plain["metadata"] = {**nulls, **plain.get("metadata", {})}
    return plain


def never_complete(workload: Document, current: Revision | None) -> bool | None:
    """Whether no rollout of the current revision was ever complete and no pod of it is ready; None: not known.

    Known of StatefulSets alone: of a DaemonSet nothing is kept once a pod is not ready any more.
    """
    observed = number(workload, "status", "observedGeneration") >= number(workload, "metadata", "generation")
    if current is None or not observed:
        return None
    if current.ready:
        return False
    complete, newest = at(workload, "status", "currentRevision"), at(workload, "status", "updateRevision")
    if not complete or not newest or newest != current.replica_set:
        return None
    if complete != newest:
        return True
    return None if current.number == 1 else False


def _judge(
    workload: Document,
    own: Sequence[Document],
    index: int,
    template: dict[str, Any],
    ready: int,
    wrong_since: float,
) -> Judgement:
    document = own[index]
    if index == 0:
        return "current"
    if essence(template) == essence(dict(at(workload, "spec", "template") or {})):
        return "same_template"
    if ready:
        return "ready"
    if document["metadata"]["name"] == at(workload, "status", "currentRevision") and _number(document) > 1:
        return "complete"
    follower = own[index - 1]
    if _created(follower) < _created(document) and not _returned(own, index):
        return "abandoned"
    return served(_created(document), _created(follower), DEADLINE, wrong_since)


def _returned(own: Sequence[Document], index: int) -> bool:
    """Whether somebody went back to it: then one that came later has a smaller number."""
    return any(_created(older) > _created(own[index]) for older in own[index + 1 :])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _created(revision: Document) -> float:
    return parse_time(at(revision, "metadata", "creationTimestamp"))


def _number(revision: Document) -> int:
    return number(revision, "revision")
