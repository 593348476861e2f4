"""Protocols between the layers. Each has one contract test, run against every implementation.

The module `layer` alone has code: what stands around a cluster derives from it.
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
from bridge.ports.silences import Silences
from bridge.ports.stores import (
    Audit,
    Breakers,
    Budgets,
    Copies,
    Guardbook,
    Intake,
    IntakeQueue,
    Journal,
    Locks,
    Notices,
    Refusals,
    ReplayMemory,
    StoreHealth,
    Trustbook,
    WorkQueue,
)

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
    "PlanGuard",
    "Refusals",
    "ReplayMemory",
    "ReservingGuard",
    "Silencer",
    "Silences",
    "StoreHealth",
    "Trustbook",
    "WorkQueue",
]
