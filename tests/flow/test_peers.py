"""Whole runs that reach beyond the cluster: through routing, guards, locks, journal and proof, to real peers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bridge.actions.registry import actions
from bridge.demo.exec import ExecResult
from bridge.demo.workloads import deployment
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.outside.options import OutsideSettings, RedisPeer
from bridge.outside.reach import Outside, Reach
from tests.support.cluster import open_site
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.processes import Processes, free_port
from tests.support.prometheus import start_prometheus
from tests.support.redis import RedisServer
from tests.support.rig import Rig, SoonClock
from tests.support.scripted_kube import ScriptedKube, hang, scripted_kube, status
from tests.support.sentinel import MASTER, SentinelSite
from tests.support.stage import Stage

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as scripted:
        yield scripted


def runbook(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": "test/peers",
        "summary": "Reach beyond the cluster.",
        "target": {"namespace": "${labels.namespace}", "name": "${labels.deployment}"},
        "scenarios": [{"name": "only", "otherwise": True, "steps": list(steps)}],
        **more,
    }


def route(**more: Any) -> dict[str, Any]:
    return {"DbBusy": {"runbook": "test/peers", "mode": "auto", **more}}


async def journal(stage: Stage) -> str:
    (view,) = await stage.runs()
    entries = await stage.stores.journal.read(view.remediation.id)
    return "\n".join(f"{entry.kind}: {entry.text} {entry.data}" for entry in entries)


async def test_idle_connections_are_ended_and_that_is_proved(
    redis_server: RedisServer, tmp_path: Path, postgres: PostgresServer
) -> None:
    name = await postgres.new_database()
    (tmp_path / "dsn").write_text(f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/{name}?sslmode=disable")
    idle = "FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND pid <> pg_backend_pid()"
    count = {"collect": "sql", "with": {"connection": "db", "query": f"SELECT count(*) AS idle {idle}"}}
    step = {
        "action": "sql",
        "with": {
            "connection": "db",
            "statement": f"SELECT pg_terminate_backend(pid) {idle} AND state_change <= now() - $1 * interval '1 min'",
            "arguments": ["${params.minutes}"],
            "repeat": "safe",
        },
    }
    book = runbook(
        step,
        params={"minutes": {"default": 0}},
        evidence={"idle": count},
        verify={"evidence": {"now": count}, "fixed": "evidence.now.rows[0].idle == 0", "within": "20s"},
    )
    sleepers = [await postgres.connect(name) for _ in range(3)]
    try:
        alerts = route(allow_irreversible=True)
        async with Stage.open(
            redis_server, tmp_path, runbooks_too=[book], alerts=alerts, sql={"db": {"dsn_file": "dsn"}}
        ) as stage:
            await stage.fire("DbBusy", deployment="web")
            await stage.settle()
            assert await stage.ends() == [("succeeded", "verified")], await journal(stage)
            assert "SELECT 3" in await journal(stage)
            assert PASSWORD not in await journal(stage)
            assert stage.writes == []
    finally:
        for sleeper in sleepers:
            sleeper.terminate()


async def test_a_setting_for_a_while_restarts_what_reads_it_both_times(
    redis_server: RedisServer, tmp_path: Path, postgres: PostgresServer
) -> None:
    name = await postgres.new_database()
    (tmp_path / "dsn").write_text(f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{postgres.port}/{name}?sslmode=disable")
    step = {
        "action": "sql",
        "until": "10m",
        "with": {
            "connection": "db",
            "statement": "UPDATE setting SET most = 200",
            "undo_statement": "UPDATE setting SET most = 100",
            "repeat": "safe",
            "restart": {"kind": "Deployment", "name": "db"},
        },
    }
    connection = await postgres.connect(name)
    try:
        await connection.execute("CREATE TABLE setting AS SELECT 100 AS most")
        async with Stage.open(
            redis_server, tmp_path, runbooks_too=[runbook(step)], alerts=route(), sql={"db": {"dsn_file": "dsn"}}
        ) as stage:
            stage.cluster.apply(deployment("db", "registry.example/db:1", namespace="shop", replicas=1))
            stage.clock.jump(60)
            await stage.fire("DbBusy", deployment="web")
            await stage.settle()
            for _ in range(3):
                await stage.advance(10)
            assert await stage.ends() == [("succeeded", "verified")], await journal(stage)
            assert (await connection.fetchval("SELECT most FROM setting"), len(stage.writes)) == (200, 1)
            for _ in range(8):
                await stage.advance(120)
            assert (await connection.fetchval("SELECT most FROM setting"), len(stage.writes)) == (100, 2)
    finally:
        await connection.close()


async def test_what_nothing_undoes_needs_leave_and_a_message_needs_none(
    redis_server: RedisServer, tmp_path: Path, server: ScriptedKube
) -> None:
    server.script(answer_ok)
    (tmp_path / "hook").write_text(server.url.replace("http://", "json://"))
    settings = {"notify": {"channels": {"on-call": {"url_file": "hook"}}}, "http": {"hosts": [host(server)]}}
    message = {"action": "notify", "with": {"channel": "on-call", "title": "${labels.deployment} is looked at"}}
    order = {"action": "http_call", "with": {"url": f"{server.url}/admin/rebuild-index"}}
    async with Stage.open(
        redis_server, tmp_path, runbooks_too=[runbook(message, order)], alerts=route(), **settings
    ) as stage:
        await stage.fire("DbBusy", deployment="web")
        await stage.settle()
        assert await stage.ends() == [("denied", Reason.UNDO_NONE.value)], await journal(stage)
        assert json.loads(server.bodies[0])["title"] == "web is looked at"
        assert [path for _, path in server.seen if "admin" in path] == []


async def test_a_message_that_nobody_takes_fails_nothing(
    redis_server: RedisServer, tmp_path: Path, server: ScriptedKube
) -> None:
    """Fault 23: the channel hangs; the remediation goes on."""
    server.script(hang)
    (tmp_path / "hook").write_text(server.url.replace("http://", "json://") + "?rto=1")
    channel = {"url_file": "hook", "timeout": "300ms"}
    message = {"action": "notify", "with": {"channel": "on-call", "title": "looked at"}}
    async with Stage.open(
        redis_server,
        tmp_path,
        runbooks_too=[runbook(message)],
        alerts=route(),
        notify={"channels": {"on-call": channel}},
    ) as stage:
        await stage.fire("DbBusy", deployment="web")
        await stage.settle()
        assert [outcome for outcome, _ in await stage.ends()] == ["succeeded"], await journal(stage)
        assert "not sent" in await journal(stage)


async def test_what_did_not_help_is_made_up_for(
    redis_server: RedisServer, tmp_path: Path, server: ScriptedKube
) -> None:
    flags: dict[str, str] = {}

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            flags[request.path] = await request.text()
        elif request.method == "DELETE":
            flags.pop(request.path, None)
        return web.json_response({"flags": len(flags)})

    server.script(answer)
    url = f"{server.url}/flags/read-only"
    step = {
        "action": "http_call",
        "with": {"method": "PUT", "url": url, "body": "on", "undo": {"method": "DELETE", "url": url}},
    }
    probe = {"collect": "http", "with": {"url": f"{server.url}/health", "contains": "never"}}
    book = runbook(step, verify={"evidence": {"up": probe}, "fixed": "evidence.up.ok", "within": "1s"})
    async with Stage.open(
        redis_server, tmp_path, runbooks_too=[book], alerts=route(), http={"hosts": [host(server)]}
    ) as stage:
        await stage.fire("DbBusy", deployment="web")
        await stage.settle()
        assert await stage.ends() == [("undone", "not_fixed")], await journal(stage)
        assert [method for method, path in server.seen if path == "/flags/read-only"] == ["PUT", "DELETE"]
        assert flags == {}


async def test_an_incident_is_opened_and_resolved_by_the_id_that_it_got(
    redis_server: RedisServer, tmp_path: Path, server: ScriptedKube
) -> None:
    server.script(answer_incident)
    (tmp_path / "token").write_text("t0ken-s3cret")
    url = f"{server.url}/api/incidents"
    common = {"url": url, "secret_headers": {"Authorization": "page"}}
    opened = {"id": "page", "action": "status_page", "with": {**common, "title": "API issues"}}
    closed = {"action": "status_page", "with": {**common, "id": "${steps.page.id}", "status": "resolved"}}
    http = {"hosts": [host(server)], "secrets": {"page": {"secret_file": "token", "prefix": "Bearer "}}}
    async with Stage.open(
        redis_server, tmp_path, runbooks_too=[runbook(opened, closed)], alerts=route(), http=http
    ) as stage:
        await stage.fire("DbBusy", deployment="web")
        await stage.settle()
        assert [outcome for outcome, _ in await stage.ends()] == ["succeeded"], await journal(stage)
        assert server.seen == [("POST", "/api/incidents"), ("PATCH", "/api/incidents/inc-7")]
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer t0ken-s3cret"}
        assert "s3cret" not in await journal(stage)


async def test_a_command_runs_in_a_pod_through_every_guard(redis_server: RedisServer, tmp_path: Path) -> None:
    """Fault 43: the allow-list is the settings' own; a pod's owner is not asked, since nothing of it changes."""
    ran: list[list[str]] = []

    def run(pod: Any, container: str, command: list[str]) -> ExecResult:
        ran.append(command)
        return ExecResult("ok\n")

    step = {"action": "exec", "with": {"command": ["redis-cli", "INFO", "${labels.section}"], "repeat": "safe"}}
    async with Stage.open(
        redis_server,
        tmp_path,
        runbooks_too=[runbook(step)],
        alerts=route(allow_irreversible=True),
        exec={"allow": [["redis-cli", "INFO", "[a-z;= /-]+"]]},
    ) as stage:
        stage.cluster.programs.add(run)
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        for section in ("memory", "x;rm -rf /", "--kubeconfig=/x", "$(id)"):
            await stage.fire("DbBusy", deployment="web", section=section)
            await stage.settle()
            await stage.advance(1200)
        assert ran == [["redis-cli", "INFO", text] for text in ("memory", "x;rm -rf /", "--kubeconfig=/x")]
        assert [outcome for outcome, _ in await stage.ends()][-1] == "failed"


async def test_a_number_from_a_real_prometheus_is_waited_for(processes: Processes) -> None:
    prometheus = await start_prometheus(processes, f"127.0.0.1:{free_port()}")
    async with open_site() as site:
        outside = Outside(OutsideSettings(prometheus=prometheus.url))
        try:
            for query, outcome, reason in (
                ("vector(0.001)", Outcome.SUCCEEDED, Reason.NOTHING_TO_DO),
                ("no_such_metric", Outcome.UNKNOWN, Reason.VERIFICATION_UNKNOWN),
                ("vector(1)", Outcome.FAILED, Reason.NOT_FIXED),
            ):
                rig = Rig(
                    site,
                    actions()["promql_check"],
                    {"query": query, "threshold": 0.01},
                    site.ref("Deployment", "web", "apps/v1"),
                    reach=Reach(site.cluster, SoonClock(), outside),
                )
                site.patience = 1.5
                view = await rig.run()
                assert (view.outcome, view.reason) == (outcome, reason.value), rig.told()
        finally:
            await outside.close()


async def test_an_address_that_comes_up_is_waited_for(server: ScriptedKube) -> None:
    answers = [status(503, "starting"), status(503, "starting"), answer_ok]
    server.script(*answers)
    async with open_site() as site:
        outside = Outside(OutsideSettings(allowed=(server.url,)))
        rig = Rig(
            site,
            actions()["http_check"],
            {"url": f"{server.url}/healthz", "expect_body": "ok"},
            site.ref("Deployment", "web", "apps/v1"),
            reach=Reach(site.cluster, SoonClock(), outside),
        )
        view = await rig.run()
        assert view.outcome is Outcome.SUCCEEDED, rig.told()
        assert [method for method, _ in server.seen] == ["GET"] * 3
        assert site.proxy.mutating() == []
        await outside.close()


async def test_after_a_failover_the_old_primary_is_a_replica_again(tmp_path: Path, processes: Processes) -> None:
    """The Sentinels wait for eight seconds before they make the old primary one."""
    watched = SentinelSite(tmp_path, processes)
    try:
        await watched.start()
        old = watched.primary_now()
        outside = Outside(OutsideSettings(redis={"cache": RedisPeer(sentinels=watched.addresses, master=MASTER)}))
        async with open_site() as site:
            site.patience = 60.0
            rig = Rig(
                site,
                actions()["sentinel_failover"],
                {"connection": "cache"},
                site.ref("Deployment", "web", "apps/v1"),
                reach=Reach(site.cluster, SoonClock(), outside),
            )
            view = await rig.run(stretches=1000)
            assert view.outcome is Outcome.SUCCEEDED, rig.told()
            assert "with 2 of 2 replicas" in "".join(rig.told())
        assert watched.primary_now() != old
        assert watched.primary.info("replication")["role"] == "slave"
    finally:
        watched.stop()


def host(server: ScriptedKube) -> str:
    return server.url.removeprefix("http://")


async def answer_ok(request: web.Request) -> web.StreamResponse:
    return web.json_response({"ok": True})


async def answer_incident(request: web.Request) -> web.StreamResponse:
    return web.json_response({"id": "inc-7"}, status=201 if request.method == "POST" else 200)
