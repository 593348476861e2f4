"""What the scenes of the Python services share: a service that is called `pricing`, and its database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import asyncpg

from tests.support.scenes.scene import State
from tests.support.scenes.world import app

NAMESPACE = "python-services"
GOOD, BAD = "soba-dex/python-services:2.0.0", "soba-dex/python-services:2.1.0-bad"
DEPLOYMENT = "deployments.apps/pricing"
TEMPLATE = f"{DEPLOYMENT} spec.template"
IMAGE = f"{TEMPLATE}.spec.containers[0].image"
RESOURCES = f"{TEMPLATE}.spec.containers[0].resources"
REPLICAS = f"{DEPLOYMENT} spec.replicas"
READY = f"{DEPLOYMENT} status.readyReplicas"
RESTARTED = f"{TEMPLATE}.metadata.annotations.kubectl\\.kubernetes\\.io/restartedAt"
DOWN = (503, "down")
PRICING = {"deployment": "pricing"}
ERRORS = "http_requests_total"
API = {"api": "${http}/api"}


def pricing(**more: Any) -> State:
    """A service of three pods, healthy at 8001."""
    given = {"image": GOOD, "ports": {"http": 8001}, "services": ["pricing-service"], **more}
    return app("pricing", NAMESPACE, **given)


def database(*statements: str, stuck: bool = False, idle: int = 0, slow: bool = False) -> Callable[[Any], Any]:
    """A database in which a query may run for 40 minutes, statements may be slow, and connections may be taken.

    Views stand before the server's own, since nobody waits for 40 minutes: the runbook's statements are played as
    they ship, and end the real session.
    """

    async def run(playing: Any) -> None:
        there = playing.theatre.postgres
        asleep = await asyncpg.connect(**there, database=DATABASE_NAME, server_settings={"application_name": "stuck"})
        admin = await asyncpg.connect(**there, database=DATABASE_NAME)
        try:
            await admin.execute(
                f"ALTER ROLE {there['user']} IN DATABASE {DATABASE_NAME} SET search_path = public, pg_catalog"
            )
            await admin.execute("DROP VIEW IF EXISTS public.pg_stat_activity, public.pg_stat_statements")
            more = f"{_ACTIVITY} UNION ALL {_IDLE} FROM generate_series(1, {idle})"
            await admin.execute(f"CREATE VIEW public.pg_stat_activity AS {more}")
            if slow:
                await admin.execute(f"CREATE VIEW public.pg_stat_statements AS {_SLOW}")
            for statement in statements:
                await admin.execute(statement)
        finally:
            await admin.close()
        if stuck:
            playing.asleep = asyncio.create_task(_sleep(asleep))
            await asyncio.sleep(0.02)
        else:
            await asleep.close()

    return run


DATABASE_NAME = "soba_dex"
_ACTIVITY = """
    SELECT datname, pid, usename, application_name, backend_type, state, query,
    query_start - CASE WHEN application_name = 'stuck' THEN interval '40 minutes' ELSE interval '0' END AS query_start
    FROM pg_catalog.pg_stat_activity"""
_IDLE = "SELECT 'soba_dex', 0, 'web', '', 'client backend', 'idle', '', now()"
_SLOW = """
    SELECT 'SELECT * FROM prices' AS query, 10 AS calls, 25000.0::float8 AS total_exec_time,
    2500.0::float8 AS mean_exec_time"""


async def _sleep(connection: asyncpg.Connection[Any]) -> None:
    """Sleep in the database until somebody ends it."""
    with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError):
        await connection.execute("SELECT pg_sleep(30)")
        raise AssertionError("nobody ended the query")
