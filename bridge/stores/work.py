"""The queue of remediations: claims, waits and ends. Called by engine; looked at through views by api."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.errors import LeaseLost
from bridge.model import kinds
from bridge.model.approval import Answer, Answered, Question, Said
from bridge.model.intake import Claim
from bridge.model.reason import Reason
from bridge.model.remediation import SCHEMA, Entry, Outcome, Remediation, Undoing
from bridge.stores.codec import ENCODER, brief, milliseconds, stamped
from bridge.stores.groups import Groups
from bridge.stores.link import Arg, Link
from bridge.stores.views import Views

WITHOUT_ACTING = frozenset({Outcome.DENIED, Outcome.OBSERVED, Outcome.SUPPRESSED, Outcome.EXPIRED})
"""Ends after which an incident that still fires is evaluated again (decision 1 of the design)."""


class RedisWorkQueue(Views):
    """Implements ports.WorkQueue; reading is in Views."""

    def __init__(self, link: Link, groups: Groups) -> None:
        super().__init__(link, groups)
        self._link = link
        self._groups = groups
        self._dead: list[str] = []

    async def claim(self, worker: str, *, block: float) -> Claim | None:
        """See ports.WorkQueue. None as well when what was read was cancelled meanwhile."""
        rows = await self._groups.read("work", "workers", worker, count=1, block=block)
        for entry, flat in rows:
            reply = await self._groups.script("claim", entry, flat[1], worker, SCHEMA)
            if reply[0] == b"claimed":
                return _claim(worker, reply[1:])
        return None

    async def reclaim(self, worker: str) -> Claim | None:
        """See ports.WorkQueue. Dead letters are recorded on the way."""
        reply = await self._groups.script("reclaim", worker, SCHEMA)
        self._dead += [name.decode() for name in reply[0]]
        return _claim(worker, reply[1:]) if len(reply) > 1 else None

    def take_dead(self) -> list[str]:
        dead, self._dead = self._dead, []
        return dead

    async def renew(self, claim: Claim) -> None:
        await self._owned(claim, "renew", claim.worker, claim.entry)

    async def park(self, claim: Claim, due_at: float | None, entry: Entry, question: Question | None = None) -> None:
        asked: tuple[Arg, ...] = ()
        if question is not None:
            asked = (question.digest, question.need, milliseconds(question.until))
        # What is only tried again, since something is away for a moment, was not decided.
        said = "" if entry.kind == kinds.RETRY else entry.reason
        told: tuple[Arg, ...] = (stamped(entry), said, brief(entry.text))
        await self._owned(claim, "park", claim.entry, milliseconds(due_at), *told, *asked)

    async def answer(self, remediation: str, answer: Answer, text: str) -> Answered:
        agree = int(answer.agree)
        reply = await self._link.script("answer", remediation, answer.by, agree, answer.digest, answer.why, text)
        return Answered(Said(reply[0].decode()), int(reply[1]), int(reply[2]))

    async def undo(self, record: Remediation, entry: Entry, moot: Sequence[str]) -> Undoing:
        args: tuple[Arg, ...] = (record.undo_of, record.id, SCHEMA, ENCODER.encode(record), stamped(entry), *moot)
        return Undoing((await self._link.script("undo", *args)).decode())

    async def hand_over(self, claim: Claim, entry: Entry) -> None:
        await self._owned(claim, "hand_over", claim.entry, stamped(entry))

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
        """See ports.WorkQueue. Suppressed and expired ones wait like those that were denied or observed."""
        waits = wait_until is not None or outcome in WITHOUT_ACTING
        await self._owned(
            claim,
            "finish",
            outcome.value,
            reason.value,
            brief(entry.text),
            int(escalated),
            stamped(entry),
            int(waits),
            milliseconds(wait_until),
        )

    async def promote(self) -> int:
        return int(await self._link.script("promote", 100))

    async def wake(self, remediation: str) -> bool:
        """See ports.WorkQueue. One that runs is not parked then, when it wants to be, but goes on."""
        return bool(await self._link.script("wake", remediation))

    async def cancel(self, remediation: str, by: str, why: str = "") -> bool:
        reason = Reason.CANCELLED_BY_OPERATOR.value
        text = f"cancelled by {by}" + (f": {why}" if why else "")
        return bool(await self._link.script("cancel", remediation, reason, text, by))

    async def _owned(self, claim: Claim, script: str, *args: Arg) -> None:
        """Run a script under the claim's fencing token."""
        if not await self._groups.script(script, claim.remediation, claim.token, *args):
            raise LeaseLost(f"{claim.remediation} is no longer this worker's")


def _claim(worker: str, parts: list[bytes]) -> Claim:
    entry, remediation, token, deaths = (part.decode() for part in parts)
    return Claim(entry=entry, remediation=remediation, token=int(token), worker=worker, deaths=int(deaths))
