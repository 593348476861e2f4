"""cert-manager: ask for a certificate's renewal as `cmctl renew` does, by the Issuing condition of its status.

Deleting the Certificate, as some runbooks have it, is `object_delete` with kind `Certificate` and apiVersion
`cert-manager.io/v1`: whoever made it has to make it again, and until then nothing renews the Secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ParamField

from bridge.actions.base import BaseAction
from bridge.actions.objects import find_object, missing
from bridge.actions.permits import permit
from bridge.actions.workloads import TargetParams, object_ref, refuse_deleted
from bridge.model.permission import Permission
from bridge.model.plan import Change, Field, Plan, Repeat, Undo
from bridge.model.verification import Answer, Verification
from bridge.model.workload import at, condition, format_time, number, parse_time, ref_of
from bridge.ports import ActionContext

CERT_MANAGER = "cert-manager.io/v1"
CONDITIONS = "/status/conditions"
REVISION = "/status/revision"
_DAY = 86400.0


class RenewParams(TargetParams):
    """Which certificate, and when it is left alone."""

    unless_days_left: float = ParamField(
        default=30.0,
        ge=0,
        description="A certificate that is valid for more days than this is left alone: issuers limit how often they "
        "issue.",
    )


class CertificateRenew(BaseAction):
    """The Issuing condition through the status subresource; cert-manager does the rest."""

    name = "certificate_renew"
    summary = "Have cert-manager renew a Certificate now, as `cmctl renew` does."
    params: type[BaseModel] = RenewParams
    example: Mapping[str, Any] = {"kind": "Certificate", "namespace": "o2ims-system", "name": "netweave-tls"}
    repeat = Repeat.SAFE
    # Exact as long as cert-manager has not begun; from then on the plan's before-values don't hold, and the undo is
    # refused. A renewed certificate takes nothing from anybody.
    undo = Undo.EXACT
    undo_failed = False

    def permissions(self, kind: str, params: Mapping[str, Any]) -> Sequence[Permission]:
        return (
            permit(CERT_MANAGER, "Certificate", "get"),
            permit(CERT_MANAGER, "Certificate", "patch", subresource="status"),
        )

    async def plan(self, context: ActionContext, params: RenewParams) -> Plan:
        """Plan the Issuing condition; empty when a renewal is under way or the certificate lasts long enough."""
        asked = object_ref(context, params, CERT_MANAGER, ("Certificate",))
        document = await context.reach.cluster.get(asked)
        ref = ref_of(document, CERT_MANAGER, "Certificate", asked.cluster)
        refuse_deleted(ref, document)
        if condition(document, "Issuing").get("status") == "True":
            return self.planned(f"{ref} is being issued already")
        not_after = at(document, "status", "notAfter")
        left = (parse_time(not_after) - context.reach.clock.now()) / _DAY
        if not_after and left > params.unless_days_left:
            return self.planned(f"{ref} is valid until {not_after}: {left:.0f} days are left")
        before = at(document, "status", "conditions")
        after = [c for c in before or [] if c.get("type") != "Issuing"] + [_issuing(document, context.planned_at)]
        revision = at(document, "status", "revision")
        summary = f"have cert-manager renew {ref}" + (f", valid until {not_after}" if not_after else "")
        change = Change(
            ref=ref,
            subresource="status",
            fields=(Field(CONDITIONS, before, after), Field(REVISION, revision, revision, change=False)),
            summary=summary,
        )
        return self.planned(summary, change)

    async def verify(self, context: ActionContext, plan: Plan, params: RenewParams) -> Verification:
        """Fixed when a newer revision is issued and Ready; not fixed for good when the issuance failed."""
        if plan.empty:
            return Verification(Answer.FIXED, plan.summary)
        planned = plan.changes[0]
        document = await find_object(context, planned.ref)
        if (answer := missing(planned.ref, document)) is not None:
            return answer
        assert document is not None
        issuing, ready = condition(document, "Issuing"), condition(document, "Ready")
        revision, old = number(document, "status", "revision"), planned.fields[1].before or 0
        if issuing.get("status") == "True":
            return Verification(Answer.NOT_FIXED, "cert-manager is issuing it")
        if revision > old and ready.get("status") == "True":
            not_after = at(document, "status", "notAfter")
            return Verification(Answer.FIXED, f"revision {revision} is ready, valid until {not_after}")
        failed_at = parse_time(at(document, "status", "lastFailureTime"))
        if issuing.get("status") == "False" and failed_at >= int(context.planned_at):
            why = issuing.get("message") or issuing.get("reason") or "no reason given"
            return Verification(Answer.NOT_FIXED, f"the issuance failed: {why}", final=True)
        text = ready.get("message") or ready.get("reason") or "no Ready condition yet"
        return Verification(Answer.NOT_FIXED, f"revision {revision}, not renewed yet: {text}")


def _issuing(document: dict[str, Any], planned_at: float) -> dict[str, Any]:
    """Return the condition that cmctl sets. Source: cert-manager, pkg/renew and SetCertificateCondition."""
    return {
        "type": "Issuing",
        "status": "True",
        "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
        "lastTransitionTime": format_time(planned_at),
        "observedGeneration": number(document, "metadata", "generation"),
    }
