"""The worker's stores in memory, with the meaning that ports.py gives them; for tests of the engine alone.

The real ones are held by tests/contract. Here nothing is concurrent but tasks of one event loop.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec

from bridge.errors import CircuitOpen, LeaseLost, SaidNo
from bridge.model.approval import Answer, Answered, Question, Said
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.intake import Claim, GuardFacts, Pause
from bridge.model.reason import Reason
from bridge.model.remediation import Decision, Entry, Outcome, Remediation, RemediationView, Revert, State, Undoing
from bridge.model.run_limits import Most
from bridge.ports import Clock
from tests.support.flaky_cluster import Point, nothing


class Row:
    """One remediation with everything about it."""

    def __init__(self, remediation: Remediation, incidents: Sequence[str]) -> None:
        self.view = RemediationView(
            remediation=remediation,
            state=State.QUEUED,
            incidents=tuple(incidents),
            open_incidents=tuple(incidents),
        )
        self.entries: list[Entry] = []
        self.token = 0
        self.evidence: bytes | None = None
        self.question: Question | None = None
        self.answers: dict[str, bool] = {}
        self.wait_until: float | None = None
        self.woken = False

    @property
    def said_no(self) -> bool:
        """Whether somebody said no to the question that it waits with."""
        return self.question is not None and False in self.answers.values()

    def change(self, **fields: Any) -> None:
        self.view = msgspec.structs.replace(self.view, **fields)


class MemoryLocks:
    """Implements ports.Locks."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.acquired: list[tuple[str, tuple[str, ...]]] = []

    async def acquire(
        self, claim: Claim, keys: Sequence[str], *, seconds: float, above: Sequence[str] = ()
    ) -> str | None:
        for key in keys:
            holder = self.held.get(key, claim.remediation)
            if holder not in (claim.remediation, *above):
                return holder
        free = [key for key in keys if self.held.get(key) not in above]
        self.held.update(dict.fromkeys(free, claim.remediation))
        self.acquired.append((claim.remediation, tuple(keys)))
        return None

    async def release(self, claim: Claim) -> None:
        self.held = {key: holder for key, holder in self.held.items() if holder != claim.remediation}


class MemoryWork:
    """Implements ports.WorkQueue and ports.Journal. `lapse` plays the death of a claim's worker."""

    def __init__(self, clock: Clock, locks: MemoryLocks | None = None) -> None:
        self.locks = locks or MemoryLocks()
        self.rows: dict[str, Row] = {}
        self.error: Exception | None = None
        """Raised by every call while it is set: the store is away."""
        self.lost_replies = 0
        """So many `finish` are done and then not answered (with `error`)."""
        self.reverts: dict[str, tuple[float, str, Remediation]] = {}
        """What undoes temporary changes: id to due time, whose they are, and the record."""
        self.point: Point = nothing
        """Awaited before and after every call that writes, with its name."""
        self.renewals = 0
        self.max_out = 0
        self._clock = clock
        self._tokens = itertools.count(1)
        self._lapsed: list[Claim] = []
        self._dead: list[str] = []
        self._news = asyncio.Event()

    # -- what tests do

    def add(self, remediation: Remediation, incidents: Sequence[str] = ("am/f/1",)) -> Row:
        self.rows[remediation.id] = Row(remediation, incidents)
        self._news.set()
        return self.rows[remediation.id]

    def take(self, remediation: str, worker: str = "w1") -> Claim:
        """Claim this one at once, from whoever holds it."""
        row = self.rows[remediation]
        row.token = next(self._tokens)
        row.change(state=State.RUNNING, worker=worker)
        return Claim(
            entry=f"{row.token}-0", remediation=remediation, token=row.token, worker=worker, deaths=row.view.deaths
        )

    def lapse(self, claim: Claim) -> None:
        """The claim was not renewed: another worker may take it."""
        self._lapsed.append(claim)

    def resolve(self, remediation: str) -> None:
        self.rows[remediation].change(open_incidents=())

    # -- the queue

    async def claim(self, worker: str, *, block: float) -> Claim | None:
        self._up()
        for name, row in self.rows.items():
            if row.view.state is State.QUEUED and not self._held_up(row):
                claim = self.take(name, worker)
                out = sum(other.view.state is State.RUNNING for other in self.rows.values())
                self.max_out = max(self.max_out, out)
                return claim
        await self._clock.sleep(block)
        return None

    async def reclaim(self, worker: str) -> Claim | None:
        self._up()
        if not self._lapsed:
            return None
        row = self.rows[self._lapsed.pop(0).remediation]
        row.change(deaths=row.view.deaths + 1)
        if row.view.deaths > 3:
            row.token = 0
            row.change(state=State.DONE, outcome=Outcome.UNKNOWN, reason=Reason.DEAD_LETTER.value, escalated=True)
            self._dead.append(row.view.remediation.id)
            return None
        return self.take(row.view.remediation.id, worker)

    def take_dead(self) -> list[str]:
        dead, self._dead = self._dead, []
        return dead

    async def renew(self, claim: Claim) -> None:
        self._up()
        self._owned(claim)
        self.renewals += 1

    async def park(self, claim: Claim, due_at: float | None, entry: Entry, question: Question | None = None) -> None:
        row = await self._write(claim, entry)
        row.token = 0
        if question is not None:
            if row.question is None or row.question.digest != question.digest:
                row.answers = {}
            row.question = question
            row.change(reason=entry.reason, detail=entry.text)
        row.change(state=State.QUEUED if row.woken else State.PARKED, due_at=None if row.woken else due_at, worker="")
        row.woken = False
        await self.point(f"after {entry.kind}")

    async def answer(self, remediation: str, answer: Answer, text: str) -> Answered:
        self._up()
        row = self.rows.get(remediation)
        if row is None:
            return Answered(Said.GONE)
        question, agreed = row.question, sum(row.answers.values())
        if row.view.state is State.DONE:
            return Answered(Said.DONE)
        if question is None:
            return Answered(Said.NOT_ASKED)
        said = self._said(row, question, answer)
        if said is not Said.TAKEN:
            return Answered(said, agreed, question.need)
        row.answers[answer.by] = answer.agree
        agreed = sum(row.answers.values())
        data = {"by": answer.by, "agree": answer.agree, "why": answer.why, "question": question.digest}
        row.entries.append(Entry(kind="answered", at=self._clock.now(), text=text, data=data))
        if not answer.agree or agreed >= question.need:
            row.woken = row.view.state is State.RUNNING
            if row.view.state is State.PARKED:
                await self.wake(remediation)
        return Answered(said, agreed, question.need)

    def _said(self, row: Row, question: Question, answer: Answer) -> Said:
        if answer.digest not in ("", question.digest):
            return Said.CHANGED
        if row.answers.get(answer.by) is answer.agree:
            return Said.ALREADY
        if False in row.answers.values() or sum(row.answers.values()) >= question.need:
            return Said.SETTLED
        return Said.LATE if self._clock.now() >= question.until else Said.TAKEN

    async def undo(self, record: Remediation, entry: Entry, moot: Sequence[str]) -> Undoing:
        row = self.rows.get(record.undo_of)
        if row is None:
            return Undoing.GONE
        if record.id in self.rows:
            return Undoing.AGAIN
        if row.view.state is not State.DONE:
            return Undoing.NOT_DONE
        for name in moot:
            self.reverts.pop(name, None)
        made = self.add(msgspec.structs.replace(record, created_at=self._clock.now()), incidents=())
        made.entries.append(msgspec.structs.replace(entry, at=self._clock.now()))
        return Undoing.TAKEN

    async def hand_over(self, claim: Claim, entry: Entry) -> None:
        row = await self._write(claim, entry)
        row.token = 0
        row.change(state=State.QUEUED, worker="")
        await self.point(f"after {entry.kind}")

    async def finish(
        self,
        claim: Claim,
        outcome: Outcome,
        reason: Reason,
        entry: Entry,
        *,
        escalated: bool,
        wait_until: float | None = None,
    ) -> None:
        row = await self._write(claim, entry)
        row.token = 0
        row.wait_until = wait_until
        if outcome is Outcome.UNDONE:
            mine = [name for name, (_, whose, _) in self.reverts.items() if whose == claim.remediation]
            for name in mine:
                del self.reverts[name]
        await self.locks.release(claim)
        now = self._clock.now()
        row.change(
            state=State.DONE, outcome=outcome, reason=reason.value, detail=entry.text, escalated=escalated, worker="",
            finished_at=now,
        )  # fmt: skip
        if self.lost_replies and self.error is not None:
            self.lost_replies -= 1
            raise self.error
        await self.point("after finished")

    async def promote(self) -> int:
        due = [
            row
            for row in self.rows.values()
            if row.view.state is State.PARKED and (row.view.due_at or 0) <= self._clock.now()
        ]
        for row in due:
            row.change(state=State.QUEUED, due_at=None)
        over = [name for name, (at, _, _) in self.reverts.items() if at <= self._clock.now()]
        for name in over:
            _, _, remediation = self.reverts.pop(name)
            self.add(msgspec.structs.replace(remediation, created_at=self._clock.now()), incidents=())
        return len(due) + len(over)

    async def wake(self, remediation: str) -> bool:
        self.rows[remediation].change(state=State.QUEUED, due_at=None)
        return True

    async def get(self, remediation: str) -> RemediationView | None:
        self._up()
        row = self.rows.get(remediation)
        return row.view if row else None

    async def list(self, *, limit: int, state: str | None = None, before: str | None = None) -> list[RemediationView]:
        return [row.view for row in self.rows.values()][::-1][:limit]

    async def cancel(self, remediation: str, by: str, why: str = "") -> bool:
        return False

    async def depth(self) -> Mapping[str, float]:
        """Only what people are asked; the rest is Redis's own."""
        waits = [row for row in self.rows.values() if row.question and row.view.state is State.PARKED]
        return {"approvals": float(sum(sum(row.answers.values()) < row.question.need for row in waits))}

    # -- the journal

    async def append(
        self, claim: Claim, entry: Entry, *, writing: bool = False, revert: Revert | None = None
    ) -> None:
        if writing and self._owned(claim).said_no:
            raise SaidNo(f"somebody said no to {claim.remediation}")
        row = await self._write(claim, entry)
        if revert is not None and revert.remediation.id not in self.reverts:
            due = self._clock.now() + revert.after
            self.reverts[revert.remediation.id] = (due, claim.remediation, revert.remediation)
        if writing:
            row.change(writing=True)
            row.question = None
        await self.point(f"after {entry.kind}")

    async def read(self, remediation: str) -> list[Entry]:
        self._up()
        return list(self.rows[remediation].entries) if remediation in self.rows else []

    async def keep_evidence(self, claim: Claim, blob: bytes, *entries: Entry) -> None:
        self._up()
        self._owned(claim).evidence = blob
        for entry in entries:
            await self.append(claim, entry)

    async def evidence(self, remediation: str) -> bytes | None:
        self._up()
        return self.rows[remediation].evidence

    async def follow(self, remediation: str) -> AsyncIterator[Entry]:
        for entry in self.rows[remediation].entries:
            yield entry

    # -- helpers

    async def _write(self, claim: Claim, entry: Entry) -> Row:
        await self.point(f"before {entry.kind}")
        if not self.lost_replies:
            self._up()
        row = self._owned(claim)
        # As Redis has it: what is read back went through JSON.
        stored = msgspec.json.decode(msgspec.json.encode(entry), type=Entry)
        row.entries.append(msgspec.structs.replace(stored, at=self._clock.now()))
        return row

    def _owned(self, claim: Claim) -> Row:
        row = self.rows.get(claim.remediation)
        if row is None or row.token != claim.token:
            raise LeaseLost(f"{claim.remediation} is held by somebody else")
        return row

    def _held_up(self, row: Row) -> bool:
        target = row.view.remediation.target
        return any(
            other.view.remediation.target == target and other.view.state in (State.RUNNING, State.PARKED)
            for other in self.rows.values()
            if other is not row
        )

    def _up(self) -> None:
        if self.error is not None:
            raise self.error


class MemoryGuardbook:
    """Implements ports.Guardbook; what `facts` says is set by the test."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.known: dict[str, Any] = {}
        self.told: dict[str, tuple[str, float, float]] = {}

    async def facts(self, remediation: Remediation) -> GuardFacts:
        return GuardFacts(now=self._clock.now(), **self.known)

    async def pause(self, pause: Pause) -> None:
        self.known["pauses"] = (pause,)

    async def resume(self, scope: str, *, by: str = "", why: str = "") -> bool:
        return self.known.pop("pauses", None) is not None

    async def pauses(self) -> list[Pause]:
        return list(self.known.get("pauses", ()))

    async def take_run(self, claim: Claim, limits: Sequence[Most]) -> bool:
        return True

    async def waiting(self, reasons: Sequence[Reason]) -> Mapping[Reason, int]:
        return {}

    async def first_to_tell(
        self, about: str, remediation: str, seconds: float, *, quiet: float | None = None
    ) -> bool:
        now = self._clock.now()
        holder, until, asked = self.told.get(about, (remediation, 0.0, now))
        others = holder != remediation and until > now and asked + (seconds if quiet is None else quiet) > now
        self.told[about] = (holder, until, now) if others else (remediation, now + seconds, now)
        return not others

    async def explain(self, fingerprint: str) -> list[Decision]:
        return []

    async def incidents(self, fingerprint: str) -> list[Mapping[str, Any]]:
        return []


class MemoryBreakers:
    """Implements ports.Breakers: opens after `threshold` failures in a row, one probe after `cooldown`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures: dict[str, int] = {}
        self.open_until: dict[str, float] = {}
        self.left: list[tuple[str, bool | None]] = []
        self.entered = 0

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        until = self.open_until.get(name)
        if until is not None and until > self._clock.now():
            raise CircuitOpen(f"{name} is open", delay=until - self._clock.now())
        self.entered += 1
        return Permit(name, until is not None, f"t{self.entered}")

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        self.left.append((permit.name, failed))
        if failed is None:
            return BreakerState.CLOSED
        self.failures[permit.name] = self.failures.get(permit.name, 0) + 1 if failed else 0
        if self.failures[permit.name] < policy.threshold:
            self.open_until.pop(permit.name, None)
            return BreakerState.CLOSED
        self.open_until[permit.name] = self._clock.now() + policy.cooldown
        return BreakerState.OPEN

    async def states(self) -> Mapping[str, BreakerState]:
        return dict.fromkeys(self.open_until, BreakerState.OPEN)
