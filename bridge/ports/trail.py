"""What people are told, and what is kept for them of all that happened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from bridge.model.audit import Happened, Note
from bridge.model.notice import Ack, Deliveries, Due, Memory, Notice, Sending


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
        memory: Memory | None = None,
    ) -> bool:
        """Record one look in one script: what is remembered, the messages, and when to look again (None: with news).

        `read` is how many entries of the journal were looked at: with more than that it is due at once. What waits
        under a name that begins as one of `withdraw` is not sent any more. `enrol` makes it due in another list as
        well. `memory` is what is remembered of its cause from now on, with the version that was read. False, and
        nothing is recorded, when somebody else has looked since, or has changed that memory; then it is due at once.
        """
        ...

    async def remembered(self, cause: str) -> Memory:
        """Return what is remembered of a cause; with version 0 and nothing kept where that is nothing."""
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
