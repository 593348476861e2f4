"""What is read of rules, and what follows from it, against the real Prometheus and the real Alertmanager."""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.model.decay import decay, shortened
from bridge.outside.http import Session
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from bridge.outside.rules import AlertRules
from tests.support.alertmanager import start_alertmanager
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
