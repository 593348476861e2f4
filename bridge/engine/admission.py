"""Ask the guards before anything is read, and after planning before anything is written. Called by execute."""

from __future__ import annotations

import msgspec

from bridge.engine.context import RunContext
from bridge.engine.ending import Ended, Finish
from bridge.engine.parts import Parts
from bridge.errors import CircuitOpen
from bridge.model.breaker import Permit
from bridge.model.intake import Claim, GuardFacts
from bridge.model.plan import Plan
from bridge.model.reason import OVERRIDABLE, Reason, Verdict
from bridge.model.remediation import Outcome, Remediation, RemediationView
from bridge.ports import ReservingGuard


async def check_entry(parts: Parts, view: RemediationView, *, asked: bool = False) -> GuardFacts:
    """Return the facts when every entry guard allows the run; raise Ended otherwise.

    `asked`: it waited for people, who may take longer than a run may wait for a worker.
    """
    remediation = view.remediation
    facts = await parts.guardbook.facts(remediation)
    if view.writing:
        # This run announced a write before (which was refused): its own attempt must not speak against it.
        facts = msgspec.structs.replace(facts, attempts=facts.attempts[:-1])
    if view.incidents and not view.open_incidents:
        raise Ended(Finish(Outcome.CANCELLED, Reason.RESOLVED, "every alert that asked for it resolved"))
    for guard in parts.entry_guards:
        verdict = guard.check(remediation, facts)
        if asked and verdict.reason is Reason.OUT_OF_DATE:
            continue
        if not verdict.allowed and not _overridden(verdict, remediation):
            raise Ended(_refused(guard.name, verdict))
    return facts


async def check_brakes(parts: Parts, view: RemediationView) -> None:
    """Raise Ended when an operator has paused the run since it was let in. Called right before a step's first write.

    A pause that was confirmed holds for what had been planned by then; for later steps as well, which no other
    entry guard looks at: their own run's attempt and cooldown must not speak against them.
    """
    facts = await parts.guardbook.facts(view.remediation)
    for guard in parts.entry_guards:
        verdict = guard.check(view.remediation, facts)
        if verdict.reason is Reason.PAUSED and not _overridden(verdict, view.remediation):
            raise Ended(_refused(guard.name, verdict))


async def check_plan(
    parts: Parts,
    remediation: Remediation,
    plan: Plan,
    context: RunContext,
    *,
    asked: bool = False,
    claim: Claim | None = None,
    key: str = "",
) -> None:
    """Return when every plan guard allows the plan; raise Ended otherwise.

    `asked`: people have to agree to the plan before it is made, which is what some of it may need. With a claim and
    a key the plan is about to be made: guards that keep something for that do so under the key.
    """
    for guard in parts.plan_guards():
        if claim is not None and isinstance(guard, ReservingGuard):
            verdict = await guard.reserve(claim, key, remediation, plan, context)
        else:
            verdict = await guard.check(remediation, plan, context)
        if asked and verdict.reason is Reason.UNDO_NONE:
            continue
        if not verdict.allowed and not _overridden(verdict, remediation):
            raise Ended(_refused(guard.name, verdict))


async def admit(parts: Parts, remediation: Remediation) -> Permit:
    """Return leave from the runbook's circuit breaker; raise Ended when it is open."""
    try:
        return await parts.breakers.enter(breaker_name(remediation), parts.runbook_breaker)
    except CircuitOpen as error:
        retry_at = parts.clock.now() + (error.delay or parts.runbook_breaker.cooldown)
        finish = Finish(Outcome.SUPPRESSED, Reason.CIRCUIT_OPEN, str(error), wait_until=retry_at)
        raise Ended(finish) from error


def breaker_name(remediation: Remediation) -> str:
    return f"runbook:{remediation.runbook}"


def _overridden(verdict: Verdict, remediation: Remediation) -> bool:
    return verdict.reason in OVERRIDABLE and verdict.reason.value in remediation.override


def _refused(guard: str, verdict: Verdict) -> Finish:
    detail = verdict.detail or verdict.reason.text
    if verdict.decision == "deny":
        return Finish(Outcome.DENIED, verdict.reason, f"{guard}: {detail}", wait_until=verdict.retry_at)
    return Finish(Outcome.SUPPRESSED, verdict.reason, f"{guard}: {detail}", wait_until=verdict.retry_at)
