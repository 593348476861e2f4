"""Plan guard: protected namespaces, and objects whose owners want no automation near them."""

from __future__ import annotations

from collections.abc import Collection

from bridge.errors import KubeNotFound
from bridge.model.plan import Change, Operation, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.workload import annotations_of, labels_of
from bridge.ports import ActionContext

PROTECTED_BY_DEFAULT = ("kube-system",)
_DRAIN = "drain"
MODE = "alertbridge.io/mode"
"""Annotation or label: with the value `off` on an object, nothing changes it."""


class ProtectedGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "protected"

    def __init__(self, namespaces: Collection[str] = PROTECTED_BY_DEFAULT, *, drains: bool = False) -> None:
        """`drains`: whether the drain of a node may evict pods of these namespaces too."""
        self._namespaces = frozenset(namespaces)
        self._drains = drains

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Deny a plan with a change in a protected namespace, of one, or of an object that is marked `off`."""
        for change in plan.changes:
            if (place := self._protected(change)) is None:
                continue
            leaves = plan.action == _DRAIN and change.operation is Operation.EVICT
            if not (leaves and self._drains):
                mend = "; `drain_protected: true` lets drains evict there" if leaves else ""
                return Verdict.deny(Reason.PROTECTED_NAMESPACE, f"{change.ref}: namespace {place} is protected{mend}")
        for change in plan.changes:
            if await _marked_off(change, context):
                return Verdict.deny(Reason.PROTECTED_OBJECT, f"{change.ref} has the mark {MODE}: off")
        return Verdict.allow()

    def _protected(self, change: Change) -> str | None:
        ref = change.ref
        place = ref.name if ref.kind == "Namespace" else ref.namespace
        return place if place in self._namespaces else None


async def _marked_off(change: Change, context: ActionContext) -> bool:
    if change.external or change.operation is Operation.CREATE:
        return False
    try:
        document = await context.reach.cluster.get(change.ref)
    except KubeNotFound:
        # The applier will say so; there is nothing to protect.
        return False
    return "off" in (marks.get(MODE, "").lower() for marks in (annotations_of(document), labels_of(document)))
