"""Numbers out of a metrics text: what Prometheus would say of it, and nothing where it would say nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.engine.context import RunContext
from bridge.errors import InvalidInput, PermanentError
from bridge.evidence.exposition import parse_selector, parse_text, quantile
from bridge.evidence.metrics import Metrics
from bridge.model.outside import HttpReply, HttpRequest
from bridge.model.target import Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster

TEXT = """\
# HELP o2ims_up Whether it is up.
# TYPE o2ims_up gauge
o2ims_up 1
# TYPE o2ims_http_requests counter
o2ims_http_requests_total{status="200",method="GET"} 900
o2ims_http_requests_total{status="404",method="GET"} 60
o2ims_http_requests_total{status="500",method="GET"} 30
o2ims_http_requests_total{status="503",method="POST"} 10
o2ims_adapter_cache_hits_total 80
o2ims_adapter_cache_misses_total 20
# TYPE latency histogram
latency_bucket{le="0.1",path="/a"} 50
latency_bucket{le="0.5",path="/a"} 90
latency_bucket{le="+Inf",path="/a"} 100
latency_bucket{le="0.1",path="/b"} 100
latency_bucket{le="0.5",path="/b"} 100
latency_bucket{le="+Inf",path="/b"} 100
latency_sum 20
latency_count 200
# TYPE summary_seconds summary
summary_seconds{quantile="0.95",backend="a"} 0.2
summary_seconds{quantile="0.95",backend="b"} 0.7
summary_seconds{quantile="0.99",backend="b"} NaN
broken NaN
"""


class FakeReach(Reach):
    def __init__(self, reply: HttpReply) -> None:
        cluster = FakeCluster()
        cluster.replies["/metrics"] = reply
        super().__init__(cluster, FakeClock(), Outside(OutsideSettings()))
        self.reply = reply
        self.asked: list[HttpRequest] = []

    async def http(self, request: HttpRequest) -> HttpReply:
        self.asked.append(request)
        return self.reply


async def read(wanted: dict[str, Any], text: str = TEXT, **given: Any) -> dict[str, Any]:
    reach = FakeReach(HttpReply(200, text))
    target = Target("test", "Deployment", "shop", "web")
    context = RunContext(remediation="r", planned_at=0.0, target=target, reach=reach)
    metrics = Metrics()
    return await metrics.collect(context, metrics.params.model_validate({"read": wanted, **given}))


async def test_the_numbers_of_the_runbooks_come_out() -> None:
    found = await read(
        {
            "up": {"metric": "o2ims_up"},
            "errors": {
                "metric": 'o2ims_http_requests_total{status=~"[45].."}',
                "to": "o2ims_http_requests_total",
            },
            "hit_ratio": {
                "metric": "o2ims_adapter_cache_hits_total",
                "to": "o2ims_adapter_cache_hits_total",
                "plus": "o2ims_adapter_cache_misses_total",
            },
            "by_status": {"metric": "o2ims_http_requests_total", "by": "status"},
            "worst": {"metric": "o2ims_http_requests_total", "reduce": "max"},
            "p50": {"metric": "latency", "quantile": 0.5},
            "p50_a": {"metric": 'latency{path="/a"}', "quantile": 0.5},
            "p90": {"metric": "latency_bucket", "quantile": 0.9},
            "p99": {"metric": "latency", "quantile": 0.99},
            "backend_p95": {"metric": "summary_seconds", "quantile": 0.95},
        }
    )
    values = found["values"]
    assert (values["up"], values["errors"], values["hit_ratio"], values["worst"]) == (1.0, 0.1, 0.8, 900.0)
    assert values["p50_a"] == pytest.approx(0.1)
    assert values["p50"] == pytest.approx(0.1 * 100 / 150)
    assert values["p90"] == pytest.approx(0.1 + 0.4 * 30 / 40)
    assert values["p99"] == 0.5, "above the last bound nothing is known but that"
    assert values["backend_p95"] == 0.7, "the worst of several series"
    assert list(found["by"]["by_status"]) == ["200", "404", "500", "503"]
    assert found["absent"] == {}


@pytest.mark.parametrize(
    "wanted",
    [
        {"metric": "o2ims_upp"},
        {"metric": "broken"},
        {"metric": 'o2ims_http_requests_total{status="418"}'},
        {"metric": "o2ims_http_request_total", "to": "o2ims_http_requests_total"},
        {"metric": "o2ims_up", "to": "nothing_at_all"},
        {"metric": "summary_seconds", "quantile": 0.99},
        {"metric": "summary_seconds", "quantile": 0.5},
        {"metric": "o2ims_up", "quantile": 0.5},
    ],
)
async def test_what_is_not_known_is_absent_with_a_reason_and_never_zero(wanted: dict[str, Any]) -> None:
    found = await read({"it": wanted})
    assert found["values"] == {}
    assert found["absent"]["it"]


async def test_a_part_that_nobody_has_counted_yet_is_none_of_the_whole() -> None:
    errors = {"metric": 'o2ims_http_requests_total{status="418"}', "to": "o2ims_http_requests_total"}
    assert (await read({"errors": errors}))["values"] == {"errors": 0.0}
    idle = await read({"errors": errors}, text='o2ims_http_requests_total{status="200"} 0\n')
    assert "nothing has happened yet" in idle["absent"]["errors"]


@pytest.mark.parametrize(
    "reply", [HttpReply(503, "no"), HttpReply(200, "<html>{"), HttpReply(200, "x 1\n", "", True)]
)
async def test_an_answer_that_is_no_metrics_text_is_missing_evidence(reply: HttpReply) -> None:
    context = RunContext(
        remediation="r", planned_at=0.0, target=Target("t", "Deployment", "shop", "web"), reach=FakeReach(reply)
    )
    metrics = Metrics()
    with pytest.raises(PermanentError):
        await metrics.collect(context, metrics.params.model_validate({"read": {"x": {"metric": "x"}}}))


async def test_an_address_is_asked_for_more_than_a_page() -> None:
    reach = FakeReach(HttpReply(200, "x 1\n"))
    context = RunContext(
        remediation="r", planned_at=0.0, target=Target("t", "Deployment", "shop", "web"), reach=reach
    )
    metrics = Metrics()
    params = metrics.params.model_validate({"read": {"x": {"metric": "x"}}, "url": "http://web/metrics"})
    assert (await metrics.collect(context, params))["values"] == {"x": 1.0}
    assert reach.asked[0].keep > 1 << 20


@pytest.mark.parametrize("text", ["", "a b", "{}", "up{x}", "up{x=~'('}", "1up"])
def test_what_selects_no_metric_is_refused_before_anything_runs(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_selector(text)
    with pytest.raises(ValidationError):
        Metrics().params.model_validate({"read": {"x": {"metric": text}}})


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0.01, 0.99))
def test_a_quantile_lies_within_the_bounds_and_grows_with_its_rank(steps: list[int], q: float) -> None:
    counts = [sum(steps[: at + 1]) for at in range(len(steps))]
    bounds = [*(f"{at + 1}" for at in range(len(steps) - 1)), "+Inf"]
    lines = [f'h_bucket{{le="{bound}"}} {count}' for bound, count in zip(bounds, counts, strict=True)]
    samples = parse_text("\n".join(lines) + "\n", 100)
    found = quantile(samples, parse_selector("h"), q)
    if counts[-1] == 0:
        assert found is None
        return
    assert found is not None
    assert 0 <= found <= len(steps) - 1
    more = quantile(samples, parse_selector("h"), min(0.99, q + 0.1))
    assert more is not None
    assert more >= found - 1e-9
    assert math.isfinite(found)
