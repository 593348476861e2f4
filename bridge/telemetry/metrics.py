"""The metrics. Nothing here waits or talks to anybody: figures that live in Redis are put in by app, from a loop."""

from __future__ import annotations

import platform
import time
from collections import Counter as Counts
from collections.abc import Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from bridge.model.breaker import BreakerState
from bridge.model.guards_now import GuardsNow
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome

_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
_MOST_VALUES = 300  # of one label that names something of the configuration; the rest counts as `other`


class _Bounded:
    """A label's values, bounded: names beyond the limit become `other`."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known:
            if len(self._known) >= _MOST_VALUES:
                return "other"
            self._known.add(value)
        return value


class Metrics:
    """All figures of one process, in a registry of its own. Every method is quick and never raises for its input."""

    def __init__(self, version: str, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry or CollectorRegistry()
        self._runbook, self._action, self._cluster, self._breaker = _Bounded(), _Bounded(), _Bounded(), _Bounded()
        self._schedule = _Bounded()
        self._make_engine_metrics()
        self._make_state_metrics()
        # Under our own prefix like all others: several processes of one host are told apart by their target.
        ProcessCollector(namespace="alertbridge", registry=self.registry)
        self._gauge("build_info", "Always 1; the labels say what runs", "version", "python").labels(
            version, platform.python_version()
        ).set(1)

    def _make_engine_metrics(self) -> None:
        self._decisions = self._counter("decisions_total", "Decisions by reason, those to do nothing too", "reason")
        for reason in Reason:
            self._decisions.labels(reason.value)
        self._dispatch = self._histogram("dispatch_seconds", "From the receipt of an alert to its dispatch", _SHORT)
        self._schedule_last = self._gauge(
            "schedule_last_due_timestamp_seconds", "When a schedule's last run was due", "schedule"
        )
        self._schedule_missed = self._counter(
            "schedule_missed_total", "Runs that were left out, since nobody was there in time", "schedule"
        )
        self._schedule_ended = self._counter(
            "schedule_runs_total", "Runs of schedules by how they ended", "schedule", "outcome"
        )
        self._child_ended = self._counter("child_runs_total", "Runs for a step of another, by their end", "outcome")
        self._started = self._counter("remediations_started_total", "Remediations that a worker took up", "runbook")
        self._wait = self._histogram("remediation_wait_seconds", "From a remediation's creation to its start", _LONG)
        self._finished = self._counter(
            "remediations_total", "Finished remediations by runbook and outcome", "runbook", "outcome"
        )
        self._duration = self._histogram(
            "remediation_seconds", "From a remediation's creation to its end", _LONG, "runbook"
        )
        self._detect = self._histogram("time_to_detect_seconds", "From an alert's start to its remediation", _LONG)
        self._respond = self._histogram(
            "time_to_respond_seconds", "From a remediation's creation to its first write", _LONG, "runbook"
        )
        self._resolve = self._histogram(
            "time_to_resolve_seconds", "From an alert's start to the proof that it is mended", _LONG, "runbook"
        )
        self._false = self._counter(
            "false_positives_total", "Remediations that found nothing wrong when they looked", "runbook"
        )
        self._escalations = self._counter("escalations_total", "Remediations handed to a person", "reason")
        self._steps = self._counter("steps_total", "Steps of runbooks by action and result", "action", "result")
        self._step_time = self._histogram("step_seconds", "Duration of a step, its verification too", _LONG, "action")
        self._writes = self._counter("writes_total", "Changes written to a cluster", "cluster", "kind")
        self._dead = self._counter("dead_letters_total", "What was set aside for a person", "what")
        for what in ("alert", "remediation"):
            self._dead.labels(what)
        self._leases = self._counter("leases_lost_total", "Claims that another worker took over")
        self._kube = self._counter("kube_requests_total", "Requests to Kubernetes", "cluster", "verb", "code")
        self._kube_time = self._histogram("kube_request_seconds", "Duration of Kubernetes requests", _SHORT, "verb")
        self._notices = self._counter(
            "notices_total", "Tries to send a message to people; lost: given up", "channel", "result"
        )
        self._holds = self._counter("page_holds_total", "Silences that hold pages while a repair runs", "result")
        self._busy = self._gauge("worker_busy", "Remediations that this process works on now")

    def _make_state_metrics(self) -> None:
        self._depth = self._gauge("queue_depth", "Entries that wait in Redis", "queue")
        self._age = self._gauge("queue_age_seconds", "Age of the oldest entry", "queue")
        self._notices_waiting = self._gauge("notices_waiting", "Messages to people that wait to be sent", "channel")
        self._store_up = self._gauge("store_up", "1 when Redis answered the last look")
        self._recreated = self._counter(
            "store_groups_recreated_total", "Consumer groups made again: Redis had lost its data"
        )
        self._recreated_before = 0.0
        self._behind = self._gauge("store_unsynced_seconds", "The private Redis: all that is older is on the disk")
        self._sync_time = self._gauge("store_sync_seconds", "The private Redis: duration of the last sync")
        self._sync_failures = self._counter("store_sync_failures_total", "The private Redis: syncs that failed")
        self._sync_failures_before = 0
        self._paused = self._gauge("paused", "1 for each scope that is paused", "scope")
        self._halted = self._gauge("halted", "1 while halt_after has paused everything")
        self._stopped = self._gauge("runbook_stopped", "1 for each runbook that runs no more", "runbook")
        self._lowered = self._gauge(
            "runbook_lowered", "Alerts for which a runbook may go only so far: it seldom helped", "runbook", "mode"
        )
        self._used = self._gauge("budget_used", "Use of the disruption budget in its window", "scope", "what")
        self._limit = self._gauge("budget_limit", "The most that may be used of it", "scope", "what")
        self._wanted = self._gauge("budget_wanted_targets", "Targets that were to be disturbed in the window")
        self._halt_after = self._gauge("budget_halt_after", "So many wanted targets pause everything; 0: never")
        self._deferred = self._gauge("alerts_waiting", "Open alerts that wait on a guard's reason", "reason")
        self._breaker_state = self._gauge("breaker_state", "1 for the state that it is in", "breaker", "state")
        self._reloads = self._counter("configuration_reloads_total", "Configuration reloads by result", "result")
        self._reload_ok = self._gauge("configuration_last_reload_successful", "1 when the last one was loaded")
        self._reload_at = self._gauge(
            "configuration_last_reload_success_timestamp_seconds", "When the running configuration was loaded"
        )

    # -- called by the engine

    def decision(self, reason: Reason, count: int = 1) -> None:
        self._decisions.labels(reason.value).inc(count)

    def dispatched(self, seconds: float) -> None:
        """One alert was dispatched `seconds` after it was received."""
        self._dispatch.observe(max(seconds, 0.0))

    def remediation_started(self, runbook: str, waited: float) -> None:
        """A worker took up a remediation for the first time, `waited` seconds after its creation."""
        self._started.labels(self._runbook(runbook)).inc()
        self._wait.observe(max(waited, 0.0))

    def remediation_finished(self, runbook: str, outcome: Outcome, seconds: float) -> None:
        """A remediation ended `seconds` after its creation."""
        name = self._runbook(runbook)
        self._finished.labels(name, outcome.value).inc()
        self._duration.labels(name).observe(max(seconds, 0.0))

    def schedule_due(self, schedule: str, at: float) -> None:
        """A run was due at this time (unix seconds), and was asked for."""
        self._schedule_last.labels(self._schedule(schedule)).set(at)

    def schedule_missed(self, schedule: str) -> None:
        self._schedule_missed.labels(self._schedule(schedule)).inc()

    def schedule_ended(self, schedule: str, outcome: Outcome) -> None:
        self._schedule_ended.labels(self._schedule(schedule), outcome.value).inc()

    def child_ended(self, outcome: Outcome) -> None:
        """A run that a step of another one had asked for is over."""
        self._child_ended.labels(outcome.value).inc()

    def detected(self, seconds: float) -> None:
        """A remediation is taken up whose alert began `seconds` before it was created."""
        self._detect.observe(max(seconds, 0.0))

    def responded(self, runbook: str, seconds: float) -> None:
        """A remediation writes for the first time, `seconds` after its creation."""
        self._respond.labels(self._runbook(runbook)).observe(max(seconds, 0.0))

    def resolved(self, runbook: str, seconds: float) -> None:
        """A remediation helped; its alert began `seconds` ago."""
        self._resolve.labels(self._runbook(runbook)).observe(max(seconds, 0.0))

    def false_positive(self, runbook: str) -> None:
        self._false.labels(self._runbook(runbook)).inc()

    def escalated(self, reason: Reason) -> None:
        self._escalations.labels(reason.value).inc()

    def step_finished(self, action: str, result: str, seconds: float) -> None:
        """A step ended. `result` is an Answer's value, `error` or `nothing_to_do`: one of few."""
        name = self._action(action)
        self._steps.labels(name, result).inc()
        self._step_time.labels(name).observe(max(seconds, 0.0))

    def written(self, cluster: str, kind: str) -> None:
        """One change was written to an object of `kind`."""
        self._writes.labels(self._cluster(cluster), self._action(kind)).inc()

    def dead_letter(self, what: Literal["alert", "remediation"]) -> None:
        self._dead.labels(what).inc()

    def lease_lost(self) -> None:
        self._leases.inc()

    def channels(self, names: Iterable[str]) -> None:
        """Begin to count for these channels: of what begins at 1 no rule sees that it rose."""
        for name in names:
            for result in ("sent", "failed", "lost"):
                self._notices.labels(name, result)

    def notice(self, channel: str, result: Literal["sent", "failed", "lost"]) -> None:
        """One try to send a message on a configured channel."""
        self._notices.labels(channel, result).inc()

    def page_hold(self, result: Literal["created", "renewed", "lifted", "failed", "resolve_read"]) -> None:
        """What was done about a silence of ours; `resolve_read`: an alert's end was read from Alertmanager."""
        self._holds.labels(result).inc()

    def kube_request(self, cluster: str, verb: str, status: int, seconds: float) -> None:
        """One request to an API server; status 0 when no answer came."""
        self._kube.labels(self._cluster(cluster), verb, str(status) if status else "none").inc()
        self._kube_time.labels(verb).observe(max(seconds, 0.0))

    def worker_busy(self, change: int) -> None:
        """Add `change` to the number of remediations in work."""
        self._busy.inc(change)

    # -- called by app

    def queue(self, figures: Mapping[str, float]) -> None:
        """Take WorkQueue.depth(): `<queue>` is a depth, `<queue>_age` an age in seconds.

        `groups_recreated` is how often this process met a Redis that had lost its consumer groups: an alarm.
        """
        self._store_up.set(1)
        for name, value in figures.items():
            if name == "groups_recreated":
                self._recreated.inc(max(value - self._recreated_before, 0))
                self._recreated_before = value
            elif name.endswith("_age"):
                self._age.labels(name.removesuffix("_age")).set(value)
            else:
                self._depth.labels(name).set(value)

    def store_synced(self, behind: float, took: float, failures: int) -> None:
        """How the private Redis's files are synced: seconds behind, of the last sync, failures since the start."""
        self._behind.set(behind)
        self._sync_time.set(took)
        self._sync_failures.inc(max(failures - self._sync_failures_before, 0))
        self._sync_failures_before = failures

    def notices_waiting(self, figures: Mapping[str, int]) -> None:
        """Take Notices.waiting()."""
        for channel, waiting in figures.items():
            self._notices_waiting.labels(channel).set(waiting)

    def store_down(self) -> None:
        """Redis did not answer. The last figures stay; `alertbridge_store_up` says that they are old."""
        self._store_up.set(0)

    def breakers(self, states: Mapping[str, BreakerState]) -> None:
        """Take Breakers.states()."""
        for name, now in states.items():
            for state in BreakerState:
                self._breaker_state.labels(self._breaker(name), state.value).set(now is state)

    def guards(self, now: GuardsNow) -> None:
        """Take a look at what the guards hold back. What does not hold any more has no sample."""
        for gauge in (self._paused, self._stopped, self._lowered, self._used, self._limit, self._deferred):
            gauge.clear()
        for pause in now.pauses[:_MOST_VALUES]:
            self._paused.labels(pause.scope).set(1)
        self._halted.set(now.halted)
        for runbook in sorted(now.stopped)[:_MOST_VALUES]:
            self._stopped.labels(runbook).set(1)
        lowered = Counts((runbook, each.mode.value) for (_, runbook), each in now.lowered.items())
        for (runbook, mode), alerts in lowered.most_common(_MOST_VALUES):
            self._lowered.labels(runbook, mode).set(alerts)
        self._wanted.set(now.budget.wanted)
        self._halt_after.set(now.rules.halt_after or 0)
        for use in now.scopes[:_MOST_VALUES]:
            for what in ("targets", "nodes", "percent"):
                limit = getattr(use.limit, what)
                if limit is not None:
                    self._used.labels(use.limit.scope, what).set(getattr(use, what))
                    self._limit.labels(use.limit.scope, what).set(limit)
        for reason, alerts in now.waiting.items():
            self._deferred.labels(reason.value).set(alerts)

    def reloaded(self, *, ok: bool) -> None:
        """The configuration was read: at the start, and with every reload."""
        self._reloads.labels("success" if ok else "failure").inc()
        self._reload_ok.set(ok)
        if ok:
            self._reload_at.set(time.time())

    def register(self, collector: Collector) -> None:
        """Add what somebody else counts; its names must start with `alertbridge_` as well."""
        self.registry.register(collector)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the exposition and its content type, in the format that the Accept header asks for."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self.registry), content_type

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"alertbridge_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"alertbridge_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Iterable[float], *labels: str) -> Histogram:
        return Histogram(f"alertbridge_{name}", text, labels, registry=self.registry, buckets=tuple(buckets))
