"""Run one remediation as far as it goes: guards, evidence, scenario, plan, write, proof. Called by worker.

Everything that happens is journalled first, so that another worker carries on from the journal alone. `run`
returns how this stretch of work ended and raises only LeaseLost (let go at once) and StoreUnavailable.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import structlog
from pydantic import ValidationError

from bridge.configuration.cel_text import references
from bridge.configuration.expressions import Condition
from bridge.engine import admission
from bridge.engine import journal as kinds
from bridge.engine.apply import ChangeApplier
from bridge.engine.choose import choose
from bridge.engine.context import RunContext, variables
from bridge.engine.ending import Ended, Ending, Finish, HandOver
from bridge.engine.failures import ending_for
from bridge.engine.gather import Evidence, gather
from bridge.engine.journal import Progress
from bridge.engine.lease import Lease
from bridge.engine.parts import Parts
from bridge.engine.record import Record
from bridge.engine.revert import UndoRun
from bridge.engine.snapshot import Snapshot, SnapshotReach
from bridge.engine.steps import Steps
from bridge.engine.verify import Watch
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model.mode import Mode, strictest
from bridge.model.plan import Plan
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView
from bridge.model.runbook import Collect, Runbook, Scenario, Step, VerifySpec
from bridge.model.verification import Answer, Verification

log = structlog.get_logger(__name__)


class Run:
    """One claim's work on one remediation."""

    def __init__(self, parts: Parts, lease: Lease, view: RemediationView, record: Record) -> None:
        self._parts = parts
        self._lease = lease
        self._view = view
        self._rem = view.remediation
        self._record = record
        self._runbook = Runbook.model_validate(self._rem.runbook_doc)
        self._evidence = Evidence({}, {})

    async def run(self) -> Ending:
        """Return how it ended for now."""
        try:
            reach = self._parts.connections(self._rem.target.cluster)
            self._snapshot = Snapshot(reach.cluster, self._parts.clock)
            self._context = RunContext(
                remediation=self._rem.id,
                planned_at=self._rem.created_at,
                target=self._rem.target,
                reach=SnapshotReach(reach, self._snapshot),
            )
            applier = ChangeApplier(reach.cluster)
            self._steps = Steps(
                self._parts, self._lease, self._record, self._context, self._rem, applier, self._snapshot
            )
            if self._rem.undo_of:
                return await UndoRun(self._parts, self._lease, self._view, self._record, self._steps).run()
            return await self._run()
        except Ended as ended:
            return ended.ending
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            return ending_for(error, self._record.progress, self._parts)

    async def _run(self) -> Ending:
        if not self._record.resumed:
            waited = self._parts.clock.now() - self._rem.created_at
            self._parts.metrics.remediation_started(self._rem.runbook, waited)
        await self._record.write(kinds.STARTED, "taken up")
        if self._record.progress.undoing and self._record.progress.half is None:
            return await self._undo(Reason.of(self._record.progress.undoing), "carried on after an interruption")
        if not self._record.progress.writing:
            scenario = await self._prepare()
        else:
            self._evidence = Evidence(await self._record.kept_evidence(), {})
            scenario = next(s for s in self._runbook.scenarios if s.name == self._record.progress.scenario)
        for index in range(self._record.progress.step, len(scenario.steps)):
            answer = await self._step(index, scenario)
            if answer.answer is not Answer.FIXED:
                return await self._not_done(answer)
        return await self._prove()

    # -- before the first write

    async def _prepare(self) -> Scenario:
        await admission.check_entry(self._parts, self._view)
        if self._lease.stopping:
            raise Ended(HandOver())
        await self._look_around()
        choice = choose(self._runbook.scenarios, self._variables())
        again = self._record.progress.retries < self._parts.limits.retries
        if choice.scenario is None and choice.unknown and self._evidence.passing is not None and again:
            # What could not be asked just now may be known in a minute: only after that is it a person's.
            raise self._evidence.passing
        if choice.scenario is None:
            reason = Reason.EVIDENCE_MISSING if choice.unknown else Reason.NO_SCENARIO
            raise Ended(Finish(Outcome.UNKNOWN if choice.unknown else Outcome.FAILED, reason, choice.why))
        await self._record.write(kinds.SCENARIO, choice.why, data={"name": choice.scenario.name})
        mode = self._mode(choice.scenario)
        if mode is not Mode.AUTO:
            await self._only_plan(choice.scenario, mode)
        return choice.scenario

    async def _look_around(self) -> None:
        self._snapshot.forget()
        self._evidence = await self._gather(self._runbook.evidence)
        await self._record.keep_evidence(self._evidence.values, self._evidence.missing)

    async def _only_plan(self, scenario: Scenario, mode: Mode) -> None:
        """Mode observe (and approve, until somebody can be asked): plan every step, change nothing, and end."""
        for index, step in enumerate(scenario.steps):
            params = self._steps.params(step, self._variables())
            plan = await self._steps.plan(step, params)
            if not plan.empty:
                await admission.check_plan(self._parts, self._rem, plan, self._context)
            await self._record_plan(index, plan, params)
        reason = Reason.OBSERVE_ONLY if mode is Mode.OBSERVE else Reason.APPROVAL_NEEDED
        raise Ended(Finish(Outcome.OBSERVED, reason, f"mode {mode.value}: nothing was changed"))

    # -- one step

    async def _step(self, index: int, scenario: Scenario) -> Verification:
        step = scenario.steps[index]
        if index in self._record.progress.verified:
            return Verification(Answer.FIXED)
        began = self._parts.clock.monotonic()
        try:
            answer, result = await self._make(index, scenario)
        except (Ended, LeaseLost, StoreUnavailable):
            # Not the step's end: it is waited with, or another worker carries on.
            raise
        except Exception:
            self._count(step, "error", began)
            raise
        self._count(step, result, began)
        return answer

    def _count(self, step: Step, result: str, began: float) -> None:
        self._parts.metrics.step_finished(step.action, result, self._parts.clock.monotonic() - began)

    async def _make(self, index: int, scenario: Scenario) -> tuple[Verification, str]:
        """Plan, lock, apply and verify one step; return the answer, and the step's result for the metrics."""
        step = scenario.steps[index]
        progress = self._record.progress
        plan = progress.plan if progress.writing and progress.step == index else None
        if plan is None:
            plan = await self._plan(index, step)
        if plan.empty and not plan.waits:
            return Verification(Answer.FIXED, f"{plan.action}: {plan.summary}"), "nothing_to_do"
        await self._steps.lock(plan)
        now = self._record.progress
        if not now.applied and not now.in_flight:
            await self._brake(scenario)
        await self._steps.apply(index, plan, step.until)
        answer = await self._steps.verify(index, step, plan)
        await self._record.write(
            kinds.VERIFIED,
            f"{plan.action}: {answer.detail or answer.answer.value}",
            data={"step": index, "answer": answer.answer.value},
        )
        return answer, answer.answer.value

    async def _brake(self, scenario: Scenario) -> None:
        """Raise Ended when a person has said meanwhile that nothing is to be written: by a pause, or by the mode."""
        await admission.check_brakes(self._parts, self._view)
        if (mode := self._mode(scenario)) is not Mode.AUTO:
            reason = Reason.OBSERVE_ONLY if mode is Mode.OBSERVE else Reason.APPROVAL_NEEDED
            if self._record.progress.changed:
                raise Ended(Finish(Outcome.SUPPRESSED, reason, f"mode {mode.value} since: nothing more was changed"))
            raise Ended(Finish(Outcome.OBSERVED, reason, f"mode {mode.value} since: nothing was changed"))

    async def _plan(self, index: int, step: Step) -> Plan:
        if self._record.progress.writing:
            # An earlier step changed the world: this one is planned on what is there now.
            await self._look_around()
        params = self._steps.params(step, self._variables())
        plan = await self._steps.plan(step, params)
        if not plan.empty:
            await admission.check_plan(self._parts, self._rem, plan, self._context)
            if self._record.progress.permit is None:
                permit = await admission.admit(self._parts, self._rem)
                await self._record.write(
                    kinds.ADMITTED, "the runbook's circuit breaker allows it", data={"permit": permit}
                )
        await self._record_plan(index, plan, params)
        return plan

    async def _record_plan(self, index: int, plan: Plan, params: dict[str, Any]) -> None:
        text = plan.summary if plan.changes or plan.waits else f"nothing to change: {plan.summary}"
        data = {"step": index, "plan": msgspec.to_builtins(plan), "hash": plan.hash, "params": params}
        await self._record.write(kinds.PLANNED, text, data=data)

    # -- after the writes

    async def _prove(self) -> Ending:
        spec = self._runbook.verify
        if spec is None:
            return Finish(Outcome.SUCCEEDED, self._proved, "every step was verified")
        # The locks last as long as the proof does, however often it is interrupted.
        await self._steps.lock(*self._record.progress.done_plans)
        until = await self._steps.deadline(kinds.RUNBOOK_STEP, spec.within, f"verifying: {spec.fixed}")
        how = Watch(until=until, every=spec.every, settle=spec.settle)
        answer = await self._steps.watch(lambda: self._look(spec), how)
        await self._record.write(
            kinds.VERIFIED, answer.detail, data={"step": kinds.RUNBOOK_STEP, "answer": answer.answer.value}
        )
        if answer.answer is Answer.FIXED:
            return Finish(Outcome.SUCCEEDED, self._proved, answer.detail)
        return await self._not_done(answer)

    async def _look(self, spec: VerifySpec) -> Verification:
        view = await self._parts.queue.get(self._rem.id)
        self._view = view or self._view
        # Nothing that was gathered before the change may answer for what is there now.
        fresh = await self._gather({**self._also_read(spec.fixed), **spec.evidence})
        holds, detail = Condition(spec.fixed).evaluate_detailed(self._variables(fresh))
        answer = {True: Answer.FIXED, False: Answer.NOT_FIXED, None: Answer.UNKNOWN}[holds]
        return Verification(answer, detail or f"{spec.fixed} is {str(holds).lower()}")

    def _also_read(self, expression: str) -> dict[str, Collect]:
        """Return the runbook's evidence that `expression` reads, to be gathered again."""
        read = [path for path in references(expression) if path[0] == "evidence"]
        whole = any(len(path) == 1 for path in read)
        return {
            name: item for name, item in self._runbook.evidence.items() if whole or any(name == p[1] for p in read)
        }

    async def _not_done(self, answer: Verification) -> Ending:
        if answer.answer is Answer.UNKNOWN:
            return Finish(Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN, answer.detail)
        if any(plan.undo_failed and plan.changes for plan in self._record.progress.done_plans):
            return await self._undo(Reason.NOT_FIXED, answer.detail)
        return Finish(Outcome.FAILED, Reason.NOT_FIXED, answer.detail)

    async def _undo(self, reason: Reason, detail: str) -> Ending:
        await self._steps.undo(reason)
        putback = self._steps.putback
        return Finish(putback.outcome(Outcome.UNDONE), reason, f"{detail}; {putback.told}")

    # -- helpers

    @property
    def _proved(self) -> Reason:
        """What is well without a write of ours was not healed by us."""
        return Reason.VERIFIED if self._record.progress.changed else Reason.NOTHING_TO_DO

    async def _gather(self, wanted: dict[str, Collect]) -> Evidence:
        return await gather(
            wanted, collectors=self._parts.collectors, context=self._context, variables=self._variables()
        )

    def _variables(self, evidence: Evidence | None = None) -> dict[str, object]:
        return variables(
            self._view,
            now=self._parts.clock.now(),
            prometheus=self._parts.prometheus,
            evidence=(evidence or self._evidence).values,
        )

    def _mode(self, scenario: Scenario) -> Mode:
        """Return how far the scenario may go; its strictest step counts, so that none is left half done."""
        steps = [step.mode for step in scenario.steps]
        return strictest(self._parts.process_mode(), self._rem.mode, self._runbook.mode, *steps)


class Stretch(msgspec.Struct, frozen=True):
    """One stretch of work: how it ended, the remediation as it was taken up, and where its journal stands now."""

    ending: Ending
    view: RemediationView
    progress: Progress


async def run_remediation(parts: Parts, lease: Lease) -> Stretch | None:
    """Work on the claimed remediation; None when it is gone or done already."""
    name = lease.claim.remediation
    view, entries = await asyncio.gather(parts.queue.get(name), parts.journal.read(name))
    if view is None or view.outcome is not None:
        return None
    record = Record(parts.journal, lease, entries)
    try:
        run = Run(parts, lease, view, record)
    except ValidationError as error:
        detail = f"the stored runbook cannot be read by this version: {error.error_count()} errors"
        return Stretch(Finish(Outcome.FAILED, Reason.INTERNAL_ERROR, detail), view, record.progress)
    ending = await run.run()
    return Stretch(ending, view, record.progress)
