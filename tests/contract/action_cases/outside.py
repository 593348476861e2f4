"""What is reached beside objects: databases, Sentinels, HTTP, containers, commands of the host, channels."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from bridge.actions.http_call import HttpCall
from bridge.actions.sql import Sql
from bridge.actions.status_page import StatusPage
from bridge.engine.clock import SystemClock
from bridge.errors import OutcomeUnknown
from bridge.model.plan import Repeat, Undo
from bridge.model.target import ObjectRef
from bridge.outside.options import Channel, CommandPeer, OutsideSettings, RedisPeer
from bridge.outside.reach import Outside, Reach
from bridge.ports import Action
from tests.contract.action_cases import Case, Env, Scene
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes, until
from tests.support.redis import RedisServer
from tests.support.scripted_kube import ScriptedKube, ok, reset, scripted_kube
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.valve import open_valve

_numbers = itertools.count()


def declared(kind: Callable[[], Action], repeat: Repeat, undo: Undo) -> Callable[[], Action]:
    """Return what makes an action whose steps declare more than it does by itself."""

    def make() -> Action:
        action = kind()
        action.repeat, action.undo, action.undo_failed = repeat, undo, undo is not Undo.NONE
        return action

    return make


def reach(env: Env, **settings: Any) -> Reach:
    outside = Outside(OutsideSettings(**settings))
    env.stack.push_async_callback(outside.close)
    return Reach(env.site.cluster, SystemClock(), outside)


def about(env: Env) -> ObjectRef:
    """The remediation is about a workload; what it calls is not."""
    return env.site.ref("Deployment", "web", "apps/v1")


# -- databases


class Table:
    """A table of a fresh database, whose rows count what was done."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self._server = server
        self._name = name

    @classmethod
    async def make(cls, env: Env) -> Table:
        server: PostgresServer = env.fixture("postgres")
        table = cls(server, await server.new_database())
        await table.ask("CREATE TABLE done (n int)")
        return table

    async def ask(self, statement: str) -> Any:
        connection = await self._server.connect(self._name)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def count(self) -> int:
        found: int = await self.ask("SELECT count(*) FROM done")
        return found

    async def reach(self, env: Env) -> tuple[Reach, Callable[[bool], Any]]:
        """Return connections by a line that can lose the next statement, or its answer."""
        valve = await env.stack.enter_async_context(open_valve(self._server.port))
        outside = Outside(OutsideSettings(sql={"db": self._server.peer(self._name, port=valve.port)}))
        ask = outside.sql

        async def sql(connection: str, statement: str, arguments: Any, **how: Any) -> Any:
            return await ask(connection, statement, arguments, **how)

        def lose(after: bool) -> None:
            async def lost(connection: str, statement: str, arguments: Any, **how: Any) -> Any:
                outside.sql = sql  # type: ignore[method-assign]
                if after:
                    await sql(connection, statement, arguments, **how)
                raise OutcomeUnknown("the connection was lost")

            outside.sql = lost  # type: ignore[method-assign]

        return Reach(env.site.cluster, SystemClock(), outside), lose


async def statement(env: Env) -> Scene:
    table = await Table.make(env)
    connections, lose = await table.reach(env)
    params = {"connection": "db", "statement": "INSERT INTO done VALUES ($1)", "arguments": [1], "expect_rows": 1}
    return Scene(about=about(env), params=params, effects=table.count, lose=lose, reach=connections)


async def statement_with_undo(env: Env) -> Scene:
    """Its author vouches that twice is once, and says what makes up for it."""
    table = await Table.make(env)
    connections, lose = await table.reach(env)
    insert = "INSERT INTO done SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM done WHERE n = $1)"
    params = {
        "connection": "db",
        "statement": insert,
        "arguments": [7],
        "repeat": "safe",
        "undo_statement": "DELETE FROM done WHERE n = $1",
        "undo_arguments": [7],
    }

    async def undone() -> None:
        assert await table.count() == 0

    return Scene(
        about=about(env),
        params=params,
        effects=table.count,
        lose=lose,
        undone=undone,
        reach=connections,
    )


# -- Sentinels


async def failover(env: Env) -> Scene:
    folder: Path = env.fixture("tmp_path")
    processes: Processes = env.fixture("processes")
    site = SentinelSite(folder, processes)
    env.site.patience = 60.0
    env.stack.callback(site.stop)
    await site.start()
    outside = Outside(OutsideSettings(redis={"cache": RedisPeer(sentinels=site.addresses, master=MASTER)}))
    first = site.epoch()
    ask = outside.redis

    async def redis(connection: str, command: Any, *, address: str) -> Any:
        return await ask(connection, command, address=address)

    def lose(after: bool) -> None:
        async def lost(connection: str, command: Any, *, address: str) -> Any:
            if command[:2] != ["SENTINEL", "FAILOVER"]:
                return await redis(connection, command, address=address)
            outside.redis = redis  # type: ignore[method-assign]
            if after:
                await redis(connection, command, address=address)
            raise OutcomeUnknown("the connection was lost")

        outside.redis = lost  # type: ignore[method-assign]

    async def effects() -> int:
        # While one is under way its epoch is not the configuration's yet.
        async def settled() -> bool:
            return not site.failing_over()

        await until(settled, seconds=60, what="the failover's end")
        return site.epoch() - first

    async def by_hand() -> None:
        RedisServer.at(site.ports[0]).call("SENTINEL", "FAILOVER", MASTER)

        async def over() -> bool:
            return site.epoch() > first and not site.failing_over()

        await until(over, seconds=60, what="the failover by hand")

    return Scene(
        about=about(env),
        # The old primary joins again after the Sentinels' own eight seconds: not waited for here.
        params={"connection": "cache", "replicas": 1},
        meddle=by_hand,
        effects=effects,
        lose=lose,
        reach=Reach(env.site.cluster, SystemClock(), outside),
    )


# -- HTTP


class Site:
    """A service that keeps what it is told, and counts how often that changed something."""

    def __init__(self, server: ScriptedKube) -> None:
        self.server = server
        self.state: dict[str, str] = {}
        self.changes = 0
        self.losing: list[bool] = []
        server.script(self.answer)

    @classmethod
    async def open(cls, env: Env) -> Site:
        return cls(await env.stack.enter_async_context(scripted_kube()))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.losing and not self.losing.pop():
            return await reset(request)
        path, body = request.path, (await request.read()).decode()
        if request.method == "POST":
            self.changes += 1
            name = str(next(_numbers))
            self.state[f"{path}/{name}"] = body
        elif self.state.get(path) != body or request.method == "DELETE":
            self.changes += 1
            self.state[path] = body
            name = path.rpartition("/")[2]
        else:
            name = path.rpartition("/")[2]
        if request.method == "DELETE":
            self.state.pop(path, None)
        if self.losing_reply:
            self.losing_reply = False
            return await reset(request)
        return await ok({"id": name})(request)

    losing_reply = False

    def lose(self, after: bool) -> None:
        if after:
            self.losing_reply = True
        else:
            self.losing = [False]

    async def count(self) -> int:
        return self.changes

    def scene(self, env: Env, params: dict[str, Any], **more: Any) -> Scene:
        connections = reach(env, allowed=(self.server.url,))
        return Scene(
            about=about(env),
            params=params,
            effects=self.count,
            lose=self.lose,
            reach=connections,
            **more,
        )


async def post(env: Env) -> Scene:
    site = await Site.open(env)
    return site.scene(env, {"url": f"{site.server.url}/admin/rebuild-index", "json": {"index": "orders"}})


async def probe(env: Env) -> Scene:
    site = await Site.open(env)
    return site.scene(env, {"url": f"{site.server.url}/subscriptions", "json": {"callback": "x"}})


async def put(env: Env) -> Scene:
    site = await Site.open(env)
    url = f"{site.server.url}/flags/read-only"

    async def undone() -> None:
        assert site.state == {}

    return site.scene(
        env, {"method": "PUT", "url": url, "body": "on", "undo": {"method": "DELETE", "url": url}}, undone=undone
    )


async def incident(env: Env) -> Scene:
    site = await Site.open(env)
    return site.scene(env, {"url": f"{site.server.url}/api/incidents", "title": "API issues"})


async def update(env: Env) -> Scene:
    site = await Site.open(env)
    return site.scene(env, {"url": f"{site.server.url}/api/incidents", "id": "i-7", "status": "resolved"})


# -- containers


async def in_a_pod(env: Env) -> Scene:
    ref = await env.site.deploy()
    connections = reach(env, exec_allow=(("echo", "..."), ("hostname",)))

    def lose(after: bool) -> None:
        env.site.proxy.faults.cut(path="/exec", after=after)

    return Scene(
        about=ref,
        params={"command": ["echo", "hello"]},
        meddle=lambda: gone(env),
        effects=lambda: commands(env),
        lose=lose,
        reach=connections,
    )


async def gone(env: Env) -> None:
    await env.site.send("DELETE", env.site.path("deployments", "web"))

    async def no_pod() -> bool:
        return not await env.site.cluster.list("v1", "Pod", env.site.namespace)

    await env.site.until(no_pod)


async def commands(env: Env) -> int:
    return sum(entry.path.endswith("/exec") and bool(entry.upstream_status) for entry in env.site.proxy.requests)


# -- commands of the host


class Counter:
    """A program that writes one line each time it runs."""

    def __init__(self, folder: Path) -> None:
        self._place = folder / f"ran-{next(_numbers)}"
        script = f'echo "$1" >> {self._place}'
        self.peer = CommandPeer(run=("/bin/sh", "-c", script, "sh"), arguments=("[a-z]+",))

    async def count(self) -> int:
        return len(self._place.read_text().splitlines()) if self._place.exists() else 0


async def program(env: Env) -> Scene:
    counter = Counter(env.fixture("tmp_path"))
    outside = Outside(OutsideSettings(commands={"flush": counter.peer}))
    run = outside.command

    def lose(after: bool) -> None:
        async def lost(name: str, arguments: Any, *, deadline: float) -> Any:
            outside.command = run  # type: ignore[method-assign]
            if after:
                await run(name, arguments, deadline=deadline)
            raise OutcomeUnknown("the program was killed")

        outside.command = lost  # type: ignore[method-assign]

    return Scene(
        about=about(env),
        params={"command": "flush", "arguments": ["shop"]},
        effects=counter.count,
        lose=lose,
        reach=Reach(env.site.cluster, SystemClock(), outside),
    )


# -- channels


async def message(env: Env) -> Scene:
    server = await env.stack.enter_async_context(scripted_kube())
    server.script(ok({}))
    url = server.url.replace("http://", "json://")
    connections = reach(env, channels={"on-call": Channel(url=url)})

    async def sent() -> int:
        # Twice the same is what people see as one.
        return len({(told["title"], told["message"]) for told in map(json.loads, server.bodies)})

    return Scene(
        about=about(env),
        params={"channel": "on-call", "title": "rolling back"},
        effects=sent,
        lose=None,
        blind=True,
        reach=connections,
    )


BEYOND = ("look",)
"""What it is about is not in the cluster."""
SENT = (*BEYOND, "meddle")
"""And it is only sent there: nobody can get in its way."""
CASES = (
    Case(action="sql", prepare=statement, lacks=SENT),
    Case(
        action="sql",
        variant="with-undo",
        prepare=statement_with_undo,
        lacks=SENT,
        make=declared(Sql, Repeat.SAFE, Undo.COMPENSATING),
    ),
    Case(action="sentinel_failover", prepare=failover, lacks=BEYOND),
    Case(action="http_call", prepare=post, lacks=SENT),
    Case(action="http_probe", prepare=probe, lacks=SENT),
    Case(
        action="http_call",
        variant="put",
        prepare=put,
        lacks=SENT,
        make=declared(HttpCall, Repeat.SAFE, Undo.COMPENSATING),
    ),
    Case(action="status_page", prepare=incident, lacks=SENT),
    Case(
        action="status_page",
        variant="update",
        prepare=update,
        lacks=SENT,
        make=declared(StatusPage, Repeat.SAFE, Undo.NONE),
    ),
    Case(action="exec", prepare=in_a_pod, needs=("controllers", "exec"), lacks=BEYOND),
    Case(action="command", prepare=program, lacks=SENT),
    # A message that is lost is told in the result: there is nothing to settle.
    Case(action="notify", prepare=message, lacks=(*SENT, "loss")),
)
