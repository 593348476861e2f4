"""Statements to a real PostgreSQL: what comes back, what is refused, and what is not known afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import CircuitOpen, Hung, InvalidInput, OutcomeUnknown, PermanentError, TemporaryError, Unreachable
from bridge.model.outside import SqlReply
from bridge.outside.options import OutsideSettings, SqlPeer
from bridge.outside.reach import Outside
from tests.support.breakers import MemoryBreakers
from tests.support.clock import FakeClock
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.processes import free_port, until
from tests.support.valve import open_valve

Ask = Callable[..., Any]


class Database:
    """One fresh database behind an Outside."""

    def __init__(self, server: PostgresServer, name: str) -> None:
        self.server = server
        self.name = name
        self.peers: dict[str, SqlPeer] = {"db": server.peer(name)}

    async def ask(self, statement: str, *arguments: Any, deadline: float = 10.0, peer: str = "db") -> SqlReply:
        outside = Outside(OutsideSettings(sql=self.peers))
        return await outside.sql(peer, statement, arguments, deadline=deadline)

    async def value(self, statement: str, *arguments: Any) -> Any:
        reply = await self.ask(statement, *arguments)
        return reply.rows[0]["value"]


@pytest.fixture
async def database(postgres: PostgresServer) -> Database:
    return Database(postgres, await postgres.new_database())


async def test_rows_come_back_as_plain_values(database: Database) -> None:
    reply = await database.ask(
        "SELECT 1 AS int, 2.5::numeric AS part, sum(g) AS whole, true AS yes, NULL AS none, 'x' AS text,"
        " '2024-05-01 12:00+00'::timestamptz AS at, interval '90 s' AS span, ARRAY[1,2] AS list,"
        " 'NaN'::float8 AS nan, '10.0.0.1'::inet AS host, '\\xff'::bytea AS bytes, 1e40::numeric AS large"
        " FROM generate_series(1::bigint, 3) g"
    )
    assert dict(reply.rows[0]) == {
        "int": 1,
        "part": 2.5,
        "whole": 6,
        "yes": True,
        "none": None,
        "text": "x",
        "at": "2024-05-01T12:00:00+00:00",
        "span": 90.0,
        "list": [1, 2],
        "nan": None,
        "host": "10.0.0.1",
        "bytes": "ff",
        "large": 1e40,
    }
    assert (reply.status, reply.truncated) == ("SELECT 1", False)


async def test_an_answer_is_bounded(database: Database) -> None:
    reply = await database.ask("SELECT repeat('x', 100000) AS text FROM generate_series(1, 1000)")
    assert reply.truncated
    assert len(reply.rows) == 200
    assert len(reply.rows[0]["text"]) == 2000


async def test_a_write_says_how_many_rows_it_met(database: Database) -> None:
    await database.ask("CREATE TABLE t (n int)")
    assert (await database.ask("INSERT INTO t SELECT generate_series(1, 3)")).status == "INSERT 0 3"
    assert (await database.ask("UPDATE t SET n = n + $1 WHERE n > $2", 10, 1)).status == "UPDATE 2"


@pytest.mark.parametrize("hostile", ["'; DROP TABLE t; --", "--kubeconfig=/x", ";rm -rf", "$1", "\\"])
async def test_an_argument_is_a_value_and_never_text_of_the_statement(database: Database, hostile: str) -> None:
    """Fault 43."""
    await database.ask("CREATE TABLE t (s text)")
    await database.ask("INSERT INTO t VALUES ($1)", hostile)
    assert await database.value("SELECT s AS value FROM t") == hostile
    with pytest.raises(PermanentError, match="multiple commands"):
        await database.ask("SELECT 1; DROP TABLE t")
    assert await database.value("SELECT count(*) AS value FROM t") == 1


async def test_the_statements_of_the_runbooks_work(database: Database) -> None:
    idle = await database.server.connect(database.name)
    try:
        gone = await database.ask(
            "SELECT pg_terminate_backend(pid) AS gone FROM pg_stat_activity WHERE datname = current_database()"
            " AND state = 'idle' AND state_change <= now() - make_interval(mins => $1) AND pid <> pg_backend_pid()",
            0,
        )
        assert [dict(row) for row in gone.rows] == [{"gone": True}]

        async def closed() -> bool:
            return idle.is_closed()

        await until(closed, what="the idle connection being ended")
    finally:
        idle.terminate()
    assert (await database.ask("ALTER SYSTEM SET max_connections = 200")).status == "ALTER SYSTEM"
    assert (await database.ask("ALTER SYSTEM RESET max_connections")).status == "ALTER SYSTEM"
    await database.ask("CREATE TABLE t (n int)")
    await database.ask("CREATE INDEX i ON t (n)")
    assert (await database.ask("REINDEX INDEX CONCURRENTLY i")).status == "REINDEX"
    assert (await database.ask("VACUUM t")).status == "VACUUM"


async def test_a_statement_that_only_reads_cannot_write(database: Database) -> None:
    await database.ask("CREATE TABLE t (n int)")
    outside = Outside(OutsideSettings(sql=database.peers))
    with pytest.raises(PermanentError, match="read-only"):
        await outside.sql("db", "INSERT INTO t VALUES (1)", (), deadline=10, read_only=True)
    assert (await outside.sql("db", "SELECT * FROM t", (), deadline=10, read_only=True)).status == "SELECT 0"


async def test_what_the_server_refuses_is_final_and_says_why(database: Database) -> None:
    with pytest.raises(PermanentError, match=r"no_such_table.*42P01"):
        await database.ask("SELECT * FROM no_such_table")
    with pytest.raises(PermanentError, match=r"argument \$1"):
        await database.ask("SELECT $1::int AS value", "seven")
    with pytest.raises(PermanentError, match="2 arguments, 1"):
        await database.ask("SELECT $1::int + $2::int", 1)
    with pytest.raises(InvalidInput, match="`sql`"):
        await database.ask("SELECT 1", peer="other")


async def test_a_wrong_password_is_final_and_is_not_told(database: Database) -> None:
    right = database.peers["db"]
    database.peers["wrong"] = SqlPeer(
        host=right.host, port=right.port, database=right.database, user=USER, password="wr0ng-s3cret"
    )
    database.peers["dsn"] = SqlPeer(dsn=f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{right.port}/{right.database}")
    database.peers["bad"] = SqlPeer(dsn=f"postgresql://{USER}:{PASSWORD}@127.0.0.1:x1/{right.database}?sslmode=odd")
    assert (await database.ask("SELECT 1", peer="dsn")).status == "SELECT 1"
    for peer in ("wrong", "bad"):
        with pytest.raises(PermanentError) as caught:
            await database.ask("SELECT 1", peer=peer)
        assert "s3cret" not in str(caught.value)
    assert "s3cret" not in repr(database.peers)


async def test_without_a_connection_nothing_was_sent(database: Database) -> None:
    database.peers["db"] = database.server.peer(port=free_port())
    with pytest.raises(Unreachable):
        await database.ask("SELECT 1")


async def test_a_server_that_hangs_while_connecting_is_temporary(database: Database) -> None:
    """Fault 23."""
    async with open_valve(database.server.port) as valve:
        valve.close_back()
        database.peers["db"] = database.server.peer(port=valve.port, connect=0.2)
        with pytest.raises(Hung):
            await database.ask("SELECT 1")


async def test_a_statement_without_an_answer_is_an_unknown_outcome(database: Database) -> None:
    """Faults 4 and 23: it was carried out, and nobody knows it."""
    await database.ask("CREATE TABLE t (n int)")
    async with open_valve(database.server.port) as valve:
        database.peers["db"] = database.server.peer(database.name, port=valve.port)
        asked = asyncio.create_task(database.ask("INSERT INTO t SELECT 1 FROM pg_sleep(0.5)", deadline=5))

        async def running() -> bool:
            admin = await database.server.connect(database.name)
            found = await admin.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO t%' AND state = 'active'"
            )
            await admin.close()
            return bool(found)

        await until(running)
        valve.sever()
        with pytest.raises(OutcomeUnknown, match="ended while"):
            await asked


async def test_a_statement_beyond_its_deadline_is_cancelled_by_the_server(database: Database) -> None:
    await database.ask("CREATE TABLE t (n int)")
    with pytest.raises(PermanentError, match="cancelled"):
        await database.ask("INSERT INTO t SELECT 1 FROM pg_sleep(30)", deadline=0.3)
    assert await database.value("SELECT count(*) AS value FROM t") == 0


async def test_a_backend_that_is_terminated_leaves_the_outcome_unknown(database: Database) -> None:
    with pytest.raises(OutcomeUnknown):
        await database.ask("SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(1)")


async def test_too_many_connections_pass(database: Database) -> None:
    """53300 is the very trouble that a runbook is there for: try again, don't give up."""
    admin = await database.server.connect()
    await admin.execute("CREATE ROLE few LOGIN PASSWORD 'p' CONNECTION LIMIT 0")
    try:
        database.peers["few"] = SqlPeer(
            host="127.0.0.1", port=database.server.port, database=database.name, user="few", password="p"
        )
        with pytest.raises(TemporaryError, match="too many connections"):
            await database.ask("SELECT 1", peer="few")
    finally:
        await admin.execute("DROP ROLE few")
        await admin.close()


async def test_a_database_that_hangs_is_left_alone_for_a_while(database: Database) -> None:
    """Fault 22: the breaker opens for it, and for nothing else."""
    clock = FakeClock()
    async with open_valve(database.server.port) as valve:
        valve.close_back()
        peers = {"sick": database.server.peer(port=valve.port, connect=0.05), "well": database.server.peer()}
        outside = Outside(OutsideSettings(sql=peers), breakers=MemoryBreakers(clock), clock=clock)
        for _ in range(5):
            with pytest.raises(Hung):
                await outside.sql("sick", "SELECT 1", (), deadline=1)
        with pytest.raises(CircuitOpen):
            await outside.sql("sick", "SELECT 1", (), deadline=1)
        assert (await outside.sql("well", "SELECT 1", (), deadline=5)).status == "SELECT 1"


async def test_no_connection_of_ours_stays_at_the_server(database: Database) -> None:
    await database.ask("SELECT 1")

    async def none_left() -> bool:
        admin = await database.server.connect()
        try:
            found = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'alertbridge' AND datname = $1"
            return not await admin.fetchval(found, database.name)
        finally:
            await admin.close()

    await until(none_left)
