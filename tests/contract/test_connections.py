"""Prometheus and HTTP checks: a real Prometheus, and servers that fail, hang and send elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from bridge.errors import CircuitOpen, InvalidInput, PermanentError, TemporaryError, Unreachable
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from tests.support.breakers import MemoryBreakers
from tests.support.clock import FakeClock
from tests.support.processes import Processes, free_port
from tests.support.prometheus import start_prometheus
from tests.support.scripted_kube import ScriptedKube, hang, ok, scripted_kube, status, text


@pytest.fixture
async def server() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as scripted:
        yield scripted


@pytest.fixture
async def outside(server: ScriptedKube) -> AsyncIterator[Outside]:
    host = server.url.removeprefix("http://")
    made = Outside(OutsideSettings(prometheus=server.url, prometheus_token="t0k", allowed=(host,), deadline=1.5))
    yield made
    await made.close()


async def test_a_real_prometheus_gives_samples_or_none(processes: Processes) -> None:
    prometheus = await start_prometheus(processes, f"127.0.0.1:{free_port()}")
    outside = Outside(OutsideSettings(prometheus=prometheus.url))
    try:
        assert await outside.promql("vector(0.25)") == [({}, 0.25)]
        assert await outside.promql("scalar(vector(2))") == [({}, 2.0)]
        assert await outside.promql("no_such_metric") == []
        [(_, value)] = await outside.promql("vector(0) / vector(0)")
        assert value != value
        with pytest.raises(PermanentError, match="parse error"):
            await outside.promql("sum(")
        with pytest.raises(PermanentError, match="matrix"):
            await outside.promql("up[1m]")
    finally:
        await outside.close()
    assert not Outside(OutsideSettings()).prometheus
    with pytest.raises(PermanentError, match="no Prometheus"):
        await Outside(OutsideSettings()).promql("up")


async def test_a_prometheus_that_hangs_or_fails_is_temporary(server: ScriptedKube, outside: Outside) -> None:
    """Fault 23."""
    server.script(hang, text(503, "busy"), text(200, "<html>"), text(302, "", {"Location": "http://127.0.0.1:1/"}))
    for _ in range(4):
        with pytest.raises(TemporaryError):
            await outside.promql("up")
    assert server.headers[0]["Authorization"] == "Bearer t0k"
    server.script(text(401, "no"))
    with pytest.raises(PermanentError):
        await outside.promql("up")


async def test_a_prometheus_that_stays_away_is_left_alone_for_a_while(server: ScriptedKube) -> None:
    """Fault 22, for a dependency beside the cluster."""
    clock = FakeClock()
    outside = Outside(OutsideSettings(prometheus=server.url), breakers=MemoryBreakers(clock), clock=clock)
    server.script(text(503, ""))
    for _ in range(5):
        with pytest.raises(TemporaryError):
            await outside.promql("up")
    with pytest.raises(CircuitOpen):
        await outside.promql("up")
    assert len(server.seen) == 5
    clock.advance(60)
    server.script(ok({"status": "success", "data": {"resultType": "vector", "result": []}}))
    assert await outside.promql("up") == []
    await outside.close()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://127.0.0.1:1/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "//127.0.0.1",
        "",
        "http://user:pw@{host}/",
        "http://{host}@example.org/",
        "http://{host}\\@example.org/",
        "http://{host}.example.org/",
        "http://{host} /x",
        "gopher://{host}/",
        "http://127.0.0.1:99999/",
    ],
)
async def test_only_listed_hosts_are_asked(server: ScriptedKube, outside: Outside, url: str) -> None:
    """Fault 45."""
    with pytest.raises(InvalidInput):
        await outside.http_status(url.replace("{host}", server.url.removeprefix("http://")))
    assert server.seen == []


async def test_a_status_is_told_and_a_redirect_is_not_followed(server: ScriptedKube, outside: Outside) -> None:
    server.script(text(200, "ok"), status(503, "x"), text(302, "", {"Location": "http://127.0.0.1:1/"}))
    assert [await outside.http_status(f"{server.url}/healthz") for _ in range(3)] == [200, 503, 302]


async def test_a_hung_check_is_told_apart_from_a_refused_one(server: ScriptedKube, outside: Outside) -> None:
    """Fault 23."""
    server.script(hang)
    with pytest.raises(TemporaryError, match="no answer") as caught:
        await outside.http_status(server.url)
    assert not isinstance(caught.value, Unreachable)
    place = f"127.0.0.1:{free_port()}"
    refused = Outside(OutsideSettings(allowed=(f"http://{place}",)))
    with pytest.raises(Unreachable):
        await refused.http_status(f"http://{place}/")
    await refused.close()
