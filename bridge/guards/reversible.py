"""Plan guard: what cannot be undone needs a person, or a route that allows it."""

from __future__ import annotations

from bridge.model.mode import Mode
from bridge.model.plan import Plan, Undo
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.ports import ActionContext


class ReversibleGuard:
    """Implements bridge.ports.PlanGuard."""

    name = "reversible"

    async def check(self, remediation: Remediation, plan: Plan, context: ActionContext) -> Verdict:
        """Deny an irreversible plan that nobody looks at before it is made."""
        undoable = plan.undo is not Undo.NONE or plan.harmless
        if undoable or remediation.allow_irreversible or remediation.mode is not Mode.AUTO:
            return Verdict.allow()
        detail = f"{plan.action} cannot be undone: use mode `approve`, or `allow_irreversible: true` on the route"
        return Verdict.deny(Reason.UNDO_NONE, detail)
