"""Put a rehearsal together from the configuration alone: no Redis, no server. Called by `alertbridge plan`.

The app calls it as well, for whoever asks a running server: there it plans with the copies that are kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bridge import __version__
from bridge.catalogue import catalogue
from bridge.configuration import Configuration
from bridge.engine.assign import Refused, assign
from bridge.engine.child_runs import ChildRuns
from bridge.engine.clock import SystemClock
from bridge.engine.dispatch import Muted
from bridge.engine.parts import Parts
from bridge.engine.rehearse import CopiesToRead, NoBreakers, ReadOnlyClusters, Rehearsal, rehearse
from bridge.errors import InvalidInput
from bridge.kube.clusters import KubeClusters
from bridge.model.alert import Alert, fingerprint
from bridge.model.remediation import Remediation
from bridge.notify.log import LogNotifier
from bridge.outside.reach import Outside, reaches
from bridge.ports import Copies
from bridge.telemetry import Metrics
from bridge.wiring import cluster_connections, outside_settings, plan_guards, routing


async def rehearse_runbook(
    configuration: Configuration, runbook: str, labels: Mapping[str, str], *, copies: Copies | None = None
) -> Rehearsal:
    """Return what `runbook` would find and plan now for an alert with `labels`. Every request of it only reads.

    `copies` are those that are kept of objects; without them what would restore one has no plan, and says so.
    Parameters and limits are those of the route that names the runbook for such an alert, where there is one.
    Raises InvalidInput (no such runbook, the labels give no target) and KubeUnavailable.
    """
    clock, breakers = SystemClock(), NoBreakers()
    clusters = KubeClusters(cluster_connections(configuration), breakers=breakers, clock=clock)
    outside = Outside(outside_settings(configuration))
    settings = configuration.settings
    known = catalogue(tuple(map(Path, settings.plugins)))
    runs = ChildRuns(lambda: routing(configuration))
    own: Any = None  # the rehearsal has stores of its own
    parts = Parts(
        queue=own,
        journal=own,
        locks=own,
        guardbook=own,
        breakers=breakers,
        clusters=clusters,
        connections=reaches(ReadOnlyClusters(clusters).get, clock, outside, CopiesToRead(copies), runs),
        prometheus=outside.prometheus,
        actions=known.actions,
        collectors=known.collectors,
        entry_guards=(),
        plan_guards=lambda: plan_guards(configuration, os.environ),
        process_mode=lambda: settings.mode,
        clock=clock,
        notifier=LogNotifier(),
        metrics=Metrics(__version__),
    )
    try:
        return await rehearse(parts, _remediation(configuration, runbook, labels))
    finally:
        await outside.close()
        await clusters.close()


def _remediation(configuration: Configuration, runbook: str, labels: Mapping[str, str]) -> Remediation:
    now = time.time()
    alert = Alert(
        source="plan",
        fingerprint=fingerprint(labels),
        status="firing",
        starts_at=int(now * 1e6),
        ends_at=0,
        labels=dict(labels),
        runbook=runbook,
    )
    routes = routing(configuration)
    wishes = [wish for wish in routes.wishes(alert, now=now) if not isinstance(wish, Muted)]
    if not wishes:
        known = ", ".join(sorted(configuration.runbooks)) or "none"
        raise InvalidInput(f"there is no runbook {runbook!r}; there are: {known}")
    try:
        made = assign(alert, wishes[0], clusters=routes.clusters, new_id=lambda: "plan")
    except Refused as refused:
        raise InvalidInput(f"{runbook}: {refused.detail}") from refused
    return msgspec.structs.replace(made.remediation, created_at=now)
