"""What the receiver counts, in plain integers: a labelled counter of the client library costs more than decoding.

Written by receiver and server, one event loop alone; `app` registers it as a collector of the metrics' registry.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from bridge.model.intake import Seen
from bridge.model.refusal import Refused

SENDERS = ("alertmanager", "grafana", "manual", "unknown")
_BOUNDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Counters(Collector):
    """All counts of one process's receiver. Every label's values are a closed set."""

    def __init__(self) -> None:
        self.webhooks: dict[tuple[str, int], int] = {(sender, 200): 0 for sender in SENDERS}
        """By sender and status code."""
        self.alerts: dict[tuple[str, str], int] = {}
        """By sender and what the intake made of it (value of Seen)."""
        self.refused: dict[str, int] = {reason.value: 0 for reason in Refused}
        """Alerts by reason."""
        self.custom_payloads = 0
        self.truncated = 0
        """Alerts that senders cut off."""
        self.duplicate_keys = 0
        self.unchecked_bodies = 0
        """Bodies not looked through for duplicate keys."""
        self.cut: dict[str, int] = {"header": 0, "body": 0, "write": 0}
        """Connections cut because the client was slow, by what it was slow with."""
        self.turned_away: dict[str, int] = {"evicted": 0, "reserve": 0, "closed": 0}
        """Beyond the cap on connections: an idle one closed for a new one, an answer of 503, closed at once."""
        self.wrong_credentials: dict[str, int] = {"401": 0, "429": 0}
        """By what was answered; 429 without a look at them."""
        self.bad_http = 0
        self.connections = 0
        self.in_progress = 0
        """Webhook requests that are not answered yet."""
        self.last_accepted_at = 0.0
        """Unix seconds of the last 200."""
        self._slots = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0

    def answered(self, sender: str, code: int, seconds: float) -> None:
        """One webhook request was answered, `seconds` after its header was read."""
        key = (sender, code)
        self.webhooks[key] = self.webhooks.get(key, 0) + 1
        self._slots[bisect_left(_BOUNDS, seconds)] += 1
        self._seconds += seconds
        if code == 200:
            self.last_accepted_at = time.time()

    def saw(self, sender: str, seen: str, count: int) -> None:
        """The intake made `seen` (value of Seen) of `count` alerts."""
        key = (sender, seen)
        self.alerts[key] = self.alerts.get(key, 0) + count

    def collect(self) -> Iterator[Metric]:
        """Return the figures as metric families."""
        yield self._webhooks()
        yield self._durations()
        alerts = CounterMetricFamily(
            "alertbridge_alerts", "Alerts that were taken, by what became of them", labels=("sender", "seen")
        )
        for sender in SENDERS[:3]:
            for seen in Seen:
                alerts.add_metric((sender, seen.value), self.alerts.get((sender, seen.value), 0))
        yield alerts
        yield _by("alerts_refused", "Alerts that could not be taken", "reason", self.refused)
        yield _one("alerts_truncated", "Alerts that a sender cut off: they never reached us", self.truncated)
        yield _one("custom_payloads", "Bodies refused because a payload template made them", self.custom_payloads)
        yield _one("duplicate_keys", "JSON keys given twice in one object; the last one counted", self.duplicate_keys)
        yield _one("bodies_unchecked", "Bodies not looked through for duplicate keys", self.unchecked_bodies)
        yield _by("connections_cut", "Connections of clients that were too slow", "phase", self.cut)
        yield _by("connections_turned_away", "Connections beyond the cap", "how", self.turned_away)
        yield _by("wrong_credentials", "Requests with a credential that nobody has", "code", self.wrong_credentials)
        yield _one("bad_http", "Requests that are not HTTP", self.bad_http)
        yield GaugeMetricFamily("alertbridge_connections", "Open connections", value=self.connections)
        yield GaugeMetricFamily(
            "alertbridge_webhooks_in_progress", "Webhook requests not answered yet", value=self.in_progress
        )
        yield GaugeMetricFamily(
            "alertbridge_webhook_last_accepted_timestamp_seconds",
            "When a webhook was last accepted; 0 before the first",
            value=self.last_accepted_at,
        )

    def _webhooks(self) -> Metric:
        webhooks = CounterMetricFamily(
            "alertbridge_webhooks", "Webhook requests by sender and status code", labels=("sender", "code")
        )
        for (sender, code), count in sorted(self.webhooks.items()):
            webhooks.add_metric((sender, str(code)), count)
        return webhooks

    def _durations(self) -> Metric:
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._slots, strict=True):
            total += count
            buckets.append((bound, total))
        family = HistogramMetricFamily("alertbridge_webhook_seconds", "From a webhook's header to its answer")
        family.add_metric((), buckets, self._seconds)
        return family


def _one(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"alertbridge_{name}", text, value=value)


def _by(name: str, text: str, label: str, counts: dict[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"alertbridge_{name}", text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family
