"""What scenes of shipped runbooks share; servers that take a while to start are started once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.actions import waiting
from tests.support.postgres import PASSWORD, USER, PostgresServer
from tests.support.processes import Processes
from tests.support.redis import RedisServer
from tests.support.scenes.shipped import shipped
from tests.support.scenes.theatre import Theatre
from tests.support.sentinel import SentinelSite


@pytest.fixture
def theatre(
    request: pytest.FixtureRequest,
    redis_server: RedisServer,
    tmp_path: Path,
    quiet_log: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Theatre:
    """A theatre with the servers that the scene needs; what asks for others gets no answer."""
    # Nothing happens in a cluster whose time is moved while somebody watches it.
    monkeypatch.setattr(waiting, "MOMENT", 0.02)
    # The names that ship are those of nobody: they are not looked up.
    monkeypatch.setattr(socket, "getaddrinfo", _only_here)
    made = Theatre(redis_server, tmp_path)
    needs = request.node.callspec.params["scene"].needs if hasattr(request.node, "callspec") else ""
    if "sentinels" in needs:
        made.sentinels = request.getfixturevalue("own_sentinels" if "own" in needs else "sentinels")
        made.other_redis = made.sentinels.primary
    if "postgres" in needs:
        port = request.getfixturevalue("databases").port
        made.postgres = {"host": "127.0.0.1", "port": port, "user": USER, "password": PASSWORD}
    return made


_lookup = socket.getaddrinfo


def _only_here(host: Any, *args: Any, **more: Any) -> Any:
    """Look up this host alone."""
    if host not in (None, "localhost", "127.0.0.1", "::1", b"localhost", b"127.0.0.1"):
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is of no concern to a test")
    return _lookup(host, *args, **more)


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
def own_sentinels(tmp_path: Path) -> Iterator[SentinelSite]:
    """The same with a replica more, for one scene alone, which breaks them."""
    folder = tmp_path / "own-sentinels"
    folder.mkdir()
    running = Processes(folder)
    site = SentinelSite(folder, running, replicas=3)
    try:
        asyncio.run(site.start())
        yield site
    finally:
        site.stop()
        running.close()


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
