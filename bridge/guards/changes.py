"""Plan guard: somebody else is changing the workload, or just did; whoever is at it is not to be disturbed.

What mends a bad change is let through: a rollback would come too late after the rollout that it is for.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.errors import KubeNotFound
from bridge.model.changes import ChangeSettings
from bridge.model.marks import REMEDIATION
from bridge.model.plan import Change, Operation, Plan
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.workload import WORKLOADS, Document, annotations_of, at, number, parse_time, rollout_of
from bridge.ports import ActionContext

_LOOK_AGAIN = 120.0
_US = "alertbridge"
_CONTROLLERS = ("kube-", "kubelet", "k3s", "cluster-autoscaler", "vpa-")
"""How the managers of Kubernetes' own parts begin."""


class ChangesGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "changes"

    def __init__(self, settings: ChangeSettings) -> None:
        self._settings = settings

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Defer while a rollout makes progress, defer or deny a while after somebody's change."""
        if remediation.undo_of or plan.action in self._settings.mend:
            return Verdict.allow()
        now = context.reach.clock.now()
        for change in plan.changes:
            document = await _workload(change, context)
            if document is None:
                continue
            verdict = self._rollout(remediation, change, document, now)
            if verdict.allowed:
                verdict = self._recent(change, document, now)
            if not verdict.allowed:
                return verdict
        return Verdict.allow()

    def _rollout(self, remediation: Remediation, change: Change, document: Document, now: float) -> Verdict:
        ours = annotations_of(document).get(REMEDIATION) == remediation.id
        if self._settings.rollout == "allow" or ours or not _rolls_out(change.ref.kind, document):
            return Verdict.allow()
        text = rollout_of(change.ref.kind, document).text
        detail = f"{change.ref} is being rolled out: {text}"
        return Verdict.defer(Reason.ROLLOUT_IN_PROGRESS, detail, retry_at=now + _LOOK_AGAIN)

    def _recent(self, change: Change, document: Document, now: float) -> Verdict:
        settings = self._settings
        if settings.recent == "allow" or not settings.within:
            return Verdict.allow()
        changed_at, who = last_change(document)
        over = changed_at + settings.within
        if over <= now:
            return Verdict.allow()
        detail = f"{change.ref} was changed by {who} {max(0.0, now - changed_at):.0f} s ago"
        if settings.recent == "wait":
            return Verdict.defer(Reason.CHANGED_RECENTLY, detail, retry_at=over)
        return Verdict.deny(Reason.CHANGED_RECENTLY, detail, retry_at=over)


def last_change(document: Document) -> tuple[float, str]:
    """Return when somebody else changed the object last (unix seconds; 0.0: nobody did), and the manager's name.

    By managedFields, of which those of subresources (a status, a scaling by an autoscaler) are left out.
    Source: Kubernetes documentation, Server-Side Apply, "Field management".
    """
    return max(_others(document), default=(0.0, ""))


def _others(document: Document) -> Iterable[tuple[float, str]]:
    for entry in at(document, "metadata", "managedFields") or []:
        manager = str(entry.get("manager", ""))
        if entry.get("subresource") or manager == _US or manager.startswith(_CONTROLLERS):
            continue
        yield parse_time(entry.get("time")), manager


def _rolls_out(kind: str, document: Document) -> bool:
    """Whether pods of an older version are still being replaced; what is not ready, or scaled, is no rollout."""
    rollout, status = rollout_of(kind, document), at(document, "status") or {}
    if rollout.failed or rollout.complete:
        return False
    if not rollout.observed:
        return True
    if kind == "Deployment":
        return number(status, "replicas") > rollout.updated
    if kind == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        return False
    return rollout.updated < rollout.desired


async def _workload(change: Change, context: ActionContext) -> Document | None:
    if change.external or change.ref.kind not in WORKLOADS or change.operation is Operation.CREATE:
        return None
    try:
        return await context.reach.cluster.get(change.ref)
    except KubeNotFound:
        return None
