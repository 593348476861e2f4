"""Claim remediations and run them. Started by app; knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import msgspec
import structlog
from structlog.contextvars import bound_contextvars

from bridge.engine.ending import Finish, HandOver, Park
from bridge.engine.events import Teller
from bridge.engine.execute import Stretch, run_remediation
from bridge.engine.lease import Lease
from bridge.engine.parts import Parts
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model import approval, kinds
from bridge.model.breaker import Permit
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome, RemediationView, State

log = structlog.get_logger(__name__)


class WorkerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a worker works; times in seconds."""

    name: str
    concurrency: int = 16
    """Remediations at a time."""
    claim: float = 4.0
    """How long a claim lasts without renewal; the store reclaims after the same time."""
    grace: float = 20.0
    """How long a stop waits for runs to reach a place where they can be handed over."""
    store_pause: float = 1.0
    """How long to wait before a store that was away is asked again."""


class Worker:
    """Takes claims while slots are free, keeps them renewed, and records how each run ended."""

    def __init__(self, parts: Parts, options: WorkerOptions) -> None:
        self._parts = parts
        self._options = options
        self._slots = asyncio.Semaphore(options.concurrency)
        self._stopping = asyncio.Event()
        self._runs: set[asyncio.Task[None]] = set()
        self._reclaim_at = 0.0

    async def run(self) -> None:
        """Work until `stop` is called, then drain or hand over within the grace period."""
        async with asyncio.TaskGroup() as group:
            taking = group.create_task(self._steadily())
            await self._stopping.wait()
            taking.cancel()
        await self._drain()

    def stop(self) -> None:
        """Take no more claims; runs hand over at their next safe place."""
        self._stopping.set()

    async def _steadily(self) -> None:
        while True:
            try:
                await self._take_one()
            except StoreUnavailable as error:
                log.warning("the store is away", error=str(error))
                await self._parts.clock.sleep(self._options.store_pause)
            except Exception:
                # Nothing may end the loop that all remediations depend on.
                log.exception("worker loop failed")
                await self._parts.clock.sleep(self._options.store_pause)

    async def _take_one(self) -> None:
        await self._slots.acquire()
        claim = None
        try:
            claim = await self._next()
        finally:
            if claim is None:
                self._slots.release()
        if claim is not None:
            self._start(claim)

    async def _next(self) -> Claim | None:
        """Return a claim, or None after a short wait; those of dead workers come first."""
        queue, clock, look_every = self._parts.queue, self._parts.clock, self._options.claim / 4
        if clock.monotonic() >= self._reclaim_at:
            claim = await queue.reclaim(self._options.name)
            await self._tell_dead()
            if claim is not None:
                log.warning("took over from a dead worker", remediation=claim.remediation, deaths=claim.deaths)
                return claim
            self._reclaim_at = clock.monotonic() + look_every
        return await queue.claim(self._options.name, block=min(2.0, look_every))

    async def _tell_dead(self) -> None:
        """Tell people of the dead letters that the last look for dead workers' claims made."""
        parts = self._parts
        for name in parts.queue.take_dead():
            parts.metrics.dead_letter("remediation")
            parts.metrics.decision(Reason.DEAD_LETTER)
            parts.metrics.escalated(Reason.DEAD_LETTER)
            view = None
            with contextlib.suppress(StoreUnavailable):
                view = await parts.queue.get(name)
            log.error("set aside: its workers died too often", remediation=name)
            if view is not None:
                await parts.notifier.notify(view, Reason.DEAD_LETTER.text, page=True)

    def _start(self, claim: Claim) -> None:
        task = asyncio.create_task(self._hold(claim))
        self._runs.add(task)
        self._parts.metrics.worker_busy(1)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._runs.discard(task)
        self._slots.release()
        self._parts.metrics.worker_busy(-1)

    async def _hold(self, claim: Claim) -> None:
        """Run one claim beside its renewal; when the renewal finds it lost, the run is cancelled at once."""
        lease = Lease(
            claim, self._parts.queue, self._parts.clock, seconds=self._options.claim, stopping=self._stopping
        )
        with bound_contextvars(remediation=claim.remediation, worker=claim.worker, token=claim.token):
            run = asyncio.ensure_future(self._work(lease))
            keep = asyncio.ensure_future(lease.keep())
            try:
                await asyncio.wait({run, keep}, return_when=asyncio.FIRST_COMPLETED)
                if not run.done():
                    keep.result()
                await run
            except LeaseLost:
                self._parts.metrics.lease_lost()
                log.warning("lost the claim: another worker carries on")
            except Exception:
                log.exception("run failed outside its own handling; its claim lapses")
            finally:
                run.cancel()
                keep.cancel()
                await asyncio.gather(run, keep, return_exceptions=True)

    async def _work(self, lease: Lease) -> None:
        """Run a claim and record how it ended. Raises LeaseLost."""
        stretch: Stretch | None = None
        try:
            stretch = await run_remediation(self._parts, lease)
            if stretch is None:
                # It ended between the claim and the first look, and its entry with it.
                return
        except StoreUnavailable:
            log.warning("the store went away during the run; it is handed over when it is back")
        lease.settling = True
        again = False
        while True:
            try:
                await self._settle(lease.claim, stretch, again=again)
                return
            except StoreUnavailable:
                again = True
                await self._parts.clock.sleep(self._options.store_pause)

    async def _settle(self, claim: Claim, stretch: Stretch | None, *, again: bool) -> None:
        queue = self._parts.queue
        ending = stretch.ending if stretch is not None else HandOver()
        if stretch is not None and isinstance(ending, Finish):
            await self._finish(claim, stretch, ending, again=again)
        elif isinstance(ending, Park):
            kind = kinds.RETRY if ending.retry else kinds.PARKED
            reason = ending.reason.value if ending.reason else ""
            data: dict[str, Any] = {"fixed_since": ending.fixed_since}
            if ending.question is not None:
                kind, data = approval.ASKED, {"question": msgspec.to_builtins(ending.question)}
            entry = Entry(kind=kind, worker=claim.worker, text=ending.detail, reason=reason, data=data)
            await queue.park(claim, ending.due_at, entry, ending.question)
            if kind == kinds.PARKED and ending.reason not in (None, Reason.LOCKED):
                self._parts.metrics.decision(ending.reason)
            await self._tell_asked(stretch, ending)
        elif isinstance(ending, HandOver):
            text = "this worker stops; another one carries on"
            data = {"fixed_since": ending.fixed_since}
            await queue.hand_over(claim, Entry(kind=kinds.HANDED_OVER, worker=claim.worker, text=text, data=data))

    async def _finish(self, claim: Claim, stretch: Stretch, ending: Finish, *, again: bool) -> None:
        queue = self._parts.queue
        entry = Entry(
            kind=kinds.FINISHED,
            worker=claim.worker,
            text=f"{ending.outcome.value}: {ending.detail or ending.reason.text}",
            reason=ending.reason.value,
            data={"outcome": ending.outcome.value, "escalated": ending.escalated}
            | ({"advice": ending.advice} if ending.advice else {})
            | ({"report": ending.report} if ending.report else {}),
        )
        if not (again and await self._over(claim)):
            await queue.finish(
                claim, ending.outcome, ending.reason, entry, escalated=ending.escalated, wait_until=ending.wait_until
            )
        self._tell_cluster(stretch, ending, entry.text)
        await self._leave_breaker(stretch.progress.permit, ending)
        await self._judge(stretch)
        await self._tell(stretch.view, ending, f"{entry.text}. {ending.advice}" if ending.advice else entry.text)

    def _tell_cluster(self, stretch: Stretch, ending: Finish, text: str) -> None:
        """Leave an Event on the target, where that is wanted and anything was done."""
        if self._parts.events is None:
            return
        rem = stretch.view.remediation
        try:
            cluster = self._parts.connections(rem.target.cluster).cluster
            version = str(rem.runbook_doc.get("target", {}).get("api_version", "apps/v1"))
            teller = Teller(self._parts.events, cluster, stretch.view, version)
            teller.ended(ending.outcome, text, changed=stretch.progress.changed)
        except Exception as error:
            log.debug("no event was left", error=str(error))

    async def _over(self, claim: Claim) -> bool:
        """Whether the end was recorded by an earlier try whose reply was lost: people still have to be told."""
        entries = await self._parts.journal.read(claim.remediation)
        # Somebody may have taken it on since, which is in the journal as well.
        return any((entry.kind, entry.worker) == (kinds.FINISHED, claim.worker) for entry in entries[-5:])

    async def _tell(self, view: RemediationView, ending: Finish, text: str) -> None:
        parts, rem = self._parts, view.remediation
        now = parts.clock.now()
        parts.metrics.decision(ending.reason)
        parts.metrics.remediation_finished(rem.runbook, ending.outcome, now - rem.created_at)
        if (schedule := rem.route.removeprefix("schedule:")) != rem.route and not rem.undo_of:
            parts.metrics.schedule_ended(schedule, ending.outcome)
        if rem.parents and not rem.undo_of:
            parts.metrics.child_ended(ending.outcome)
        if ending.reason is Reason.NOTHING_TO_DO and not rem.undo_of:
            parts.metrics.false_positive(rem.runbook)
        elif ending.outcome is Outcome.SUCCEEDED and not rem.undo_of:
            parts.metrics.resolved(rem.runbook, now - (rem.started_at or rem.created_at))
        if ending.escalated:
            parts.metrics.escalated(ending.reason)
        log.info(
            "remediation finished", outcome=ending.outcome.value, reason=ending.reason.value, detail=ending.detail
        )
        done = msgspec.structs.replace(
            view,
            state=State.DONE,
            outcome=ending.outcome,
            reason=ending.reason.value,
            detail=ending.detail,
            escalated=ending.escalated,
            finished_at=now,
        )
        await parts.notifier.notify(done, text, page=ending.escalated)

    async def _tell_asked(self, stretch: Stretch | None, ending: Park) -> None:
        """Tell people of a question that they were not told of before."""
        if stretch is None or ending.question is None:
            return
        before = stretch.progress.approval.question
        if before is None or before.digest != ending.question.digest:
            self._parts.metrics.decision(Reason.APPROVAL_NEEDED)
            await self._parts.notifier.notify(stretch.view, ending.detail, page=Reason.APPROVAL_NEEDED.pages)

    async def _leave_breaker(self, permit: Permit | None, ending: Finish) -> None:
        if permit is None:
            return
        failed: bool | None = None
        if ending.outcome is Outcome.SUCCEEDED:
            failed = False
        elif ending.outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNDONE):
            failed = True
        try:
            await self._parts.breakers.leave(permit, self._parts.runbook_breaker, failed=failed)
        except StoreUnavailable:
            # Once only: a failure that is counted twice opens the breaker early, one that is lost does not matter.
            log.warning("the runbook's breaker was not told how the run ended", breaker=permit.name)

    async def _judge(self, stretch: Stretch) -> None:
        """Let it show at once what follows from how it ended: a runbook that stops, or may not go as far any more."""
        parts, rem = self._parts, stretch.view.remediation
        if parts.trust is None or rem.undo_of or not stretch.progress.writing:
            return
        with contextlib.suppress(StoreUnavailable):
            await parts.trust.judge(rem.runbook, rem.labels.get("alertname", ""), parts.trust_policy())

    async def _drain(self) -> None:
        if not self._runs:
            return
        log.info("stopping: waiting for runs to reach a safe place", runs=len(self._runs))
        _, late = await asyncio.wait(self._runs, timeout=self._options.grace)
        for task in late:
            task.cancel()
        if late:
            log.warning("runs did not stop in time; their claims lapse", runs=len(late))
            await asyncio.wait(late, timeout=1.0)
