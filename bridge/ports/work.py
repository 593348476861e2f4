"""What the workers keep: the queue of remediations, their journals, and the locks on what they change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from bridge.model.approval import Answer, Answered, Question
from bridge.model.intake import (
    Claim,
)
from bridge.model.reason import Reason
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, Revert, Undoing


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
        """Return queue figures: intake, work, parked, pending, dead and the age of the oldest (`*_age`, seconds).

        `approvals` are the parked ones that wait for people's answers.
        """
        ...


class Journal(Protocol):
    """What happened to a remediation, append-only."""

    async def append(
        self, claim: Claim, entry: Entry, *, writing: bool = False, revert: Revert | None = None
    ) -> None:
        """Append under the claim's fencing token; `writing` marks the first write. Raises LeaseLost, JournalFull.

        With `writing` it raises SaidNo where somebody has said no to the question that the run waits with.

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

    async def acquire(
        self, claim: Claim, keys: Sequence[str], *, seconds: float, above: Sequence[str] = ()
    ) -> str | None:
        """Lock all keys (in sorted order) or none; return None, or the remediation that holds one of them.

        Locking again by the same remediation prolongs. What one of `above` holds stays its own and keeps nobody
        out: those wait for this one, and write nothing meanwhile. Raises LeaseLost.
        """
        ...

    async def release(self, claim: Claim) -> None: ...
