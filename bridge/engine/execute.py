"""Run one remediation as far as it goes: guards, evidence, scenario, plan, write, proof. Called by worker.

Everything that happens is journalled first, so that another worker carries on from the journal alone. `run`
returns how this stretch of work ended and raises only LeaseLost (let go at once) and StoreUnavailable.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog
from pydantic import ValidationError

from bridge.configuration.expressions import tell
from bridge.engine import admission
from bridge.engine.apply import ChangeApplier
from bridge.engine.attempts import Attempts
from bridge.engine.context import RunContext
from bridge.engine.downtime import longest_idle
from bridge.engine.drafting import Drafting
from bridge.engine.ending import Ended, Ending, Finish, HandOver
from bridge.engine.events import Teller
from bridge.engine.failures import ending_for
from bridge.engine.foresee import Foresight
from bridge.engine.hearing import heard
from bridge.engine.lease import Lease
from bridge.engine.making import Making
from bridge.engine.parts import Parts
from bridge.engine.progress import Progress
from bridge.engine.record import Record
from bridge.engine.revert import UndoRun
from bridge.engine.sight import Sight
from bridge.engine.snapshot import Snapshot
from bridge.engine.steps import Steps
from bridge.engine.waits import Waits
from bridge.engine.walk import Walk
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import kinds
from bridge.model.mode import Mode, strictest
from bridge.model.order import OURS
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView
from bridge.model.report import received_of
from bridge.model.runbook import Runbook, Scenario

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
        self._sight: Sight | None = None

    async def run(self) -> Ending:
        """Return how it ended for now, with what the runbook says to whoever is told."""
        ending = await self._end()
        if not isinstance(ending, Finish):
            return ending
        ending = self._reported(ending)
        if self._ours and await self._is_heard_of():
            ending = msgspec.structs.replace(ending, quiet=True)
        ending = await heard(self._parts, self._view, self._whole(ending))
        return self._advised(ending) if ending.escalated else ending

    @property
    def _ours(self) -> bool:
        """Whether another run alone asked for it: alerts that have joined it have nobody else."""
        asked = self._view.incidents
        return bool(self._rem.parents) and all(incident.startswith(f"{OURS}/") for incident in asked)

    async def _is_heard_of(self) -> bool:
        """Whether the run that asked for it told people, or waits for this one and will, if nothing else helps."""
        parent = await self._parts.queue.get(self._rem.parents[-1])
        return parent is None or parent.outcome is None or parent.escalated

    async def _wanted(self) -> None:
        """Raise Ended when the run that asked for it is over: nobody waits for what it would do now."""
        if not self._ours:
            return
        parent = await self._parts.queue.get(self._rem.parents[-1])
        if parent is not None and parent.outcome is not None:
            detail = f"{parent.remediation.id}, which asked for it, is over"
            raise Ended(Finish(Outcome.CANCELLED, Reason.OUT_OF_DATE, detail))

    def _whole(self, finish: Finish) -> Finish:
        """Return the end of a run that changed something as no putting off: it would be begun anew."""
        if finish.outcome is not Outcome.SUPPRESSED or not self._record.progress.changed or self._rem.undo_of:
            return finish
        detail = f"half made: {finish.detail}; what was made before stays, `undo` puts it back"
        return msgspec.structs.replace(
            finish, outcome=Outcome.FAILED, detail=detail, wait_until=None, overdue=not finish.quiet
        )

    def _reported(self, finish: Finish) -> Finish:
        sight = self._sight
        looked = sight is not None and (sight.evidence.values or not self._runbook.evidence)
        if sight is None or not looked or self._rem.undo_of:
            return finish
        return msgspec.structs.replace(finish, report=sight.report())

    def _advised(self, finish: Finish) -> Finish:
        chosen = next((s for s in self._runbook.scenarios if s.name == self._record.progress.scenario), None)
        said = (chosen.escalate if chosen else "") or self._runbook.escalate
        if not said or self._rem.undo_of or self._sight is None or finish.outcome is Outcome.OBSERVED:
            return finish
        return msgspec.structs.replace(finish, advice=tell(said, self._sight.variables()))

    async def _end(self) -> Ending:
        try:
            steps = self._put_together()
            if self._rem.undo_of:
                return await UndoRun(self._parts, self._lease, self._view, self._record, steps).run()
            return await self._run()
        except Ended as ended:
            return ended.ending
        except (LeaseLost, StoreUnavailable):
            raise
        except Exception as error:
            return ending_for(error, self._record.progress, self._parts)

    def _put_together(self) -> Steps:
        parts, record, runbook = self._parts, self._record, self._runbook
        reach = parts.connections(self._rem.target.cluster)
        snapshot = Snapshot(reach.cluster, parts.clock)
        context = RunContext(
            # Calls know what they made by the id that it was made under: an undo works on what another run made.
            remediation=self._rem.undo_of or self._rem.id,
            planned_at=self._rem.created_at,
            target=self._rem.target,
            run=self._rem,
            reach=reach.over(snapshot),
        )
        if parts.events is not None:
            record.heard = Teller(parts.events, reach.cluster, self._view, runbook.target.api_version).heard
        applier = ChangeApplier(reach.cluster)
        steps = Steps(parts, self._lease, record, context, self._rem, applier, snapshot)
        self._sight = sight = Sight(parts, self._view, record, runbook, context, snapshot)
        self._drafting = Drafting(parts, record, steps, sight, runbook)
        self._making = Making(parts, record, steps, sight, self._drafting, runbook)
        waits = Waits(parts, self._lease, record, steps, sight, self._making)
        self._walk = Walk(parts, record, sight, self._making, waits)
        self._attempts = Attempts(parts, record, steps, sight, self._making, self._walk, runbook)
        return steps

    async def _run(self) -> Ending:
        if not self._record.resumed:
            waited = self._parts.clock.now() - self._rem.created_at
            self._parts.metrics.remediation_started(self._rem.runbook, waited)
            if self._rem.started_at and not self._rem.undo_of:
                self._parts.metrics.detected(received_of(self._rem) - self._rem.started_at)
        await self._take_up()
        return await self._attempts.run(await self._scenario())

    async def _take_up(self) -> None:
        """Journal that it goes on, and whether it was left alone for long: that is looked at before its next step."""
        idle = self._parts.clock.now() - self._record.left_at if self._record.resumed else 0.0
        long = idle > longest_idle(self._runbook, self._parts)
        text = f"taken up, after nobody worked on it for {idle / 60:.0f} min" if long else "taken up"
        await self._record.write(kinds.STARTED, text, data={"idle": idle} if long else None)

    async def _scenario(self) -> Scenario:
        """Return the scenario that the run stands in, or that the evidence calls for."""
        progress, sight, approval = self._record.progress, self._sight, self._drafting.approval
        assert sight is not None
        approval.check_answer()
        if progress.writing:
            self._drafting.ceiling = await admission.ceiling(self._parts, self._rem)
            await sight.recall()
            return self._attempts.current()
        await self._wanted()
        await self._enter()
        if self._lease.stopping:
            raise Ended(HandOver())
        await sight.look_around()
        if progress.begun:
            return self._attempts.current()
        scenario = await self._attempts.choose(self._runbook.scenarios)
        mode = self._drafting.mode(scenario)
        if mode is not Mode.AUTO:
            probe = self._runbook.verify.steps if self._runbook.verify is not None else ()
            foresight = Foresight(self._record, sight, self._drafting, self._walk, probe)
            try:
                finish = await foresight.run(scenario, mode)
            except Ended as ended:
                raise approval.hold(ended) from ended
            if mode is Mode.OBSERVE:
                raise Ended(finish)
            await approval.settle(foresight.plans)
        return scenario

    async def _enter(self) -> None:
        """Raise Ended when an entry guard refuses; one that only defers holds a run that people were asked about."""
        try:
            facts = await admission.check_entry(self._parts, self._view, waited=self._record.progress.waited)
        except Ended as ended:
            raise self._drafting.approval.hold(ended) from ended
        if facts.trust.lowered is not None:
            self._drafting.ceiling = facts.trust.lowered.mode


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
    if view.remediation.refused:
        return Stretch(await _turned_away(parts, view), view, record.progress)
    try:
        run = Run(parts, lease, view, record)
    except ValidationError as error:
        detail = f"the stored runbook cannot be read by this version: {error.error_count()} errors"
        return Stretch(Finish(Outcome.FAILED, Reason.INTERNAL_ERROR, detail), view, record.progress)
    ending = await run.run()
    return Stretch(ending, view, record.progress)


async def _turned_away(parts: Parts, view: RemediationView) -> Finish:
    """Return the end of what the dispatcher could make nothing of; in mode observe nobody is woken for it."""
    remediation = view.remediation
    finish = Finish(Outcome.DENIED, Reason.of(remediation.refused), remediation.refusal)
    if strictest(parts.process_mode(), remediation.mode) is Mode.OBSERVE:
        return msgspec.structs.replace(finish, quiet=True)
    return await heard(parts, view, finish)
