"""What the receiver and the dispatcher keep: alerts that came in, refused ones, and seen signatures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bridge.model.alert import Alert
from bridge.model.intake import (
    Dispatch,
    Dispatched,
    IntakeEntry,
    Seen,
    Transition,
)
from bridge.model.reason import Reason
from bridge.model.refusal import Refusal


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
