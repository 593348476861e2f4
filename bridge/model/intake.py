"""What passes between receiver and dispatcher, and between dispatcher and worker."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from bridge.model.alert import Alert
from bridge.model.remediation import Decision, Remediation
from bridge.model.silence import Silence
from bridge.model.trust import Trust


class Seen(Enum):
    """What the intake made of one alert."""

    NEW = "new"
    """A first firing, or one after a resolve that is over: an incident opens."""
    SUPERSEDES = "supersedes"
    """An open incident's alert fires with a later start."""
    REOPENED = "reopened"
    """A held firing was seen again after the skew window."""
    RESOLVED = "resolved"
    TOMBSTONE = "tombstone"
    """A resolve for an incident that was never open here."""
    DUPLICATE = "duplicate"
    HELD = "held"
    STALE = "stale"
    """A resolve that ended before the open incident started."""

    @property
    def stored(self) -> bool:
        """Whether it became work for the dispatcher."""
        return self in _STORED


_STORED = frozenset({Seen.NEW, Seen.SUPERSEDES, Seen.REOPENED, Seen.RESOLVED})


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that the intake stored for work. `seq` numbers the transitions of its source and fingerprint."""

    alert: Alert
    seq: int
    seen: Seen
    received_at: float
    """Unix seconds, by the store's clock."""


class IntakeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The new alerts of one request, or of several that shared a script call: one entry of the stream `intake`."""

    id: str
    transitions: tuple[Transition, ...]
    deliveries: int = 1
    """How often it was handed to a dispatcher; above 1 after a death."""
    undecodable: int = 0
    """Alerts of the entry that a version of ours cannot read; they were moved to the dead letters."""


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A routed alert's wish for a remediation: joined to the open one with the same `join_key`, else created."""

    join_key: str
    """Runbook, cluster, kind, namespace and name, for several targets runbook, cluster and the group's labels; and
    the mode and hold-off of its route where those are any but `auto` at once."""
    queue_key: str
    """Cluster, kind, namespace, name, or the group: remediations with the same one run one after the other."""
    remediation: Remediation
    most_targets: int = 0
    """Above 0: an open remediation takes further targets until it begins to write, up to so many in all. For a
    target that none takes another remediation is created, which waits behind them."""


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """What the dispatcher decided for one transition; recorded in one script, or not at all."""

    transition: Transition
    assignments: tuple[Assignment, ...] = ()
    decisions: tuple[Decision, ...] = ()
    """Why nothing is to be done (or not now), for `explain`; those of assignments are written by the script."""
    wait: str = ""
    """Value of the Reason that the open incident waits on; it is dispatched again when that may have ended."""
    wait_until: float | None = None
    """Unix seconds; None when no time is known (then a reload, a resume or the pace looks again)."""


class Dispatched(msgspec.Struct, frozen=True, kw_only=True):
    """What the script made of a Dispatch."""

    stale: bool = False
    """An equal or newer transition of this alert was dispatched already: nothing was done."""
    created: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    """Remediations that lost their last open incident before they began to write."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's hold on one remediation. `token` fences: it grows with every claim of any remediation."""

    entry: str
    remediation: str
    token: int
    worker: str
    deaths: int = 0
    """How many workers died while they held this remediation."""


class GuardFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the entry guards read from the store, in one round trip. Times in unix seconds by the store's clock."""

    now: float
    pauses: tuple[Pause, ...] = ()
    last_finished_at: float | None = None
    """When this runbook last finished a run with a write for this target."""
    attempts: tuple[float, ...] = ()
    """Times of this runbook's runs with a write for this target, newest last, within the longest window kept."""
    open_incidents: int = 0
    labels: tuple[Mapping[str, str], ...] = ()
    """Of the open alerts that ask for the run, of 20 at most; empty where there is one alone."""
    runs: Mapping[str, tuple[float, ...]] = {}
    """`alert`, `target`, `runbook`: times of all runs with a write for it in the last day, newest last; of several
    alerts those of the busiest. `undone`: when what this runbook changed for this target was put back last."""
    silences: tuple[Silence, ...] = ()
    """Active silences of others that cover the alert."""
    trust: Trust = Trust()
    """By how often the runbook helped."""
    silences_unknown: str = ""
    """Why Alertmanager could not be asked; empty when it was, or is not to be."""


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """An operator's stop: of everything, or of one cluster, namespace or runbook."""

    scope: str
    """`all`, or `cluster:NAME`, `namespace:NAME`, `runbook:NAME`."""
    by: str
    why: str
    since: float
    until: float | None = None
