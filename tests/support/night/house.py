"""alertbridge this night: a receiver, a dispatcher, workers and what tells people, with a Redis of their own.

They are the product's own parts on the night's clock. One worker is a process beside them, made to be killed; Redis
is a process that is killed and started again on its append-only file.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from aiohttp import web

from bridge.catalogue import registry_of
from bridge.configuration import Configuration, load
from bridge.demo.objects import Obj
from bridge.engine.dispatch import Dispatcher
from bridge.engine.lease import Lease
from bridge.engine.routing import ConfiguredRouting
from bridge.engine.worker import Worker, WorkerOptions
from bridge.errors import StoreUnavailable
from bridge.kube.clusters import KubeClusters
from bridge.kube.connection import ClusterConnection
from bridge.model.intake import Claim
from bridge.notify.jobs import people_jobs
from bridge.outside.reach import Outside
from bridge.ports import Notifier
from bridge.stores import Link, StoreOptions, Stores, connect
from bridge.telemetry import Metrics
from bridge.wiring import cluster_map, outside_settings
from tests.support.engine_parts import engine_parts
from tests.support.night.clock import NightClock
from tests.support.night.people import CHANNELS, NOTIFY, OMENDB_L1
from tests.support.night.world import World
from tests.support.processes import until
from tests.support.recording_proxy import Recorded
from tests.support.redis import RedisServer
from tests.support.telling import channels, webhook
from tests.support.workshop import Proxy

CLAIM = 0.4
"""Seconds of the real world after which a claim that nobody renews is another worker's."""
BUDGETS = {
    "window": "10m",
    "cluster": {"targets": 6, "nodes": 1},
    "namespace": {"targets": 3},
    "halt_after": 30,
}
Moment = Literal["reading", "before the write", "after the write", "proving"]
_FOLDER = Path(__file__).parent
_ids = itertools.count(1)


class NightLink(Link):
    """Redis's clock is the real one: whatever it is off from the night's is added at every call."""

    def __init__(self, options: StoreOptions, clock: NightClock, redis: RedisServer) -> None:
        self._night, self._redis = clock, redis
        super().__init__(options)

    @property
    def clock_offset_ms(self) -> int:  # type: ignore[override]
        return round((self._night.now() - time.time()) * 1000)

    @clock_offset_ms.setter
    def clock_offset_ms(self, _value: int) -> None:
        pass


@dataclass(frozen=True)
class Write:
    """One write that reached the cluster: when in the night, and what it was about before and afterwards."""

    at: float
    request: Recorded
    before: Obj
    after: Obj


@dataclass
class NightProxy(Proxy):
    """Also remembers what each write did."""

    world: World | None = None
    clock: NightClock | None = None
    writes: list[Write] = field(default_factory=list)

    async def _forward(self, request: web.Request, entry: Recorded, *, lose: bool) -> web.StreamResponse:
        if not entry.is_mutating or entry.dry_run or self.world is None or self.clock is None:
            return await super()._forward(request, entry, lose=lose)
        before, at = self.world.behind(entry.path), self.clock.now()
        try:
            return await super()._forward(request, entry, lose=lose)
        finally:
            if (entry.upstream_status or 500) < 300:
                self.writes.append(Write(at, entry, before, self.world.behind(entry.path)))


def write_configuration(folder: Path, cluster: str, prometheus: str, people: str, **settings: Any) -> Path:
    """Write `bridge.yml` with the night's runbooks beside it, and return it."""
    for file in sorted(_FOLDER.glob("*.yml")):
        for runbook in yaml.safe_load(file.read_text()):
            place = folder / "runbooks" / f"{runbook['name']}.yml"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(runbook))
    addresses = {name.replace("-", "_"): webhook(people, name) for name in CHANNELS}
    notify = {**NOTIFY, "channels": channels(folder, **addresses)}
    # The one that falls silent keeps nobody waiting for long, by the real clock.
    notify["channels"][OMENDB_L1]["timeout"] = "200ms"
    document = {
        "mode": "auto",
        "runbooks": ["runbooks"],
        "clusters": {"connections": {"night": {"url": cluster}}},
        "prometheus": {"url": prometheus},
        "budgets": BUDGETS,
        "trust": {"stop_after": 2},
        "notify": notify,
        "external_url": "https://bridge.example",
        **settings,
    }
    place = folder / "bridge.yml"
    place.write_text(json.dumps(document))
    return place


class House:
    """The parts, and what happens to them."""

    def __init__(
        self,
        config: Path,
        clock: NightClock,
        redis: RedisServer,
        proxy: NightProxy,
        *,
        workers: int,
        installation: str,
        notifier: Notifier,
    ) -> None:
        self.clock, self.redis, self.proxy = clock, redis, proxy
        self.config = config
        self.metrics = Metrics("test")
        self.options = StoreOptions(mode="url", url=redis.url, installation=installation, claim=CLAIM)
        self._link = NightLink(self.options, clock, redis)
        self.stores: Stores = connect(self._link)
        self.now: Configuration = load(config, catalogued=registry_of)
        self._kube = KubeClusters(
            [ClusterConnection(name="night", url=proxy.url)], breakers=self.stores.breakers, clock=clock
        )
        self._outside = Outside(outside_settings(self.now), breakers=self.stores.breakers, clock=clock)
        parts = engine_parts(
            lambda: self.now,
            stores=self.stores,
            clusters=self._kube,
            outside=self._outside,
            clock=clock,
            metrics=self.metrics,
            notifier=notifier,
        )
        self._workers = [Worker(parts, WorkerOptions(name=f"worker-{nr}")) for nr in range(workers)]
        self._busy: dict[int, tuple[asyncio.Task[None], Lease]] = {}
        self._dispatcher = Dispatcher(
            self.stores.intake_queue,
            self._routing,
            name="dispatcher",
            clock=clock,
            metrics=self.metrics,
            new_id=lambda: f"r{next(_ids):06d}",
        )
        self._about_people = people_jobs(
            lambda: self.now.settings,
            notices=self.stores.notices,
            queue=self.stores.work,
            journal=self.stores.journal,
            intake=self.stores.intake,
            send=self._outside.notify,
            one_by_one=self._outside.one_by_one,
            silencer=self._outside.alertmanager,
            ours="night",
            clock=clock,
            metrics=self.metrics,
        )
        self._jobs: set[asyncio.Task[None]] = set()
        self.dies: Moment | None = None
        """The next remediation is taken by a process that is killed at this moment."""
        self.dead: list[str] = []
        """What it was that they died of."""

    def _routing(self) -> ConfiguredRouting:
        now = self.now
        return ConfiguredRouting(now.table, runbooks=now.runbooks, muted=now.muted, clusters=cluster_map(now))

    # -- work

    async def settle(self) -> None:
        """Let everybody do what can be done at this time."""
        while await self._round():
            pass

    async def _round(self) -> bool:
        """Whether anything was begun that may have more in its wake."""
        began = len(self._busy)
        try:
            entries = await self.stores.intake_queue.read("dispatcher", count=100, block=0.0)
            await self._dispatcher.settle(*entries)
            again = await self._dispatcher.look_again()
            await self.stores.work.promote()
            if self.dies is not None and (await self.stores.work.depth())["work"]:
                await self._die()
            began += await self._take()
        except StoreUnavailable:
            entries, again = [], 0
        await self.clock.until_all_wait(task for task, _ in self._busy.values())
        ended = [nr for nr, (task, _) in self._busy.items() if task.done()]
        for nr in ended:
            self._busy.pop(nr)[0].result()
        return bool(entries or again or ended)

    async def _take(self) -> int:
        taken = 0
        for nr, worker in enumerate(self._workers):
            if nr not in self._busy:
                claim = await self.stores.work.claim(f"worker-{nr}", block=0.0)
                if claim is None:
                    break
                self._begin(nr, worker, claim)
                taken += 1
        return taken

    def _begin(self, nr: int, worker: Worker, claim: Claim) -> None:
        lease = Lease(claim, self.stores.work, self.clock, seconds=1e9, stopping=asyncio.Event())

        async def work() -> None:
            task = asyncio.current_task()
            assert task is not None
            self.clock.begin(task)
            await worker._work(lease)

        self._busy[nr] = (asyncio.create_task(work()), lease)

    async def expire(self) -> None:
        with suppress(StoreUnavailable):
            await self.stores.intake_queue.expire(limit=1000)

    async def next_due(self) -> float | None:
        """Return when the first that waits in Redis is due."""
        with suppress(StoreUnavailable):
            found = await self._link.command("ZRANGE", self._link.key("parked"), 0, 0, "WITHSCORES")
            if found:
                return float(found[1]) / 1000 + 0.001
        return None

    # -- people

    async def tell(self) -> None:
        """Decide what is to be told by now, and send it; the channels side by side."""
        for about in ("tell", "send to "):
            jobs = [self._job(each.work) for each in self._about_people if each.name.startswith(about)]
            await self.clock.until_all_wait(jobs)
            for job in jobs:
                if job.done():
                    job.result()

    def _job(self, work: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None
            self.clock.begin(task)
            with suppress(StoreUnavailable):
                while await work():
                    pass

        job = asyncio.create_task(run())
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    # -- what happens to them

    async def _die(self) -> None:
        """Let a process take the next remediation, kill it at the moment, and let another worker find its claim."""
        from tests.support.night.victim import kill_at

        moment, self.dies = self.dies, None
        assert moment is not None
        self.dead.append(await kill_at(moment, self))
        found: list[Claim] = []

        async def reclaimed() -> bool:
            claim = await self._reclaimed()
            found.extend([claim] if claim is not None else [])
            return bool(found)

        await until(reclaimed, what="the dead worker's claim")
        nr = next(nr for nr in itertools.count() if nr not in self._busy)
        self._begin(nr, self._workers[nr % len(self._workers)], found[0])

    async def _reclaimed(self) -> Claim | None:
        # Those who live renew their claims, as they do all the time.
        for _, lease in self._busy.values():
            await lease.renew()
        return await self.stores.work.reclaim("worker-0")

    async def close(self) -> None:
        tasks = [task for task, _ in self._busy.values()] + list(self._jobs)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._kube.close()
        await self._outside.close()
        await self.stores.close()
