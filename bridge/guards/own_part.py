"""Plan guard: alertbridge does not change what it itself runs on: its workload, its pod, its node, its Redis."""

from __future__ import annotations

import msgspec

from bridge.guards.about import object_of
from bridge.model.plan import Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef
from bridge.ports import ActionContext

_SHAPES = frozenset({"NetworkPolicy", "ResourceQuota", "LimitRange", "Role", "RoleBinding"})
"""Kinds whose objects hold for all of their namespace, whatever they are called."""


class OwnParts(msgspec.Struct, frozen=True, kw_only=True):
    """What alertbridge consists of in a cluster. Empty values mean that it is not known, or not in a cluster."""

    cluster: str = ""
    """The connection that leads to its own cluster; empty: any."""
    namespace: str = ""
    pod: str = ""
    node: str = ""
    workloads: tuple[str, ...] = ()
    """Names in that namespace."""
    redis: tuple[str, ...] = ()
    """Workloads and volumes of its Redis, as `namespace/name`."""
    uids: tuple[str, ...] = ()
    """Of objects that are its own whatever they are called."""

    @property
    def redis_namespaces(self) -> frozenset[str]:
        return frozenset(place.partition("/")[0] for place in self.redis)


class OwnPartGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "own_part"

    def __init__(self, own: OwnParts) -> None:
        self._own = own

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Deny a plan that changes a part of alertbridge: nobody would carry it to its end."""
        for change in plan.changes:
            ref = object_of(change, remediation)
            if ref is not None and (part := self._part(ref)) is not None:
                return Verdict.deny(Reason.OWN_PART, f"{change.ref} is {part}")
        return Verdict.allow()

    def _part(self, ref: ObjectRef) -> str | None:
        # A peer that is called like us is none of our objects; our own Redis is no peer of any runbook.
        own = self._own
        if ref.uid and ref.uid in own.uids:
            return "alertbridge itself (by its uid)"
        if own.cluster and ref.cluster != own.cluster:
            return None
        if _within(f"{ref.namespace}/{ref.name}", own.redis):
            return "alertbridge's Redis"
        if ref.kind == "Node" and own.node == ref.name:
            return "the node that alertbridge runs on"
        if ref.kind == "Namespace" and own.namespace == ref.name:
            return "alertbridge's namespace"
        if ref.kind in _SHAPES and ref.namespace and ref.namespace in {own.namespace, *own.redis_namespaces}:
            return "a rule that holds for alertbridge's own pods"
        if not own.namespace or ref.namespace != own.namespace:
            return None
        if _within(ref.name, own.workloads) or (own.pod and _within(own.pod, (ref.name,))):
            return "alertbridge itself"
        return None


def _within(name: str, workloads: tuple[str, ...]) -> bool:
    """Whether `name` is one of the workloads, or a ReplicaSet or pod that carries its workload's name in front."""
    return any(name == workload or name.startswith(f"{workload}-") for workload in workloads)
