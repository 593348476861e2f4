"""Make one planned change of an object under its preconditions. Called by make; nothing else changes a cluster.

What the five operations have in common is here: read, settle, send, and read back where the answer was lost. How
each looks at what is there and what it sends is in writes.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from bridge.engine.retry import TRANSIENT
from bridge.engine.writes import Existing, write_for
from bridge.errors import (
    AlertbridgeError,
    KubeConflict,
    KubeNotFound,
    KubeReplyLost,
    KubeUnavailable,
    PlanStale,
)
from bridge.model.plan import Change, Made
from bridge.ports import Cluster

Confirm = Callable[[], Awaitable[None]]
"""Raises when nothing may be written any more: while a read hung, another worker may have taken over."""


async def _nothing() -> None:
    """Let everything pass."""


class ChangeApplier:
    """Applies changes to one cluster: read, compare with the plan, write with the version just read."""

    def __init__(self, cluster: Cluster, *, tries: int = 5) -> None:
        self._cluster = cluster
        self._tries = tries
        self._failed: list[Change] = []
        """Changes that the server answered with an error of its own, or not at all: it may have made them."""

    def in_doubt(self, change: Change) -> bool:
        """Whether a write of this change was sent whose fate is not known; without one nothing of it was made."""
        return change in self._failed

    async def apply(self, change: Change, *, remediation: str, confirm: Confirm = _nothing) -> Made:
        """Return what became of it. `confirm` is asked before each write, also one that is sent again.

        Raises TargetReplaced (other uid, or gone), PlanStale (a field has another value than planned, something of
        that name is there, or the object kept changing), DisruptionRefused and KubeError. A lost reply is settled by
        reading back: only when that fails, KubeReplyLost is raised. A third value then is PlanStale: whatever became
        of ours was overwritten.
        """
        write = write_for(change, remediation)
        lost: KubeReplyLost | None = None
        refused: tuple[str, KubeConflict] | None = None
        current: Existing = None
        look = write.looks_first
        for _ in range(self._tries):
            if look:
                current = await self._read(change, lost)
                if (found := write.settled(current)) is not None:
                    ours = write.ours or lost is not None or self.in_doubt(change)
                    return Made(ours, found, version=_version(current) if ours else "")
                _raise_if_unchanged(refused, current)
            look = True
            await confirm()
            try:
                return Made(True, await write.send(self._cluster, current), version=write.version)
            except KubeConflict as error:
                # Somebody wrote between our read and our write; whether it matters, the next read tells.
                refused = (_version(current), error)
            except KubeReplyLost as error:
                self._failed.append(change)
                lost = error
            except KubeNotFound:
                if not write.removes:
                    raise
            except KubeUnavailable as error:
                if error.status:
                    self._failed.append(change)
                raise
        if lost is not None:
            raise lost
        raise PlanStale(f"{change.ref} changed {self._tries} times between read and write")

    async def _read(self, change: Change, lost: KubeReplyLost | None) -> Existing:
        try:
            return await self._cluster.get(change.ref)
        except KubeNotFound:
            return None
        except AlertbridgeError as error:
            if lost is not None:
                # The write's fate cannot be read back: that, not the failed read, is what the caller must know.
                raise lost from None
            if self.in_doubt(change) and not isinstance(error, TRANSIENT):
                raise KubeReplyLost(f"whether it was made cannot be read back: {error}") from error
            raise


def _raise_if_unchanged(refused: tuple[str, KubeConflict] | None, current: Existing) -> None:
    """Raise a conflict that is no race: the object is as it was (another manager owns a field of an apply)."""
    if refused is not None and refused[0] and refused[0] == _version(current) and _owned(refused[1]):
        raise refused[1]


def _owned(error: KubeConflict) -> bool:
    return "Apply failed" in str(error)


def _version(current: dict[str, Any] | None) -> str:
    return str(current["metadata"].get("resourceVersion", "")) if current else ""
