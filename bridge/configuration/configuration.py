"""A configuration that was read and is right: settings, routes, runbooks. Made by the loader, frozen."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bridge.configuration.secrets import Secrets
from bridge.configuration.sources import Sources
from bridge.model.interval import NamedIntervals
from bridge.model.route import Match
from bridge.model.routing import RoutingTable
from bridge.model.runbook import Runbook
from bridge.model.schedule import ScheduleSpec
from bridge.settings import Connection, Settings


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was configured."""

    settings: Settings
    """Files in it are absolute or relative to the working directory."""
    secrets: Secrets
    table: RoutingTable
    runbooks: Mapping[str, Runbook]
    intervals: Mapping[str, NamedIntervals]
    schedules: tuple[ScheduleSpec, ...] = ()
    connections: Mapping[str, Connection]
    """Clusters by name; never empty."""
    default_connection: str | None
    """For alerts without the cluster label; None: they are denied."""
    warnings: tuple[str, ...] = ()
    """What is allowed and probably not meant, one line each."""
    sources: Sources
    """The files that it was read from."""

    @property
    def route_count(self) -> int:
        """How many routes there are below the root."""
        return len(self.table.matches()) - 1

    @property
    def cluster_names(self) -> dict[str, str]:
        """Return the connection for each value of the cluster label."""
        return {**{name: name for name in self.connections}, **self.settings.clusters.names}

    def muted(self, match: Match, now: float) -> str | None:
        """Return why the route doesn't act at this moment (unix seconds), or None when it does.

        As in Alertmanager: outside of all its active intervals, or inside one of its mute intervals.
        """
        active = match.active_time_intervals
        if active and not any(self.intervals[name].contains(now) for name in active):
            return f"outside of its active time intervals ({', '.join(active)})"
        for name in match.mute_time_intervals:
            if self.intervals[name].contains(now):
                return f"the mute time interval {name} is active"
        return None
