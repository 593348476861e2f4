"""Whether runbooks help, in memory, with the meaning that ports.Trustbook gives it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from bridge.model.mode import Mode, strictest
from bridge.model.trust import Lowered, Stopped, Trust, TrustSettings
from bridge.ports import Clock


class MemoryTrustbook:
    """Implements ports.Trustbook; `ended` is what the end of a run does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._runs: dict[tuple[str, str], list[bool]] = defaultdict(list)
        self._order: dict[str, list[bool]] = defaultdict(list)
        self._stopped: dict[str, Stopped] = {}
        self._lowered: dict[tuple[str, str], Lowered] = {}

    def ended(self, runbook: str, alert: str, *, helped: bool) -> None:
        self._order[runbook].append(helped)
        self._runs[alert, runbook].append(helped)

    async def judge(self, runbook: str, alert: str, policy: TrustSettings) -> Trust:
        now, row = self._clock.now(), self._order[runbook][-(policy.stop_after or 1) :]
        if policy.stop_after is not None and len(row) == policy.stop_after and not any(row):
            self._stopped.setdefault(runbook, Stopped(runs=len(row), at=now))
        runs = self._runs[alert, runbook][-policy.of :]
        if len(runs) >= policy.at_least:
            share = sum(runs) / len(runs)
            mode = (
                Mode.OBSERVE
                if share < policy.observe_below
                else Mode.APPROVE
                if share < policy.approve_below
                else Mode.AUTO
            )
            before = self._lowered[alert, runbook].mode if (alert, runbook) in self._lowered else Mode.AUTO
            if strictest(mode, before) is not before:
                self._lowered[alert, runbook] = Lowered(mode=mode, helped=sum(runs), runs=len(runs), at=now)
        return Trust(stopped=self._stopped.get(runbook), lowered=self._lowered.get((alert, runbook)))

    async def restore(self, runbook: str) -> bool:
        gone = [pair for pair in self._lowered if pair[1] == runbook]
        for pair in gone:
            del self._lowered[pair]
            self._runs[pair].clear()
        self._order[runbook].clear()
        return self._stopped.pop(runbook, None) is not None or bool(gone)

    async def stopped(self) -> Mapping[str, Stopped]:
        return dict(self._stopped)

    async def lowered(self) -> Mapping[tuple[str, str], Lowered]:
        return dict(self._lowered)
