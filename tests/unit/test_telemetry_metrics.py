"""The figures, their names and their bounds."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from bridge.model.breaker import BreakerState
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
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
