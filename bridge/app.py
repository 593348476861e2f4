"""The only place where things are put together: stores, clusters, engine, receiver and API of one process.

Started by process. The listener comes first and the Kubernetes client last: alerts are accepted and stored before
anything could act on them.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from bridge import __version__
from bridge.api.guards import GuardsView
from bridge.api.operation import Refused
from bridge.api.reports import Goals
from bridge.api.server import ApiParts, add_api
from bridge.catalogue import catalogue, registry_of
from bridge.configuration import Configuration, ConfigurationHolder, load
from bridge.engine.child_runs import ChildRuns
from bridge.engine.clock import SystemClock
from bridge.engine.copies import EVERY, CopyKeeper
from bridge.engine.dispatch import Dispatcher
from bridge.engine.events import Events
from bridge.engine.parts import Parts
from bridge.engine.periodic import run_jobs
from bridge.engine.schedules import EVERY as SCHEDULES_EVERY
from bridge.engine.schedules import Schedules
from bridge.engine.silenced import Silenced
from bridge.engine.worker import Worker, WorkerOptions
from bridge.errors import KubeError
from bridge.ingest.auth import Authenticator
from bridge.ingest.counters import Counters
from bridge.ingest.guesses import TOO_OFTEN
from bridge.ingest.pace import GiveWay
from bridge.ingest.receiver import Receiver
from bridge.ingest.server import Listening, add_routes, serve
from bridge.ingest.trigger import TriggerBody
from bridge.kube.clusters import KubeClusters
from bridge.model.principal import Principal
from bridge.notify.jobs import people_jobs
from bridge.notify.log import LogNotifier
from bridge.outside.alertmanager import CREATED_BY
from bridge.outside.reach import Outside, reaches
from bridge.ports.jobs import Job
from bridge.rehearsal import rehearse_runbook
from bridge.reloading import AFTER_RELOAD, Reloader
from bridge.stores.factory import Stores, open_stores
from bridge.telemetry import Metrics, get_logger, hide
from bridge.wiring import (
    cluster_connections,
    connection_limits,
    credentials,
    entry_guards,
    kept_copies,
    may_answer,
    outside_settings,
    plan_guards,
    request_limits,
    routing,
    store_options,
    tls_context,
)

ROLES = ("receiver", "dispatcher", "worker")
_CLOCK_OFF = 5.0
"""Seconds from which a difference between the host's clock and Redis's is told."""

log = get_logger()


def read(config: Path) -> Configuration:
    """Return the configuration in `config`, checked against what this process can do. Raises ConfigurationError."""
    loaded = load(config, catalogued=registry_of)
    hide(*loaded.secrets.every())
    return loaded


class Bridge:
    """One running process: what was started, so that it can be stopped in the right order."""

    def __init__(self, holder: ConfigurationHolder, metrics: Metrics, roles: Collection[str]) -> None:
        self.holder = holder
        self.metrics = metrics
        self.stopping = asyncio.Event()
        self.addresses: list[tuple[str, int]] = []
        self._roles = frozenset(roles)
        self._settings = holder.current.settings
        self._clock = SystemClock()
        self._counters = Counters()
        metrics.register(self._counters)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._routing = routing(holder.current)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._parts: list[asyncio.Task[None]] = []
        """Tasks that run as long as the process does."""
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._reloader: Reloader | None = None
        self._dispatcher: Dispatcher | None = None
        self._worker: Worker | None = None
        self._copies: CopyKeeper | None = None
        self._about_people: list[Job] = []

    @classmethod
    async def start(cls, holder: ConfigurationHolder, metrics: Metrics, *, roles: Collection[str] = ROLES) -> Bridge:
        """Start everything that `roles` name; stops what was started when one part fails.

        Raises ConfigurationError, StoreUnavailable and OSError (the address is taken).
        """
        bridge = cls(holder, metrics, roles)
        try:
            await bridge._start()
        except BaseException:
            await bridge.stop()
            raise
        return bridge

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` beside everything else; it is cancelled at the end if it still runs then."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self) -> None:
        began = time.monotonic()
        stores = await open_stores(store_options(self.holder.current))
        self._closers.append(stores.close)
        for warning in stores.warnings:
            log.warning("store", warning=warning)
        await self._set_clock(stores)
        self.metrics.reloaded(ok=True)
        self._reloader = reloader = Reloader(self.holder, self.metrics, stores.audit, process=self._name)
        reloader.take_ups += [self._route, lambda _new: self.spawn(stores.intake_queue.wake(AFTER_RELOAD))]
        if "dispatcher" in self._roles:
            self._make_dispatcher(stores)
        await self._listen(stores, reloader)
        await reloader.started(f"version {__version__}: {', '.join(sorted(self._roles))}")
        log.info(
            "listening",
            addresses=[f"{host}:{port}" for host, port in self.addresses],
            seconds=round(time.monotonic() - began, 3),
            roles=sorted(self._roles),
        )
        if "worker" in self._roles:
            await self._make_worker(stores)
        self._keep("jobs", run_jobs(self._jobs(stores, reloader), self._clock))

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._parts.append(asyncio.create_task(work, name=name))

    # -- parts

    async def _listen(self, stores: Stores, reloader: Reloader) -> None:
        settings = self._settings
        receiver = Receiver(
            intake=stores.intake,
            refusals=stores.refusals,
            authenticator=self._authenticator(self.holder.current, stores),
            clock=self._clock,
            counters=self._counters,
            limits=request_limits(settings),
        )
        reloader.take_ups.append(lambda new: setattr(receiver, "authenticator", self._authenticator(new, stores)))
        application = web.Application(client_max_size=0)
        if "receiver" in self._roles:
            add_routes(application, receiver)
        add_api(application, self._api_parts(stores, receiver, reloader))
        listening = await serve(
            application,
            receiver,
            listen=[(settings.listen.host, settings.listen.port)],
            tls=tls_context(settings),
            limits=connection_limits(settings),
        )
        self.addresses = listening.addresses
        self._closers.append(lambda: _close(listening))

    def _api_parts(self, stores: Stores, receiver: Receiver, reloader: Reloader) -> ApiParts:
        return ApiParts(
            authenticator=CurrentCredentials(receiver),
            trigger=receiver.trigger,
            trigger_body=TriggerBody,
            waiting=stores.intake_queue,
            queue=stores.work,
            journal=stores.journal,
            guardbook=stores.guardbook,
            guards=self._guards(stores),
            refusals=stores.refusals,
            notices=stores.notices,
            audit=stores.audit,
            health=stores.health,
            metrics=self.metrics,
            clock=self._clock,
            reload=reloader.reload,
            rehearse=lambda runbook, labels: rehearse_runbook(
                self.holder.current, runbook, labels, copies=stores.copies
            ),
            stopping=self.stopping,
            version=__version__,
            external_url=lambda: self.holder.current.settings.external_url,
            goals=self._goals,
        )

    def _goals(self) -> Goals:
        settings = self.holder.current.settings
        return Goals(settings.goals, settings.notify.severity)

    def _guards(self, stores: Stores) -> GuardsView:
        return GuardsView(
            stores.guardbook,
            stores.trust,
            stores.budgets,
            rules=lambda: self.holder.current.settings.budgets,
            clusters=lambda: tuple(self.holder.current.connections),
        )

    def _make_dispatcher(self, stores: Stores) -> None:
        self._dispatcher = Dispatcher(
            stores.intake_queue,
            lambda: self._routing,
            name=self._name,
            clock=self._clock,
            metrics=self.metrics,
            new_id=new_id,
            give_way=GiveWay(self._counters),
        )
        self._keep("dispatcher", self._dispatcher.run())

    async def _make_worker(self, stores: Stores) -> None:
        settings = self._settings
        known = catalogue(tuple(map(Path, settings.plugins)))
        clusters = KubeClusters(
            cluster_connections(self.holder.current),
            breakers=stores.breakers,
            clock=self._clock,
            observe=self.metrics.kube_request,
        )
        self._closers.append(clusters.close)
        runs = ChildRuns(lambda: self._routing, intake=stores.intake, guardbook=stores.guardbook, queue=stores.work)
        outside = Outside(outside_settings(self.holder.current), breakers=stores.breakers, clock=self._clock)
        self._closers.append(outside.close)
        parts = Parts(
            queue=stores.work,
            journal=stores.journal,
            locks=stores.locks,
            guardbook=stores.guardbook,
            breakers=stores.breakers,
            clusters=clusters,
            connections=reaches(clusters.get, self._clock, outside, stores.copies, runs),
            prometheus=outside.prometheus,
            rules=outside.rules,
            events=Events(self._clock, observe=settings.events.observe) if settings.events.enabled else None,
            actions=known.actions,
            collectors=known.collectors,
            silences=Silenced(outside.alertmanager, ours=CREATED_BY) if outside.alertmanager.configured else None,
            trust=stores.trust,
            trust_policy=lambda: self.holder.current.settings.trust,
            run_limits=lambda: self.holder.current.settings.run_limits,
            tell_again=lambda: self.holder.current.settings.notify.tell_again,
            entry_guards=entry_guards(lambda: self.holder.current),
            plan_guards=lambda: plan_guards(self.holder.current, os.environ, stores.budgets),
            process_mode=lambda: self.holder.current.settings.mode,
            may_answer=lambda name: may_answer(self.holder.current.settings, name),
            clock=self._clock,
            notifier=LogNotifier(),
            metrics=self.metrics,
        )
        options = WorkerOptions(
            name=self._name, concurrency=settings.concurrency, claim=settings.claim, grace=settings.grace
        )
        self._worker = Worker(parts, options)
        self._about_people = people_jobs(
            lambda: self.holder.current.settings,
            notices=stores.notices,
            queue=stores.work,
            journal=stores.journal,
            intake=stores.intake,
            send=outside.notify,
            one_by_one=outside.one_by_one,
            silencer=outside.alertmanager,
            ours=CREATED_BY,
            clock=self._clock,
            metrics=self.metrics,
        )
        self._copies = CopyKeeper(lambda: kept_copies(self.holder.current), clusters, stores.copies)
        self._keep("worker", self._work(clusters, self._worker))

    async def _work(self, clusters: KubeClusters, worker: Worker) -> None:
        """Load the client library (0.3 s in a thread) beside the running receiver, then work."""
        try:
            await clusters.connect()
        except KubeError as error:
            # It may be back before the first remediation, which meets it again.
            log.warning("a cluster cannot be used", error=str(error))
        await worker.run()

    def _jobs(self, stores: Stores, reloader: Reloader) -> list[Job]:
        jobs = [
            Job("figures", 5.0, lambda: self._figures(stores)),
            Job("clock", 30.0, lambda: self._set_clock(stores)),
            Job("configuration", 5.0, reloader.look),
        ]
        if self._dispatcher is not None:
            dispatcher = self._dispatcher
            schedules = Schedules(
                lambda: self.holder.current.schedules,
                name=self._name,
                intake=stores.intake,
                guardbook=stores.guardbook,
                audit=stores.audit,
                clock=self._clock,
                metrics=self.metrics,
            )
            jobs += [
                Job("schedules", SCHEDULES_EVERY, schedules.look),
                Job("look again", 1.0, dispatcher.look_again),
                Job("recover", 2.0, dispatcher.recover),
                Job("expire", 30.0, lambda: stores.intake_queue.expire(limit=1000)),
            ]
        if "worker" in self._roles:
            jobs.append(Job("promote", 0.25, stores.work.promote))
        jobs += self._about_people
        if self._copies is not None:
            jobs.append(Job("copies", EVERY, self._copies.look))
        return jobs

    async def _set_clock(self, stores: Stores) -> None:
        off = await self._clock.set_by(stores.health.time)
        if abs(off) > _CLOCK_OFF:
            log.warning("this host's clock differs from Redis's, which counts", seconds=round(off, 1))

    async def _figures(self, stores: Stores) -> None:
        if stores.synced is not None:
            now = stores.synced()
            self.metrics.store_synced(now.behind, now.took, now.failures)
        try:
            self.metrics.queue(await stores.work.depth())
            self.metrics.breakers(await stores.breakers.states())
            self.metrics.notices_waiting(await stores.notices.waiting())
            self.metrics.guards(await self._guards(stores).look())
        except Exception:
            self.metrics.store_down()
            raise

    # -- configuration

    async def reload_for_a_signal(self) -> None:
        """Read the configuration again, as SIGHUP asks; how it went is in the log, a metric and the trail."""
        assert self._reloader is not None, "it was started"
        await self._reloader.quietly("SIGHUP")

    def _route(self, configuration: Configuration) -> None:
        self._routing = routing(configuration)

    def _authenticator(self, configuration: Configuration, stores: Stores) -> Authenticator:
        return Authenticator(credentials(configuration), clock=self._clock, replays=stores.replays)

    # -- the end

    async def until(self, stopping: asyncio.Event) -> None:
        """Return when `stopping` is set; raise when a part of the process ended by itself."""
        wait = asyncio.create_task(stopping.wait())
        done, _ = await asyncio.wait({wait, *self._parts}, return_when=asyncio.FIRST_COMPLETED)
        wait.cancel()
        for task in done - {wait}:
            task.result()

    async def stop(self) -> None:
        """Take no more alerts, hand running remediations over, close everything; bounded by the grace period."""
        self.stopping.set()
        for part in (self._dispatcher, self._worker):
            if part is not None:
                part.stop()
        for task in (*self._tasks, *(part for part in self._parts if part.get_name() == "jobs")):
            task.cancel()
        if self._parts:
            await asyncio.wait(self._parts, timeout=self._settings.grace + 2.0)
        for part_task in self._parts:
            part_task.cancel()
        for close in reversed(self._closers):
            await close()


class CurrentCredentials:
    """The receiver's credentials of now, for the API: they can change with a reload."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def identify(self, request: web.BaseRequest) -> Principal | None:
        """Return whose credential it is; raise Refused without a look when its address was wrong too often."""
        known, guesses, counters = self._receiver.authenticator, self._receiver.guesses, self._receiver.counters
        guessed = hdrs.AUTHORIZATION in request.headers and not known.open
        if guessed and (wait := guesses.wait(request.remote)):
            counters.wrong_credentials["429"] += 1
            raise Refused(429, TOO_OFTEN, Retry_After=str(math.ceil(wait)))
        principal = known.identify(request)
        if guessed and principal is None:
            guesses.wrong(request.remote)
            counters.wrong_credentials["401"] += 1
        return principal


async def _close(listening: Listening) -> None:
    await listening.close(grace=2.0)


def new_id() -> str:
    """Return an id that sorts by time and cannot be guessed: 12 hex digits of milliseconds, 8 random ones."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(4)}"
