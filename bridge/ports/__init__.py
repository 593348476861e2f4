"""Protocols between the layers. Each has one contract test, run against every implementation."""

from bridge.ports.catalogue import (
    Action,
    ActionContext,
    Applier,
    Collector,
    Connections,
    EntryGuard,
    Notifier,
    PlanGuard,
)
from bridge.ports.clock import (
    Clock,
)
from bridge.ports.cluster import (
    Cluster,
    Clusters,
)
from bridge.ports.stores import (
    Breakers,
    Copies,
    Guardbook,
    Intake,
    IntakeQueue,
    Journal,
    Locks,
    Refusals,
    ReplayMemory,
    StoreHealth,
    WorkQueue,
)

__all__ = [
    "Action",
    "ActionContext",
    "Applier",
    "Breakers",
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
    "Notifier",
    "PlanGuard",
    "Refusals",
    "ReplayMemory",
    "StoreHealth",
    "WorkQueue",
]
