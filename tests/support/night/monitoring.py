"""Prometheus and a pair of Alertmanagers, as far as alertbridge can tell: rules that look at the world every minute,
groups that are sent whole by both peers, repeated, and sent again when nobody took them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from bridge.model.alert import fingerprint
from tests.support.night.script import Trouble
from tests.support.night.world import World
from tests.support.receiver import Served

REPEAT = 3600.0
PEERS = ("http://alertmanager-0:9093", "http://alertmanager-1:9093")
_NEVER = "0001-01-01T00:00:00Z"


@dataclass
class Rule:
    """One alert of one trouble, and where it stands."""

    trouble: Trouble
    labels: dict[str, str]
    began: float | None = None
    ended: float | None = None
    firings: int = 0

    @property
    def name(self) -> str:
        return fingerprint(self.labels)

    @property
    def group(self) -> str:
        return f"{self.labels['namespace']}/{self.labels['alertname']}"

    def body(self) -> dict[str, Any]:
        assert self.began is not None
        return {
            "status": "firing" if self.ended is None else "resolved",
            "labels": self.labels,
            "annotations": {"summary": self.trouble.says},
            "startsAt": _time(self.began),
            "endsAt": _NEVER if self.ended is None else _time(self.ended),
            "generatorURL": "http://prometheus:9090/graph",
            "fingerprint": self.name,
        }


@dataclass
class Monitoring:
    """The rules in their order; `sent` counts the requests that were taken, by status."""

    world: World
    mouth: Served
    rules: list[Rule]
    sent: dict[int, int] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    """Group to when it is sent next."""

    async def look(self, now: float) -> list[tuple[Rule, str]]:
        """Look at the world, send what is due; return the rules that began to fire, or ceased to."""
        news = []
        for rule in self.rules:
            fires = rule.trouble.begun and rule.trouble.fires(self.world, now)
            if fires and (rule.began is None or rule.ended is not None):
                rule.began, rule.ended = now, None
                rule.firings += 1
                news.append((rule, "fires"))
            elif not fires and rule.began is not None and rule.ended is None:
                rule.ended = now
                news.append((rule, "resolved"))
        for rule, _ in news:
            self._due[rule.group] = now
        for group in [group for group, at in self._due.items() if at <= now]:
            await self._send(group, now)
        return news

    async def _send(self, group: str, now: float) -> None:
        alerts = [rule.body() for rule in self.rules if rule.group == group and rule.began is not None]
        firing = any(alert["status"] == "firing" for alert in alerts)
        document = {
            "version": "4",
            "groupKey": f"{{}}:{{{group}}}",
            "truncatedAlerts": 0,
            "status": "firing" if firing else "resolved",
            "receiver": "alertbridge",
            "groupLabels": {},
            "commonLabels": {},
            "commonAnnotations": {},
            "alerts": alerts,
        }
        answers = []
        for peer in PEERS:
            answer = await self.mouth.post(json.dumps({**document, "externalURL": peer}).encode())
            self.sent[answer.status] = self.sent.get(answer.status, 0) + 1
            answers.append(answer.status)
        if any(status >= 500 for status in answers):
            self._due[group] = now + 60.0
        elif firing:
            self._due[group] = now + REPEAT
        else:
            del self._due[group]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


@asynccontextmanager
async def open_prometheus(world: World) -> AsyncIterator[str]:
    """Serve instant queries about the world; yield the address."""

    async def query(request: web.Request) -> web.Response:
        value = world.measured(str((await request.post())["query"]))
        samples = [] if value is None else [{"metric": {}, "value": [0, str(value)]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": samples}})

    async def rules(_request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"groups": []}})

    app = web.Application()
    app.router.add_post("/api/v1/query", query)
    app.router.add_get("/api/v1/rules", rules)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
