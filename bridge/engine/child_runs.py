"""Runs for steps of other runs: they come in as alerts of our own, and go the way of every alert. Made by app.

What makes such an order once, whatever dies in between, is what makes an alert once: source, fingerprint and start.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bridge.engine.assign import Refused, assign
from bridge.engine.dispatch import Muted, Routing
from bridge.engine.routing import BY_HAND
from bridge.errors import InvalidInput, PermanentError, PlanError
from bridge.model.alert import Alert
from bridge.model.mode import Mode, strictest
from bridge.model.order import OURS, Order
from bridge.model.remediation import Remediation, RemediationView
from bridge.ports import Guardbook, Intake, Ordered, WorkQueue

DEEPEST = 3
"""How many runs may wait for one another."""


class ChildRuns:
    """Implements ports.Runs."""

    def __init__(
        self,
        routing: Callable[[], Routing],
        *,
        intake: Intake | None = None,
        guardbook: Guardbook | None = None,
        queue: WorkQueue | None = None,
    ) -> None:
        """Without stores it can only say what would be asked for."""
        self._routing = routing
        self._intake = intake
        self._guardbook = guardbook
        self._queue = queue

    def order(
        self, run: Remediation | None, runbook: str, labels: Mapping[str, str], params: Mapping[str, Any]
    ) -> Ordered:
        if run is None:
            raise PermanentError("a runbook is run for a run alone")
        if len(run.parents) + 1 >= DEEPEST:
            chain = " for ".join([runbook, run.runbook, *reversed(run.parents)])
            raise PlanError(f"{chain}: at most {DEEPEST} runs wait for one another")
        alert = self._alert(run, runbook, labels, params)
        wish = next(iter(self._routing().wishes(alert, now=run.created_at)), None)
        if wish is None or isinstance(wish, Muted):
            raise InvalidInput(f"there is no runbook {runbook!r}")
        try:
            child = assign(alert, wish, clusters=self._routing().clusters, new_id=lambda: "").remediation
        except Refused as refused:
            raise InvalidInput(f"{runbook}: {refused.detail}") from refused
        if child.target in (*run.all_targets, *run.above):
            raise PlanError(
                f"{runbook} would be about {child.target}, as the run that waits for it is: put its scenarios into "
                f"{run.runbook} by `use: {runbook}`"
            )
        return Ordered(child.target, msgspec.to_builtins(alert))

    def _alert(self, run: Remediation, runbook: str, labels: Mapping[str, str], params: Mapping[str, Any]) -> Alert:
        """Return the alert that asks for it; a route that leads such an alert there says with what limits."""
        given = {**run.labels, **labels}
        routed = Alert(source=OURS, fingerprint="", status="firing", starts_at=0, labels=given, runbook=runbook)
        wish = next(iter(self._routing().wishes(routed, now=run.created_at)), None)
        if wish is None or isinstance(wish, Muted):
            raise InvalidInput(f"there is no runbook {runbook!r}")
        limits: Any = run if wish.path == BY_HAND else wish
        said = Mode(run.runbook_doc["mode"]) if run.runbook_doc.get("mode") else None
        order = Order(
            runbook=runbook,
            path=f"a step of {run.runbook}",
            params={**wish.params, **params},
            mode=strictest(run.mode, said, wish.mode),
            cooldown=wish.cooldown,
            max_attempts=wish.max_attempts,
            attempts_window=wish.attempts_window,
            allow_drift=limits.allow_drift,
            allow_irreversible=limits.allow_irreversible,
            allow_namespaces=limits.allow_namespaces,
            approvers=limits.approvers,
            approve_within=wish.approve_within,
            parents=(*run.parents, run.id),
            above=(*run.above, *run.all_targets),
        )
        name = hashlib.sha256(msgspec.json.encode([run.id, runbook, given, order.params], order="sorted"))
        return Alert(
            source=OURS,
            fingerprint=name.hexdigest()[:16],
            status="firing",
            starts_at=int(run.created_at * 1_000_000),
            labels=given,
            annotations=run.annotations,
            requested_by=f"remediation {run.id}",
            why=f"a step of {run.runbook}",
            order=order,
        )

    async def ask(self, order: Mapping[str, Any]) -> None:
        if self._intake is None:
            raise PermanentError("nothing is asked for here")
        await self._intake.accept((msgspec.convert(order, Alert),))

    async def found(self, order: Mapping[str, Any]) -> RemediationView | None:
        if self._guardbook is None or self._queue is None:
            return None
        alert = msgspec.convert(order, Alert)
        for incident in await self._guardbook.incidents(alert.fingerprint):
            if incident["source"] == OURS:
                for name in incident["remediations"]:
                    return await self._queue.get(name)
        return None
