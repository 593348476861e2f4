"""Claim remediations and run them. Started by app; knows nothing of HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from structlog.contextvars import bound_contextvars

from bridge.engine import journal as kinds
from bridge.engine.ending import Ending, Finish, HandOver, Park
from bridge.engine.execute import run_remediation
from bridge.engine.journal import progress_of
from bridge.engine.lease import Lease
from bridge.engine.parts import Parts
from bridge.errors import LeaseLost, StoreUnavailable
from bridge.model.intake import Claim
from bridge.model.remediation import Entry, Outcome

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

    async def run(self) -> None:
        """Work until `stop` is called, then drain or hand over within the grace period."""
        async with asyncio.TaskGroup() as group:
            loops = [
                group.create_task(self._steadily(self._claim_next)),
                group.create_task(self._steadily(self._reclaim)),
            ]
            await self._stopping.wait()
            for loop in loops:
                loop.cancel()
        await self._drain()

    def stop(self) -> None:
        """Take no more claims; runs hand over at their next safe place."""
        self._stopping.set()

    async def _steadily(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except StoreUnavailable as error:
                log.warning("the store is away", error=str(error))
                await self._parts.clock.sleep(self._options.store_pause)
            except Exception:
                # Nothing may end the loop that all remediations depend on.
                log.exception("worker loop failed")
                await self._parts.clock.sleep(self._options.store_pause)

    async def _claim_next(self) -> None:
        await self._slots.acquire()
        claim = None
        try:
            claim = await self._parts.queue.claim(self._options.name, block=2.0)
        finally:
            if claim is None:
                self._slots.release()
        if claim is not None:
            self._start(claim)

    async def _reclaim(self) -> None:
        claim = None
        if not self._slots.locked():
            claim = await self._parts.queue.reclaim(self._options.name)
        if claim is None:
            await self._parts.clock.sleep(self._options.claim / 4)
            return
        log.warning("took over from a dead worker", remediation=claim.remediation, deaths=claim.deaths)
        await self._slots.acquire()
        self._start(claim)

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
                    run.cancel()
                await run
            except LeaseLost:
                self._lost()
            except asyncio.CancelledError:
                if not keep.done() or keep.cancelled():
                    raise
                self._lost()
            except Exception:
                log.exception("run failed outside its own handling; its claim lapses")
            finally:
                run.cancel()
                keep.cancel()
                with contextlib.suppress(asyncio.CancelledError, LeaseLost):
                    await keep

    def _lost(self) -> None:
        self._parts.metrics.lease_lost()
        log.warning("lost the claim: another worker carries on")

    async def _work(self, lease: Lease) -> None:
        ending: Ending | None
        try:
            ending = await run_remediation(self._parts, lease)
        except StoreUnavailable:
            log.warning("the store went away during the run; it is handed over when it is back")
            ending = HandOver()
        while True:
            try:
                await self._settle(lease, ending)
                return
            except StoreUnavailable:
                await self._parts.clock.sleep(self._options.store_pause)

    async def _settle(self, lease: Lease, ending: Ending | None) -> None:
        claim, queue = lease.claim, self._parts.queue
        if isinstance(ending, Finish):
            await self._finish(claim, ending)
        elif isinstance(ending, Park):
            kind = kinds.RETRY if ending.retry else kinds.PARKED
            reason = ending.reason.value if ending.reason else ""
            entry = Entry(kind=kind, worker=claim.worker, text=ending.detail, reason=reason)
            await queue.park(claim, ending.due_at, entry)
        elif isinstance(ending, HandOver):
            text = "this worker stops; another one carries on"
            await queue.hand_over(claim, Entry(kind=kinds.HANDED_OVER, worker=claim.worker, text=text))
        # Otherwise it ended between the claim and the first look, and its entry with it.

    async def _finish(self, claim: Claim, ending: Finish) -> None:
        parts = self._parts
        view = await parts.queue.get(claim.remediation)
        if view is None:
            return
        await self._leave_breaker(claim, view.remediation.runbook, ending)
        entry = Entry(
            kind=kinds.FINISHED,
            worker=claim.worker,
            text=f"{ending.outcome.value}: {ending.detail or ending.reason.text}",
            reason=ending.reason.value,
            data={"outcome": ending.outcome.value, "escalated": ending.escalated},
        )
        await parts.queue.finish(
            claim, ending.outcome, ending.reason, entry, escalated=ending.escalated, wait_until=ending.wait_until
        )
        seconds = parts.clock.now() - view.remediation.created_at
        parts.metrics.decision(ending.reason)
        parts.metrics.remediation_finished(view.remediation.runbook, ending.outcome, seconds)
        if ending.escalated:
            parts.metrics.escalated(ending.reason)
        log.info(
            "remediation finished", outcome=ending.outcome.value, reason=ending.reason.value, detail=ending.detail
        )
        done = await parts.queue.get(claim.remediation)
        await parts.notifier.notify(done or view, entry.text, page=ending.escalated)

    async def _leave_breaker(self, claim: Claim, runbook: str, ending: Finish) -> None:
        permit = progress_of(await self._parts.journal.read(claim.remediation)).permit
        if permit is None:
            return
        failed: bool | None = None
        if ending.outcome is Outcome.SUCCEEDED:
            failed = False
        elif ending.outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNDONE):
            failed = True
        await self._parts.breakers.leave(permit, self._parts.runbook_breaker, failed=failed)

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
