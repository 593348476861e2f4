"""How far back a rule looks, read from its PromQL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.decay import Recorded, Rule, alone, decay, duration, is_about, reach, shortened


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("up == 0", 0),
        ('rate(http_requests_total{status=~"5.."}[5m]) > 0.05', 300),
        ("rate(a[5m]) / rate(b[10m]) > 0.1", 600),
        ("increase(errors_total[1h30m]) > 3", 5400),
        ("max_over_time(rate(a[5m])[30m:1m]) > 1", 2100),
        ("avg_over_time((rate(a[5m]) / rate(b[2m]))[10m:]) > 1", 900),
        ("rate(a[5m] offset 1h) > 1", 3900),
        ("delta(temperature[ 2h ]) > 1", 7200),
        ('rate(a{path="/x[9h]"}[1m]) > 0', 60),
        ("rate(a[1m]) > 0 # and never [9h]", 60),
        ("rate(a[1m]) and on (job) rate(b[3m])", 180),
        ("job:errors:rate5m > 0.05", 300),
        ("max_over_time(job:errors:rate5m[10m]) > 0.05", 900),
    ],
)
def test_the_longest_way_back_counts(query: str, seconds: float) -> None:
    assert reach(query, {"job:errors:rate5m": Recorded("sum by (job) (rate(errors_total[5m]))")}) == seconds


def test_recording_rules_that_name_each_other_end() -> None:
    assert reach("a:b > 1", {"a:b": Recorded("c:d"), "c:d": Recorded("a:b + rate(x[1m])")}) == 60


def test_what_is_recorded_may_be_as_old_as_its_groups_interval() -> None:
    known = {"a:b": Recorded("c:d", 30.0), "c:d": Recorded("rate(x[10m])", 300.0)}
    assert reach("a:b > 1", known) == 930
    assert decay(Rule(name="A", query="a:b > 1", interval=15, recorded=known), margin=0) == 960


def test_the_wait_is_what_can_keep_an_alert_firing_after_its_end() -> None:
    rule = Rule(name="A", query="rate(a[10m]) > 0", for_seconds=300, keep_firing_seconds=60, interval=15)
    assert decay(rule, group_interval=300, margin=30) == 600 + 60 + 30 + 300 + 30


@pytest.mark.parametrize(
    ("query", "cut"),
    [
        ("rate(a[10m]) > 1", "rate(a[90s]) > 1"),
        ("rate(a[1m]) > 1", "rate(a[1m]) > 1"),
        ("max_over_time(rate(a[1m])[30m:10s]) > 1", "max_over_time(rate(a[1m])[90s:10s]) > 1"),
        ('rate(a{x="[10m]"}[10m])', 'rate(a{x="[10m]"}[90s])'),
        ("a - a offset 1h > 3", "a - a offset 0s > 3"),
    ],
)
def test_a_query_is_asked_of_the_time_since_the_repair_alone(query: str, cut: str) -> None:
    assert shortened(query, 90) == cut


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("rate(a[10m]) > 1", "rate(a[90s]) > 1"),
        ("avg_over_time(up[10m]) < 0.9", "avg_over_time(up[90s]) < 0.9"),
        ("max_over_time(rate(a[30s])[30m:10s]) > 1", "max_over_time(rate(a[30s])[60s:10s]) > 1"),
        ("increase(a[10m]) > 3", "increase(a[90s]) > 3"),
        ('increase(a{path="/<x>"}[10m]) > 3', 'increase(a{path="/<x>"}[90s]) > 3'),
        ("increase(a[1m]) < 3", "increase(a[1m]) < 3"),
        # Over less time a total is smaller, whatever is well:
        ("increase(ok_total[10m]) < 100", None),
        ("sum(count_over_time(up[10m])) == 0", None),
        ("200 - increase(ok_total[10m]) > 100", None),
        # Nothing may be there yet:
        ("absent_over_time(a[10m])", None),
        ("rate(a[10m]) unless rate(b[10m]) > 1", None),
        ("a <= a offset 1h", None),
        # It is recorded already, of the time before too:
        ("job:errors:rate5m > 0.05", None),
        ("max_over_time(job:errors:rate5m[10m]) > 1", None),
    ],
)
def test_what_a_cut_would_turn_around_is_not_asked(query: str, asked: str | None) -> None:
    assert alone(query, 90, {"job:errors:rate5m": Recorded("sum by (job) (rate(errors_total[5m]))")}) == asked


def test_a_total_that_the_runbook_judges_is_not_asked_of_less_time() -> None:
    assert alone("increase(a[10m])", 90, judged=False) is None
    assert alone("rate(a[10m])", 90, judged=False) == "rate(a[90s])"


@given(st.text(max_size=200))
def test_no_text_is_too_strange(text: str) -> None:
    assert reach(text) >= 0
    shortened(text, 60)
    asked = alone(text, 60)
    assert asked is None or reach(asked) <= 60


def test_durations_are_read_as_prometheus_writes_them() -> None:
    assert [duration(text) for text in ("5m", "1h30m", "250ms", "1d", "x")] == [300, 5400, 0.25, 86400, 0]


def test_a_sample_is_of_the_alert_whose_labels_it_has() -> None:
    rule = Rule(name="A", query="x", labels={"severity": "page"})
    alert = {"alertname": "A", "job": "web", "severity": "page"}
    assert is_about(rule, {"__name__": "x", "job": "web"}, alert)
    assert not is_about(rule, {"job": "db"}, alert)
