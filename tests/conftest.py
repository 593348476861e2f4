"""Fixtures for every kind of test. Helpers that are not fixtures live in tests/support."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from tests.support.need import missing, need
from tests.support.postgres import PostgresServer
from tests.support.processes import Processes
from tests.support.redis import OpenStores, RedisServer, fresh_options

# No example has a time limit: a busy machine is no mistake. CI tries the same examples each time, so that what it
# says is about the change; new ones are looked for on laptops.
_SLOW = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("laptop", deadline=None, suppress_health_check=_SLOW)
hypothesis.settings.register_profile(
    "ci", deadline=None, suppress_health_check=_SLOW, derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "laptop")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start real programs with it; they are ended with the test, however it ends."""
    running = Processes(tmp_path)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The newest redis-server here, shared by all tests: do not break it, and use an installation of your own."""
    yield from _running(RedisServer(tmp_path_factory.mktemp("redis")))


@pytest.fixture(scope="session", params=["system", "wheel"])
def each_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """The same for every version that we have: tests of the stores run on each."""
    yield from _running(RedisServer(tmp_path_factory.mktemp("redis"), which=request.param))


@pytest.fixture
async def opened(each_redis: RedisServer) -> AsyncIterator[OpenStores]:
    """Opens stores of one fresh installation on every version of Redis."""
    stores = OpenStores(fresh_options(each_redis.url, claim=0.3))
    try:
        yield stores
    finally:
        await stores.close()


def _running(server: RedisServer) -> Iterator[RedisServer]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, shared by all tests: take a database of your own."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def noting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that, preloaded, notes what a process makes the disk keep (tests/support/synced.c)."""
    built = tmp_path_factory.mktemp("noting") / "synced.so"
    source = Path(__file__).parent / "support" / "synced.c"
    compiler = need("gcc")
    compiled = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", built, source, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if compiled.returncode:
        # A compiler without the C library's headers is as good as none.
        missing(f"gcc cannot compile (Debian: apt-get install gcc libc6-dev): {compiled.stderr[-500:]}")
    return built


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Put the log's configuration back after a test: what it runs may configure it, as a process does for itself."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """Log nothing: what structlog prints of an exception before it is configured costs more than most tests."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
