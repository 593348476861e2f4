"""Plan guard: what Helm, Argo CD, Flux, an operator or an autoscaler owns is not changed behind its owner."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.errors import KubeNotFound
from bridge.model.plan import Change, Operation, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.workload import Document, annotations_of, at, labels_of
from bridge.ports import ActionContext

_MOST_AUTOSCALERS = 500
_REPLICAS = "/spec/replicas"
_RESTART = "rollout_restart"
_REMOVING = (Operation.DELETE, Operation.EVICT)


class Owner(msgspec.Struct, frozen=True):
    """Who would set a change back, and what to do there instead."""

    who: str
    instead: str
    why: str = "which would revert this"


class OwnerGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "owner"

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Deny a plan that an owner would revert, with the command to use instead, unless drift is allowed."""
        if remediation.allow_drift:
            return Verdict.allow()
        for change in plan.changes:
            # A status belongs to its controller, whoever owns the object: nobody's manifest holds it.
            owner = None if change.subresource == "status" else await _find_owner(change, plan, context)
            if owner is not None:
                detail = (
                    f"{change.ref} is owned by {owner.who}, {owner.why}: {owner.instead}; "
                    "or set `allow_drift: true` on the route"
                )
                return Verdict.deny(Reason.OWNER_WOULD_REVERT, detail)
        return Verdict.allow()


async def _find_owner(change: Change, plan: Plan, context: ActionContext) -> Owner | None:
    if change.external or (change.operation is Operation.CALL and change.ref.kind == "Pod"):
        # Nothing of an object is changed: what a command does in its pod is nobody's manifest.
        return None
    if change.ref.kind == "Pod" and change.operation in _REMOVING:
        # Its controller makes a new one, and that is what is wanted; the labels are those of its template.
        return None
    if change.operation is Operation.CREATE:
        # There is no object yet that anybody could own (and to make a Secret takes no leave to read one). But a
        # release's new object says whose the release is.
        return owner_of(change.manifest or {}, plan.action, as_owner="Helm") if change.as_owner == "Helm" else None
    try:
        document = await context.reach.cluster.get(change.ref)
    except KubeNotFound:
        return None
    owner = owner_of(document, plan.action, as_owner=change.as_owner)
    if owner is not None and change.operation is Operation.DELETE:
        return msgspec.structs.replace(owner, why="which would make it again")
    if (
        owner is None
        and not change.as_owner
        and any(field.change and field.pointer == _REPLICAS for field in change.fields)
    ):
        return await _autoscaler(change, context)
    return owner


def owner_of(document: Document, action: str, *, as_owner: str = "") -> Owner | None:
    """Return who owns an object, from its owner references, labels and annotations; None when nobody does.

    The GitOps controllers come before Helm: where they own a release, a rollback of the release would not last.
    `as_owner` is the one in whose own records the change is made: that one does not revert it.
    Sources: the labels and annotations in the documentation of Argo CD (resource tracking), Flux and Helm.
    """
    helm = None if as_owner == "Helm" else _helm(document, action)
    return _argo(document) or _flux(document) or helm or _controller(document)


def _argo(document: Document) -> Owner | None:
    tracking = annotations_of(document).get("argocd.argoproj.io/tracking-id", "")
    app = tracking.partition(":")[0] or labels_of(document).get("argocd.argoproj.io/instance", "")
    if not app:
        return None
    return Owner(f"Argo CD application {app}", f"change it in Git, or `argocd app rollback {app}`")


def _flux(document: Document) -> Owner | None:
    labels = labels_of(document)
    for kind, group in (("kustomization", "kustomize"), ("helmrelease", "helm")):
        name = labels.get(f"{group}.toolkit.fluxcd.io/name", "")
        if name:
            place = labels.get(f"{group}.toolkit.fluxcd.io/namespace", "")
            where = f"{name} -n {place}" if place else name
            return Owner(f"Flux {kind} {name}", f"change it in Git, or `flux suspend {kind} {where}` first")
    return None


def _helm(document: Document, action: str) -> Owner | None:
    notes = annotations_of(document)
    release = notes.get("meta.helm.sh/release-name", "")
    if not release and labels_of(document).get("app.kubernetes.io/managed-by") != "Helm":
        return None
    shown = release or "RELEASE"
    place = notes.get("meta.helm.sh/release-namespace") or at(document, "metadata", "namespace") or ""
    instead = f"`helm rollback {shown} -n {place}`"
    why = "which would revert this"
    if action == "scale":
        instead = f"`helm upgrade {shown} CHART -n {place} --reuse-values --set replicaCount=N`"
    elif action == _RESTART:
        # Helm would not take a restart back: its three-way merge keeps an annotation that no chart has. Denied all
        # the same, since what somebody owns is not changed behind him unless the route says so, and told as it is.
        why = "which is not changed behind it, even though it would keep a restart's annotation"
        instead = f"`helm upgrade {shown} CHART -n {place} --reuse-values` with a changed pod annotation"
    return Owner(f"Helm release {release}" if release else "Helm", instead, why)


def _controller(document: Document) -> Owner | None:
    for owner in at(document, "metadata", "ownerReferences") or []:
        if owner.get("controller"):
            name = f"{str(owner.get('kind', '')).lower()}/{owner.get('name', '')}"
            return Owner(name, f"change {name} instead")
    return None


async def _autoscaler(change: Change, context: ActionContext) -> Owner | None:
    try:
        found = await context.reach.cluster.list(
            "autoscaling/v2", "HorizontalPodAutoscaler", change.ref.namespace, limit=_MOST_AUTOSCALERS
        )
    except KubeNotFound:
        return None
    for autoscaler in found:
        if _scales(autoscaler, change):
            name = autoscaler["metadata"]["name"]
            return Owner(f"HorizontalPodAutoscaler {name}", f"`kubectl edit hpa {name} -n {change.ref.namespace}`")
    return None


def _scales(autoscaler: dict[str, Any], change: Change) -> bool:
    scaled = at(autoscaler, "spec", "scaleTargetRef") or {}
    return (scaled.get("kind"), scaled.get("name")) == (change.ref.kind, change.ref.name)
