"""Run a remediation as far as its plans, with nothing kept and nothing changed. Called for `alertbridge plan`.

The same code as a run in mode observe: only the stores are a notebook here, and the cluster takes no write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from bridge.engine.ending import Ending
from bridge.engine.execute import run_remediation
from bridge.engine.lease import Lease
from bridge.engine.parts import Parts
from bridge.errors import PermanentError
from bridge.model.breaker import BreakerPolicy, BreakerState, Permit
from bridge.model.intake import Claim, GuardFacts
from bridge.model.mode import Mode
from bridge.model.outside import Copy
from bridge.model.remediation import Entry, Remediation, RemediationView, Revert, State
from bridge.model.target import ObjectRef
from bridge.ports import Cluster, Clusters, Copies
from bridge.ports.layer import ClusterLayer, Way

T = TypeVar("T")


class Rehearsal(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would begin with: its journal, as `show` prints it, and how it ended."""

    remediation: Remediation
    entries: tuple[Entry, ...]
    ending: Ending
    evidence: bytes | None
    """As the journal keeps it: gzipped JSON."""


async def rehearse(parts: Parts, remediation: Remediation) -> Rehearsal:
    """Return what a run of `remediation` would find and plan now. Reads only."""
    notebook = Notebook(remediation, parts.clock.now)
    alone: Any = notebook
    parts = msgspec.structs.replace(
        parts,
        queue=alone,
        journal=alone,
        locks=alone,
        guardbook=alone,
        entry_guards=(),
        process_mode=lambda: Mode.OBSERVE,
        limits=msgspec.structs.replace(parts.limits, retries=0),
    )
    claim = Claim(entry="", remediation=remediation.id, token=0, worker="rehearsal")
    lease = Lease(claim, alone, parts.clock, seconds=float("inf"), stopping=asyncio.Event())
    stretch = await run_remediation(parts, lease)
    assert stretch is not None
    return Rehearsal(
        remediation=remediation,
        entries=tuple(notebook.entries),
        ending=stretch.ending,
        evidence=notebook.blob,
    )


class Notebook:
    """The stores of one run that nobody else takes part in: what a run in mode observe asks of them."""

    def __init__(self, remediation: Remediation, now: Callable[[], float]) -> None:
        self.entries: list[Entry] = []
        self.blob: bytes | None = None
        self._view = RemediationView(remediation=remediation, state=State.RUNNING)
        self._now = now

    async def get(self, remediation: str) -> RemediationView:
        return self._view

    async def renew(self, claim: Claim) -> None:
        """Nobody else could take it."""

    async def read(self, remediation: str) -> list[Entry]:
        return list(self.entries)

    async def append(
        self, claim: Claim, entry: Entry, *, writing: bool = False, revert: Revert | None = None
    ) -> None:
        if writing:
            raise PermanentError("a rehearsal changes nothing")
        self.entries.append(msgspec.structs.replace(entry, at=self._now()))

    async def keep_evidence(self, claim: Claim, blob: bytes, *entries: Entry) -> None:
        self.blob = blob
        for entry in entries:
            await self.append(claim, entry)

    async def evidence(self, remediation: str) -> bytes | None:
        return self.blob

    async def facts(self, remediation: Remediation) -> GuardFacts:
        return GuardFacts(now=self._now())


class NoBreakers:
    """Implements ports.Breakers for one command: every call is let through."""

    async def enter(self, name: str, policy: BreakerPolicy) -> Permit:
        return Permit(name, probe=False)

    async def leave(self, permit: Permit, policy: BreakerPolicy, *, failed: bool | None) -> BreakerState:
        return BreakerState.CLOSED

    async def states(self) -> Mapping[str, BreakerState]:
        return {}


class CopiesToRead:
    """Implements ports.Copies over those of the store, or where nobody has it: nothing is kept."""

    def __init__(self, kept: Copies | None = None) -> None:
        self._kept = kept

    async def of(self, ref: ObjectRef) -> list[Copy]:
        if self._kept is None:
            raise PermanentError(
                f"which copies of {ref} are kept only the running server knows: `alertbridge plan --url URL` asks it"
            )
        return await self._kept.of(ref)

    async def keep(self, ref: ObjectRef, copy: Copy) -> bool:
        return False

    async def watched(self, ref: ObjectRef, manifest: dict[str, Any], *, well: bool, gap: float) -> float:
        return 0.0

    async def take_turn(self, seconds: float) -> bool:
        return False


class ReadOnlyClusters:
    """Implements ports.Clusters over another: whatever would change something is refused before it is sent."""

    def __init__(self, inner: Clusters) -> None:
        self._inner = inner

    def get(self, name: str) -> Cluster:
        return _ReadOnly(self._inner.get(name))


class _ReadOnly(ClusterLayer):
    async def _pass(self, way: Way, call: Callable[[], Awaitable[T]]) -> T:
        if way.writes:
            raise PermanentError("a rehearsal changes nothing")
        return await call()
