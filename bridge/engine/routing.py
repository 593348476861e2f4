"""What the configuration of now asks for an alert. Made by app for each loaded configuration; asked by dispatch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.engine.assign import ClusterMap, Wish
from bridge.engine.dispatch import Muted
from bridge.model.alert import Alert
from bridge.model.mode import Mode
from bridge.model.order import Order
from bridge.model.route import Match
from bridge.model.routing import RoutingTable
from bridge.model.runbook import Runbook

BY_HAND = "by hand"
"""What stands in place of a route's path where no route leads to the runbook."""


class ConfiguredRouting:
    """Implements dispatch.Routing."""

    def __init__(
        self,
        table: RoutingTable,
        *,
        runbooks: Mapping[str, Runbook],
        muted: Callable[[Match, float], str | None],
        clusters: ClusterMap,
    ) -> None:
        self.clusters = clusters
        self._table = table
        self._runbooks = runbooks
        self._muted = muted

    def wishes(self, alert: Alert, *, now: float) -> list[Wish | Muted]:
        """Return what the alert's routes ask for; a runbook named by hand takes the place of the routes' own."""
        if alert.order is not None:
            return self._ordered(alert.order)
        matches = self._table.match(alert.labels)
        if alert.runbook:
            return self._by_hand(alert, matches)
        return [self._wish(match, alert, now) for match in matches if match.runbook]

    def _ordered(self, order: Order) -> list[Wish | Muted]:
        runbook = self._runbooks.get(order.runbook)
        said = {name: getattr(order, name) for name in Order.__struct_fields__ if name in Wish.__struct_fields__}
        return [] if runbook is None else [Wish(**{**said, "runbook": runbook})]

    def _by_hand(self, alert: Alert, matches: list[Match]) -> list[Wish | Muted]:
        runbook = self._runbooks.get(alert.runbook)
        if runbook is None:
            return []
        for match in matches:
            if match.runbook == alert.runbook:
                return [_of(match, runbook, alert)]
        return [Wish(runbook=runbook, path=BY_HAND, mode=Mode.AUTO)]

    def _wish(self, match: Match, alert: Alert, now: float) -> Wish | Muted:
        why = self._muted(match, now)
        return Muted(match.path, why) if why else _of(match, self._runbooks[match.runbook], alert)


def _of(match: Match, runbook: Runbook, alert: Alert) -> Wish:
    return Wish(
        runbook=runbook,
        path=match.path,
        params=match.params,
        mode=match.mode,
        cooldown=match.cooldown,
        max_attempts=match.max_attempts,
        attempts_window=match.attempts_window,
        hold_off=match.hold_off,
        allow_drift=match.allow_drift,
        allow_irreversible=match.allow_irreversible,
        allow_namespaces=match.allow_namespaces,
        approvers=match.approvers,
        approve_within=match.approve_within,
        group=match.group(alert.labels) if match.group_by else None,
    )
