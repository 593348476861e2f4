"""What all remediations come to: the success metrics. Pure; called by the API.

Figures are of those that were asked about, not of all time; the Prometheus metrics are for that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from bridge.model.remediation import Outcome, RemediationView
from bridge.model.report import Times


class Spread(msgspec.Struct, frozen=True):
    """Seconds: how often it was measured, the median, the 95th percentile (nearest rank) and the longest."""

    count: int
    median: float | None = None
    p95: float | None = None
    longest: float | None = None


class RunbookStats(msgspec.Struct, frozen=True, kw_only=True):
    """One runbook's share."""

    runbook: str
    remediations: int
    succeeded: int
    failed: int
    """failed, undone or unknown."""
    escalated: int
    false_positives: int
    success_rate: float | None
    """Of those that tried: succeeded by a change of ours; None: none tried."""


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """How well it went."""

    remediations: int
    open: int
    outcomes: dict[str, int]
    escalated: int
    false_positives: int
    """Alerts that were over, or about something that was well, before anything was changed."""
    success_rate: float | None
    time_to_detect: Spread
    time_to_respond: Spread
    time_to_resolve: Spread
    runbooks: list[RunbookStats]


_TRIED = frozenset({Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNDONE, Outcome.UNKNOWN})
_BAD = frozenset({Outcome.FAILED, Outcome.UNDONE, Outcome.UNKNOWN})


def false_positive(view: RemediationView) -> bool:
    """Whether nothing was wrong any more when it was looked at."""
    return view.reason == "nothing_to_do" or (view.outcome is Outcome.CANCELLED and view.reason == "resolved")


def stats(runs: Sequence[tuple[RemediationView, Times]]) -> Stats:
    """Return what these remediations come to; undos by hand or by time are no remediations of their own."""
    runs = [run for run in runs if not run[0].remediation.undo_of]
    views = [view for view, _ in runs]
    names = sorted({view.remediation.runbook for view in views})
    return Stats(
        remediations=len(views),
        open=sum(view.outcome is None for view in views),
        outcomes=dict(sorted(Counter(view.outcome.value for view in views if view.outcome).items())),
        escalated=sum(view.escalated for view in views),
        false_positives=sum(map(false_positive, views)),
        success_rate=_rate(views),
        time_to_detect=_spread([times.to_detect for _, times in runs]),
        time_to_respond=_spread([times.to_respond for _, times in runs]),
        time_to_resolve=_spread([times.to_resolve for view, times in runs if not false_positive(view)]),
        runbooks=[_runbook(name, [view for view in views if view.remediation.runbook == name]) for name in names],
    )


def _runbook(name: str, views: Sequence[RemediationView]) -> RunbookStats:
    return RunbookStats(
        runbook=name,
        remediations=len(views),
        succeeded=sum(view.outcome is Outcome.SUCCEEDED and not false_positive(view) for view in views),
        failed=sum(view.outcome in _BAD for view in views),
        escalated=sum(view.escalated for view in views),
        false_positives=sum(map(false_positive, views)),
        success_rate=_rate(views),
    )


def _rate(views: Sequence[RemediationView]) -> float | None:
    tried = [view for view in views if view.outcome in _TRIED and not false_positive(view)]
    if not tried:
        return None
    return round(sum(view.outcome is Outcome.SUCCEEDED for view in tried) / len(tried), 4)


def _spread(measured: Sequence[float | None]) -> Spread:
    known = sorted(seconds for seconds in measured if seconds is not None)
    if not known:
        return Spread(0)
    return Spread(len(known), _rank(known, 0.5), _rank(known, 0.95), known[-1])


def _rank(known: Sequence[float], share: float) -> float:
    return known[max(0, math.ceil(share * len(known)) - 1)]
