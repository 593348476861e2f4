"""What scenes of shipped runbooks share; servers that take a while to start are started once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.processes import Processes
from tests.support.redis import RedisServer
from tests.support.scenes.shipped import shipped
from tests.support.scenes.theatre import Theatre
from tests.support.sentinel import SentinelSite


@pytest.fixture
def theatre(redis_server: RedisServer, tmp_path: Path, quiet_log: None) -> Theatre:
    """A theatre without Sentinels and databases: what asks for them gets no answer."""
    return Theatre(redis_server, tmp_path)


@pytest.fixture(scope="session")
def sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSite]:
    """A primary, two replicas and three Sentinels, all well: leave them so."""
    folder = tmp_path_factory.mktemp("sentinels")
    running = Processes(folder)
    site = SentinelSite(folder, running)
    try:
        asyncio.run(site.start())
        yield site
    finally:
        site.stop()
        running.close()


@pytest.fixture
def with_sentinels(theatre: Theatre, sentinels: SentinelSite) -> Theatre:
    """A theatre in which every `redis_peers` leads to a Redis that is well."""
    theatre.sentinels = sentinels
    theatre.other_redis = sentinels.primary
    return theatre


@pytest.fixture(scope="session")
def databases(postgres: PostgresServer) -> PostgresServer:
    """A PostgreSQL with every database that config/ names."""

    async def make() -> None:
        admin = await postgres.connect()
        try:
            for name in sorted({each.database for each in shipped().settings.sql.values()}):
                await admin.execute(f'CREATE DATABASE "{name}"')
        finally:
            await admin.close()

    asyncio.run(make())
    return postgres


@pytest.fixture
def with_postgres(theatre: Theatre, databases: PostgresServer) -> Theatre:
    """A theatre in which every `sql` of config/ leads to its database, empty, of a real server."""
    theatre.postgres = {"host": "127.0.0.1", "port": databases.port, "user": USER, "password": PASSWORD}
    return theatre
