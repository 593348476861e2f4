"""Who is called about an alert that comes and goes: time lines on a real Redis, with real channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.model.notice import Ack
from tests.support.redis import RedisServer
from tests.support.sink import Sink, open_sink
from tests.support.stage import Stage
from tests.support.telling import Telling, channels, webhook

pytestmark = pytest.mark.usefixtures("quiet_log")

LEVELS = [
    {"name": "L1", "within": "15m", "channels": "on-call"},
    {"name": "L2", "within": "30m", "channels": "lead"},
]
DEAD = "json://127.0.0.1:9/dead?rto=1&cto=1"


class Flap:
    """A stage with an alert that comes and goes; `calls` are the levels that were called, with the minute."""

    def __init__(self, stage: Stage, sink: Sink) -> None:
        self.stage = stage
        self.telling = Telling(stage)
        self.calls: list[tuple[int, str]] = []
        self._sink = sink
        self._began = stage.clock.now()

    @property
    def minute(self) -> int:
        return round((self.stage.clock.now() - self._began) / 60)

    @property
    def titles(self) -> list[str]:
        return [request["title"].split(":")[0] for request in self._sink.requests]

    async def tell(self) -> None:
        before = len(self.titles)
        await self.telling.tell()
        for title in self.titles[before:]:
            if "a person is needed" in title:
                self.calls.append((self.minute, title.partition("(")[2].rstrip(")")))

    async def wait(self, minutes: float, *, step: float = 60.0) -> None:
        for _ in range(round(minutes * 60 / step)):
            await self.stage.advance(step)
            await self.tell()

    async def flap(self, times: int, *, fires: float = 3, rests: float = 3, **labels: str) -> None:
        for _ in range(times):
            await self.fire(**labels)
            await self.wait(fires)
            await self.resolve(**labels)
            await self.wait(rests, step=rests * 60)

    async def fire(self, **labels: str) -> str:
        await self.stage.fire("WebDown", **{"severity": "critical", "deployment": "gone", **labels})
        await self.stage.settle()
        await self.tell()
        return (await self.stage.runs())[-1].remediation.id

    async def resolve(self, **labels: str) -> None:
        await self.stage.resolve("WebDown", **{"severity": "critical", "deployment": "gone", **labels})
        await self.stage.settle()
        await self.tell()

    async def ack(self, name: str) -> None:
        await self.stage.stores.notices.acknowledge(name, Ack(by="ann"))
        await self.tell()


MakeFlap = Callable[..., Any]


@pytest.fixture
def flapping(redis_server: RedisServer, tmp_path: Path) -> MakeFlap:
    @asynccontextmanager
    async def make(*, on_call: str = "", **route: Any) -> AsyncIterator[Flap]:
        async with open_sink() as sink:
            urls = {"on_call": on_call or webhook(sink.url, "on_call"), "lead": webhook(sink.url, "lead")}
            notify = {"escalation": [{"levels": LEVELS}], "channels": channels(tmp_path, **urls)}
            alerts = {"WebDown": {"runbook": "test/restart", "mode": "auto", **route}}
            limits: dict[str, Any] = {"alert": {}, "target": {}}
            async with Stage.open(
                redis_server, tmp_path, alerts=alerts, notify=notify, run_limits=limits, trust={"stop_after": None}
            ) as stage:
                stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
                stage.clock.jump(10)
                yield Flap(stage, sink)

    return make


async def test_one_page_for_an_alert_that_comes_and_goes_all_evening(flapping: MakeFlap) -> None:
    async with flapping() as on:
        await on.fire()
        await on.wait(9)
        await on.ack((await on.stage.runs())[-1].remediation.id)
        await on.resolve()
        await on.flap(10)
        assert on.calls == [(0, "L1")]
        assert on.titles == ["[critical] a person is needed (L1)", "[critical] acknowledged", "[critical] resolved"]
        escalated = [view for view in await on.stage.runs() if view.escalated]
        assert len(escalated) == 11, "each firing still ends as it does, for whoever looks"


async def test_what_comes_and_goes_until_the_next_morning_is_told_again(flapping: MakeFlap) -> None:
    async with flapping() as on:
        await on.ack(await on.fire())
        await on.resolve()
        for _ in range(15):
            await on.stage.advance(50 * 60)
            await on.fire()
            await on.resolve()
        assert [level for _, level in on.calls] == ["L1", "L1"]
        assert 720 <= on.calls[1][0] <= 770


async def test_quiet_for_an_hour_is_the_end_of_it(flapping: MakeFlap) -> None:
    async with flapping() as on:
        await on.ack(await on.fire())
        await on.resolve()
        await on.stage.advance(61 * 60)
        await on.fire()
        assert [level for _, level in on.calls] == ["L1", "L1"]


async def test_attempts_that_are_free_again_for_a_while_page_nobody_again(flapping: MakeFlap) -> None:
    """A steady flap has one attempt free whenever the window has slid on: each time they are spent again."""
    async with flapping(cooldown="0s", max_attempts=3, attempts_window="30m") as on:
        await on.flap(4, deployment="web")
        spent = [view for view in await on.stage.runs() if view.reason == "attempts_spent"]
        await on.ack(spent[0].remediation.id)
        await on.flap(10, deployment="web")
        ends = [(view.reason, view.escalated) for view in await on.stage.runs()]
        assert [end for end, after in pairwise(ends) if end != after][:4] == [
            ("verified", False),
            ("attempts_spent", True),
            ("attempts_spent", False),
            ("verified", False),
        ]
        assert ends[-1] == ("attempts_spent", False)
        assert len(on.calls) == 1


async def test_a_ladder_that_nobody_answers_climbs_though_each_firing_is_short(flapping: MakeFlap) -> None:
    async with flapping() as on:
        await on.flap(3)
        assert on.calls == [(0, "L1"), (15, "L2")]
        assert on.titles.count("[critical] resolved") == 2


async def test_whoever_cannot_be_reached_is_passed_over_though_each_firing_is_short(flapping: MakeFlap) -> None:
    """The second firing is told of nobody by its run: `attempts_spent` was told of by the one before."""
    async with flapping(on_call=DEAD, cooldown="0s", max_attempts=1, attempts_window="12h") as on:
        await on.flap(3, fires=2, rests=2, deployment="web")
        reasons = [(view.reason, view.escalated) for view in await on.stage.runs()]
        assert reasons == [("verified", False), ("attempts_spent", True), ("attempts_spent", False)]
        assert on.calls == [(8, "L2")]
        (said,) = [each["message"] for each in on._sink.requests if "a person is needed" in each["title"]]
        assert "L1 was called first, and no message arrived there." in said


async def test_a_quiet_run_that_calls_is_not_forgotten_when_another_takes_up_its_firing(flapping: MakeFlap) -> None:
    """An attempt is free again while it fires: the run that was to call the next level is the last one no more."""
    async with flapping(cooldown="0s", max_attempts=1, attempts_window="18m") as on:
        await on.flap(2, deployment="web")
        assert on.calls == [(6, "L1")]
        await on.fire(deployment="web")
        await on.wait(9)
        assert [view.reason for view in await on.stage.runs()][2:] == ["attempts_spent", "verified"]
        assert on.calls == [(6, "L1"), (21, "L2")]


async def test_many_workers_call_once_for_each_firing_of_it(flapping: MakeFlap) -> None:
    async with flapping() as on:
        workers = [Telling(on.stage) for _ in range(12)]
        for _ in range(3):
            await on.stage.fire("WebDown", severity="critical", deployment="gone")
            await on.stage.settle()
            await asyncio.gather(*(worker.tell() for worker in workers))
            await on.stage.resolve("WebDown", severity="critical", deployment="gone")
            await on.stage.settle()
            await asyncio.gather(*(worker.tell() for worker in workers))
            await on.stage.advance(60)
        assert on.titles == ["[critical] a person is needed (L1)", "[critical] resolved"]


async def test_an_answer_to_the_first_firing_ends_the_calls_of_the_one_that_goes_on(flapping: MakeFlap) -> None:
    async with flapping() as on:
        first = await on.fire()
        await on.resolve()
        await on.wait(3)
        await on.fire()
        await on.ack(first)
        await on.wait(60, step=300)
        assert on.calls == [(0, "L1")]


async def test_a_higher_severity_calls_anew(flapping: MakeFlap) -> None:
    """What holds a runbook up is one cause for all alerts of a target, until a worse one comes."""
    async with flapping(cooldown="0s", max_attempts=1, attempts_window="12h") as on:
        await on.flap(1, deployment="web", severity="warning")
        for severity in ("warning", "warning", "critical", "critical"):
            await on.flap(1, fires=1, rests=1, deployment="web", severity=severity)
        assert [title for title in on.titles if "needed" in title] == [
            "[medium] a person is needed (L1)",
            "[critical] a person is needed (L1)",
        ]
