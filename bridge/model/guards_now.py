"""What the guards hold back now: pauses, stopped and lowered runbooks, the budget's use, what waits. Pure data.

Put together by api.guards for people, and by app for the metrics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from bridge.model.budget import BudgetSettings, BudgetUse, Limit
from bridge.model.intake import Pause
from bridge.model.reason import Reason
from bridge.model.trust import Lowered, Stopped

GUARD_REASONS: Mapping[str, tuple[Reason, ...]] = {
    "pause": (Reason.PAUSED,),
    "maintenance": (Reason.MAINTENANCE,),
    "silence": (Reason.SILENCED, Reason.SILENCES_UNKNOWN),
    "hold_off": (Reason.HOLD_OFF,),
    "freshness": (Reason.OUT_OF_DATE,),
    "effectiveness": (Reason.RUNBOOK_STOPPED,),
    "cooldown": (Reason.COOLDOWN,),
    "attempts": (Reason.ATTEMPTS_SPENT,),
    "again": (Reason.FIRES_AGAIN,),
    "run_limits": (Reason.ATTEMPTS_SPENT, Reason.COOLDOWN),
    "protected": (Reason.PROTECTED_NAMESPACE, Reason.PROTECTED_OBJECT),
    "own_part": (Reason.OWN_PART,),
    "owner": (Reason.OWNER_WOULD_REVERT,),
    "reversible": (Reason.UNDO_NONE,),
    "changes": (Reason.ROLLOUT_IN_PROGRESS, Reason.CHANGED_RECENTLY),
    "budget": (Reason.BUDGET_SPENT, Reason.BUDGET_TOO_SMALL, Reason.HALTED, Reason.PAUSED),
}
"""What each guard says no with, in the order in which they are asked."""


class ScopeUse(msgspec.Struct, frozen=True, kw_only=True):
    """What of the budget is used in one scope."""

    limit: Limit
    targets: int = 0
    nodes: int = 0
    percent: float = 0.0
    """Of the pods of the workload of which most are disturbed."""
    workload: str = ""
    """That one's lock key; empty: none is."""
    runs: int = 0
    """How many runs have a part in it."""
    under_way: int = 0
    """How many of these are not over."""


class GuardsNow(msgspec.Struct, frozen=True, kw_only=True):
    """One look at all of it."""

    pauses: tuple[Pause, ...] = ()
    stopped: Mapping[str, Stopped] = {}
    """By runbook."""
    lowered: Mapping[tuple[str, str], Lowered] = {}
    """By alertname and runbook."""
    budget: BudgetUse
    rules: BudgetSettings
    clusters: tuple[str, ...] = ()
    """Every cluster that is connected: it has a budget, also where nothing of it is used."""
    waiting: Mapping[Reason, int] = {}
    """Reason to how many open alerts wait for its end."""

    @property
    def halted(self) -> bool:
        """Whether `halt_after` has paused everything."""
        return any(pause.scope == "all" and pause.by == "alertbridge" for pause in self.pauses)

    @property
    def scopes(self) -> list[ScopeUse]:
        """Return the use of every cluster, and of every namespace where anything is used, in their order."""
        used = {scope for run in self.budget.runs for spend in run.spends for scope in spend.scopes}
        return [self._use(scope) for scope in sorted(used | {f"cluster:{name}" for name in self.clusters})]

    def _use(self, scope: str) -> ScopeUse:
        limit = self.rules.limit_of(scope)
        runs = [run for run in self.budget.runs if any(scope in spend.scopes for spend in run.spends)]
        spends = [spend for run in runs for spend in run.spends if scope in spend.scopes]
        shares: dict[str, float] = {}
        for spend in spends:
            if spend.workload:
                shares[spend.workload] = shares.get(spend.workload, 0.0) + spend.percent
        workload = max(sorted(shares), key=lambda name: shares[name], default="")
        return ScopeUse(
            limit=limit,
            targets=_different(spend.target for spend in spends),
            nodes=_different(spend.node for spend in spends),
            percent=round(shares.get(workload, 0.0), 1),
            workload=workload,
            runs=len(runs),
            under_way=sum(run.settled_at is None for run in runs),
        )


def _different(names: Iterable[str]) -> int:
    return len({*names} - {""})
