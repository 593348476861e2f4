"""A real PostgreSQL for tests: Debian's, on a loopback port, in a folder that goes with it.

It refuses to run as root, so there it runs as the package's user. One server a session; a test takes a database of
its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

from bridge.outside.options import SqlPeer
from tests.support.need import need
from tests.support.processes import free_port

USER = "bridge"
PASSWORD = "p0stgres-s3cret"

_FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB", "max_connections=30")
_numbers = itertools.count()


class PostgresServer:
    """One server with one role, `USER`, who may do everything and logs in with `PASSWORD`."""

    def __init__(self) -> None:
        self.port = free_port()
        self._programs = Path(need("initdb")).resolve().parent
        self._user = "postgres" if os.geteuid() == 0 else None
        # Not pytest's folder: the server's user could not enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="alertbridge-postgres-"))
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster and start it. Raises AssertionError with the log when it does not come up."""
        (self._folder / "password").write_text(PASSWORD)
        if self._user:
            for path in (self._folder, self._folder / "password"):
                shutil.chown(path, self._user)
        init = [f"--username={USER}", f"--pwfile={self._folder}/password", "--auth=scram-sha-256", "--no-sync"]
        made = subprocess.run(
            [self._programs / "initdb", "-D", self._data, "-E", "UTF8", "--locale=C", *init],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        options = [part for each in _FAST for part in ("-c", each)]
        where = ["-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._folder)]
        with (self._folder / "log").open("wb") as log:
            self._popen = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *where, *options],
                user=self._user,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while not self._answers():
            text = (self._folder / "log").read_text(errors="replace")
            assert self._popen.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.02)

    def _answers(self) -> bool:
        probe = [self._programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(probe, check=False).returncode == 0

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def stop(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            # SIGQUIT: immediate shutdown; nothing in it is to be kept.
            self._popen.send_signal(signal.SIGQUIT)
            self._popen.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def connect(self, database: str = "postgres") -> asyncpg.Connection:
        """Return a connection of the test's own."""
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database=database, ssl="disable"
        )

    async def new_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test{next(_numbers)}"
        admin = await self.connect()
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        finally:
            await admin.close()
        return name

    def peer(self, database: str = "postgres", *, port: int | None = None, connect: float = 5.0) -> SqlPeer:
        """Return the settings that lead to a database of it; `port` of a valve before it."""
        return SqlPeer(
            host="127.0.0.1",
            port=port or self.port,
            database=database,
            user=USER,
            password=PASSWORD,
            connect=connect,
        )
