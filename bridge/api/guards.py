"""What the guards hold back now, over the API: what is paused, stopped or lowered, and what of the budget is used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec

from bridge.api.moments import moment
from bridge.api.operation import Call
from bridge.api.operation_schemas import PauseItem, pause_of
from bridge.model.budget import BudgetSettings
from bridge.model.guards_now import GUARD_REASONS, GuardsNow, ScopeUse
from bridge.ports import Budgets, Guardbook, Trustbook

_REASONS = tuple(dict.fromkeys(reason for reasons in GUARD_REASONS.values() for reason in reasons))


class StoppedItem(msgspec.Struct, frozen=True, kw_only=True):
    """A runbook that runs no more until somebody resumes it."""

    runbook: str
    runs: int
    """That did not help, in a row."""
    since: datetime | None


class LoweredItem(msgspec.Struct, frozen=True, kw_only=True):
    """A runbook that may not go as far for one alert as its route says, until somebody resumes it."""

    runbook: str
    alertname: str
    mode: str
    helped: int
    runs: int
    since: datetime | None


class ScopeItem(msgspec.Struct, frozen=True, kw_only=True):
    """One scope of the disruption budget. A limit of null is none."""

    scope: str
    targets: int
    targets_limit: int | None
    nodes: int
    nodes_limit: int | None
    percent: float
    """Of the pods of the workload of which most are disturbed."""
    percent_limit: float | None
    workload: str
    runs: int
    under_way: int


class BudgetItem(msgspec.Struct, frozen=True, kw_only=True):
    """What of the disruption budget is used in the window that ends now."""

    window_seconds: float
    wanted: int
    """Targets that were to be disturbed within it, granted or not."""
    halt_after: int | None
    scopes: list[ScopeItem]


class WaitingItem(msgspec.Struct, frozen=True, kw_only=True):
    """Open alerts that are looked at again when a reason may have ended."""

    guards: list[str]
    reason: str
    text: str
    alerts: int


class GuardsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is held back now, and by what."""

    halted: bool
    """Whether `halt_after` has paused everything."""
    paused: list[PauseItem]
    stopped: list[StoppedItem]
    lowered: list[LoweredItem]
    budget: BudgetItem
    waiting: list[WaitingItem]


class GuardsView:
    """One look at all stores that guards keep something in. Also app's, for the metrics."""

    def __init__(
        self,
        guardbook: Guardbook,
        trust: Trustbook,
        budgets: Budgets,
        *,
        rules: Callable[[], BudgetSettings],
        clusters: Callable[[], tuple[str, ...]],
    ) -> None:
        """`rules` and `clusters` are those of now."""
        self._guardbook, self._trust, self._budgets = guardbook, trust, budgets
        self._rules, self._clusters = rules, clusters

    async def look(self) -> GuardsNow:
        """Return what holds now. Raises StoreUnavailable."""
        rules = self._rules()
        pauses, stopped, lowered, use, waiting = await asyncio.gather(
            self._guardbook.pauses(),
            self._trust.stopped(),
            self._trust.lowered(),
            self._budgets.use(rules.window),
            self._guardbook.waiting(_REASONS),
        )
        return GuardsNow(
            pauses=tuple(pauses),
            stopped=stopped,
            lowered=lowered,
            budget=use,
            rules=rules,
            clusters=self._clusters(),
            waiting=waiting,
        )

    async def show(self, _call: Call) -> GuardsAnswer:
        """Handle GET /api/v1/guards."""
        return answer_of(await self.look())


def answer_of(now: GuardsNow) -> GuardsAnswer:
    """Return it as the API shows it."""
    return GuardsAnswer(
        halted=now.halted,
        paused=[pause_of(pause) for pause in now.pauses],
        stopped=[
            StoppedItem(runbook=name, runs=each.runs, since=moment(each.at))
            for name, each in sorted(now.stopped.items())
        ],
        lowered=[
            LoweredItem(
                runbook=runbook,
                alertname=alert,
                mode=each.mode.value,
                helped=each.helped,
                runs=each.runs,
                since=moment(each.at),
            )
            for (alert, runbook), each in sorted(now.lowered.items())
        ],
        budget=BudgetItem(
            window_seconds=now.rules.window,
            wanted=now.budget.wanted,
            halt_after=now.rules.halt_after,
            scopes=[_scope(use) for use in now.scopes],
        ),
        waiting=[
            WaitingItem(
                guards=[name for name, reasons in GUARD_REASONS.items() if reason in reasons],
                reason=reason.value,
                text=reason.text,
                alerts=now.waiting[reason],
            )
            for reason in _REASONS
            if now.waiting.get(reason)
        ],
    )


def _scope(use: ScopeUse) -> ScopeItem:
    return ScopeItem(
        scope=use.limit.scope,
        targets=use.targets,
        targets_limit=use.limit.targets,
        nodes=use.nodes,
        nodes_limit=use.limit.nodes,
        percent=use.percent,
        percent_limit=use.limit.percent,
        workload=use.workload,
        runs=use.runs,
        under_way=use.under_way,
    )
