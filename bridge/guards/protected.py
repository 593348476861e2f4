"""Plan guard: protected namespaces, and objects whose owners want no automation near them."""

from __future__ import annotations

from collections.abc import Collection

from bridge.errors import InvalidInput, KubeNotFound
from bridge.guards.about import object_of
from bridge.model.plan import Change, Operation, Plan
from bridge.model.pod import controller_of
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef
from bridge.model.workload import Document, annotations_of, labels_of
from bridge.ports import ActionContext

PROTECTED_BY_DEFAULT = ("kube-system",)
_DRAIN = "drain"
_APPS = "apps/v1"
_MAKERS = {"Pod": ("ReplicaSet", "StatefulSet", "DaemonSet"), "ReplicaSet": ("Deployment",)}
_EVERYWHERE = frozenset(
    {
        *("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"),
        *("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"),
        *("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
        *("ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "APIService"),
    }
)
"""Kinds in no namespace that decide what happens in every one, protected ones too."""
MODE = "alertbridge.io/mode"
"""Annotation or label: with the value `off` on an object, nothing changes it; on a workload, its pods neither."""


class ProtectedGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "protected"

    def __init__(self, namespaces: Collection[str] = PROTECTED_BY_DEFAULT, *, drains: bool = False) -> None:
        """`drains`: whether the drain of a node may evict pods of these namespaces too."""
        self._namespaces = frozenset(namespaces)
        self._drains = drains

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Deny a plan with a change in a protected namespace, of one, or of an object that is marked `off`."""
        if self._namespaces and (change := _governs_all(plan, remediation)) is not None:
            named = ", ".join(sorted(self._namespaces))
            return Verdict.deny(Reason.PROTECTED_NAMESPACE, f"{change.ref} holds in every namespace, also in {named}")
        for change in plan.changes:
            if (place := self._protected(change, remediation.allow_namespaces)) is None:
                continue
            leaves = plan.action == _DRAIN and change.operation is Operation.EVICT
            if not (leaves and self._drains):
                mend = "; `drain_protected: true` lets drains evict there" if leaves else ""
                mend = mend or ("; the route may allow it by `allow_namespaces`" if change.ref.namespace else "")
                return Verdict.deny(Reason.PROTECTED_NAMESPACE, f"{change.ref}: namespace {place} is protected{mend}")
        for change in plan.changes:
            about = object_of(change, remediation)
            if about is None or change.operation is Operation.CREATE:
                continue
            if (marked := await _marked_off(about, context)) is not None:
                whose = "" if marked == about else f", of which {about} is,"
                return Verdict.deny(Reason.PROTECTED_OBJECT, f"{marked}{whose} has the mark {MODE}: off")
        return Verdict.allow()

    def _protected(self, change: Change, allowed: Collection[str]) -> str | None:
        """Return the namespace that keeps a change from being made; a namespace itself is no object in it."""
        ref = change.ref
        if ref.kind == "Namespace":
            return ref.name if ref.name in self._namespaces else None
        return ref.namespace if ref.namespace in self._namespaces and ref.namespace not in allowed else None


def _governs_all(plan: Plan, remediation: Remediation) -> Change | None:
    """Return a change that makes such an object or gives it other content; those of a release are Helm's.

    To take one away is another thing (a webhook that fails is mended so), and so is to put that back.
    """
    if remediation.undo_of:
        return None
    for change in plan.changes:
        made = change.operation is not Operation.DELETE and change.as_owner != "Helm"
        if made and change.ref.kind in _EVERYWHERE and not change.ref.namespace:
            return change
    return None


async def _marked_off(about: ObjectRef, context: ActionContext) -> ObjectRef | None:
    """Return what is marked: the object, or the workload that it is a pod of; a template carries no such mark."""
    ref: ObjectRef | None = about
    while ref is not None:
        try:
            document = await context.reach.cluster.get(ref)
        except (KubeNotFound, InvalidInput):
            # The applier will say so; there is nothing to protect. Nor is there in what no cluster could hold: the
            # target of a plug-in may be anything.
            return None
        if "off" in (marks.get(MODE, "").lower() for marks in (annotations_of(document), labels_of(document))):
            return ref
        ref = _workload_of(ref, document)
    return None


def _workload_of(ref: ObjectRef, document: Document) -> ObjectRef | None:
    """Return the workload that makes a pod or a ReplicaSet; None where that is of another sort."""
    owner = controller_of(document)
    kind, name = str(owner.get("kind", "")), str(owner.get("name", ""))
    if owner.get("apiVersion") != _APPS or kind not in _MAKERS.get(ref.kind, ()) or not name:
        return None
    return ObjectRef(_APPS, kind, ref.namespace, name, cluster=ref.cluster)
