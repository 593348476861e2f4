"""What Redis keeps for an alert that it knows, and what a duplicate costs it. `make bench`.

Goals: 160 bytes on average at most, from ten thousand to a million alerts, and a cost that stays the same.
"""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest

from bridge.model.intake import Seen
from bridge.stores import Link, Stores, connect
from tests.support.alerts import entries, firing
from tests.support.redis import RedisServer, fresh_options

CHUNK = 10_000
GOAL = 160.0


class Known(msgspec.Struct, frozen=True):
    """Measured with `alerts` known: bytes for each, and microseconds of Redis's processor for a duplicate."""

    alerts: int
    bytes: float
    micros: float


async def grow(stores: Stores, first: int, last: int) -> None:
    """Store alerts as new ones, and take them from the stream as a dispatcher would."""
    for at in range(first, last, CHUNK):
        alerts = [firing(pod=str(nr)) for nr in range(at, min(at + CHUNK, last))]
        assert set(await stores.intake.accept(alerts)) == {Seen.NEW}
        await entries(stores)
    gc.collect()


async def repeat(server: RedisServer, stores: Stores, known: int) -> float:
    """Return Redis's processor time for a duplicate, microseconds."""
    step = known // CHUNK
    alerts = [firing(pod=str(nr * step)) for nr in range(CHUNK)]
    before = busy(server)
    for _ in range(5):
        assert set(await stores.intake.accept(alerts)) == {Seen.DUPLICATE}
    return (busy(server) - before) / (5 * CHUNK) * 1e6


def busy(server: RedisServer) -> float:
    about = server.info("cpu")
    return float(about["used_cpu_user"]) + float(about["used_cpu_sys"])


def used(server: RedisServer) -> int:
    return int(server.info("memory")["used_memory"])


@pytest.mark.bench
@pytest.mark.timeout(600)
@pytest.mark.parametrize("which", ["system", "wheel"])
async def test_a_known_alert_costs_little_memory_and_a_duplicate_the_same_time_among_a_million(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    server = RedisServer(tmp_path, which=which, config={"appendonly": "no"})
    server.start()
    stores = connect(Link(fresh_options(server.url, refresh=3600.0)))
    try:
        await stores.intake.accept([firing("warm")])
        await entries(stores)
        empty, grown, found = used(server), 0, []
        for alerts in (10_000, 100_000, 1_000_000):
            await grow(stores, grown, alerts)
            grown = alerts
            found.append(Known(alerts, (used(server) - empty) / alerts, await repeat(server, stores, alerts)))
    finally:
        await stores.close()
        server.stop()
    with capsys.disabled():
        for one in found:
            print(f"\n{which}: {one.alerts:>9,} alerts: {one.bytes:5.1f} bytes each, duplicate {one.micros:4.2f} us")
    assert max(one.bytes for one in found) <= GOAL
    # Among a hundred times as many, a longer look through a bucket: microseconds, not a multiple.
    assert found[-1].micros < found[0].micros + 4
