"""The figures, their names and their bounds."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bridge.model.breaker import BreakerState
from bridge.model.budget import BudgetSettings, BudgetUse, Spend, Spent
from bridge.model.guards_now import GuardsNow
from bridge.model.intake import Pause
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.trust import Lowered, Stopped
from bridge.telemetry import Metrics


def families(metrics: Metrics) -> dict[str, object]:
    body, _ = metrics.render()
    return {family.name: family for family in text_string_to_metric_families(body.decode())}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"alertbridge_{name}", labels)


def test_every_name_has_our_prefix_and_every_metric_a_help_text() -> None:
    for name, family in families(Metrics("1.2.3")).items():
        assert name.startswith("alertbridge_"), name
        assert family.documentation


def test_every_reason_is_there_before_it_happens() -> None:
    """A counter that appears with its first event hides that event from `rate()`."""
    metrics = Metrics("1")
    assert all(value(metrics, "decisions_total", reason=reason.value) == 0 for reason in Reason)
    metrics.decision(Reason.COOLDOWN)
    assert value(metrics, "decisions_total", reason="cooldown") == 1


def test_a_finished_remediation_counts_by_runbook_and_outcome() -> None:
    metrics = Metrics("1")
    metrics.remediation_finished("netweave/all-pods-down", Outcome.SUCCEEDED, 12.5)
    labels = {"runbook": "netweave/all-pods-down"}
    assert value(metrics, "remediations_total", **labels, outcome="succeeded") == 1
    assert value(metrics, "remediation_seconds_sum", **labels) == 12.5


def test_queue_figures_become_depths_and_ages() -> None:
    metrics = Metrics("1")
    metrics.queue({"intake": 3, "intake_age": 1.5})
    assert value(metrics, "queue_depth", queue="intake") == 3
    assert value(metrics, "queue_age_seconds", queue="intake") == 1.5
    assert value(metrics, "store_up") == 1
    metrics.store_down()
    assert value(metrics, "store_up") == 0


def test_a_redis_that_lost_its_groups_counts_once() -> None:
    metrics = Metrics("1")
    for seen in (0.0, 1.0, 1.0, 2.0):
        metrics.queue({"groups_recreated": seen})
    assert value(metrics, "store_groups_recreated_total") == 2
    assert value(metrics, "queue_depth", queue="groups_recreated") is None


def test_a_breaker_is_in_one_state() -> None:
    metrics = Metrics("1")
    metrics.breakers({"cluster:default": BreakerState.OPEN})
    metrics.breakers({"cluster:default": BreakerState.HALF_OPEN})
    states = {
        s.value: value(metrics, "breaker_state", breaker="cluster:default", state=s.value) for s in BreakerState
    }
    assert states == {"closed": 0, "open": 0, "half_open": 1}


def test_a_failed_reload_keeps_the_time_of_the_last_good_one() -> None:
    metrics = Metrics("1")
    metrics.reloaded(ok=True)
    at = value(metrics, "configuration_last_reload_success_timestamp_seconds")
    metrics.reloaded(ok=False)
    assert value(metrics, "configuration_last_reload_successful") == 0
    assert value(metrics, "configuration_last_reload_success_timestamp_seconds") == at


def test_label_sets_are_bounded() -> None:
    metrics = Metrics("1")
    for number in range(2000):
        metrics.remediation_finished(f"runbook-{number}", Outcome.FAILED, 1)
    samples = families(metrics)["alertbridge_remediations"].samples
    assert len(samples) <= 301
    assert value(metrics, "remediations_total", runbook="other", outcome="failed") == 1700


def test_the_receivers_collector_is_rendered_with_ours() -> None:
    from prometheus_client.core import CounterMetricFamily

    class Counters(Collector):
        def collect(self):
            yield CounterMetricFamily("alertbridge_webhooks", "Webhooks", value=7)

    metrics = Metrics("1")
    metrics.register(Counters())
    assert families(metrics)["alertbridge_webhooks"].samples[0].value == 7


def test_openmetrics_is_served_to_who_asks_for_it() -> None:
    body, content_type = Metrics("1").render("application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in content_type
    assert body.rstrip().endswith(b"# EOF")


def guards(*pauses: Pause, **more: Any) -> GuardsNow:
    spends = (Spend(scopes=("cluster:prod", "namespace:prod/shop"), target="t", workload="w", percent=40.0),)
    use = BudgetUse(runs=(Spent(remediation="r", settled_at=None, spends=spends),), wanted=3)
    return GuardsNow(pauses=pauses, budget=use, rules=BudgetSettings(), clusters=("prod", "test"), **more)


def test_what_guards_hold_back_is_told_and_forgotten_when_it_is_over() -> None:
    metrics = Metrics("1")
    halt = Pause(scope="all", by="alertbridge", why="halt_after", since=1.0)
    stopped = {"a/b": Stopped(runs=5, at=1.0)}
    lowered = {(alert, "a/c"): Lowered(mode=Mode.APPROVE, helped=1, runs=5, at=1.0) for alert in ("X", "Y")}
    metrics.guards(guards(halt, stopped=stopped, lowered=lowered, waiting={Reason.BUDGET_SPENT: 4}))
    assert (value(metrics, "paused", scope="all"), value(metrics, "halted")) == (1, 1)
    assert value(metrics, "runbook_stopped", runbook="a/b") == 1
    assert value(metrics, "runbook_lowered", runbook="a/c", mode="approve") == 2
    assert value(metrics, "alerts_waiting", reason="budget_spent") == 4
    assert (value(metrics, "budget_wanted_targets"), value(metrics, "budget_halt_after")) == (3, 50)
    for scope, what, used, limit in (
        ("cluster:prod", "targets", 1, 20),
        ("cluster:test", "targets", 0, 20),
        ("cluster:prod", "nodes", 0, 1),
        ("namespace:prod/shop", "targets", 1, 10),
        ("namespace:prod/shop", "percent", None, None),
    ):
        assert value(metrics, "budget_used", scope=scope, what=what) == used
        assert value(metrics, "budget_limit", scope=scope, what=what) == limit
    metrics.guards(guards())
    assert (value(metrics, "paused", scope="all"), value(metrics, "halted")) == (None, 0)
    assert value(metrics, "runbook_stopped", runbook="a/b") is None


def test_label_sets_of_guards_are_bounded() -> None:
    metrics = Metrics("1")
    pauses = [Pause(scope=f"namespace:n{nr}", by="ann", why="w", since=1.0) for nr in range(1000)]
    stopped = {f"r/{nr}": Stopped(runs=5, at=1.0) for nr in range(1000)}
    spends = tuple(Spend(scopes=(f"namespace:c/n{nr}",), target="t") for nr in range(1000))
    use = BudgetUse(runs=(Spent(remediation="r", settled_at=None, spends=spends),))
    metrics.guards(GuardsNow(pauses=tuple(pauses), stopped=stopped, budget=use, rules=BudgetSettings()))
    for name, most in (("paused", 300), ("runbook_stopped", 300), ("budget_used", 900)):
        assert len(families(metrics)[f"alertbridge_{name}"].samples) <= most  # type: ignore[attr-defined]


def test_each_channel_is_there_before_its_first_message() -> None:
    """A rule on the increase of lost messages sees the first one."""
    metrics = Metrics("1")
    metrics.channels(["team"])
    for result in ("sent", "failed", "lost"):
        labels = {"channel": "team", "result": result}
        assert metrics.registry.get_sample_value("alertbridge_notices_total", labels) == 0
