"""What cordon, drain and uncordon share: naming a node, and whether the cluster can spare it. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field as ParamField

from bridge.actions.objects import read_object
from bridge.actions.permits import permit
from bridge.errors import InvalidInput, PlanError
from bridge.model.permission import Permission
from bridge.model.plan import Change, Disruption, Field
from bridge.model.runbook import Strict
from bridge.model.target import ObjectRef, check_name
from bridge.model.workload import Document, at, condition
from bridge.ports import ActionContext

UNSCHEDULABLE = "/spec/unschedulable"
_MOST_NODES = 5000
_KEEPS_AWAY = frozenset({"NoSchedule", "NoExecute"})
_CORDON_TAINT = "node.kubernetes.io/unschedulable"


class NodeParams(Strict):
    name: str | None = ParamField(
        default=None, description="Name of the node; left out: the target's, where that is a Node."
    )


class LeavingParams(NodeParams):
    others: int = ParamField(
        default=1, ge=1, le=1000, description="Other nodes that have to be ready and take pods, or it is refused."
    )


def node_permissions(*verbs: str) -> Permission:
    return permit("v1", "Node", *verbs, namespace="")


async def read_node(context: ActionContext, params: NodeParams) -> tuple[ObjectRef, Document]:
    """Return the node; raise InvalidInput when none is named, KubeError, or PlanError for one that is deleted."""
    target = context.target
    if params.name is None and target.kind != "Node":
        raise InvalidInput(f"say which node by `name`: the target is a {target.kind}")
    name = check_name(params.name or target.name, "node")
    return await read_object(context, ObjectRef("v1", "Node", "", name, cluster=target.cluster))


def is_cordoned(node: Document) -> bool:
    return bool(at(node, "spec", "unschedulable"))


def takes_pods(node: Document) -> bool:
    """Whether ordinary pods can be put there: ready, not cordoned, no taint that keeps them away."""
    taints: Sequence[Document] = at(node, "spec", "taints") or []
    return (
        condition(node, "Ready").get("status") == "True"
        and not is_cordoned(node)
        and not at(node, "metadata", "deletionTimestamp")
        and not any(taint.get("effect") in _KEEPS_AWAY for taint in taints)
    )


def taints_left(node: Document) -> list[str]:
    """Return the taints, beside the cordon's own, that keep pods away from the node."""
    taints: Sequence[Document] = at(node, "spec", "taints") or []
    return [
        str(taint.get("key"))
        for taint in taints
        if taint.get("effect") in _KEEPS_AWAY and taint.get("key") != _CORDON_TAINT
    ]


async def refuse_last(context: ActionContext, ref: ObjectRef, others: int) -> None:
    """Raise PlanError when fewer than `others` other nodes could take what this one gives up."""
    nodes = await context.reach.cluster.list("v1", "Node", "", limit=_MOST_NODES)
    left = [node["metadata"]["name"] for node in nodes if node["metadata"]["name"] != ref.name and takes_pods(node)]
    if len(left) < others:
        count = f"only {len(left)} other nodes take" if left else "no other node takes"
        raise PlanError(
            f"without {ref} {count} pods ({others} are asked for): add a node or uncordon one first, e.g. "
            "`kubectl get nodes` and `kubectl uncordon NODE`"
        )


def one_at_a_time(ref: ObjectRef) -> tuple[str, ...]:
    """Return the lock of all that take a node of a cluster away: each counts on what the others leave."""
    return (f"{ref.cluster}|one node at a time",)


def cordon_change(ref: ObjectRef, node: Document, summary: str) -> Change:
    """Return the change that takes the node out of scheduling; of a cordoned one it only relies on that."""
    before = at(node, "spec", "unschedulable")
    field = Field(UNSCHEDULABLE, before, True, change=not before)
    return Change(ref=ref, fields=(field,), summary=summary, disruption=Disruption(nodes=1))
