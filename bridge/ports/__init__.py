"""Protocols between the layers. Each has one contract test, run against every implementation.

The module `layer` alone has code: what stands around a cluster derives from it.

What is kept in Redis: `intake`, `work`, `guardbooks`, `trail`, `copies` and `health`. These raise StoreUnavailable
when Redis cannot be used; every method is bounded in time by its implementation. Every time of theirs is unix seconds
by the store's own clock, so that hosts with wrong clocks agree.
"""

from bridge.ports.catalogue import (
    Action,
    ActionContext,
    AlertRules,
    Applier,
    Collector,
    Connections,
    EntryGuard,
    Notifier,
    PlanGuard,
    ReservingGuard,
    Silencer,
)
from bridge.ports.clock import (
    Clock,
)
from bridge.ports.cluster import (
    Cluster,
    Clusters,
)
from bridge.ports.copies import Copies
from bridge.ports.guardbooks import Breakers, Budgets, Guardbook, Trustbook
from bridge.ports.health import StoreHealth
from bridge.ports.intake import Intake, IntakeQueue, Refusals, ReplayMemory
from bridge.ports.runs import Ordered, Runs
from bridge.ports.silences import Silences
from bridge.ports.trail import Audit, Notices
from bridge.ports.work import Journal, Locks, WorkQueue

__all__ = [
    "Action",
    "ActionContext",
    "AlertRules",
    "Applier",
    "Audit",
    "Breakers",
    "Budgets",
    "Clock",
    "Cluster",
    "Clusters",
    "Collector",
    "Connections",
    "Copies",
    "EntryGuard",
    "Guardbook",
    "Intake",
    "IntakeQueue",
    "Journal",
    "Locks",
    "Notices",
    "Notifier",
    "Ordered",
    "PlanGuard",
    "Refusals",
    "ReplayMemory",
    "ReservingGuard",
    "Runs",
    "Silencer",
    "Silences",
    "StoreHealth",
    "Trustbook",
    "WorkQueue",
]
