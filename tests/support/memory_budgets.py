"""The disruption budget in memory, with the meaning that ports.Budgets gives it; written without an eye to speed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bridge.model.budget import BudgetAnswer, BudgetRules, BudgetUse, Spend, Spent
from bridge.model.intake import Claim, Pause
from bridge.ports import Clock

Used = dict[str, float]


class MemoryBudgets:
    """Implements ports.Budgets; `halt` is told of a pause of everything."""

    def __init__(self, clock: Clock, halt: Callable[[Pause], None] = lambda pause: None) -> None:
        self._clock = clock
        self._halt = halt
        self.plans: dict[str, dict[str, tuple[Spend, ...]]] = {}
        self.settled: dict[str, float] = {}
        self._wanted: dict[str, float] = {}
        self.paused = False
        """Whether everything is, until a test resumes it."""

    async def look(self, spends: Sequence[Spend], rules: BudgetRules) -> BudgetAnswer:
        return self._ask("", {}, tuple(spends), rules)

    async def reserve(
        self,
        claim: Claim,
        key: str,
        spends: Sequence[Spend],
        rules: BudgetRules,
        *,
        force: bool = False,
        anew: bool = False,
    ) -> BudgetAnswer:
        now, mine = self._clock.now(), self.plans.get(claim.remediation, {})
        kept = {} if anew else {name: spent for name, spent in mine.items() if name != key}
        if not spends:
            self._keep(claim.remediation, kept)
            return BudgetAnswer(granted=True)
        self._wanted |= {spend.target: now for spend in spends if spend.target}
        self._wanted = {target: at for target, at in self._wanted.items() if at > now - rules.window}
        wanted = len(self._wanted)
        if rules.halt_after is not None and wanted > rules.halt_after and not force:
            first, self.paused = not self.paused, True
            if first:
                self._halt(Pause(scope="all", by="alertbridge", why="halt_after", since=now))
            figures = {"used": wanted - 1, "asked": wanted, "most": rules.halt_after}
            return BudgetAnswer(granted=False, halted=first, paused=not first, what="targets", **figures)
        answer = self._ask(claim.remediation, kept, tuple(spends), rules)
        if answer.granted or force:
            self._keep(claim.remediation, {**kept, key: tuple(spends)})
            self.settled.pop(claim.remediation, None)
            return BudgetAnswer(granted=True)
        return answer

    def _keep(self, remediation: str, plans: dict[str, tuple[Spend, ...]]) -> None:
        if plans:
            self.plans[remediation] = plans
        else:
            self.plans.pop(remediation, None)

    async def use(self, window: float) -> BudgetUse:
        now = self._clock.now()
        runs = [
            Spent(
                remediation=name,
                settled_at=self.settled.get(name),
                spends=tuple(spend for spent in plans.values() for spend in spent),
            )
            for name, plans in sorted(self.plans.items())
            if self.settled.get(name, now) + window > now
        ]
        return BudgetUse(runs=tuple(runs), wanted=sum(at > now - window for at in self._wanted.values()))

    async def settle(self, claim: Claim, *, wrote: bool) -> None:
        if claim.remediation not in self.plans:
            return
        if wrote:
            self.settled[claim.remediation] = self._clock.now()
        else:
            del self.plans[claim.remediation]

    def _ask(
        self, remediation: str, own: dict[str, tuple[Spend, ...]], spends: tuple[Spend, ...], rules: BudgetRules
    ) -> BudgetAnswer:
        now = self._clock.now()
        over = {name: self.settled.get(name, now) + rules.window for name in self.plans if name != remediation}
        mine = [spend for spent in own.values() for spend in spent]
        lack = self._lack(mine, spends, rules, {name for name, at in over.items() if at > now})
        if lack is None:
            return BudgetAnswer(granted=True)
        for at in sorted({at for at in over.values() if at > now}):
            if self._lack(mine, spends, rules, {name for name, end in over.items() if end > at}) is None:
                return BudgetAnswer(granted=False, retry_at=at, **lack)
        return BudgetAnswer(granted=False, **lack)

    def _lack(
        self, mine: list[Spend], spends: tuple[Spend, ...], rules: BudgetRules, names: set[str]
    ) -> dict[str, object] | None:
        there = [*mine, *(spend for name in names for spent in self.plans[name].values() for spend in spent)]
        for limit in rules.limits:
            before, after = _sum(limit.scope, there), _sum(limit.scope, [*there, *spends])
            most = {"targets": limit.targets, "nodes": limit.nodes}
            for what in after:
                allowed = most.get(what, limit.percent)
                used = before.get(what, 0.0)
                if allowed is not None and after[what] > allowed + 0.001 and after[what] > used:
                    return {"scope": limit.scope, "what": what, "used": used, "asked": after[what], "most": allowed}
        return None


def _sum(scope: str, spends: Iterable[Spend]) -> Used:
    within = [spend for spend in spends if scope in spend.scopes]
    found: Used = {
        "targets": len({spend.target for spend in within} - {""}),
        "nodes": len({spend.node for spend in within} - {""}),
    }
    for spend in within:
        if spend.workload:
            what = f"percent of {spend.workload}"
            found[what] = found.get(what, 0.0) + spend.percent
    return found
