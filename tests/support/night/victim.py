"""A worker that is a process of its own, takes one remediation, and is killed while it works on it.

Run as a module it is that process; `kill_at` starts one and kills it at a given moment.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.catalogue import registry_of
from bridge.configuration import load
from bridge.engine.clock import SystemClock
from bridge.engine.lease import Lease
from bridge.engine.worker import Worker, WorkerOptions
from bridge.kube.clusters import KubeClusters
from bridge.kube.connection import ClusterConnection
from bridge.model import kinds
from bridge.model.remediation import RemediationView, State
from bridge.outside.reach import Outside
from bridge.stores import Link, StoreOptions, connect
from bridge.telemetry import Metrics
from bridge.wiring import outside_settings
from tests.support.engine_parts import engine_parts
from tests.support.processes import until

if TYPE_CHECKING:
    from tests.support.night.house import House, Moment

_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE = 30.0


async def kill_at(moment: Moment, house: House) -> str:
    """Have a process take the oldest queued remediation, and kill it at the moment. Return whose worker died."""
    queued = [view for view in await house.stores.work.list(limit=1000) if view.state is State.QUEUED]
    run = queued[-1].remediation
    proxy, before = house.proxy, len(house.proxy.held)
    if moment == "before the write":
        proxy.hold_before = 1
    elif moment == "after the write":
        proxy.hold_after = 1
    elif moment == "reading":
        proxy.hold_late, proxy.late_path = 1, f"/{run.target.name}"

    async def there() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"it ended by itself: {log.read_text()[-2000:]}")
        if moment != "proving":
            return len(proxy.held) > before
        return any(entry.kind == kinds.APPLIED for entry in await house.stores.journal.read(run.id))

    log = house.config.parent / "victim.log"
    ahead = house.clock.now() - time.time()
    arguments = [str(house.config), house.redis.url, house.options.installation, proxy.url, str(ahead)]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-m", "tests.support.night.victim", *arguments],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        await until(there, seconds=_PATIENCE, what=f"the moment {moment!r}")
    finally:
        process.kill()
        process.wait(10)
    return run.id


class _Ahead(SystemClock):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._off = seconds


class _Silent:
    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        pass


async def _work(config: Path, redis: str, installation: str, cluster: str, ahead: float) -> None:
    options = StoreOptions(
        mode="url", url=redis, installation=installation, clock_offset_ms=round(ahead * 1000), claim=_PATIENCE
    )
    stores, now, clock = connect(Link(options)), load(config, catalogued=registry_of), _Ahead(ahead)
    kube = KubeClusters([ClusterConnection(name="night", url=cluster)], breakers=stores.breakers, clock=clock)
    parts = engine_parts(
        lambda: now,
        stores=stores,
        clusters=kube,
        outside=Outside(outside_settings(now), breakers=stores.breakers, clock=clock),
        clock=clock,
        metrics=Metrics("test"),
        notifier=_Silent(),
    )
    claim = await stores.work.claim("victim", block=0.0)
    assert claim is not None
    lease = Lease(claim, stores.work, clock, seconds=_PATIENCE, stopping=asyncio.Event())
    await Worker(parts, WorkerOptions(name="victim"))._work(lease)


if __name__ == "__main__":
    place, *names, off = sys.argv[1:]
    asyncio.run(_work(Path(place), *names, float(off)))  # type: ignore[arg-type]
