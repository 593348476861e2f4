"""Which pods an action on pods means, and whether their controller has replaced them. Reads only.

Pods are named, selected by labels, or are those of a workload. Labels come as a mapping, never as the text of a
selector: a value from an alert cannot add terms of its own, and an empty mapping is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from pydantic import Field as ParamField
from pydantic import model_validator

from bridge.actions.permits import permit
from bridge.actions.workloads import APPS, TargetParams, read_workload
from bridge.errors import KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field, Operation
from bridge.model.pod import controller_of, is_crashlooping, is_done, is_leaving, is_mirror, is_oom_killed, is_ready
from bridge.model.target import ObjectRef, check_name, check_namespace
from bridge.model.verification import Answer, Verification
from bridge.model.workload import WORKLOADS, Document, at, number, ref_of, rollout_of, selector_of
from bridge.ports import ActionContext

OWNERS = "/metadata/ownerReferences"
_MOST_PODS = 1000
_KEPT = ("ReplicaSet", "StatefulSet", "DaemonSet")
"""Controllers that make a new pod for one that goes, and say how many are ready."""

Only = Literal["not_ready", "crashlooping", "oom_killed", "all"]
Label = Annotated[str, ParamField(max_length=317)]

_JUDGES: Mapping[str, Callable[[Document], bool]] = {
    "not_ready": lambda pod: not is_ready(pod) and not is_done(pod),
    "crashlooping": is_crashlooping,
    "oom_killed": is_oom_killed,
    "all": lambda pod: True,
}


class PodParams(TargetParams):
    """The pods of the workload that `kind` and `name` say, of `labels`, or the one called `pod`."""

    pod: str | None = ParamField(default=None, max_length=253, description="Name of one pod.")
    labels: dict[Label, Label] | None = ParamField(
        default=None, min_length=1, max_length=20, description="Labels that the pods have; all of them have to match."
    )
    only: Only | None = ParamField(
        default=None,
        description="Which of them: those that are not ready, crash again and again, or ran out of memory; `all` is "
        "what a named pod gets, `not_ready` everything else.",
    )
    at_most: int = ParamField(default=1, ge=1, le=50, description="No more pods than this, the oldest first.")
    allow_bare: bool = ParamField(
        default=False, description="Whether a pod without a controller, which nobody makes again, may go."
    )
    grace_seconds: int | None = ParamField(
        default=None, ge=1, le=3600, description="Time to end its work, in seconds; left out: the pod's own."
    )

    @model_validator(mode="after")
    def _one_way(self) -> PodParams:
        if self.pod is not None and (self.labels is not None or self.name is not None):
            raise ValueError("give `pod`, `labels`, or the `name` of a workload: one of them")
        if self.labels is not None and self.name is not None:
            raise ValueError("give `labels` or the `name` of a workload, not both")
        return self


class Choice(msgspec.Struct, frozen=True):
    """The pods that are meant, and what was found beside them."""

    pods: tuple[Document, ...]
    found: int
    """How many pods there are in all."""
    ready: int
    matching: int
    """How many are as `only` wants them."""
    leaving: int
    where: str
    """What was looked at, for people."""


async def choose(context: ActionContext, params: PodParams) -> Choice:
    """Return the pods; raise PlanError for those that would not come back, InvalidInput for wrong names or labels."""
    pods, where = await _candidates(context, params)
    named = params.pod is not None or _is_pod(context, params)
    judge = _JUDGES[params.only or ("all" if named else "not_ready")]
    present = [pod for pod in pods if not is_leaving(pod)]
    matching = sorted((pod for pod in present if judge(pod)), key=_oldest_first)
    chosen = matching[: params.at_most]
    for pod in chosen:
        _refuse_what_stays_away(pod, params, f"pod {at(pod, 'metadata', 'name')}")
    ready = sum(is_ready(pod) for pod in present)
    return Choice(tuple(chosen), len(present), ready, len(matching), len(pods) - len(present), where)


def removals(choice: Choice, cluster: str, operation: Operation, params: PodParams) -> tuple[Change, ...]:
    """Return one change for each pod. It relies on the pod's controller, and on not being ready where it was not."""
    verb = "evict" if operation is Operation.EVICT else "delete"
    lost = sum(is_ready(pod) for pod in choice.pods)
    percent = round(100 * lost / choice.found, 1) if choice.found else 0.0
    changes = []
    for pod in choice.pods:
        ref = ref_of(pod, "v1", "Pod", cluster)
        owners = at(pod, "metadata", "ownerReferences")
        fields = [Field(OWNERS, owners, owners, change=False), *_not_ready(pod)]
        disruption = Disruption(1, percent) if is_ready(pod) else Disruption()
        state = "ready" if is_ready(pod) else "not ready"
        changes.append(
            Change(
                ref=ref,
                operation=operation,
                fields=tuple(fields),
                grace_seconds=params.grace_seconds,
                summary=f"{verb} {ref}, which is {state}",
                disruption=disruption,
            )
        )
    return tuple(changes)


async def replaced(context: ActionContext, changes: Sequence[Change]) -> Verification:
    """Return whether the pods are gone, and their controllers have as many ready ones as they want."""
    for change in changes:
        try:
            found = await context.reach.cluster.get(change.ref)
        except KubeNotFound:
            continue
        if at(found, "metadata", "uid") == change.ref.uid:
            state = "is ending" if is_leaving(found) else "is still there"
            return Verification(Answer.NOT_FIXED, f"{change.ref} {state}")
    told = []
    for kind, name, uid in sorted({_controller(change) for change in changes}):
        owner = ObjectRef(APPS, kind, changes[0].ref.namespace, name, uid, changes[0].ref.cluster)
        if kind in _KEPT and (text := await _wanting(context, owner)):
            return Verification(Answer.NOT_FIXED, text)
        told.append(f"{kind.lower()}/{name}" if kind else "no controller")
    return Verification(Answer.FIXED, f"{len(changes)} pods are gone; {', '.join(told)} has what it wants")


def pod_permissions(*verbs: str, subresource: str = "") -> Sequence[Permission]:
    """Return what choosing, removing and proving ask for."""
    own = ("get", "list") if subresource else ("get", "list", *verbs)
    removing = (permit("v1", "Pod", *verbs, subresource=subresource),) if subresource else ()
    owners = (*WORKLOADS, "ReplicaSet")
    return (permit("v1", "Pod", *own), *removing, *(permit(APPS, kind, "get") for kind in owners))


async def _candidates(context: ActionContext, params: PodParams) -> tuple[list[Document], str]:
    """Return the pods among which is chosen, and what they are called for people."""
    cluster, target = context.reach.cluster, context.target
    namespace = check_namespace(params.namespace or target.namespace)
    name = check_name(params.pod or params.name or target.name)
    if params.labels is not None:
        found = await cluster.list("v1", "Pod", namespace, labels=params.labels, limit=_MOST_PODS)
        labels = ", ".join(f"{key}={value}" for key, value in sorted(params.labels.items()))
        return list(found), f"pods with {labels} in {namespace}"
    if params.pod is not None or _is_pod(context, params):
        ref = ObjectRef("v1", "Pod", namespace, name, cluster=target.cluster)
        return [await cluster.get(ref)], str(ref)
    workload = await read_workload(context, params)
    found = await cluster.list("v1", "Pod", namespace, labels=selector_of(workload.document), limit=_MOST_PODS)
    return list(found), f"pods of {workload.ref}"


def _is_pod(context: ActionContext, params: PodParams) -> bool:
    return params.labels is None and (params.kind or context.target.kind) == "Pod"


def _refuse_what_stays_away(pod: Document, params: PodParams, which: str) -> None:
    if is_mirror(pod):
        raise PlanError(f"{which} only shows a static pod of its node: deleting it does nothing to what runs there")
    if not controller_of(pod) and not params.allow_bare:
        raise PlanError(f"{which} has no controller that would make it again: set `allow_bare` if it may go for good")


def _not_ready(pod: Document) -> list[Field]:
    """Return what says that the pod is not ready: one that has recovered meanwhile is not to be taken away."""
    for place, found in enumerate(at(pod, "status", "conditions") or []):
        if found.get("type") == "Ready" and found.get("status") != "True":
            pointer = f"/status/conditions/{place}"
            status = found.get("status")
            return [
                Field(f"{pointer}/type", "Ready", "Ready", change=False),
                Field(f"{pointer}/status", status, status, change=False),
            ]
    return []


def _controller(change: Change) -> tuple[str, str, str]:
    """Return kind, name and uid of the pod's controller, as the plan relied on it."""
    owner = controller_of({"metadata": {"ownerReferences": change.fields[0].before or []}})
    return str(owner.get("kind", "")), str(owner.get("name", "")), str(owner.get("uid", ""))


async def _wanting(context: ActionContext, owner: ObjectRef) -> str:
    """Return what the controller still lacks, empty when nothing; one that is gone wants nothing any more."""
    try:
        document = await context.reach.cluster.get(owner)
    except KubeNotFound:
        return ""
    if owner.kind == "ReplicaSet":
        wanted, ready = number(document, "spec", "replicas"), number(document, "status", "readyReplicas")
    else:
        rollout = rollout_of(owner.kind, document)
        wanted, ready = rollout.desired, rollout.ready
    return "" if ready >= wanted else f"{owner} has {ready} of {wanted} pods ready"


def _oldest_first(pod: Document) -> tuple[str, str]:
    return str(at(pod, "metadata", "creationTimestamp") or ""), str(at(pod, "metadata", "name"))
