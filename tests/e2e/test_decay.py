"""What is read of rules, and what follows from it, against the real Prometheus and the real Alertmanager."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.engine import decay as looking_back
from bridge.engine.clock import SystemClock
from bridge.engine.parts import Parts
from bridge.model.decay import decay, shortened
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome, RemediationView, State
from bridge.model.target import Target
from bridge.outside.http import Session
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from bridge.outside.rules import AlertRules
from tests.support.alertmanager import start_alertmanager
from tests.support.bench import Bench, Reach, runbook
from tests.support.processes import Processes, until
from tests.support.prometheus import Prometheus, Rule, start_prometheus

RANGE = 12.0
QUERY = "increase(errors_total[12s]) > 0"
LABELS = {"alertname": "Errors", "severity": "page", "job": "target"}


class Broken:
    """A service whose errors go on until it is mended."""

    def __init__(self) -> None:
        self.errors = 0
        self.mended = False

    async def metrics(self, _request: web.Request) -> web.Response:
        self.errors += 0 if self.mended else 1
        return web.Response(text=f"# TYPE errors_total counter\nerrors_total {self.errors}\n")


async def start(processes: Processes, broken: Broken) -> tuple[Prometheus, TestServer]:
    app = web.Application()
    app.router.add_get("/metrics", broken.metrics)
    server = TestServer(app)
    await server.start_server()
    rule = Rule("Errors", QUERY, {"severity": "page"}, {})
    return await start_prometheus(processes, f"{server.host}:{server.port}", rules=[rule]), server


async def test_an_alert_goes_on_after_the_repair_no_longer_than_its_rule_says(processes: Processes) -> None:
    """And what is asked of the time since the repair alone says at once that it helped."""
    broken = Broken()
    prometheus, server = await start(processes, broken)
    outside = Outside(OutsideSettings(prometheus=prometheus.url))
    try:

        async def fires() -> bool:
            return "Errors" in await prometheus.firing()

        await until(fires, what="the alert", seconds=30)
        rule = await outside.rules.rule(LABELS)
        assert rule is not None
        assert (rule.query, rule.interval, rule.range_seconds) == (QUERY, 1.0, RANGE)
        assert await outside.rules.rule({**LABELS, "severity": "info"}) is None
        assert await outside.rules.group_interval() == 0.0
        assert await outside.promql(shortened(rule.query, 5)), "still broken: it is so in the last seconds alone"

        broken.mended, mended_at = True, time.monotonic()

        async def alone_it_is_over() -> bool:
            return not await outside.promql(shortened(rule.query, 4))

        await until(alone_it_is_over, what="the last seconds alone to be well", seconds=10)
        assert await fires(), "the whole range is not over yet"

        async def over() -> bool:
            return not await fires()

        await until(over, what="the end of the alert", seconds=60)
        # A busy machine looks later, but what the rule says is the rule's.
        assert time.monotonic() - mended_at > RANGE / 2
        assert decay(rule, margin=0.0) == RANGE + 2
    finally:
        await outside.close()
        await server.close()


async def test_the_group_interval_is_read_from_the_running_alertmanager(processes: Processes) -> None:
    alertmanager = await start_alertmanager(processes, "http://127.0.0.1:1/", group_interval="90s")
    session = Session()
    try:
        rules = AlertRules(session, "", alertmanager=alertmanager.url)
        assert await rules.group_interval() == 90
        assert await rules.rule(LABELS) is None
    finally:
        await session.close()


TEN_MINUTES = 600
SINCE = 4.0
"""Seconds since the repair that are asked about alone: here a target is scraped each second."""


class Services:
    """Two of them with errors all the time; one is mended."""

    def __init__(self) -> None:
        self.errors = {"good": 1, "bad": 1}
        self.mended = False

    async def metrics(self, _request: web.Request) -> web.Response:
        self.errors["bad"] += 1
        self.errors["good"] += not self.mended
        lines = [f'errors_total{{service="{name}"}} {count}\n' for name, count in self.errors.items()]
        return web.Response(text="# TYPE errors_total counter\n" + "".join(lines))


class RealTime(Bench):
    """A worker in real time, whose alerts fire as long as Prometheus says so."""

    def __init__(self, outside: Outside, prometheus: Prometheus) -> None:
        super().__init__(longest_pause=0.5)
        self.clock = self.work._clock = SystemClock()  # type: ignore[assignment]
        self._outside = outside
        taken = self.work.get

        async def get(name: str) -> RemediationView | None:
            view = await taken(name)
            labels = "" if view is None else view.remediation.labels["service"]
            still = labels in await prometheus.firing("service")
            return view if view is None or still else msgspec.structs.replace(view, open_incidents=())

        self.work.get = get  # type: ignore[method-assign]

    def parts(self) -> Parts:
        return msgspec.structs.replace(super().parts(), rules=self._outside.rules, prometheus=True)

    def _reach(self, cluster: str) -> Reach:
        reach = super()._reach(cluster)
        reach.promql = self._outside.promql  # type: ignore[assignment,method-assign]
        return reach

    async def work_for(self, name: str, seconds: float) -> RemediationView:
        """Work on one for so long, or until it is done."""
        over = self.clock.monotonic() + seconds
        while (view := await self.stretch(name)).state is not State.DONE and self.clock.monotonic() < over:
            await self.clock.sleep(max(0.0, (view.due_at or 0.0) - self.clock.now()))
        return view


def ten_minutes(instance: str, now: float) -> Iterator[str]:
    """Yield ten minutes of errors that came before, in the OpenMetrics format."""
    yield "# TYPE errors counter"
    for service in ("good", "bad"):
        for second in range(TEN_MINUTES, 0, -10):
            labels = f'service="{service}",job="target",instance="{instance}"'
            yield f"errors_total{{{labels}}} {TEN_MINUTES - second} {now - second:.0f}"
    yield "# EOF"


async def test_over_ten_minutes_a_good_repair_is_not_repeated_and_a_bad_one_is_not_called_fixed(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule over ten minutes, with as much of errors behind it; of what is recorded no part can be asked alone."""
    monkeypatch.setattr(looking_back, "SHORTEST", SINCE)
    # Side by side, each with a Prometheus of its own: both mostly wait.
    async with asyncio.TaskGroup() as both:
        for query in ("rate(errors_total[10m])", "service:errors:rate10m"):
            both.create_task(over_ten_minutes(processes, query))


async def over_ten_minutes(processes: Processes, query: str) -> None:
    services, app = Services(), web.Application()
    app.router.add_get("/metrics", services.metrics)
    server = TestServer(app)
    await server.start_server()
    instance = f"{server.host}:{server.port}"
    prometheus = await start_prometheus(
        processes,
        instance,
        rules=[Rule("Errors", f"{query} > 0.1", {}, {})],
        records={"service:errors:rate10m": "rate(errors_total[10m])"},
        history="\n".join(ten_minutes(instance, time.time())) + "\n",
    )
    outside = Outside(OutsideSettings(prometheus=prometheus.url))
    bench = RealTime(outside, prometheus)
    try:

        async def fires() -> bool:
            return len(await prometheus.firing()) == 2

        await until(fires, what="both alerts", seconds=30)
        verify = {"fixed": "alert.resolved", "within": "5s"}
        for service, name in (("good", "web"), ("bad", "worker")):
            labels = {"alertname": "Errors", "service": service, "job": "target", "instance": instance}
            book = runbook(steps=[{"action": "set", "with": {"value": 7, "names": [name]}}], verify=verify)
            bench.add(book, name=service, labels=labels, target=Target("", "Deployment", "shop", name))
        services.mended = True
        good, bad = await asyncio.gather(bench.work_for("good", 10.0), bench.work_for("bad", 10.0))
    finally:
        await outside.close()
        await server.close()
    assert good.state is State.PARKED, good.detail
    assert bench.writes == [7, 7], "each was made once"
    begun = next(entry for entry in bench.entries("good") if entry.kind == "verifying" and "own" in entry.data)
    assert "its rule looks back 60" in begun.text
    if "[10m]" in query:
        assert (bad.outcome, bad.reason) == (Outcome.FAILED, Reason.NOT_FIXED.value), bad.detail
        assert "since the repair alone" in bad.detail
    else:
        assert bad.state is State.PARKED, bad.detail
