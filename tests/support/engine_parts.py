"""The engine's parts as `app` puts them together, without a process: for stages on which a test moves the clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bridge.catalogue import catalogue
from bridge.configuration import Configuration
from bridge.engine.child_runs import ChildRuns
from bridge.engine.parts import Parts
from bridge.kube.clusters import KubeClusters
from bridge.notify.log import LogNotifier
from bridge.outside.reach import Outside, reaches
from bridge.ports import Clock, Notifier
from bridge.stores import Stores
from bridge.telemetry import Metrics
from bridge.wiring import entry_guards, plan_guards, routing


def engine_parts(
    now: Callable[[], Configuration],
    *,
    stores: Stores,
    clusters: KubeClusters,
    outside: Outside,
    clock: Clock,
    metrics: Metrics,
    notifier: Notifier | None = None,
) -> Parts:
    """Return the parts of a worker; `now` gives the configuration of now."""
    known = catalogue(tuple(map(Path, now().settings.plugins)))
    runs = ChildRuns(lambda: routing(now()), intake=stores.intake, guardbook=stores.guardbook, queue=stores.work)
    return Parts(
        queue=stores.work,
        journal=stores.journal,
        locks=stores.locks,
        guardbook=stores.guardbook,
        breakers=stores.breakers,
        clusters=clusters,
        connections=reaches(clusters.get, clock, outside, stores.copies, runs),
        prometheus=outside.prometheus,
        actions=known.actions,
        collectors=known.collectors,
        trust=stores.trust,
        trust_policy=lambda: now().settings.trust,
        run_limits=lambda: now().settings.run_limits,
        tell_again=lambda: now().settings.notify.tell_again,
        entry_guards=entry_guards(now),
        plan_guards=lambda: plan_guards(now(), {}, stores.budgets),
        process_mode=lambda: now().settings.mode,
        clock=clock,
        notifier=notifier or LogNotifier(),
        metrics=metrics,
    )
