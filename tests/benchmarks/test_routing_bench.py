"""How long it takes to find an alert's route, beside the limits that were set. Prints figures; no timed test."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping

import pytest

from bridge.model.route import RouteSpec
from bridge.model.routing import RoutingTable

pytestmark = pytest.mark.bench

_ROUTES = 1000
_EQUALITY_LIMIT = 100e-6
"""Seconds: "microseconds"."""
_REGEX_LIMIT = 5e-3


def build(matchers: Callable[[int], list[str]]) -> tuple[RoutingTable, float]:
    root = RouteSpec.model_validate(
        {"routes": [{"matchers": matchers(n), "runbook": f"team/runbook-{n}"} for n in range(_ROUTES)]}
    )
    started = time.perf_counter()
    return RoutingTable(root), time.perf_counter() - started


def alert(number: int) -> dict[str, str]:
    return {
        "alertname": f"Alert{number % _ROUTES}",
        "severity": "critical",
        "namespace": f"team-{number % _ROUTES}-prod",
        "pod": f"web-{number}-7c9f8d6b5-x2x4z",
        "cluster": "eu-1",
        "job": "kube-state-metrics",
    }


def measure(table: RoutingTable, alerts: list[Mapping[str, str]]) -> tuple[float, float]:
    """Return median and 99th percentile of one look-up, in seconds."""
    times = []
    for labels in alerts:
        started = time.perf_counter()
        table.match(labels)
        times.append(time.perf_counter() - started)
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


SHAPES: list[tuple[str, Callable[[int], list[str]], float]] = [
    ("equality on alertname", lambda n: [f'alertname="Alert{n}"'], _EQUALITY_LIMIT),
    ("equality and a regex", lambda n: [f'alertname="Alert{n}"', 'severity=~"critical|page"'], _EQUALITY_LIMIT),
    ("alternatives", lambda n: [f'alertname=~"Alert{n}|Other{n}"'], _EQUALITY_LIMIT),
    ("regex on a label that repeats", lambda n: [f'namespace=~"team-{n}-(prod|dev).*"'], _REGEX_LIMIT),
    ("regex on a label that never repeats", lambda n: [f'pod=~"web-{n}-[a-z0-9]+-.*"'], _REGEX_LIMIT),
    ("two regexes that start with .*", lambda n: [f'pod=~".*-{n}-.*"', 'job=~"kube.*"'], _REGEX_LIMIT),
]


@pytest.mark.parametrize(("shape", "matchers", "limit"), SHAPES, ids=[shape for shape, _, _ in SHAPES])
def test_finding_a_route_among_a_thousand(shape: str, matchers: Callable[[int], list[str]], limit: float) -> None:
    table, built = build(matchers)
    started = time.perf_counter()
    table.match(alert(0))
    first = time.perf_counter() - started
    median, worst = measure(table, [alert(n) for n in itertools.islice(itertools.count(1), 2000)])
    print(
        f"\n{shape}: compiled in {built * 1e3:.1f} ms; first {first * 1e6:.0f} us, median {median * 1e6:.1f} us, "
        f"p99 {worst * 1e6:.1f} us; median/limit {median / limit:.3f}, first/limit {first / limit:.2f}"
    )
    assert table.match(alert(7))[0].runbook == "team/runbook-7"
