"""What fires for long is heard of by somebody, once: whatever puts it off, and also where it was called mended."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from tests.support.redis import RedisServer
from tests.support.sink import open_sink
from tests.support.stage import Stage
from tests.support.telling import Telling, channels, webhook

MINUTE, HOUR = 60.0, 3600.0
AUTO: dict[str, Any] = {"runbook": "test/restart", "mode": "auto"}
LADDER = [{"levels": [{"name": "L1", "within": "30m", "channels": "on-call"}]}]
YEAR = {
    "name": "long",
    "begins": "2020-01-01T00:00:00+00:00",
    "ends": "2090-01-01T00:00:00+00:00",
    "matchers": ['namespace="shop"'],
}


class Night:
    """A stage on which alerts keep coming in, and who was called meanwhile."""

    def __init__(self, stage: Stage, sink: Any) -> None:
        self.stage = stage
        self.telling = Telling(stage)
        self._sink = sink
        self._starts: dict[str, float] = {}

    async def fire(self, workload: str) -> None:
        """It fires, or is sent again."""
        start = self._starts.setdefault(workload, self.stage.clock.now())
        await self.stage.fire("WebDown", deployment=workload, starts_at=start)
        await self.stage.settle()
        await self.telling.tell()

    async def resolve(self, workload: str) -> None:
        del self._starts[workload]
        await self.stage.resolve("WebDown", deployment=workload)
        await self.stage.settle()
        await self.telling.tell()

    async def pass_time(self, hours: float, *, step: float = 15 * MINUTE) -> None:
        for _ in range(round(hours * HOUR / step)):
            await self.stage.advance(step)
            for workload in list(self._starts):
                await self.fire(workload)

    @property
    def calls(self) -> list[str]:
        return [each["title"] for each in self._sink.requests if "a person is needed" in each["title"]]

    async def escalated(self) -> list[str]:
        return [view.reason for view in await self.stage.runs() if view.escalated]


MakeNight = Callable[..., Any]


@pytest.fixture
def night(redis_server: RedisServer, tmp_path: Path) -> MakeNight:
    @asynccontextmanager
    async def make(route: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Night]:
        async with open_sink() as sink:
            url = webhook(sink.url, "on_call")
            notify = {"rules": [], "escalation": LADDER, "channels": channels(tmp_path, on_call=url)}
            alerts = {"WebDown": {**AUTO, **(route or {})}}
            async with Stage.open(redis_server, tmp_path, alerts=alerts, notify=notify, **settings) as stage:
                for name in ("web", "api"):
                    stage.cluster.apply(deployment(name, "registry.example/web:1", namespace="shop"))
                stage.clock.jump(10)
                yield Night(stage, sink)

    return make


async def test_the_calls_about_a_firing_end_with_it_though_another_run_has_taken_it_up_since(
    night: MakeNight,
) -> None:
    async with night({"max_attempts": 1, "cooldown": "1m"}) as on:
        await on.fire("web")
        await on.resolve("web")
        await on.stage.advance(5 * MINUTE)
        await on.fire("web")
        assert await on.escalated() == ["attempts_spent"]
        await on.pass_time(1.25)
        assert (await on.stage.ends())[-1] == ("succeeded", "verified")
        called = len(on.calls)
        assert called >= 2, "nobody has answered, and it fires"
        await on.resolve("web")
        await on.pass_time(3)
        assert len(on.calls) == called
        assert all(not view.open_incidents for view in await on.stage.runs())


async def test_what_is_denied_at_every_look_is_told_once_for_each_firing(night: MakeNight) -> None:
    async with night(protected_namespaces=["shop"]) as on:
        await on.fire("web")
        await on.pass_time(12)
        assert len(await on.stage.runs()) > 10
        assert await on.escalated() == ["protected_namespace"]
        await on.resolve("web")
        called = len(on.calls)
        await on.pass_time(2)
        assert len(on.calls) == called, "no ladder of an earlier look goes on"
        await on.fire("web")
        assert await on.escalated() == ["protected_namespace"] * 2
        assert on.stage.writes == []


async def test_an_unanswered_question_is_asked_again_and_its_silence_told_once(night: MakeNight) -> None:
    async with night({"mode": "approve"}) as on:
        await on.fire("web")
        await on.pass_time(12)
        assert await on.escalated() == ["approval_timed_out"]


async def test_a_firing_that_is_put_off_for_an_hour_is_told_once(night: MakeNight) -> None:
    budgets = {"window": "24h", "namespace": {"targets": 1}, "halt_after": None}
    async with night(budgets=budgets) as on:
        await on.fire("web")
        await on.resolve("web")
        await on.fire("api")
        await on.pass_time(0.75)
        assert await on.escalated() == []
        await on.pass_time(1)
        assert await on.escalated() == ["budget_spent"]
        view = next(view for view in await on.stage.runs() if view.escalated)
        assert "it has fired for 60 min, and nothing was done" in view.detail
        await on.pass_time(12)
        assert await on.escalated() == ["budget_spent"]
        await on.resolve("api")
        called = len(on.calls)
        await on.pass_time(2)
        assert len(on.calls) == called


async def test_people_are_reminded_of_what_they_hold_back_themselves_after_a_day(night: MakeNight) -> None:
    async with night(maintenance=[YEAR]) as on:
        await on.fire("web")
        await on.pass_time(23)
        assert await on.escalated() == []
        await on.pass_time(2)
        assert await on.escalated() == ["maintenance"]
        assert on.calls[0].startswith("[high] a person is needed (L1): WebDown")


async def test_a_pause_that_was_forgotten_is_told_after_a_day(night: MakeNight) -> None:
    async with night() as on:
        await on.stage.pause()
        await on.fire("web")
        await on.pass_time(23)
        assert await on.escalated() == []
        await on.pass_time(2)
        assert await on.escalated() == ["paused"]


async def test_what_was_called_mended_and_fires_on_is_told(night: MakeNight) -> None:
    async with night() as on:
        await on.fire("web")
        await on.fire("api")
        await on.pass_time(1)
        await on.resolve("api")
        await on.pass_time(0.75)
        assert on.calls == []
        await on.pass_time(0.5)
        assert on.calls == ["[high] a person is needed (L1): WebDown on sim:deployment/shop/web"]
        assert len(on.stage.writes) == 2, "a good repair is not repeated for it"


async def test_what_nothing_can_be_made_of_is_told_once_and_mended_by_a_configuration(night: MakeNight) -> None:
    async with night() as on:
        await on.fire("not/a/name")
        await on.pass_time(6)
        assert await on.escalated() == ["invalid_target"]
        assert on.calls[0] == "[high] a person is needed (L1): WebDown on deployment/(not known)"
        assert on.stage.proxy.requests == []
        await on.resolve("not/a/name")
        called = len(on.calls)
        await on.pass_time(2)
        assert len(on.calls) == called


async def test_a_cluster_that_is_mapped_by_a_reload_is_looked_at_then(night: MakeNight) -> None:
    async with night() as on:
        start = on.stage.clock.now()
        await on.stage.fire("WebDown", deployment="web", cluster="eu", starts_at=start)
        await on.stage.settle()
        assert await on.escalated() == ["unknown_cluster"]
        clusters = {"connections": {"sim": {"url": on.stage.proxy.url}}, "names": {"eu": "sim"}, "default": "sim"}
        await on.stage.reload(alerts={"WebDown": AUTO}, clusters=clusters)
        await on.stage.settle()
        assert (await on.stage.ends())[-1] == ("succeeded", "verified")


async def test_in_mode_observe_nobody_is_woken_for_what_nothing_can_be_made_of(night: MakeNight) -> None:
    async with night({"mode": "observe"}) as on:
        await on.fire("not/a/name")
        assert await on.escalated() == []
        assert await on.stage.ends() == [("denied", "invalid_target")]
