"""What every run of a worker shares. Put together by app; handed down as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from bridge.engine.events import Events
from bridge.engine.retry import RetryPolicy
from bridge.model.breaker import BreakerPolicy
from bridge.model.mode import Mode
from bridge.model.run_limits import RunLimitSettings
from bridge.model.telling import TellAgain
from bridge.model.trust import TrustSettings
from bridge.ports import (
    Action,
    AlertRules,
    Breakers,
    Clock,
    Clusters,
    Collector,
    Connections,
    EntryGuard,
    Guardbook,
    Journal,
    Locks,
    Notifier,
    PlanGuard,
    Silences,
    Trustbook,
    WorkQueue,
)
from bridge.telemetry import Metrics


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a run, in seconds where nothing else is said."""

    inline_wait: float = 20.0
    """How long a verification holds its slot before it parks between looks."""
    longest_pause: float = 30.0
    """The longest time between two looks of a verification."""
    call: float = 60.0
    """How long one call of an action may take: a hung one is tried again or counts as unknown."""
    perform: float = 1800.0
    """How long one call beyond Kubernetes may take at most; each has a deadline of its own as well."""
    lock: float = 900.0
    """How long the locks last without being prolonged."""
    lock_retry: float = 5.0
    undo_wait: float = 7 * 86400.0
    """How long an undo is put off by a pause, before a person is told that it was not made."""
    undo_pause: float = 300.0
    """The longest time between two looks whether it may go on."""
    paused_pause: float = 60.0
    """The time between two looks whether a half-made plan that was paused may go on."""
    half_made: float = 7200.0
    """How long a run that is half made waits for a budget's room, or the end of somebody's rollout."""
    put_off: float = 3600.0
    """How long a firing may be put off (a budget, a rollout, an open breaker) before a person is told that nothing is
    done for it."""
    put_off_by_people: float = 86400.0
    """The same where people put it off themselves: a pause, a maintenance window."""
    retries: int = 8
    """How often a run is parked because something is away, before it ends."""
    retry_first: float = 5.0
    retry_longest: float = 120.0
    longest_asked: float = 3600.0
    """The longest Retry-After that is obeyed."""


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The collaborators of a run, all behind Protocols."""

    queue: WorkQueue
    journal: Journal
    locks: Locks
    guardbook: Guardbook
    breakers: Breakers
    clusters: Clusters
    connections: Callable[[str], Connections]
    """Cluster name to what actions and collectors may use. Raises InvalidInput for an unknown cluster."""
    prometheus: bool
    """Whether a Prometheus is configured: known to CEL as `connections.prometheus`."""
    actions: Mapping[str, Action]
    collectors: Mapping[str, Collector]
    entry_guards: Sequence[EntryGuard]
    plan_guards: Callable[[], Sequence[PlanGuard]]
    """Guards use the configuration of now."""
    process_mode: Callable[[], Mode | None]
    may_answer: Callable[[str], bool] = lambda name: True
    """Whether somebody may still agree to a plan, by the configuration of now."""
    clock: Clock
    notifier: Notifier
    trust: Trustbook | None = None
    trust_policy: Callable[[], TrustSettings] = TrustSettings
    run_limits: Callable[[], RunLimitSettings] = RunLimitSettings
    tell_again: Callable[[], TellAgain] = TellAgain
    silences: Silences | None = None
    """Where people may have silenced an alert; None: nowhere that could be asked."""
    metrics: Metrics
    rules: AlertRules | None = None
    """What is known of the rules of alerts; None: nothing."""
    events: Events | None = None
    """Tells of writes on their objects; None: nobody does."""
    retry: RetryPolicy = RetryPolicy()
    runbook_breaker: BreakerPolicy = BreakerPolicy(threshold=5, window=3600.0, cooldown=900.0, probe_timeout=3600.0)
    limits: Limits = Limits()
