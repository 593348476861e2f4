"""One night from beginning to end, and its time line.

async with open_night(folder, workers=1, dies="after the write") as night:
    await night.run()
    print(night.told())
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.demo.server import SimulatedServer
from bridge.errors import StoreUnavailable
from bridge.model.approval import Answer
from bridge.model.notice import Ack
from bridge.model.remediation import Decision, RemediationView
from tests.support.night.clock import NightClock
from tests.support.night.house import House, Moment, NightProxy, write_configuration
from tests.support.night.monitoring import Monitoring, Rule, open_prometheus
from tests.support.night.people import OMENDB_L1, TEAM, Channels, Message, open_channels
from tests.support.night.script import MINUTE, Trouble, routes
from tests.support.night.world import KYC, SYSTEMS, World
from tests.support.receiver import SENDER, served
from tests.support.redis import RedisServer

BEGINS = datetime(2026, 11, 20, 22, tzinfo=UTC).timestamp()
LASTS = 9 * 60.0
"""Minutes: until seven in the morning."""
_numbers = itertools.count()


@dataclass(frozen=True)
class Plan:
    """What happens beside the troubles, in minutes after the beginning; None: it does not happen tonight."""

    lasts: float = LASTS
    peak_ends: float | None = 375
    redis_dies: float | None = 240.7
    redis_returns: float | None = 242.2
    silent: tuple[float, float] | None = (300, 420)
    """When the service behind OmenDB's pager does not answer."""
    worker_dies: float | None = 127
    dies: Moment = "after the write"
    maintenance: tuple[float, float] = (300, 330)


@dataclass
class Night:
    """Everything on the stage. `timeline` is what happened, in its order."""

    clock: NightClock
    world: World
    proxy: NightProxy
    house: House
    monitoring: Monitoring
    channels: Channels
    plan: Plan
    timeline: list[tuple[float, str]] = field(default_factory=list)
    _later: list[tuple[float, int, Callable[[], Awaitable[None] | None]]] = field(default_factory=list)
    _heard: int = 0
    _answered: set[str] = field(default_factory=set)
    _buried: list[str] = field(default_factory=list)

    # -- what goes by

    async def run(self) -> None:
        """Let the night pass."""
        self._schedule()
        tick, morning = self.clock.now(), BEGINS + self.plan.lasts * MINUTE
        while self.clock.now() < morning:
            now = self.clock.now()
            await self._happen(now)
            if now >= tick:
                tick += MINUTE
                await self._minute(now)
            await self.house.settle()
            await self._watch()
            coming = (tick, self.clock.next, await self.house.next_due(), self._next_event())
            self.clock.go(max(min(at for at in coming if at is not None), now + 0.001))

    async def _minute(self, now: float) -> None:
        for rule, what in await self.monitoring.look(now):
            says = f": {rule.trouble.says}" if what == "fires" else ""
            self.note(f"{SYSTEMS[rule.labels['namespace']]:<15} {rule.trouble.name} {what}{says}")
        await self.house.settle()
        await self.house.tell()
        await self._listen()
        await self.house.expire()

    def _schedule(self) -> None:
        plan = self.plan
        for rule in self.monitoring.rules:
            self.at(rule.trouble.at, lambda trouble=rule.trouble: self._strike(trouble))  # type: ignore[misc]
        if plan.peak_ends is not None:
            self.at(plan.peak_ends, lambda: self.world.peak(KYC, "onboarding-api", on=False))
        if plan.redis_dies is not None and plan.redis_returns is not None:
            self.at(plan.redis_dies, self._kill_redis)
            self.at(plan.redis_returns, self._start_redis)
        if plan.silent is not None:
            self.at(plan.silent[0], lambda: self._silence(OMENDB_L1))
            self.at(plan.silent[1], lambda: self._unsilence(OMENDB_L1))
        if plan.worker_dies is not None:
            self.at(plan.worker_dies, self._doom)

    def at(self, minutes: float, do: Callable[[], Awaitable[None] | None]) -> None:
        """Let something happen so long after the beginning."""
        self._later.append((BEGINS + minutes * MINUTE, next(_numbers), do))
        self._later.sort(key=lambda each: each[:2])

    def _next_event(self) -> float | None:
        return self._later[0][0] if self._later else None

    async def _happen(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            do = self._later.pop(0)[2]
            try:
                done = do()
                if done is not None:
                    await done
            except StoreUnavailable:
                # A person whose command is refused tries again.
                self.at((now - BEGINS) / MINUTE + 0.5, do)

    def note(self, text: str) -> None:
        self.timeline.append((self.clock.now(), text))

    # -- what happens

    def _strike(self, trouble: Trouble) -> None:
        trouble.begun = True
        trouble.strike(self.world)
        self.world.cluster.step(self.clock.now())

    def _kill_redis(self) -> None:
        self.house.redis.kill()
        self.note("*** Redis is killed")

    def _start_redis(self) -> None:
        self.house.redis.start()
        self.note("*** Redis is back, with what it had on its disk")

    def _silence(self, channel: str) -> None:
        self.channels.silent.add(channel)
        self.note(f"*** the service behind {channel} does not answer any more")

    def _unsilence(self, channel: str) -> None:
        self.channels.silent.discard(channel)
        self.note(f"*** the service behind {channel} answers again")

    def _doom(self) -> None:
        self.house.dies = self.plan.dies

    async def _watch(self) -> None:
        for run in self.house.dead[len(self._buried) :]:
            self._buried.append(run)
            self.note(f"*** a worker is killed {self.plan.dies}, in the midst of {run}")

    # -- people

    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        """Implements ports.Notifier: what alertbridge says of its ends stands in the time line."""
        rem = view.remediation
        system = rem.runbook.partition("/")[0]
        if view.outcome is None:
            self.note(f"{system:<15} {rem.runbook} asks for leave on {rem.target.name}")
            return
        what = f"{view.outcome.value}, {view.reason}"
        self.note(
            f"{system:<15} {rem.runbook} on {rem.target.name}: {what}{' -> a person: ' + view.detail if page else ''}"
        )

    async def _listen(self) -> None:
        """Let people read what has arrived, and plan what they do about it."""
        for message in self.channels.messages[self._heard :]:
            try:
                rule = await self._about(message.run)
            except StoreUnavailable:
                return
            self._heard += 1
            if message.calls:
                self.note(f"{'people':<15} {message.channel} rings: {rule.trouble.name}")
            minutes = (self.clock.now() - BEGINS) / MINUTE
            trouble = rule.trouble
            if message.calls and message.channel == trouble.answers and trouble.name not in self._answered:
                self._answered.add(trouble.name)
                self.at(minutes + 10, lambda run=message.run, t=trouble: self._take_on(run, t))  # type: ignore[misc]
                self.at(minutes + trouble.mended_after, lambda t=trouble: self._mend(t))  # type: ignore[misc]
            asked = message.channel == TEAM and "waits for approval" in message.title
            if asked and trouble.approved_after is not None:
                self.at(minutes + trouble.approved_after, lambda run=message.run: self._agree(run))  # type: ignore[misc]

    async def _about(self, run: str) -> Rule:
        view = await self.house.stores.work.get(run)
        assert view is not None
        return next(rule for rule in self.monitoring.rules if rule.labels == dict(view.remediation.labels))

    async def _take_on(self, run: str, trouble: Trouble) -> None:
        await self.house.stores.notices.acknowledge(run, Ack(by="bo", why="on it"))
        self.note(f"{'people':<15} bo takes {trouble.name} on")

    def _mend(self, trouble: Trouble) -> None:
        trouble.over = True
        trouble.mend(self.world)
        self.note(f"{'people':<15} bo has mended {trouble.name}")

    async def _agree(self, run: str) -> None:
        await self.house.stores.work.answer(run, Answer(by="ann", agree=True, why="go on"), "ann agreed")
        self.note(f"{'people':<15} ann agrees to the plan")

    # -- what is to be seen afterwards

    def told(self) -> str:
        """Return the time line as text."""
        return "\n".join(f"{datetime.fromtimestamp(at, UTC):%H:%M:%S}  {text}" for at, text in self.timeline)

    async def runs(self) -> list[RemediationView]:
        """Return all remediations, oldest first."""
        return (await self.house.stores.work.list(limit=1000))[::-1]

    async def decisions(self, rule: Rule) -> list[Decision]:
        return await self.house.stores.guardbook.explain(rule.name)

    def calls_about(self, runs: Sequence[RemediationView], rule: Rule) -> list[Message]:
        """Return the messages that called a person for an alert."""
        names = {view.remediation.id for view in runs if dict(view.remediation.labels) == rule.labels}
        return [message for message in self.channels.calls if message.run in names]


@asynccontextmanager
async def open_night(
    folder: Path, troubles: Sequence[Trouble], *, workers: int = 1, plan: Plan | None = None
) -> AsyncIterator[Night]:
    """Set the stage: nothing has happened yet."""
    plan = plan or Plan()
    clock = NightClock(BEGINS)
    places = {(each.labels["namespace"], each.workload) for each in troubles}
    world = World(clock, places)
    redis = RedisServer(folder / "redis")
    redis.start()
    try:
        async with (
            SimulatedServer(world.cluster, tick=None) as api,
            NightProxy(api.url, world=world, clock=clock) as proxy,
            open_prometheus(world) as prometheus,
            open_channels(clock) as channels,
        ):
            begins, ends = (datetime.fromtimestamp(BEGINS + at * MINUTE, UTC).isoformat() for at in plan.maintenance)
            config = write_configuration(folder, proxy.url, prometheus, channels.url, **routes(begins, ends))
            said: list[Any] = []
            house = House(config, clock, redis, proxy, workers=workers, installation="night", notifier=_Late(said))
            try:
                async with served(SENDER, stores=house.stores) as mouth:
                    clock.moving.append(lambda to: setattr(mouth.clock, "at", to))
                    rules = [Rule(each, {"alertname": each.alert, **each.labels}) for each in troubles]
                    night = Night(clock, world, proxy, house, Monitoring(world, mouth, rules), channels, plan)
                    said.append(night)
                    yield night
            finally:
                await house.close()
    finally:
        redis.stop()


class _Late:
    """The night is there only once its house is."""

    def __init__(self, said: list[Any]) -> None:
        self._said = said

    async def notify(self, view: RemediationView, text: str, *, page: bool) -> None:
        await self._said[0].notify(view, text, page=page)
