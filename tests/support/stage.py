"""One alertbridge without processes, for flow tests that read as a time line: a real Redis, a simulated cluster
behind a recording proxy, and one clock for all of them that jumps whenever the engine would sleep.

    async with Stage.open(server, folder, alerts={"GatewayDown": "test/restart"}) as stage:
        await stage.fire("GatewayDown", deployment="web")
        await stage.settle()
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bridge.catalogue import registry_of
from bridge.configuration import Configuration, load
from bridge.demo.cluster import SimulatedCluster
from bridge.demo.server import SimulatedServer
from bridge.engine.dispatch import Dispatcher
from bridge.engine.lease import Lease
from bridge.engine.routing import ConfiguredRouting
from bridge.engine.worker import Worker, WorkerOptions
from bridge.ingest.decode import Decoder
from bridge.kube.clusters import KubeClusters
from bridge.kube.connection import ClusterConnection
from bridge.model.alert import Alert, fingerprint
from bridge.model.intake import Pause, Seen
from bridge.model.reason import Reason
from bridge.model.remediation import RemediationView
from bridge.outside.reach import Outside
from bridge.stores import Link, Stores, connect
from bridge.telemetry import Metrics
from bridge.wiring import cluster_map, outside_settings, request_limits
from tests.support.engine_parts import engine_parts
from tests.support.installation import RESTART
from tests.support.recording_proxy import RecordingProxy
from tests.support.redis import RedisServer, fresh_options

_IDS = itertools.count(1)
_STEPS = 8.0
"""Seconds at the end of a jump that pass in small steps."""


class JumpingClock:
    """The time of the real world plus what was jumped over; a sleep is a jump."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self.jumped: list[Any] = []
        """Called with the seconds of every part of a jump."""

    def now(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    def jump(self, seconds: float) -> None:
        """Skip so many seconds, in parts: what takes steps in the cluster takes them one after the other."""
        while seconds > 0:
            part = min(seconds, 1.0) if seconds <= _STEPS else seconds - _STEPS
            seconds -= part
            self._ahead += part
            for tell in self.jumped:
                tell(part)

    async def sleep(self, seconds: float) -> None:
        self.jump(seconds)
        await asyncio.sleep(0)


class Stage:
    """What is on it, and what a test does with it."""

    def __init__(
        self, folder: Path, stores: Stores, link: Link, cluster: SimulatedCluster, proxy: RecordingProxy
    ) -> None:
        self.stores = stores
        self.cluster = cluster
        self.proxy = proxy
        self.clock = JumpingClock()
        self.metrics = Metrics("test")
        self._folder = folder
        self._link = link
        self._configuration: Configuration
        self._kube: KubeClusters
        self._outside: Outside

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        server: RedisServer,
        folder: Path,
        *,
        runbooks_too: Sequence[Mapping[str, Any]] = (),
        configured: Callable[[str], Configuration] | None = None,
        **settings: Any,
    ) -> AsyncIterator[Stage]:
        """Enter a stage configured with `settings`; the runbook test/restart is there, and `runbooks_too`.

        Or with what `configured` makes of the address of the cluster.
        """
        link = Link(fresh_options(server.url))
        stores = connect(link)
        cluster = SimulatedCluster()
        async with SimulatedServer(cluster, tick=None) as api, RecordingProxy(api.url) as proxy:
            stage = cls(folder, stores, link, cluster, proxy)
            cluster._clock = stage.clock.now
            stage.clock.jumped.append(stage._moved)
            if configured is not None:
                stage._configuration = configured(proxy.url)
            else:
                for runbook in (RESTART, *runbooks_too):
                    stage.write_runbook(runbook)
                stage.configure(**settings)
            stage._raise_curtain()
            try:
                yield stage
            finally:
                await stage._kube.close()
                await stage._outside.close()
                await stores.close()

    # -- configuration

    def write_runbook(self, runbook: Mapping[str, Any]) -> None:
        place = self._folder / "runbooks" / f"{runbook['name'].replace('/', '-')}.yml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(runbook))

    def configure(self, **settings: Any) -> None:
        """Write and load `bridge.yml`, as a reload does (but for waking who waits on it: see `reload`)."""
        settings = {"mode": "auto", "clusters": {"connections": {"sim": {"url": self.proxy.url}}}, **settings}
        place = self._folder / "bridge.yml"
        place.write_text(json.dumps(settings))
        self._configuration = load(place, catalogued=registry_of)

    async def reload(self, **settings: Any) -> None:
        from bridge.reloading import AFTER_RELOAD

        self.configure(**settings)
        await self.stores.intake_queue.wake(AFTER_RELOAD)

    def _routing(self) -> ConfiguredRouting:
        now = self._configuration
        return ConfiguredRouting(now.table, runbooks=now.runbooks, muted=now.muted, clusters=cluster_map(now))

    def _raise_curtain(self) -> None:
        readable = frozenset({"shop", *self._configuration.settings.secret_namespaces})
        connection = ClusterConnection(name="sim", url=self.proxy.url, secret_namespaces=readable)
        self._kube = KubeClusters([connection], breakers=self.stores.breakers, clock=self.clock)
        outside = Outside(outside_settings(self._configuration), breakers=self.stores.breakers, clock=self.clock)
        self._outside = outside
        parts = engine_parts(
            lambda: self._configuration,
            stores=self.stores,
            clusters=self._kube,
            outside=outside,
            clock=self.clock,
            metrics=self.metrics,
        )
        self._parts = parts
        self._worker = Worker(parts, WorkerOptions(name="stage"))
        self._dispatcher = Dispatcher(
            self.stores.intake_queue,
            self._routing,
            name="stage",
            clock=self.clock,
            metrics=self.metrics,
            new_id=lambda: f"r{next(_IDS):06d}",
        )

    # -- what happens

    async def fire(
        self, alertname: str, *, starts_at: float | None = None, source: str = "am", runbook: str = "", **labels: str
    ) -> Seen:
        """One firing alert arrives; it started now unless something else is said (unix seconds).

        With `runbook` it is a trigger by hand that names one.
        """
        start = starts_at or self.clock.now()
        return await self._arrive(alertname, "firing", start, 0.0, source, labels, runbook)

    async def resolve(
        self, alertname: str, *, ended_at: float | None = None, source: str = "am", **labels: str
    ) -> Seen:
        """The same alert arrives as ended."""
        end = ended_at or self.clock.now()
        return await self._arrive(alertname, "resolved", end - 60, end, source, labels)

    async def receive(self, body: bytes, *, source: str = "am") -> Seen:
        """One alert arrives as Alertmanager's webhook has it."""
        batch = Decoder(request_limits(self._configuration.settings)).decode(body, source=source)
        (seen,) = await self.stores.intake.accept(batch.alerts)
        return seen

    async def _arrive(
        self,
        name: str,
        status: Any,
        start: float,
        end: float,
        source: str,
        labels: Mapping[str, str],
        runbook: str = "",
    ) -> Seen:
        labels = {"alertname": name, "namespace": "shop", **labels}
        alert = Alert(
            source=source,
            fingerprint=fingerprint(labels),
            status=status,
            starts_at=int(start * 1e6),
            ends_at=int(end * 1e6),
            labels=labels,
            runbook=runbook,
        )
        (seen,) = await self.stores.intake.accept([alert])
        return seen

    async def dispatch(self) -> None:
        """Everything that has arrived, and everything that is to be looked at again, is dispatched."""
        for entry in await self.stores.intake_queue.read("stage", count=100, block=0.0):
            await self._dispatcher.settle(entry)
        await self._dispatcher.look_again()

    async def settle(self) -> None:
        """Dispatch, work and wait until nothing is left to do at this time."""
        quiet = 0
        while quiet < 2:
            await self.dispatch()
            await self.stores.work.promote()
            claim = await self.stores.work.claim("stage", block=0.0)
            if claim is None:
                quiet += 1
                continue
            quiet = 0
            lease = Lease(claim, self.stores.work, self.clock, seconds=1e9, stopping=asyncio.Event())
            await self._worker._work(lease)

    async def advance(self, seconds: float) -> None:
        """Let time pass, and do what became due."""
        self.clock.jump(seconds)
        await self.settle()

    def _moved(self, seconds: float) -> None:
        self._link.clock_offset_ms += round(seconds * 1000)
        self.cluster.step(self.clock.now())

    async def pause(self, scope: str = "all") -> None:
        await self.stores.guardbook.pause(Pause(scope=scope, by="ann", why="maintenance", since=self.clock.now()))

    async def resume(self, scope: str = "all") -> None:
        await self.stores.guardbook.resume(scope)
        await self.stores.intake_queue.wake([Reason.PAUSED])

    # -- what is to be seen

    async def runs(self) -> list[RemediationView]:
        """Return all remediations, oldest first."""
        return (await self.stores.work.list(limit=1000))[::-1]

    async def ends(self) -> list[tuple[str, str]]:
        """Return outcome and reason of each remediation, oldest first; the state where it has none."""
        return [(v.outcome.value if v.outcome else v.state.value, v.reason) for v in await self.runs()]

    async def reasons(self, alertname: str, **labels: str) -> list[str]:
        """Return the reasons of every decision about an alert, oldest first."""
        name = fingerprint({"alertname": alertname, "namespace": "shop", **labels})
        return [decision.reason for decision in await self.stores.guardbook.explain(name)]

    @property
    def writes(self) -> list[str]:
        """Return what was sent to change the cluster, as `VERB path`."""
        return [f"{each.verb} {each.path}" for each in self.proxy.mutating()]
