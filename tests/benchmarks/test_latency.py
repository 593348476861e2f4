"""How soon: from a POST to the first look at the cluster, and from a start to the first 2xx. And how much memory.

`make bench`. One all-in-one process with its embedded Redis left out: Redis is Debian's, as in production.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from pathlib import Path

import msgspec
import pytest
import uvloop

from tests.benchmarks.arrivals import Arrivals, post_steadily
from tests.benchmarks.stack import ROOT, Stack, start_product
from tests.benchmarks.test_throughput import Scenario, load

RUNBOOK = {
    "name": "bench/look",
    "summary": "Look at the Deployment that the alert names.",
    "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
    "evidence": {"deployment": {"collect": "deployment"}},
    "scenarios": [{"name": "always", "otherwise": True, "steps": [{"action": "rollout_restart"}]}],
}
RATE = float(os.environ.get("BENCH_RATE", "200"))
SECONDS = 10.0


@pytest.fixture(scope="module")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    return uvloop.EventLoopPolicy()


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from POST to the first read."""

    median: float
    p99: float
    most: float
    missing: int


async def look(stack: Stack, arrivals: Arrivals, seconds: float, prefix: str) -> Latency:
    sent = await post_steadily(stack.port, rate=RATE, seconds=seconds, prefix=prefix)
    deadline = time.monotonic() + 20
    while not sent.keys() <= arrivals.first.keys() and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    took = sorted((arrivals.first[name] - at) * 1000 for name, at in sent.items() if name in arrivals.first)
    return Latency(
        statistics.median(took), took[int(len(took) * 0.99)], took[-1], len(sent.keys() - arrivals.first.keys())
    )


@pytest.mark.bench
@pytest.mark.timeout(300)
async def test_from_post_to_the_first_read_at_the_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goals: median under 3 ms, p99 under 12 ms, at 200 alerts a second, each with a target of its own."""
    arrivals = Arrivals()
    await arrivals.start()
    runbooks = tmp_path / "stack" / "runbooks" / "bench"
    stack = start_product(
        tmp_path / "stack",
        cluster=f"http://127.0.0.1:{arrivals.port}",
        files={runbooks / "look.yml": json.dumps(RUNBOOK)},
        routing='runbooks: [runbooks]\nalerts: {GatewayDown: "bench/look"}\n',
    )
    try:
        await look(stack, arrivals, 2.0, "warm")
        found = await look(stack, arrivals, SECONDS, "web")
    finally:
        stack.stop()
        await arrivals.stop()
    tell("latency", msgspec.to_builtins(found))
    with capsys.disabled():
        print(
            f"\nPOST to first read, {RATE:g}/s: median {found.median:.2f} ms (goal < 3, {passed(found.median < 3)}), "
            f"p99 {found.p99:.2f} ms (goal < 12, {passed(found.p99 < 12)}), most {found.most:.1f} ms, "
            f"not looked at: {found.missing}"
        )


@pytest.mark.bench
@pytest.mark.timeout(300)
def test_start_and_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Goals: first 2xx within 1.5 s; idle under 150 MB; after 100,000 alerts less than 25 MB more."""
    starts = []
    for run in range(5):
        stack = start_product(tmp_path / f"start{run}")
        starts.append(stack.seconds_to_ready)
        stack.stop()
    stack = start_product(tmp_path / "memory")
    try:
        time.sleep(3)  # until the Kubernetes client is loaded, which happens beside the running receiver
        idle = stack.resident()
        storm = Scenario("", 100, 4, "unique", 0)
        run = taken = 0
        while taken < 100_000:
            taken += round(load(stack.port, storm, run, 1).rate) * 100
            run += 1
        time.sleep(2)
        more = stack.resident() - idle
    finally:
        stack.stop()
    start = statistics.median(starts)
    tell("start", {"seconds": start, "idle_mb": idle, "more_mb": more, "alerts": taken})
    with capsys.disabled():
        print(
            f"\nfirst answer {start:.2f} s after the start (goal < 1.5, {passed(start < 1.5)}); "
            f"idle {idle:.0f} MB (goal < 150, {passed(idle < 150)}); "
            f"after {taken:,} alerts {more:+.0f} MB (goal < 25, {passed(more < 25)})"
        )


def passed(good: bool) -> str:
    return "pass" if good else "MISS"


def tell(name: str, figures: object) -> None:
    (ROOT / ".bench").mkdir(exist_ok=True)
    (ROOT / ".bench" / f"{name}.json").write_text(json.dumps(figures, indent=1))
