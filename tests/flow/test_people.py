"""What people hear, as time lines: a real Redis, a real HTTP server behind the channels, and a clock that jumps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.errors import StoreUnavailable
from bridge.model.notice import Ack, Sending
from tests.support.installation import RESTART
from tests.support.redis import RedisServer
from tests.support.sink import Sink, open_sink
from tests.support.stage import Stage
from tests.support.telling import Telling, channels, webhook

LADDER = [
    {
        "severity": "critical",
        "levels": [
            {"name": "L1", "within": "15m", "channels": "on-call"},
            {"name": "L2", "within": "30m", "channels": "lead"},
        ],
    }
]
RULES = [{"on": ["started", "update", "done", "escalated"], "channels": "team"}]


class Scene:
    """A stage with its channels; `heard` is what arrived, by channel."""

    def __init__(self, stage: Stage, sink: Sink) -> None:
        self.stage = stage
        self.sink = sink
        self.telling = Telling(stage)

    @property
    def titles(self) -> list[str]:
        return [request["title"] for request in self.sink.requests]

    async def fire(self, **labels: str) -> str:
        await self.stage.fire("WebDown", severity="critical", **labels)
        await self.stage.settle()
        await self.telling.tell()
        return (await self.stage.runs())[-1].remediation.id


MakeScene = Callable[..., Any]


@pytest.fixture
def scene(redis_server: RedisServer, tmp_path: Path) -> MakeScene:
    @asynccontextmanager
    async def make(
        *, addresses: dict[str, str] | None = None, mode: str = "auto", targets: int = 10, **notify: Any
    ) -> AsyncIterator[Scene]:
        async with open_sink() as sink:
            urls = {name: webhook(sink.url, name) for name in ("team", "on_call", "lead")} | (addresses or {})
            given = {"rules": RULES, "escalation": LADDER, **notify, "channels": channels(tmp_path, **urls)}
            alerts = {"WebDown": {"runbook": "test/restart", "mode": mode}}
            budgets = {"namespace": {"targets": targets}, "cluster": {"targets": targets, "nodes": 1}}
            settings = {"alerts": alerts, "notify": given, "budgets": budgets}
            async with Stage.open(redis_server, tmp_path, **settings) as stage:
                stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
                stage.clock.jump(10)
                yield Scene(stage, sink)

    return make


async def test_a_repair_is_told_with_its_plan_its_end_and_a_link(scene: MakeScene) -> None:
    async with scene() as on:
        name = await on.fire(deployment="web")
        (told,) = on.sink.requests
        assert told["title"] == "[critical] repaired: WebDown on sim:deployment/shop/web"
        assert told["type"] == "success"
        assert told["thread"] == name
        assert "--- deployment/shop/web" in told["message"]
        assert "kubectl.kubernetes.io/restartedAt" in told["message"]
        assert f"https://bridge.example/r/{name}" in told["message"]
        assert await on.telling.states(name) == {"done/team": "sent"}


async def test_nobody_answers_and_the_next_level_is_called_until_somebody_does(scene: MakeScene) -> None:
    async with scene() as on:
        name = await on.fire(deployment="missing")
        assert on.titles == ["[critical] a person is needed (L1): WebDown on sim:deployment/shop/missing"] * 2
        await on.telling.pass_time(14)
        assert len(on.titles) == 2
        await on.telling.pass_time(2)
        assert "(L2)" in on.titles[2]
        assert len(on.titles) == 3
        await on.stage.stores.notices.acknowledge(name, Ack(by="ann", why="looking"))
        await on.telling.tell()
        assert len(on.titles) == 6
        assert "ann has taken it on: looking" in on.sink.requests[-1]["message"]
        await on.telling.pass_time(120)
        assert len(on.titles) == 6


async def test_a_resolve_ends_the_calls(scene: MakeScene) -> None:
    async with scene() as on:
        await on.fire(deployment="missing")
        await on.stage.resolve("WebDown", severity="critical", deployment="missing")
        await on.stage.settle()
        await on.telling.tell()
        assert [title.split(":")[0] for title in on.titles[2:]] == ["[critical] resolved"] * 2
        await on.telling.pass_time(60)
        assert len(on.titles) == 4


async def test_calls_survive_every_process(scene: MakeScene) -> None:
    """Whoever is there when the time has come calls: nothing of a ladder is in a process."""
    async with scene() as on:
        await on.fire(deployment="missing")
        on.telling = Telling(on.stage)
        await on.telling.pass_time(16)
        assert ["(L2)" in title for title in on.titles] == [False, False, True]


async def test_many_workers_tell_once(scene: MakeScene) -> None:
    async with scene() as on:
        await on.stage.fire("WebDown", severity="critical", deployment="missing")
        await on.stage.settle()
        workers = [Telling(on.stage) for _ in range(20)]
        await asyncio.gather(*(worker.tell() for worker in workers))
        await on.stage.advance(16 * 60)
        await asyncio.gather(*(worker.tell() for worker in workers))
        assert len(on.titles) == 3


async def test_a_channel_that_fails_is_tried_again_and_delays_nothing_and_is_seen(scene: MakeScene) -> None:
    async with scene() as on:
        on.sink.status = 500
        name = await on.fire(deployment="web")
        assert (await on.stage.ends())[-1] == ("succeeded", "verified")
        (told,) = (await on.stage.stores.notices.deliveries(name)).messages
        assert (told.state, told.attempts) == ("waiting", 1)
        assert "did not take" in told.error
        sample = on.stage.metrics.registry.get_sample_value
        assert sample("alertbridge_notices_total", {"channel": "team", "result": "failed"}) == 1
        on.sink.status = 200
        await on.telling.pass_time(1)
        assert await on.telling.states(name) == {"done/team": "sent"}
        assert sample("alertbridge_notices_total", {"channel": "team", "result": "sent"}) == 1


async def test_a_channel_that_stays_dead_is_given_up_and_its_ladder_goes_on(scene: MakeScene) -> None:
    async with scene(addresses={"on_call": "json://127.0.0.1:9/dead?rto=1&cto=1"}) as on:
        name = await on.fire(deployment="missing")
        for _ in range(30):
            await on.stage.advance(600)
            await on.telling.tell()
        states = await on.telling.states(name)
        assert states["escalated-1/on-call"] == "lost"
        assert states["escalated-2/lead"] == "sent"
        sample = on.stage.metrics.registry.get_sample_value
        assert (sample("alertbridge_notices_total", {"channel": "on-call", "result": "lost"}) or 0) >= 1


async def test_a_channel_that_hangs_holds_up_no_other(scene: MakeScene) -> None:
    """Fault 23."""
    silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(30), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with scene(addresses={"on_call": f"json://127.0.0.1:{port}/x?rto=1&cto=1"}) as on:
        await on.stage.fire("WebDown", severity="critical", deployment="missing")
        await on.stage.settle()
        await on.telling.look()
        hanging = asyncio.create_task(on.telling.courier.deliver("on-call"))
        await on.telling.courier.deliver("team")
        assert len(on.titles) == 1
        assert not hanging.done()
        assert await hanging == 0
    silent.close()


async def test_whoever_is_called_reads_what_was_seen_before_the_repair(scene: MakeScene) -> None:
    async with scene() as on:
        book = {**RESTART, "name": "test/seen", "evidence": {"pods": {"collect": "pods"}}}
        on.stage.write_runbook({**book, "verify": {**RESTART["verify"], "fixed": "evidence.rollout.revision > 50"}})
        settings = json.loads((on.stage._folder / "bridge.yml").read_text())
        on.stage.configure(**{**settings, "alerts": {"WebDown": {"runbook": "test/seen", "mode": "auto"}}})
        name = await on.fire(deployment="web")
        said = on.sink.requests[-1]["message"]
        for line in (
            f"alertbridge ack {name} ",
            f"alertbridge undo {name} ",
            "- pods: total 3, ready 3, ",
            "Done: restart deployment/shop/web",
            "Put back: nothing: what was done stands",
            "Left to you: 1 alert still fires",
        ):
            assert line in said, said


async def test_a_level_whose_channel_is_dead_is_passed_over_and_the_next_one_is_told_why(scene: MakeScene) -> None:
    async with scene(addresses={"on_call": "json://127.0.0.1:9/dead?rto=1&cto=1"}) as on:
        name = await on.fire(deployment="missing")
        await on.telling.pass_time(4)
        assert "(L2)" in on.titles[-1]
        assert "L1 was called first, and no message arrived there." in on.sink.requests[-1]["message"]
        await on.stage.stores.notices.acknowledge(name, Ack(by="ann"))
        await on.telling.tell()
        assert (await on.telling.states(name))["escalated-1/on-call"] == "withdrawn"


async def test_what_was_late_by_a_dead_channel_is_not_told_after_its_end(scene: MakeScene) -> None:
    """A call that arrives after the resolve would open an incident that nobody closes."""
    async with scene() as on:
        on.sink.status = 503
        name = await on.fire(deployment="missing")
        await on.telling.pass_time(5)
        await on.stage.resolve("WebDown", severity="critical", deployment="missing")
        await on.stage.settle()
        await on.telling.look()
        on.sink.requests.clear()
        on.sink.status = 200
        await on.telling.pass_time(15)
        assert {title.split(":")[0] for title in on.titles} == {"[critical] resolved"}
        assert (await on.telling.states(name))["escalated-1/team"] == "withdrawn"


async def test_a_hanging_channel_under_many_remediations_delays_none_of_them(scene: MakeScene) -> None:
    """Fault 23: eight repairs and every message of theirs on a channel that never answers."""

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rules = [{"on": ["started", "done", "escalated"], "channels": ["team", "lead"]}]
    async with scene(addresses={"team": f"json://127.0.0.1:{port}/x?rto=60&cto=1"}, rules=rules, targets=40) as on:
        for number in range(8):
            on.stage.cluster.apply(deployment(f"web-{number}", "registry.example/web:1", namespace="shop"))
        on.stage.clock.jump(10)
        for number in range(8):
            await on.stage.fire("WebDown", severity="critical", deployment=f"web-{number}")
        await on.telling.look()
        sending = asyncio.create_task(on.telling.courier.deliver("team"))
        await on.stage.settle()
        assert [end[0] for end in await on.stage.ends()] == ["succeeded"] * 8
        await on.telling.look()
        while await on.telling.courier.deliver("lead"):
            pass
        assert len([request for request in on.sink.requests if "repaired" in request["title"]]) == 8
        assert not await sending
        runs = await on.stage.runs()
        await on.telling.courier.deliver("team")
        told = [
            each for run in runs for each in (await on.stage.stores.notices.deliveries(run.remediation.id)).messages
        ]
        failed = [each.error for each in told if each.channel == "team" and each.error]
        assert failed
        assert all("not sent within 2 s" in error or "circuit" in error for error in failed), failed
        sample = on.stage.metrics.registry.get_sample_value
        assert (sample("alertbridge_notices_total", {"channel": "team", "result": "failed"}) or 0) >= 1
    server.close()


async def test_fifty_calls_at_once_are_told_as_one_to_who_reads_them(scene: MakeScene) -> None:
    """And each by itself where a program, or an incident of its own, waits for it."""
    async with scene(rules=[{"on": "escalated", "channels": "team"}]) as on:
        on.telling.together.add("team")
        for number in range(50):
            await on.stage.fire("WebDown", severity="critical", deployment=f"gone-{number}")
        await on.stage.settle()
        await on.telling.tell()
        team = [told for told, way in zip(on.sink.requests, on.sink.paths, strict=True) if way == "/team"]
        (one,) = team
        assert one["title"] == "50 remediations need a person: 50 messages as one"
        assert "alertbridge ack ID" in one["message"]
        assert "gone-7 (" in one["message"]
        assert one["message"].endswith("… and 10 more")
        for _ in range(5):
            await on.telling.tell()
        assert len([way for way in on.sink.paths if way == "/on_call"]) == 50
        runs = await on.stage.runs()
        states = [await on.telling.states(run.remediation.id) for run in runs]
        assert {each["escalated-1/team"] for each in states} == {"sent"}


async def test_a_redis_that_goes_away_after_a_message_was_sent_costs_a_second_one_at_most(scene: MakeScene) -> None:
    async with scene(rules=[{"on": "done", "channels": "team"}]) as on:
        noting, lost = on.stage.stores.notices.sent, 1

        async def away_once(channel: str, sending: Sending) -> None:
            nonlocal lost
            if lost:
                lost -= 1
                raise StoreUnavailable("Redis restarts")
            await noting(channel, sending)

        on.stage.stores.notices.sent = away_once
        with pytest.raises(StoreUnavailable):
            await on.fire(deployment="web")
        assert len(on.titles) == 1
        await on.telling.pass_time(3)
        assert len(on.titles) == 2
        name = (await on.stage.runs())[-1].remediation.id
        assert await on.telling.states(name) == {"done/team": "sent"}


async def test_labels_are_text_whatever_is_in_them(scene: MakeScene) -> None:
    """Faults 40 and 44."""
    template = {"done": {"title": "${labels.evil}", "text": "${labels.evil} of ${runbook}"}}
    async with scene(templates=template) as on:
        await on.fire(deployment="web", evil="${runbook} {{7*7}} <!channel>\r\n\x1b[31mBcc: x")
        (told,) = on.sink.requests
        assert told["title"] == "${runbook} {{7*7}} <!channel>\\r\\n\\x1b[31mBcc: x"
        assert told["message"].endswith("Bcc: x of test/restart")


async def test_a_template_that_asks_for_what_is_not_there_gives_way_to_the_built_in_one(scene: MakeScene) -> None:
    async with scene(templates={"done": {"text": "${labels.nobody_has_this}"}}) as on:
        await on.fire(deployment="web")
        assert "Alert: WebDown" in on.sink.requests[0]["message"]


async def test_a_storm_of_text_is_cut(scene: MakeScene) -> None:
    async with scene(templates={"done": {"text": "${labels.long}${labels.long}"}}) as on:
        await on.fire(deployment="web", long="x" * 4000)
        assert len(on.sink.requests[0]["message"]) < 1200


async def test_people_are_asked_with_the_plan_and_how_to_answer(scene: MakeScene) -> None:
    async with scene(rules=[{"on": "waiting", "channels": "team"}], mode="approve") as on:
        name = await on.fire(deployment="web")
        assert on.stage.writes == []
        (told,) = on.sink.requests
        assert told["title"].startswith("[critical] waits for approval")
        assert "kubectl.kubernetes.io/restartedAt" in told["message"]
        assert f"alertbridge approve {name}" in told["message"]
        assert f"/r/{name}" in told["message"]
        await on.telling.pass_time(5)
        assert len(on.sink.requests) == 1
