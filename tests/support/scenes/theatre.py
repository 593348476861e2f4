"""Plays scenes: see the package's docstring for what a scene is."""

from __future__ import annotations

import asyncio
import inspect
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import redis

from bridge.demo.controllers.volumes import storage_class
from bridge.demo.store import Change
from bridge.engine.copies import EVERY, CopyKeeper
from bridge.model import approval, kinds
from bridge.model.approval import Answer
from bridge.model.remediation import Entry, RemediationView, State
from bridge.wiring import kept_copies
from tests.support.installation import alert_body
from tests.support.redis import RedisServer
from tests.support.scenes import shipped
from tests.support.scenes.facts import answer, fact, shown, so
from tests.support.scenes.peers import Peers, open_peers, open_tls, responder
from tests.support.scenes.scene import Scene
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.stage import Stage

HOUR = 3600.0
_LONGEST = 6 * HOUR
"""Of the moved clock, until a run has ended."""
_PEOPLE = ("ann", "bob", "cyd")
_ENDS = {
    "healed": {"succeeded"},
    "escalated": {"failed", "unknown", "denied", "expired", "undone"},
    "observed": {"observed"},
    "undone": {"undone"},
    "denied": {"denied"},
}


@dataclass
class Playing:
    """A scene while it is played."""

    scene: Scene
    stage: Stage
    peers: Peers
    theatre: Theatre

    async def runs(self) -> list[RemediationView]:
        """The runs that the scene is about, oldest first."""
        return [v for v in await self.stage.runs() if v.remediation.runbook not in self.scene.beside]

    async def journal(self) -> list[Entry]:
        """The entries of all runs, oldest first."""
        found = []
        for view in await self.runs():
            found += await self.stage.stores.journal.read(view.remediation.id)
        return found

    async def told(self) -> str:
        found = await self.journal()
        lines = [f"{each.kind}: {each.text}" for each in found]
        lines += [f"to a person: {advice}" for each in found if (advice := each.data.get("advice"))]
        ends = [f"{v.remediation.runbook}: {v.outcome} {v.reason} {v.detail}" for v in await self.runs()]
        return "\n".join([*lines, *ends, *self.peers.asked])

    def written(self, change: Change) -> None:
        """Let a Job that has succeeded have done something."""
        if change.key == "jobs.batch" and (change.obj.get("status") or {}).get("succeeded"):
            for name, effect in self.scene.when_done.items():
                if change.obj["metadata"]["name"].startswith(name):
                    effect(self)

    def store(self, values: Mapping[str, Any]) -> None:
        """Write into the Redis that runbooks reach."""
        self.theatre.fill(values)

    def fact(self, name: str) -> Any:
        return fact(self.stage.cluster, name, self.scene.namespace)


class Theatre:
    """What scenes share: a real redis-server, and where they need them real Sentinels and a real PostgreSQL."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self._redis = server
        self._folder = folder
        self.sentinels: SentinelSite | None = None
        self.other_redis: RedisServer | None = None
        self.postgres: Mapping[str, Any] | None = None
        """host, port, user, password of a server that has every database that is configured."""

    async def play(self, scene: Scene) -> None:
        """Fire the scene's alert, let it run to its end, and check everything that the scene says."""
        async with self.opened(scene) as playing:
            await self._run(playing)
            await _check(playing)
            if scene.later:
                await _pass(playing.stage, 3 * HOUR)
                _check_facts(playing, scene.later, await playing.told())

    @asynccontextmanager
    async def opened(self, scene: Scene) -> AsyncIterator[Playing]:
        """Bring the scene's state about, with everything that it reaches; its alert has not fired."""
        stage: Stage

        def now(value: Any) -> Any:
            return answer(value, stage.cluster, scene.namespace)

        def pair() -> tuple[bytes, bytes] | None:
            found = fact(stage.cluster, f"secrets/{now(scene.shows)} data", scene.namespace)
            return (b64decode(found["tls.crt"]), b64decode(found["tls.key"])) if isinstance(found, dict) else None

        peers = Peers(scene.prometheus, scene.http, now)
        async with open_peers(peers), open_tls(peers, pair):
            configured = partial(self._configured, scene, peers)
            async with Stage.open(self._redis, self._folder, configured=configured) as stage:
                cluster = stage.cluster
                cluster.set_metrics(True)
                cluster.apply(storage_class())
                if scene.before:
                    for state in scene.before:
                        state(cluster)
                    await _keep_copies(stage)
                for state in scene.cluster:
                    state(cluster)
                cluster.set_behavior(respond=responder(scene.answers, now))
                cluster.step()
                if scene.patience:
                    stage.clock.sleep = partial(_sleep, stage, scene.patience)  # type: ignore[method-assign]
                playing = Playing(scene, stage, peers, self)
                cluster.store.listen(playing.written)
                self._fill(scene)
                if scene.first is not None and inspect.isawaitable(result := scene.first(playing)):
                    await result
                yield playing
                self._empty(scene)

    def fill(self, values: Mapping[str, Any]) -> None:
        """Write keys into the Redis of `redis_peers`."""
        assert self.sentinels is not None
        with redis.Redis(port=self.sentinels.primary.port) as client:
            for key, value in values.items():
                client.set(key, value if isinstance(value, str) else json.dumps(value))

    def _fill(self, scene: Scene) -> None:
        if scene.redis:
            self.fill(scene.redis)

    def _empty(self, scene: Scene) -> None:
        if scene.needs == "sentinels" and self.sentinels is not None:
            with redis.Redis(port=self.sentinels.primary.port) as client:
                client.flushall()

    def _configured(self, scene: Scene, peers: Peers, cluster: str) -> Any:
        return shipped.pointed(
            scene.system,
            scene.runbook,
            cluster=cluster,
            peers=peers.url,
            tls=peers.tls,
            params=scene.params,
            sentinels=self.sentinels.addresses if self.sentinels else (),
            master=MASTER,
            redis=f"127.0.0.1:{self.other_redis.port}" if self.other_redis else "",
            postgres=self.postgres,
        )

    async def _run(self, playing: Playing) -> None:
        scene, stage = playing.scene, playing.stage
        labels, annotations = self.alert(scene)
        body = alert_body(labels, starts_at=stage.clock.now())
        body["alerts"][0]["annotations"] = annotations
        began = stage.clock.now()
        await stage.receive(json.dumps(body).encode())
        resolved, step = scene.resolves_after is None, 1.0
        while stage.clock.now() < began + _LONGEST:
            await stage.settle()
            await _agree(stage)
            if not resolved and stage.clock.now() >= began + (scene.resolves_after or 0.0):
                resolved = True
                ended = alert_body(labels, starts_at=began, ends_at=stage.clock.now())
                await stage.receive(json.dumps(ended).encode())
                continue
            runs = await playing.runs()
            if runs and all(view.outcome is not None for view in runs):
                return
            stage.clock.jump(step)
            await asyncio.sleep(scene.patience * step)
            step = min(step * 1.5, 60.0)
        raise AssertionError(f"it has not ended in {_LONGEST / HOUR:g} hours:\n{await playing.told()}")

    def alert(self, scene: Scene) -> tuple[dict[str, str], dict[str, str]]:
        """Return labels and annotations of the scene's alert."""
        given = {"namespace": scene.namespace, **scene.labels}
        known = scene.alert in shipped.rules(scene.system)
        assert known or "severity" in given, f"{scene.alert} has no rule here: give its labels, its severity included"
        return shipped.alert_of(scene.system, scene.alert, given, scene.annotations)


async def _sleep(stage: Stage, patience: float, seconds: float) -> None:
    stage.clock.jump(seconds)
    await asyncio.sleep(patience * seconds)


async def _keep_copies(stage: Stage) -> None:
    """Let what is there be looked at for an hour, as a worker does for `keep_copies`."""
    keeper = CopyKeeper(lambda: kept_copies(stage._configuration), stage._kube, stage.stores.copies)
    for _ in range(round(HOUR / EVERY)):
        stage.clock.jump(EVERY)
        # A turn is real time at Redis, which does not pass here.
        await stage._link.command("DEL", stage._link.key("copies:turn"))
        await keeper.look()
        if EVERY * 15 < HOUR and await _enough(stage):
            return


async def _enough(stage: Stage) -> bool:
    """Whether every ConfigMap that is there has a good copy."""
    for each in kept_copies(stage._configuration):
        if stage.cluster.get("configmaps", each.ref.namespace, each.ref.name) is None:
            continue
        if not any(copy.good for copy in await stage.stores.copies.of(each.ref)):
            return False
    return True


async def _agree(stage: Stage) -> None:
    """Let people agree to what they are asked."""
    for view in await stage.runs():
        if view.state is State.PARKED and await _asked(stage, view):
            for person in _PEOPLE[: max(view.remediation.approvers, 1)]:
                said = Answer(by=person, agree=True)
                await stage.stores.work.answer(view.remediation.id, said, f"{person} agreed")
            await stage.settle()


async def _asked(stage: Stage, view: RemediationView) -> bool:
    entries = await stage.stores.journal.read(view.remediation.id)
    return approval.standing_of(entries).open


async def _made(playing: Playing) -> list[str]:
    """Return the actions of the steps that were made, in order."""
    planned: dict[str, str] = {}
    made = []
    for entry in await playing.journal():
        key = str(entry.data.get("step"))
        if entry.kind == kinds.PLANNED:
            planned[key] = entry.data["plan"]["action"]
        elif entry.kind == kinds.VERIFIED and key in planned:
            made.append(planned[key])
    return made


async def _chosen(playing: Playing) -> list[str]:
    found: list[str] = []
    for entry in await playing.journal():
        if entry.kind == kinds.SCENARIO:
            if not found or found[-1].partition(" > ")[0] != entry.data["name"]:
                found.append(entry.data["name"])
        elif entry.kind == kinds.TRYING:
            name = f"{found[-1].partition(' > ')[0]} > {entry.text.removeprefix('trying: ')}"
            if found[-1] != name:
                found.append(name)
    after = [*found[1:], ""][: len(found)]
    return [each for each, following in zip(found, after, strict=True) if not following.startswith(f"{each} > ")]


async def _check(playing: Playing) -> None:
    scene, stage = playing.scene, playing.stage
    told = await playing.told()
    first = (await playing.runs())[0]
    assert first.remediation.runbook == scene.runbook, told
    assert await _chosen(playing) == list(scene.scenarios), told
    if scene.actions is not None:
        assert await _made(playing) == list(scene.actions), told
    asked = any(entry.kind == approval.ASKED for entry in await playing.journal())
    assert asked is (scene.mode == "approve"), told
    outcome = first.outcome.value if first.outcome else ""
    assert outcome in ({scene.outcome} if scene.outcome else _ENDS[scene.ends]), told
    assert first.escalated is (scene.ends == "escalated"), told
    for part in scene.told:
        assert part in told, f"{part!r} is not in\n{told}"
    for request in scene.asked:
        assert request in playing.peers.asked, told
    if scene.unchanged:
        assert stage.writes == [], told
    _check_facts(playing, scene.after, told)
    if scene.check is not None and inspect.isawaitable(result := scene.check(playing)):
        await result


def _check_facts(playing: Playing, wanted: Mapping[str, Any], told: str) -> None:
    for name, value in wanted.items():
        found = playing.fact(name)
        assert so(found, value), f"{name} is {shown(found)}, not {value!r}\n{told}"


async def _pass(stage: Stage, seconds: float) -> None:
    while seconds > 0:
        await stage.advance(min(300.0, seconds))
        await _agree(stage)
        seconds -= 300.0
