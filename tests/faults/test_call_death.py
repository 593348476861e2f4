"""Workers that are killed in the midst of a call that nobody may repeat. Real processes, real signals, real programs.

What an action does beyond the cluster counts itself: a line in a file, a row in a table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import Installation, Redis, Server, holder_of, start_redis
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.processes import Processes, until
from tests.support.workshop import Workshop, open_workshop

WEB = {"namespace": "shop", "deployment": "web"}


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    async with open_workshop() as workshop:
        yield workshop


@pytest.fixture
async def redis(processes: Processes) -> Redis:
    return await start_redis(processes)


def calling(step: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": "test/call",
        "summary": "Call something.",
        "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
        "scenarios": [{"name": "always", "otherwise": True, "steps": [step]}],
    }


def waiting(ran: Path, gate: Path) -> str:
    """Return a script that tells once that it runs, and ends when the gate is there."""
    return f"echo once >> {ran}; n=0; while [ ! -e {gate} ] && [ $n -lt 600 ]; do n=$((n+1)); sleep 0.05; done"


def installation(
    processes: Processes, shop: Workshop, redis: Redis, step: dict[str, Any], **settings: Any
) -> Installation:
    # A call that nothing undoes needs the route's leave.
    route = {"runbook": "test/call", "mode": "auto", "allow_irreversible": True}
    return Installation(
        processes,
        kubernetes=shop.url,
        redis=redis.url,
        runbooks=[calling(step)],
        alerts={"GatewayDown": route},
        **settings,
    )


async def killed_meanwhile(servers: list[Server]) -> dict[str, Any]:
    """Kill the worker that is at it; return what the other one made of it."""
    first = await holder_of(servers)
    first.process.kill()
    second = next(server for server in servers if server is not first)
    return await second.outcome()


async def test_a_program_whose_worker_was_killed_is_not_run_again(
    processes: Processes, shop: Workshop, redis: Redis, tmp_path: Path
) -> None:
    """Fault 4: an action that can't be repeated ends as unknown, escalated."""
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    script = waiting(ran, gate)
    settings = {"commands": {"slow": {"run": ["/bin/sh", "-c", script]}}}
    step = {"action": "command", "with": {"command": "slow"}}
    servers = await installation(processes, shop, redis, step, **settings).start_some(2)
    await servers[0].fire("GatewayDown", **WEB)

    async def running() -> bool:
        return ran.exists()

    await until(running, what="the program")
    done = await killed_meanwhile(servers)
    # A killed worker leaves its program behind: that is why nobody knows.
    gate.touch()
    assert (done["outcome"], done["reason"], done["escalated"]) == ("unknown", "write_unknown", True), done["detail"]
    assert ran.read_text() == "once\n"


async def test_a_statement_whose_worker_was_killed_is_not_run_again(
    processes: Processes, shop: Workshop, redis: Redis, postgres: PostgresServer
) -> None:
    """Fault 4, at a database: the statement goes on there by itself."""
    name = await postgres.new_database()
    watcher = await postgres.connect(name)
    try:
        await watcher.execute("CREATE TABLE done (n int)")
        dsn = f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/{name}?sslmode=disable"
        step = {
            "action": "sql",
            "with": {"connection": "db", "statement": "INSERT INTO done SELECT 1 FROM pg_sleep(1.5)"},
        }
        made = installation(processes, shop, redis, step, sql={"db": {"dsn_file": "dsn"}})
        (made.folder / "dsn").write_text(dsn)
        servers = await made.start_some(2)
        await servers[0].fire("GatewayDown", **WEB)

        async def running() -> bool:
            active = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO done%' AND state = 'active'"
            return bool(await watcher.fetchval(active))

        await until(running, what="the statement")
        done = await killed_meanwhile(servers)
        assert (done["outcome"], done["escalated"]) == ("unknown", True), done["detail"]

        async def over() -> bool:
            return not await running()

        await until(over, what="the statement's end")
        assert await watcher.fetchval("SELECT count(*) FROM done") <= 1
        alive = next(server for server in servers if server.process.returncode is None)
        assert PASSWORD not in str(await alive.journal(done["id"]))
        assert all(PASSWORD not in server.process.output for server in servers)
    finally:
        await watcher.close()


async def test_a_program_whose_worker_was_frozen_ends_as_unknown_whatever_it_says_later(
    processes: Processes, shop: Workshop, redis: Redis, tmp_path: Path
) -> None:
    """Fault 5: frozen past its claim and thawed, it finds its claim gone and records nothing."""
    ran, gate = tmp_path / "ran", tmp_path / "gate"
    script = waiting(ran, gate)
    settings = {"commands": {"slow": {"run": ["/bin/sh", "-c", script]}}}
    step = {"action": "command", "with": {"command": "slow"}}
    servers = await installation(processes, shop, redis, step, **settings).start_some(2)
    await servers[0].fire("GatewayDown", **WEB)

    async def running() -> bool:
        return ran.exists()

    await until(running, what="the program")
    first = await holder_of(servers)
    first.process.freeze()
    second = next(server for server in servers if server is not first)
    done = await second.outcome()
    assert (done["outcome"], done["escalated"]) == ("unknown", True), done["detail"]
    first.process.thaw()
    gate.touch()

    async def let_go() -> bool:
        return await first.figure("alertbridge_leases_lost_total") == 1

    await until(let_go, what="the thawed worker letting go")
    assert (await second.remediations())[0] == done
    assert ran.read_text() == "once\n"
