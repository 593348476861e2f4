"""A Deployment's revisions, from its ReplicaSets, and which of them was the last healthy one. Pure functions.

Kubernetes does not record whether a revision was ever healthy: a ReplicaSet of an old revision stands at zero
whether it served for a year or crashed at once. So it is judged by what its ReplicaSets still show, best first:

1. `ready`: it has ready pods now. A rolling update keeps the old revision's pods until the new ones are available,
   so that this is the usual case after a bad deployment.
2. `proven`: it stayed the newest for longer than its Deployment's progress deadline (10 min by default), the time
   that Kubernetes itself gives a rollout to succeed, and was not abandoned. Time in which an alert already said that
   something is wrong does not count: what came shortly before it, or since, served nobody.
3. `unproven`: it was replaced sooner, by a newer template.

Never chosen by itself, because it is known to be no mend: the current revision, one with the same template (but for
a restart's time) as the current one, and an `abandoned` one, which somebody left by going back to an older template
(unless somebody had gone back to that one as well: then people took it for good), with its restarts.

StatefulSets and DaemonSets keep ControllerRevisions instead: bridge.model.controller_revisions judges those alike.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec

from bridge.model.workload import (
    RESTARTED_AT,
    Document,
    annotations_of,
    at,
    condition,
    images,
    number,
    owned_by,
    parse_time,
)

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
TEMPLATE_HASH = "pod-template-hash"
CHANGE_CAUSE = "kubernetes.io/change-cause"
DEADLINE = 600
"""Seconds that Kubernetes gives a rollout unless its Deployment says otherwise."""

Judgement = Literal["current", "same_template", "ready", "complete", "proven", "unproven", "abandoned"]


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One revision of a workload: one of its ReplicaSets, or one of its ControllerRevisions."""

    number: int
    replica_set: str
    """The name of what keeps it: its ReplicaSet or its ControllerRevision."""
    images: tuple[str, ...]
    began_at: float
    """When it last became the newest, unix seconds."""
    created_at: float
    """When it was the newest for the first time."""
    returned: bool
    """Whether it became the newest more than once."""
    replicas: int
    ready: int
    available: int
    judgement: Judgement
    change_cause: str
    template: dict[str, Any]
    """As the Deployment had it: without the label that the ReplicaSet adds."""


def revisions_of(
    deployment: Document, replica_sets: Sequence[Document], *, wrong_since: float = math.inf
) -> list[Revision]:
    """Return the revisions, newest first; the first is the current one. ReplicaSets of others are left out.

    `wrong_since`: when it began to be wrong, unix seconds.
    """
    uid = at(deployment, "metadata", "uid")
    own = [rs for rs in replica_sets if owned_by(rs, uid) and _revision(rs)]
    own.sort(key=_revision, reverse=True)
    numbers = {n: rs for rs in own for n in (*_history(rs), _revision(rs))}
    deadline = at(deployment, "spec", "progressDeadlineSeconds") or DEADLINE
    current = clean_template(at(deployment, "spec", "template") or {})
    found = []
    for index, rs in enumerate(own):
        newer = own[index - 1] if index else None
        found.append(
            Revision(
                number=_revision(rs),
                replica_set=rs["metadata"]["name"],
                images=images(at(rs, "spec", "template") or {}),
                began_at=_began(deployment, rs),
                created_at=_created(rs),
                returned=bool(_history(rs)),
                replicas=number(rs, "status", "replicas"),
                ready=number(rs, "status", "readyReplicas"),
                available=number(rs, "status", "availableReplicas"),
                judgement=_judge(rs, newer, numbers, current, deadline, wrong_since),
                change_cause=annotations_of(rs).get(CHANGE_CAUSE, ""),
                template=clean_template(at(rs, "spec", "template") or {}),
            )
        )
    return with_restarts_of_abandoned(found)


def went_back(revisions: Sequence[Revision]) -> bool:
    """Whether the version that runs was gone back to from a newer one, restarts of it included.

    To go back once more from there would walk through the history, one version at each alert: what is wrong now was
    not brought by the version.
    """
    for revision, before in pairwise(revisions):
        if revision.judgement not in ("current", "same_template"):
            return False
        if revision.returned and before.created_at > revision.created_at:
            return True
    return False


def last_healthy(revisions: Sequence[Revision]) -> Revision | None:
    """Return the newest revision of the best judgement that is there, None when there is none to go back to."""
    for judgement in ("ready", "complete", "proven", "unproven"):
        for revision in revisions:
            if revision.judgement == judgement:
                return revision
    return None


def clean_template(template: Document) -> dict[str, Any]:
    """Return the pod template as `kubectl rollout undo` puts it back: without the ReplicaSet's own label."""
    cleaned = copy.deepcopy(dict(template))
    label = at(cleaned, "metadata", "labels")
    if label:
        label.pop(TEMPLATE_HASH, None)
    return cleaned


def never_ready(deployment: Document, current: Revision | None) -> bool | None:
    """Whether no rollout of the current revision was ever complete and no pod of it is ready now; None: not known.

    The Progressing condition keeps reason NewReplicaSetAvailable from the moment when a rollout was complete until
    the next one begins, however the pods fare later. Without a progress deadline there is no such condition.
    """
    observed = number(deployment, "status", "observedGeneration") >= number(deployment, "metadata", "generation")
    if current is None or not observed:
        return None
    if current.ready or current.available:
        return False
    progressing = condition(deployment, "Progressing")
    if not progressing:
        return None
    if progressing.get("reason") == "DeploymentResumed":
        # A resume takes the place of what the condition said before.
        return None
    if progressing.get("reason") != "NewReplicaSetAvailable":
        return True
    # The controller renews the condition a moment after it makes the ReplicaSet.
    message = str(progressing.get("message") or "")
    return message.startswith("ReplicaSet ") and f'"{current.replica_set}"' not in message


def version_began(revisions: Sequence[Revision]) -> float:
    """Return when the version that runs came (unix seconds): restarts of it are no new version. 0.0: not known."""
    if not revisions:
        return 0.0
    began = revisions[0].began_at
    for revision in revisions[1:]:
        if revision.judgement != "same_template":
            break
        began = min(began, revision.began_at)
    return began


def with_restarts_of_abandoned(revisions: Sequence[Revision]) -> list[Revision]:
    """Return the revisions with those as abandoned that differ from an abandoned one by a restart alone."""
    left = [essence(revision.template) for revision in revisions if revision.judgement == "abandoned"]
    return [
        msgspec.structs.replace(revision, judgement="abandoned")
        if revision.judgement in ("proven", "unproven")
        and not revision.returned
        and essence(revision.template) in left
        else revision
        for revision in revisions
    ]


def _judge(
    rs: Document,
    newer: Document | None,
    numbers: dict[int, Document],
    current: dict[str, Any],
    deadline: int,
    wrong_since: float,
) -> Judgement:
    if newer is None:
        return "current"
    if essence(clean_template(at(rs, "spec", "template") or {})) == essence(current):
        return "same_template"
    if number(rs, "status", "readyReplicas") or number(rs, "status", "availableReplicas"):
        return "ready"
    follower = numbers.get(_revision(rs) + 1, newer)
    gone_back = any(n < _revision(rs) for n in _history(follower))
    if gone_back and not _history(rs):
        return "abandoned"
    return served(_created(rs), _created(follower), deadline, wrong_since)


def served(began: float, ended: float, deadline: float, wrong_since: float) -> Judgement:
    """Return what is known of a revision that was the newest from `began` to `ended`, unix seconds."""
    return "proven" if min(ended, wrong_since) - began > deadline else "unproven"


def essence(template: dict[str, Any]) -> dict[str, Any]:
    """Return the template without the time of a restart: a restarted bad revision is the same bad revision."""
    bare = copy.deepcopy(template)
    (bare.get("metadata") or {}).pop("creationTimestamp", None)
    notes = at(bare, "metadata", "annotations")
    if notes:
        notes.pop(RESTARTED_AT, None)
    if not notes:
        (bare.get("metadata") or {}).pop("annotations", None)
    return bare


def _began(deployment: Document, rs: Document) -> float:
    """When the revision last became the newest.

    A ReplicaSet that was gone back to is older than its latest turn; the Progressing condition was last updated in
    that turn, and stays as it is once the rollout is complete.
    """
    created = _created(rs)
    is_current = annotations_of(rs).get(REVISION) == annotations_of(deployment).get(REVISION)
    if is_current and _history(rs):
        return max(created, parse_time(condition(deployment, "Progressing").get("lastUpdateTime")))
    return created


def _created(rs: Document) -> float:
    return parse_time(at(rs, "metadata", "creationTimestamp"))


def _revision(rs: Document) -> int:
    text = annotations_of(rs).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def _history(rs: Document) -> list[int]:
    return [int(n) for n in annotations_of(rs).get(HISTORY, "").split(",") if n.strip().isdecimal()]
