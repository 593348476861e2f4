"""The durable record of one run of one runbook for its target, and the journal of what happened to it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import msgspec

from bridge.model.kinds import APPLYING
from bridge.model.mode import Mode
from bridge.model.target import Target

SCHEMA = 2
"""Version of the stored records. Version N reads N-1 and leaves a newer one for a newer worker.

2: runbooks with attempts, waits, loops and lists, several targets, journals that name steps by text keys.
"""


class State(Enum):
    """Where a remediation is in its life."""

    QUEUED = "queued"
    """Waits for a worker, or behind another remediation of its target."""
    RUNNING = "running"
    PARKED = "parked"
    """Waits for a time or for a person; neither a claim nor a worker's slot is held."""
    DONE = "done"


class Outcome(Enum):
    """How a remediation ended; `escalated` is a flag beside it."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    UNDONE = "undone"
    CANCELLED = "cancelled"
    DENIED = "denied"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    OBSERVED = "observed"


class Remediation(msgspec.Struct, frozen=True, kw_only=True):
    """What is fixed when a remediation is created. Times are unix seconds (float) by the store's clock.

    The configuration of a run is that of its creation: `runbook_doc` is the resolved runbook with its
    parameters, `config_hash` a hash of both. Guards use the configuration of now instead.
    """

    schema: int = SCHEMA
    id: str
    runbook: str
    target: Target
    mode: Mode
    params: dict[str, Any] = {}
    runbook_doc: dict[str, Any] = {}
    config_hash: str = ""
    route: str = ""
    """Path of the route in the table, e.g. `route.routes[2].routes[0]`."""
    labels: dict[str, str] = {}
    """Of the alert that asked first."""
    annotations: dict[str, str] = {}
    started_at: float = 0.0
    """Start of that alert, by its sender's clock."""
    received_at: float = 0.0
    """When that firing was first received, by the store's clock; 0 where it is not known."""
    hold_off: float = 0.0
    """Seconds after `received_at` until which nothing is done."""
    cooldown: float = 600.0
    max_attempts: int = 3
    attempts_window: float = 3600.0
    allow_drift: bool = False
    allow_irreversible: bool = False
    allow_namespaces: tuple[str, ...] = ()
    """Protected namespaces that its route makes an exception of."""
    approvers: int = 1
    """Mode approve: how many different people have to agree."""
    approve_within: float = 1800.0
    """Mode approve: seconds after which no answer means no."""
    requested_by: str = ""
    why: str = ""
    override: tuple[str, ...] = ()
    created_at: float = 0.0
    parents: tuple[str, ...] = ()
    """The remediations that wait for it, the outermost first: it was asked for by a step of the last of them."""
    above: tuple[Target, ...] = ()
    """What those are about."""
    undo_of: str = ""
    """The remediation whose changes this one puts back; empty: it is no undo."""
    undo_step: str = ""
    """undo_of: the one step whose changes go back; empty: all of them."""
    refused: str = ""
    """Value of the Reason for which nothing can be made of what the alert asks for: a person is told, and no more.
    `target` has no cluster and no name then."""
    refusal: str = ""
    """The same as a sentence."""
    group: str = ""
    """What the alerts of one run for several targets have in common; empty: it is for one target."""
    targets: tuple[Target, ...] = ()
    """group: the targets of its open incidents, sorted, as they were when it was read. `target` is that of the alert
    that asked first."""

    @property
    def all_targets(self) -> tuple[Target, ...]:
        return self.targets or (self.target,)

    @property
    def severity(self) -> str:
        """How bad its runbook says that it is, by its organisation's name; empty where it does not say."""
        return str(self.runbook_doc.get("severity", ""))


class Revert(msgspec.Struct, frozen=True, kw_only=True):
    """What undoes a temporary change by itself. The first change of a step sets the time; others move nothing."""

    after: float
    """Seconds from the entry that says that the change was made."""
    hold: float = 0.0
    """Seconds from then that the change stays at least, also when every alert resolves before."""
    remediation: Remediation
    """The record that is created when the time is over; its id is the same whoever asks for it."""


class Undoing(Enum):
    """What became of a person's wish to have a remediation undone."""

    TAKEN = "taken"
    AGAIN = "again"
    """It was asked for before."""
    NOT_DONE = "not_done"
    GONE = "gone"


class RemediationView(msgspec.Struct, frozen=True, kw_only=True):
    """A remediation with its progress, as `list` and `show` print it."""

    remediation: Remediation
    state: State
    outcome: Outcome | None = None
    reason: str = ""
    """Value of the Reason of the last decision."""
    detail: str = ""
    escalated: bool = False
    incidents: tuple[str, ...] = ()
    open_incidents: tuple[str, ...] = ()
    """Those of `incidents` that have not resolved."""
    writing: bool = False
    """Whether the first write has begun: from then on nothing is cancelled silently."""
    deaths: int = 0
    due_at: float | None = None
    """When a parked one goes on, unix seconds."""
    worker: str = ""
    updated_at: float = 0.0
    finished_at: float | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the journal. `data` is plain JSON; `kind` is one of those that bridge.model.kinds lists."""

    kind: str
    at: float = 0.0
    """Unix seconds; set by the store when it is appended."""
    worker: str = ""
    text: str = ""
    """One sentence for people."""
    reason: str = ""
    data: dict[str, Any] = {}


def begun_steps(entries: Iterable[Entry]) -> set[str]:
    """Return the keys of the steps that began to write: any other plan of a run that is over was not made."""
    return {str(entry.data.get("step", "")) for entry in entries if entry.kind == APPLYING}


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One decision about an alert, as `explain` tells it: also each decision to do nothing."""

    at: float = 0.0
    reason: str
    detail: str = ""
    incident: str = ""
    remediation: str = ""
    route: str = ""
    runbook: str = ""
