"""`kubectl drain --ignore-daemonsets`: cordon a node, then evict its pods, each within its disruption budget.

One node of a cluster at a time, by a lock that drains and cordons share; a drain that fails uncordons again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.leaving_pods import Rules, Sorted, named, place_of, sort_pods, uses_emptydir
from bridge.actions.nodes import (
    LeavingParams,
    cordon_change,
    is_cordoned,
    node_permissions,
    one_at_a_time,
    read_node,
    refuse_last,
)
from bridge.actions.objects import find_object, missing
from bridge.actions.permits import permit
from bridge.actions.waiting import gone, wait_a_moment
from bridge.errors import KubeNotFound, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field, Operation, Plan, Undo
from bridge.model.pod import controller_of, is_ready
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.model.workload import Document, at, number, ref_of
from bridge.ports import ActionContext

_MOST_PODS = 1000
_OWNERS = "/metadata/ownerReferences"
_COUNTED = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "ReplicationController": "v1"}
"""Controllers that say how many of their pods are ready."""


class DrainParams(LeavingParams):
    delete_emptydir_data: bool = ParamField(
        default=False, description="Evict pods with emptyDir volumes too: what is in those is lost."
    )
    delete_bare_pods: bool = ParamField(
        default=False, description="Evict pods without a controller too: nothing makes them again."
    )
    grace_seconds: int | None = ParamField(
        default=None, ge=1, le=3600, description="Time that each pod has to end in; left out: the pod's own."
    )

    @property
    def rules(self) -> Rules:
        return Rules(emptydir=self.delete_emptydir_data, bare=self.delete_bare_pods)


class Drain(BaseAction):
    """A node without pods, but for those that belong to it."""

    name = "drain"
    summary = "Cordon a node and evict its pods, as `kubectl drain --ignore-daemonsets` does; one node at a time."
    params: type[BaseModel] = DrainParams
    example: Mapping[str, Any] = {"name": "node-2", "delete_emptydir_data": True}
    # The node takes pods again; those that were evicted stay where they are.
    undo = Undo.COMPENSATING
    undo_failed = True

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (
            node_permissions("get", "list", "patch"),
            permit("v1", "Pod", "get", "list", "watch", namespace=""),
            permit("v1", "Pod", "create", subresource="eviction", namespace=""),
            *(permit(version, kind, "get", namespace="") for kind, version in _COUNTED.items()),
            # Whoever may not be touched says so on the workload.
            permit("apps/v1", "Deployment", "get", namespace=""),
        )

    async def plan(self, context: ActionContext, params: DrainParams) -> Plan:
        """Plan the cordon and one eviction for each pod that goes; raise PlanError for what nobody may lose."""
        ref, node = await read_node(context, params)
        pods = sort_pods(await _pods_on(context, ref), params.rules)
        _refuse_losses(ref, pods)
        if is_cordoned(node) and not pods.evict and not pods.leaving:
            return self.planned(f"{ref} is cordoned, and nothing is to be evicted")
        await refuse_last(context, ref, params.others)
        counted = await _workloads_of(context, pods.evict)
        verb = "keep the cordon of" if is_cordoned(node) else "cordon"
        changes = [cordon_change(ref, node, f"{verb} {ref}")]
        changes += [_eviction(context, pod, pods.evict, counted, params) for pod in pods.evict]
        return self.planned(
            f"drain {ref}: evict {len(pods.evict)} pod{'' if len(pods.evict) == 1 else 's'}",
            *changes,
            locks=one_at_a_time(ref),
            facts={"ready": {uid: entry["ready"] for uid, entry in counted.items()}},
            notes=_notes(pods),
        )

    async def verify(self, context: ActionContext, plan: Plan, params: DrainParams) -> Verification:
        """Fixed when nothing that is to go is left, and the evicted pods' workloads are as ready as before."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        node = plan.changes[0].ref
        document = await find_object(context, node)
        if (answer := missing(node, document)) is not None:
            return answer
        if document is not None and not is_cordoned(document):
            return Verification(Answer.NOT_FIXED, f"somebody uncordoned {node}", final=True)
        planned = {change.ref.uid for change in plan.changes}
        pods = sort_pods(await _pods_on(context, node), params.rules)
        if waited := _left(pods, planned):
            first = ref_of(waited[0], "v1", "Pod", context.target.cluster)
            await wait_a_moment(context, first, gone(first))
            pods = sort_pods(await _pods_on(context, node), params.rules)
        late = [p for p in (*pods.evict, *pods.with_data, *pods.bare) if p["metadata"]["uid"] not in planned]
        if left := _left(pods, planned):
            return Verification(Answer.NOT_FIXED, f"{len(left)} pods have not gone yet: {named(left)}")
        if late:
            text = f"{len(late)} pods came after the plan was made: {named(late)}"
            return Verification(Answer.NOT_FIXED, text, final=True)
        return await _ready_elsewhere(context, plan)


async def _pods_on(context: ActionContext, node: ObjectRef) -> list[dict[str, Any]]:
    pods = await context.reach.cluster.list(
        "v1", "Pod", "", fields={"spec.nodeName": node.name}, limit=_MOST_PODS, everywhere=True
    )
    if len(pods) == _MOST_PODS:
        raise PlanError(f"{node} has {_MOST_PODS} pods or more: that is for a person")
    return pods


def _left(pods: Sorted, planned: set[str]) -> list[Document]:
    """Return the pods that are to go and have not gone."""
    return [*pods.leaving, *(pod for pod in pods.evict if pod["metadata"]["uid"] in planned)]


def _refuse_losses(ref: ObjectRef, pods: Sorted) -> None:
    problems = []
    if pods.with_data:
        problems.append(
            f"{named(pods.with_data)} would lose emptyDir data (allow it by `delete_emptydir_data: true`)"
        )
    if pods.bare:
        problems.append(f"{named(pods.bare)} would not come back (allow it by `delete_bare_pods: true`)")
    if problems:
        raise PlanError(f"{ref} is not drained: {'; '.join(problems)}")


async def _workloads_of(context: ActionContext, pods: Sequence[Document]) -> dict[str, dict[str, int]]:
    """Return by its controller's uid how many pods are ready, and how many are wished for, before the drain."""
    found: dict[str, dict[str, int]] = {}
    for pod in pods:
        controller = _controller_ref(pod, context.target.cluster)
        if controller is None or controller.uid in found:
            continue
        document = await find_object(context, controller)
        if document is not None and document["metadata"].get("uid") == controller.uid:
            found[controller.uid] = {
                "ready": number(document, "status", "readyReplicas"),
                "desired": _desired(document),
            }
    return found


def _controller_ref(pod: Document, cluster: str) -> ObjectRef | None:
    controller = controller_of(pod)
    version = _COUNTED.get(str(controller.get("kind")))
    if version is None or controller.get("apiVersion") != version:
        return None
    return ObjectRef(
        version, controller["kind"], pod["metadata"]["namespace"], controller["name"], controller["uid"], cluster
    )


def _desired(document: Document) -> int:
    replicas = at(document, "spec", "replicas")
    return 1 if replicas is None else int(replicas)


def _eviction(
    context: ActionContext,
    pod: Document,
    evicted: Sequence[Document],
    counted: Mapping[str, Mapping[str, int]],
    params: DrainParams,
) -> Change:
    ref = ref_of(pod, "v1", "Pod", context.target.cluster)
    owners = at(pod, "metadata", "ownerReferences")
    ready, percent = int(is_ready(pod)), 0.0
    uid = str(controller_of(pod).get("uid"))
    if ready and uid in counted:
        together = sum(is_ready(other) and controller_of(other).get("uid") == uid for other in evicted)
        percent = round(100 * together / max(counted[uid]["desired"], together), 1)
    return Change(
        ref=ref,
        operation=Operation.EVICT,
        # The verification learns from it whose pod this was.
        fields=(Field(_OWNERS, owners, owners, change=False),),
        grace_seconds=params.grace_seconds,
        summary=f"evict {ref}" + ("" if ready else ", which is not ready"),
        disruption=Disruption(ready, percent),
    )


def _notes(pods: Sorted) -> tuple[str, ...]:
    notes = []
    if data := [pod for pod in pods.evict if uses_emptydir(pod)]:
        notes.append(f"emptyDir data is lost of {named(data)}")
    if bare := [pod for pod in pods.evict if not controller_of(pod)]:
        notes.append(f"nothing makes them again: {named(bare)}")
    if pods.stay:
        notes.append(f"{len(pods.stay)} pods belong to the node and stay")
    places = sorted({place_of(pod)[0] for pod in pods.evict})
    if len(places) > 1:
        notes.append(f"pods of {len(places)} namespaces: {', '.join(places)}")
    return tuple(notes)


async def _ready_elsewhere(context: ActionContext, plan: Plan) -> Verification:
    """Whether each workload that lost pods has as many ready ones as before, or as it wishes for now."""
    ready: Mapping[str, int] = plan.facts.get("ready", {})
    waiting = []
    seen: set[str] = set()
    for change in plan.changes[1:]:
        owners = change.fields[0].before
        pod = {"metadata": {"namespace": change.ref.namespace, "ownerReferences": owners}}
        controller = _controller_ref(pod, change.ref.cluster)
        if controller is None or controller.uid in seen or controller.uid not in ready:
            continue
        seen.add(controller.uid)
        try:
            document = await context.reach.cluster.get(controller)
        except KubeNotFound:
            continue
        found, wanted = number(document, "status", "readyReplicas"), min(ready[controller.uid], _desired(document))
        if found < wanted:
            waiting.append(f"{controller} has {found} of {wanted} pods ready")
    if waiting:
        return Verification(Answer.NOT_FIXED, f"the pods have gone, but {'; '.join(waiting[:5])}")
    node = plan.changes[0].ref
    return Verification(Answer.FIXED, f"no pod that could go is left on {node}, and their workloads are ready")
