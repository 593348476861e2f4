"""The servers that other tests lean on are the real ones and do what those tests take for granted."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.support.alertmanager import Gossip, joined, start_alertmanager, start_pair
from tests.support.gossip import open_lines
from tests.support.need import need
from tests.support.processes import Processes, answers, free_port, until
from tests.support.prometheus import Rule, start_prometheus
from tests.support.sink import Sink, open_sink


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as opened:
        yield opened


def test_a_missing_program_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception):
        need("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception):
        need("no-such-program")


async def test_a_process_that_ends_before_it_is_ready_fails_with_its_output(processes: Processes) -> None:
    with pytest.raises(AssertionError, match="out of cheese"):
        await processes.start(
            "broken", [sys.executable, "-c", "raise SystemExit('out of cheese')"], ready="http://127.0.0.1:1/"
        )


async def test_a_frozen_process_stands_still_until_thawed_and_a_killed_one_is_gone(processes: Processes) -> None:
    port = free_port()
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    process = await processes.start("http", argv, ready=f"http://127.0.0.1:{port}/")

    async def stands_still() -> bool:
        return process.frozen

    process.freeze()
    await until(stands_still, what="the stop")
    process.thaw()
    assert await answers(f"http://127.0.0.1:{port}/")
    process.kill()
    assert process.returncode == -9


async def test_alertmanager_posts_firing_and_resolved_with_its_bearer_token(processes: Processes, sink: Sink) -> None:
    alertmanager = await start_alertmanager(processes, f"{sink.url}/webhook", token="s3cret")
    labels = {"alertname": "GatewayDown", "namespace": "shop"}
    await alertmanager.fire(labels, annotations={"summary": "it is down"})
    await sink.wait_for(lambda s: bool(s.requests), what="a firing notification")
    assert sink.headers[0]["Authorization"] == "Bearer s3cret"
    assert sink.headers[0]["User-Agent"].startswith("Alertmanager/")
    assert sink.requests[0]["version"] == "4"
    assert sink.alerts[0]["labels"] == labels
    await alertmanager.resolve(labels)
    await sink.wait_for(lambda s: s.alerts[-1]["status"] == "resolved", what="a resolved notification")


async def test_alertmanager_sends_again_what_was_answered_with_503(processes: Processes, sink: Sink) -> None:
    sink.status = 503
    alertmanager = await start_alertmanager(processes, sink.url)
    await alertmanager.fire({"alertname": "GatewayDown"})
    await sink.wait_for(lambda s: len(s.requests) >= 2, what="a retry")
    assert sink.requests[0] == sink.requests[1]


async def test_clustered_peers_tell_each_other_what_was_sent(processes: Processes, sink: Sink) -> None:
    first, second = await start_pair(processes, sink.url, group_interval="500ms")
    for peer in (first, second):
        await peer.fire({"alertname": "GatewayDown"})
    await sink.wait_for(lambda s: bool(s.requests), what="a notification")

    async def both_know_it() -> bool:
        return all([len(await peer.alerts()) == 1 for peer in (first, second)])

    await until(both_know_it, what="both peers knowing the alert")
    assert len(sink.requests) == 1


async def test_peers_whose_gossip_is_cut_both_send(processes: Processes, sink: Sink) -> None:
    ports = free_port(), free_port()
    async with open_lines(*ports) as lines:
        first = await start_alertmanager(processes, sink.url, gossip=Gossip(ports[0], lines[0].port, ()))
        second = await start_alertmanager(
            processes, sink.url, gossip=Gossip(ports[1], lines[1].port, (lines[0].port,)), peer_timeout="1s"
        )
        await joined(first, second)
        for line in lines:
            line.sever()
        for peer in (first, second):
            await peer.fire({"alertname": "GatewayDown"})
        await sink.wait_for(lambda s: len(s.requests) >= 2, what="the same notification from both peers")
    urls = {request["externalURL"] for request in sink.requests}
    assert len(urls) == 2


async def test_prometheus_fires_a_rule_and_alertmanager_delivers_it(processes: Processes, sink: Sink) -> None:
    async def metrics(request: web.Request) -> web.Response:
        return web.Response(text="gateway_up 0\n")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        alertmanager = await start_alertmanager(processes, sink.url)
        rule = Rule("GatewayDown", "gateway_up == 0", {"namespace": "shop"}, {"summary": "down"})
        prometheus = await start_prometheus(
            processes,
            f"127.0.0.1:{runner.addresses[0][1]}",
            rules=[rule],
            alertmanagers=[alertmanager.url.removeprefix("http://")],
            interval="200ms",
        )
        await sink.wait_for(lambda s: bool(s.requests), seconds=15, what="the rule's alert")
        assert sink.alerts[0]["labels"]["alertname"] == "GatewayDown"
        assert await prometheus.firing() == ["GatewayDown"]
        assert (await prometheus.query("gateway_up"))[0][1] == 0
    finally:
        await runner.cleanup()
