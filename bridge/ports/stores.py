"""What is kept in Redis.

Stores raise StoreUnavailable when Redis cannot be used; every method is bounded in time by its implementation.
Every store time is unix seconds by the store's own clock, so that hosts with wrong clocks agree.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from bridge.model.alert import Alert
from bridge.model.approval import Answer, Answered, Question
from bridge.model.audit import Happened, Note
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.budget import BudgetAnswer, BudgetRules, BudgetUse, Spend
from bridge.model.intake import (
    Claim,
    Dispatch,
    Dispatched,
    GuardFacts,
    IntakeEntry,
    Pause,
    Seen,
    Transition,
)
from bridge.model.notice import Ack, Deliveries, Due, Notice, Sending
from bridge.model.outside import Copy
from bridge.model.reason import Reason
from bridge.model.refusal import Refusal
from bridge.model.remediation import Decision, Entry, Outcome, Remediation, RemediationView, Revert, Undoing
from bridge.model.target import ObjectRef
from bridge.model.trust import Lowered, Stopped, Trust, TrustSettings


class Intake(Protocol):
    """The receiver's side of the intake."""

    async def accept(self, alerts: Sequence[Alert]) -> list[Seen]:
        """Dedup the alerts of one request and store what is new as one entry, in one script.

        Returns what became of each alert, in order. When it returns, the alerts are in Redis (and, where
        `min_replicas` is set, on that many replicas). Calls at the same time share round trips.
        """
        ...


class Refusals(Protocol):
    """Alerts that the receiver refused, kept for a person to read: a capped list of the newest."""

    async def record(self, refusals: Sequence[Refusal]) -> None:
        """Keep them; the oldest beyond the cap are dropped."""
        ...

    async def recent(self, *, limit: int) -> list[Refusal]:
        """Return the newest first."""
        ...


class ReplayMemory(Protocol):
    """Signatures of requests that were taken, shared by all receivers of an installation."""

    async def remember(self, signature: str, seconds: float) -> bool:
        """Keep `signature` for `seconds`; True when it was not known, in one step, so that one of two wins."""
        ...

    async def forget(self, signature: str) -> None:
        """Drop it again: its request was not stored, and the sender may send it once more."""
        ...


class IntakeQueue(Protocol):
    """The dispatcher's side of the intake."""

    async def read(self, worker: str, *, count: int, block: float) -> list[IntakeEntry]:
        """Return new entries, waiting at most `block` seconds for the first."""
        ...

    async def reclaim(self, worker: str) -> list[IntakeEntry]:
        """Return entries whose dispatcher has not renewed them for the claim's length."""
        ...

    async def begin_alert(self, entry: str, index: int) -> int:
        """Count and return the tries of one alert of a redelivered entry, before it is tried."""
        ...

    async def dispatch(self, dispatch: Dispatch) -> Dispatched:
        """Record incident and decisions and create or join remediations, in one script; idempotent by `seq`."""
        ...

    async def dead_letter(self, entry: str, index: int, transition: Transition, error: str) -> None: ...

    async def done(self, entries: Sequence[str]) -> None:
        """Acknowledge and delete entries whose alerts are all dispatched or set aside."""
        ...

    async def due(self, *, limit: int) -> list[Transition]:
        """Take open incidents whose wait is over, to be dispatched again; each is paced by the store."""
        ...

    async def wake(self, reasons: Sequence[Reason]) -> int:
        """Make every open incident that waits on one of `reasons` due now; return how many."""
        ...

    async def expire(self, *, limit: int) -> list[str]:
        """Close incidents that were not seen for their time to live; return their ids."""
        ...


class WorkQueue(Protocol):
    """Remediations and who works on them."""

    async def claim(self, worker: str, *, block: float) -> Claim | None:
        """Take the next remediation, waiting at most `block` seconds. Per queue key one is out at a time."""
        ...

    async def reclaim(self, worker: str) -> Claim | None:
        """Take one whose worker stopped renewing; counts a death. Beyond the limit it is a dead letter instead."""
        ...

    def take_dead(self) -> list[str]:
        """Return what `reclaim` made dead letters of in this process since the last call, for people to be told."""
        ...

    async def renew(self, claim: Claim) -> None:
        """Prolong the claim; raise LeaseLost if another worker holds it now."""
        ...

    async def park(self, claim: Claim, due_at: float | None, entry: Entry, question: Question | None = None) -> None:
        """Journal `entry`, let go of the claim and come back at `due_at` (None: when somebody answers).

        With `question` people are asked it from now on, see `answer`; answers to another one before it are void,
        those to the same one count on. Raises LeaseLost.
        """
        ...

    async def answer(self, remediation: str, answer: Answer, text: str) -> Answered:
        """Take a person's answer to the question that stands, in one step with its journal entry (`text`).

        The run goes on at once when enough agree, or one does not. Each person counts once; who agreed may still say
        no until enough do.
        """
        ...

    async def undo(self, record: Remediation, entry: Entry, moot: Sequence[str]) -> Undoing:
        """Create what puts back all that a finished remediation changed, once; `entry` begins its journal.

        `moot`: ids of what would undo temporary changes of it by itself; that is forgotten.
        """
        ...

    async def hand_over(self, claim: Claim, entry: Entry) -> None:
        """Journal `entry` and give the remediation back at once for another worker. Raises LeaseLost."""
        ...

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
        """Record the end, free its locks and start the next of its queue key, in one script. Raises LeaseLost.

        With `wait_until`, or with outcome denied or observed, its open incidents wait on `reason`
        (decision 1) and are dispatched again when that may have ended.
        """
        ...

    async def promote(self) -> int:
        """Put parked remediations that are due back in the queue; return how many.

        And create what undoes temporary changes whose time is over, each once, behind the others of its queue key;
        but not behind one that is parked and has not begun to write.
        """
        ...

    async def wake(self, remediation: str) -> bool:
        """Make one parked remediation due now."""
        ...

    async def get(self, remediation: str) -> RemediationView | None: ...

    async def list(self, *, limit: int, state: str | None = None, before: str | None = None) -> list[RemediationView]:
        """Return remediations, newest first."""
        ...

    async def cancel(self, remediation: str, by: str, why: str = "") -> bool:
        """Cancel one that has not begun to write; False when it has, or is done, or does not exist."""
        ...

    async def depth(self) -> Mapping[str, float]:
        """Return queue figures: intake, work, parked, pending, dead and the age of the oldest (`*_age`, seconds)."""
        ...


class Journal(Protocol):
    """What happened to a remediation, append-only."""

    async def append(
        self, claim: Claim, entry: Entry, *, writing: bool = False, revert: Revert | None = None
    ) -> None:
        """Append under the claim's fencing token; `writing` marks the first write. Raises LeaseLost, JournalFull.

        With `revert`, in the same step: what undoes a temporary change is due after its time, whatever becomes of
        this remediation, unless that ends as undone. See WorkQueue.promote.
        """
        ...

    async def read(self, remediation: str) -> list[Entry]: ...

    async def keep_evidence(self, claim: Claim, blob: bytes, *entries: Entry) -> None:
        """Keep (replace) the compressed evidence of the remediation and append the entries. Raises LeaseLost."""
        ...

    async def evidence(self, remediation: str) -> bytes | None: ...

    def follow(self, remediation: str) -> AsyncIterator[Entry]:
        """Yield the entries as they are appended, until the remediation is done."""
        ...


class Locks(Protocol):
    """Objects tied to a remediation, from its first write to the end of its verification."""

    async def acquire(self, claim: Claim, keys: Sequence[str], *, seconds: float) -> str | None:
        """Lock all keys (in sorted order) or none; return None, or the remediation that holds one of them.

        Locking again by the same remediation prolongs. Raises LeaseLost.
        """
        ...

    async def release(self, claim: Claim) -> None: ...


class Guardbook(Protocol):
    """What the guards remember."""

    async def facts(self, remediation: Remediation) -> GuardFacts: ...

    async def pause(self, pause: Pause) -> None:
        """Stop new writes in its scope; who did it and why is in the trail with the same step."""
        ...

    async def resume(self, scope: str, *, by: str = "", why: str = "") -> bool:
        """End a pause; False when there was none. A runbook is trusted again. In the trail with the same step."""
        ...

    async def pauses(self) -> list[Pause]: ...

    async def waiting(self, reasons: Sequence[Reason]) -> Mapping[Reason, int]:
        """Return how many open alerts wait for the end of each reason."""
        ...

    async def first_to_tell(self, about: str, remediation: str, seconds: float) -> bool:
        """Return True to the first remediation that asks (however often it does), and to no other for so long."""
        ...

    async def explain(self, fingerprint: str) -> list[Decision]:
        """Return every decision that is kept about this fingerprint, of all sources, oldest first."""
        ...

    async def incidents(self, fingerprint: str) -> list[Mapping[str, Any]]:
        """Return what is kept about this fingerprint's incidents: state, start, last seen, remediations."""
        ...


class Breakers(Protocol):
    """Circuit breakers, shared by all workers."""

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        """Return leave for one call; raise CircuitOpen when it is open or its one probe is out."""
        ...

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        """Report the call's result; None (cancelled, not the dependency's fault) counts as neither."""
        ...

    async def states(self) -> Mapping[str, BreakerState]: ...


class Budgets(Protocol):
    """The disruption budget, shared by all workers. Strict: no moment's sum is ever above a limit."""

    async def look(self, spends: Sequence[Spend], rules: BudgetRules) -> BudgetAnswer:
        """Return what `reserve` would, and keep nothing."""
        ...

    async def reserve(
        self,
        claim: Claim,
        key: str,
        spends: Sequence[Spend],
        rules: BudgetRules,
        *,
        force: bool = False,
        anew: bool = False,
    ) -> BudgetAnswer:
        """Reserve what the plan `key` of a run disturbs, or none of it; in one step. Raises LeaseLost.

        Again with the same key takes the place of what it had reserved, which for no spends is given back; `anew`
        takes the place of all that the run had reserved: nothing of it was written. `force` reserves whatever the
        limits say. It counts while the run goes on and for the window after its end, unless that wrote nothing;
        a run that parks before it wrote gives it back. Where more than `halt_after` targets were asked for in the
        window, everything is paused (Pause `all`, by `alertbridge`).
        """
        ...

    async def use(self, window: float) -> BudgetUse:
        """Return what counts now, and how many targets were asked for within the window (seconds)."""
        ...

    async def settle(self, claim: Claim, *, wrote: bool) -> None:
        """Count what the run reserved from now on as spent, or give it back. The end of a run does it by itself."""
        ...


class Trustbook(Protocol):
    """Whether runbooks help. The end of a run that wrote something counts by itself; what only undoes does not."""

    async def judge(self, runbook: str, alert: str, policy: TrustSettings) -> Trust:
        """Return what holds for this runbook for alerts of this name, by the runs until now; lowers what is due."""
        ...

    async def restore(self, runbook: str) -> bool:
        """A person trusts it again, for every alert; what it did before does not count any more."""
        ...

    async def stopped(self) -> Mapping[str, Stopped]:
        """Return the runbooks that run no more."""
        ...

    async def lowered(self) -> Mapping[tuple[str, str], Lowered]:
        """Return by alert and runbook what may not go as far as its route says."""
        ...


class StoreHealth(Protocol):
    async def ping(self) -> None:
        """Raise StoreUnavailable when alerts could not be stored now."""
        ...

    async def time(self) -> float:
        """Return the store's time in unix seconds: the one clock on which all hosts agree."""
        ...


class Copies(Protocol):
    """Kept versions of objects (ConfigMaps), for a restore of the last good one. A bounded number for each."""

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        """Keep it as the newest; one that was good once stays good. Its time is the store's, not the copy's own.

        Each content is kept once. Returns False for one that is too large; raises InvalidInput for a Secret.
        """
        ...

    async def of(self, ref: ObjectRef) -> list[Copy]:
        """Return what is kept of this object (by cluster, kind, namespace and name), newest first."""
        ...

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        """Note that what depends on the object is well, or not, while it holds this.

        Returns for how many seconds it has been well with it; a look that comes later than `gap` seconds after the
        last one begins anew.
        """
        ...

    async def take_turn(self, seconds: float) -> bool:
        """Return True to one caller of all processes, and to none again for so many seconds."""
        ...


class Audit(Protocol):
    """The trail of every decision and every write. Append-only; the oldest go when their time is over.

    Decisions and journals get into it by the steps that record them, and never without; only what people did by hand
    is added here.
    """

    async def record(self, note: Note) -> None:
        """Add what a person did; its time is the store's."""
        ...

    def read(self, *, since: float, until: float) -> AsyncIterator[Happened]:
        """Yield what happened from `since` on and before `until` (unix seconds), oldest first."""
        ...


class Notices(Protocol):
    """What people are told: which remediations have news, and the messages that wait to be sent.

    Each entry of a journal makes its remediation due in the list `notices`, in the script that appends it: what was
    decided is told, whatever dies in between.
    """

    async def take(self, watch: str, *, limit: int) -> list[Due]:
        """Take remediations of a list (`notices`, `holds`) whose time has come; each comes again until it is kept."""
        ...

    async def keep(
        self,
        watch: str,
        due: Due,
        kept: bytes,
        *,
        read: int,
        look_at: float | None,
        notices: Sequence[Notice] = (),
        withdraw: Sequence[str] = (),
        enrol: str = "",
    ) -> bool:
        """Record one look in one script: what is remembered, the messages, and when to look again (None: with news).

        `read` is how many entries of the journal were looked at: with more than that it is due at once. What waits
        under a name that begins as one of `withdraw` is not sent any more. `enrol` makes it due in another list as
        well. False, and nothing is recorded, when somebody else has looked since.
        """
        ...

    async def send(self, channel: str, *, limit: int, pace: int = 0) -> list[Sending]:
        """Hand out messages of a channel that are due, oldest first; each again when neither is said in time.

        Of one remediation there is one at a time. With a `pace` there are so many in a minute, one by one; when more
        than that are due together, all of them (a hundred at most) are handed out at once, to be told as one.
        """
        ...

    async def sent(self, channel: str, sending: Sending) -> None: ...

    async def failed(self, channel: str, sending: Sending, error: str, *, retry_at: float | None) -> None:
        """Note a try that failed; None gives the message up."""
        ...

    async def deliveries(self, remediation: str) -> Deliveries: ...

    async def acknowledge(self, remediation: str, ack: Ack) -> Ack | None:
        """Stop calling people for it; return who has, the first one. None when it does not exist."""
        ...

    async def waiting(self) -> Mapping[str, int]:
        """Return how many messages wait, by channel."""
        ...
