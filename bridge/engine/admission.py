"""Ask the guards before anything is read, and after planning before anything is written. Called by execute."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bridge.engine.context import RunContext
from bridge.engine.ending import Ended, Ending, Finish, Park
from bridge.engine.parts import Parts
from bridge.errors import AlertbridgeError, CircuitOpen, StoreUnavailable
from bridge.model.breaker import Permit
from bridge.model.intake import Claim, GuardFacts
from bridge.model.mode import Mode
from bridge.model.plan import Plan
from bridge.model.reason import OVERRIDABLE, TOLD_ONCE, Reason, Verdict
from bridge.model.remediation import Outcome, Remediation, RemediationView
from bridge.model.silence import Silence
from bridge.model.target import Target
from bridge.ports import ReservingGuard

_FOR_PEOPLE = frozenset({Reason.UNDO_NONE, Reason.CHANGED_RECENTLY, Reason.ROLLOUT_IN_PROGRESS})
"""What a plan guard leaves to the people who are asked anyway."""
_LOOKED_AGAIN = 3600.0
"""Seconds after which what still fires, and waits for nothing else, asks again."""


async def check_entry(parts: Parts, view: RemediationView, *, waited: bool = False) -> GuardFacts:
    """Return the facts when every entry guard allows the run; raise Ended otherwise.

    `waited`: for people, or as its runbook wants it to: both may take longer than a run may wait for a worker.
    """
    remediation = view.remediation
    facts = await parts.guardbook.facts(remediation)
    if view.writing:
        # This run announced a write before (which was refused): its own attempt must not speak against it.
        runs = {sort: times if sort == "undone" else times[:-1] for sort, times in facts.runs.items()}
        facts = msgspec.structs.replace(facts, attempts=facts.attempts[:-1], runs=runs)
    if view.incidents and not view.open_incidents:
        raise Ended(Finish(Outcome.CANCELLED, Reason.RESOLVED, "every alert that asked for it resolved"))
    facts = await _with_silences(parts, remediation, await _with_trust(parts, remediation, facts))
    for guard in parts.entry_guards:
        verdict = guard.check(remediation, facts)
        if waited and verdict.reason is Reason.OUT_OF_DATE:
            continue
        if not verdict.allowed and not _overridden(verdict, remediation):
            raise Ended(await _entry_refused(parts, view, guard.name, verdict))
    return facts


async def _with_trust(parts: Parts, remediation: Remediation, facts: GuardFacts) -> GuardFacts:
    if parts.trust is None or remediation.requested_by:
        # Who asks for it by hand knows what he asks for.
        return facts
    alert = remediation.labels.get("alertname", "")
    return msgspec.structs.replace(
        facts, trust=await parts.trust.judge(remediation.runbook, alert, parts.trust_policy())
    )


async def _with_silences(parts: Parts, remediation: Remediation, facts: GuardFacts) -> GuardFacts:
    if parts.silences is None or remediation.requested_by:
        return facts
    silences: list[Silence] = []
    try:
        for labels in facts.labels or (remediation.labels,):
            covering = await parts.silences.covering(labels)
            if not covering:
                # Of several that asked for it one at least is silenced by nobody.
                return facts
            silences += covering
    except StoreUnavailable:
        raise
    except AlertbridgeError as error:
        return msgspec.structs.replace(facts, silences_unknown=str(error))
    return msgspec.structs.replace(facts, silences=tuple(silences))


async def _entry_refused(parts: Parts, view: RemediationView, guard: str, verdict: Verdict) -> Ending:
    """Return how a run ends, or waits, that is not let in."""
    finish = _refused(guard, verdict)
    if verdict.reason is Reason.HOLD_OFF and verdict.retry_at is not None:
        # A wait of this run and not of its incident: a resolve cancels it.
        return Park(verdict.retry_at, verdict.reason, finish.detail)
    if verdict.reason in TOLD_ONCE:
        # A person is told once, and not again for each alert, nor each time there was an attempt again meanwhile.
        remediation, target, spec = view.remediation, view.remediation.target, parts.tell_again()
        about = f"{verdict.reason.value}|{remediation.runbook}|{target.cluster}|{target}"
        quiet = spec.quiet + _LOOKED_AGAIN
        first = await parts.guardbook.first_to_tell(about, remediation.id, spec.every, quiet=quiet)
        return msgspec.structs.replace(finish, quiet=not first)
    return finish


async def ceiling(parts: Parts, remediation: Remediation) -> Mode | None:
    """Return how far a run that writes already may go on, by how often its runbook helped; None: as far as is said.

    Whoever takes it up again was not let in by it: what was lowered meanwhile, or before, holds for the rest too.
    """
    lowered = (await _with_trust(parts, remediation, GuardFacts(now=parts.clock.now()))).trust.lowered
    return None if lowered is None else lowered.mode


async def check_brakes(parts: Parts, view: RemediationView, plans: Iterable[Plan] = ()) -> None:
    """Raise Ended when an operator has paused the run since it was let in. Called right before a step's first write.

    A pause that was confirmed holds for what had been planned by then; for later steps as well, which no other
    entry guard looks at: their own run's attempt and cooldown must not speak against them. The namespaces and
    clusters of the objects that the plans change count as the target's do: a drain evicts in many of them.
    """
    facts = await parts.guardbook.facts(view.remediation)
    refs = {change.ref for plan in plans for change in plan.changes if not change.external}
    places = sorted({Target(ref.cluster, ref.kind, ref.namespace, ref.name) for ref in refs})
    widened = msgspec.structs.replace(view.remediation, targets=(*view.remediation.all_targets, *places))
    for guard in parts.entry_guards:
        verdict = guard.check(widened, facts)
        if verdict.reason is Reason.PAUSED and not _overridden(verdict, view.remediation):
            raise Ended(_refused(guard.name, verdict))


async def take_turn(parts: Parts, view: RemediationView, claim: Claim, *, waited: bool = False) -> None:
    """Count the run that is about to write for the first time; raise Ended where others have left it no room.

    The look whether it may and the count are one step: of fifty that were let in at once, no more write than may.
    """
    override = view.remediation.override
    limits = parts.run_limits().limits(
        cooldown=Reason.COOLDOWN.value not in override, runs=Reason.ATTEMPTS_SPENT.value not in override
    )
    if not await parts.guardbook.take_run(claim, limits):
        # With the words, and the time, of the guard that says no by now.
        await check_entry(parts, view, waited=waited)
        raise Ended(Park(parts.clock.now(), None, "others were first: it is looked at again"))


async def check_plan(
    parts: Parts,
    remediation: Remediation,
    plan: Plan,
    context: RunContext,
    *,
    asked: bool = False,
    claim: Claim | None = None,
    key: str = "",
    anew: bool = True,
) -> None:
    """Return when every plan guard allows the plan; raise Ended otherwise.

    `asked`: people have to agree to the plan before it is made, which is what some of it may need. With a claim and
    a key the plan is about to be made: guards that keep something for that do so under the key; `anew` when the run
    has written nothing yet.
    """
    for guard in parts.plan_guards():
        if claim is not None and isinstance(guard, ReservingGuard):
            verdict = await guard.reserve(claim, key, remediation, plan, context, anew=anew)
        else:
            verdict = await guard.check(remediation, plan, context)
        if asked and verdict.reason in _FOR_PEOPLE:
            continue
        if not verdict.allowed and not _overridden(verdict, remediation):
            raise Ended(_refused(guard.name, verdict))


async def give_back(parts: Parts, claim: Claim, key: str) -> None:
    """Have the guards give back what they kept for a plan that waits for people, and is planned again after that."""
    for guard in parts.plan_guards():
        if isinstance(guard, ReservingGuard):
            await guard.release(claim, key)


async def check_rest(parts: Parts, remediation: Remediation, rest: Plan, context: RunContext) -> None:
    """Return when no plan guard denies what is left of a half-made plan; raise Ended otherwise.

    What it disturbs is reserved already, and what would only put it off comes too late: it is not left half done.
    """
    for guard in parts.plan_guards():
        if isinstance(guard, ReservingGuard):
            continue
        verdict = await guard.check(remediation, rest, context)
        if verdict.decision == "deny" and verdict.reason not in _FOR_PEOPLE and not _overridden(verdict, remediation):
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
