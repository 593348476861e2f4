"""A private redis-server on a unix socket, for one machine without a Redis of its own. Opened by factory.

It is a process of its own and outlives a kill -9 of ours: the next start finds it by its pid file and socket,
checks that it is the one of this data directory, and uses it. When it dies beside us, it is started again. One
`serve` at a time has the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import signal
import socket as sockets
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

import structlog

from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.stores.append_file import has_data, last_file, only_cut
from bridge.stores.options import StoreOptions
from bridge.stores.server_program import find_server
from bridge.stores.sync import Syncer

log = structlog.get_logger(__name__)

SOCKET_PATH = 100
"""Bytes that a socket's path may have: the kernel's limit is 108 on Linux and 104 elsewhere."""
LOADING = 300.0
"""Seconds that reading the append-only file may take."""
ADOPTION = 30.0
"""Seconds in which a server of an earlier run either answers or is gone."""
LOOK = 0.5
"""Seconds between two looks at whether it still runs."""
AGAIN = 5.0
"""Seconds between two attempts to start it again."""
_MARK = "redis.version"
_SOCKET = "redis.sock"
_SERVER_LOCK = "redis.lock"


class EmbeddedRedis:
    """The running server and our hold on its data directory."""

    def __init__(self, folder: Path, socket: Path, lock: IO[str]) -> None:
        self.folder = folder
        self.socket = socket
        self.adopted = False
        self.pid = 0
        self.syncer: Syncer | None = None
        """What makes the disk keep its files; None where Redis does that itself, with `always`."""
        self._watcher: asyncio.Task[None] | None = None
        self._lock = lock
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client connects to."""
        return f"unix://{self.socket}"

    @classmethod
    async def start(cls, options: StoreOptions) -> EmbeddedRedis:
        """Adopt the server of this data directory if it still runs, else start one.

        Raises ConfigurationError (directory in use, no program, damaged or missing data) and StoreUnavailable.
        """
        folder = _folder(options.data_dir)
        lock = _lock(folder)
        try:
            redis = cls(folder, _socket_path(folder), lock)
            if not await redis._adopt():
                await redis._launch(options)
            await redis._keep(options)
        except BaseException:
            lock.close()
            raise
        redis._watcher = asyncio.create_task(redis._watch(options), name="private-redis")
        return redis

    async def _watch(self, options: StoreOptions) -> None:
        """Start it again whenever it has died: nobody else does, and until then every alert is refused."""
        while True:
            await asyncio.sleep(LOOK)
            if self._alive():
                continue
            last = "".join(_Ended(self.folder).log.splitlines()[-1:])
            log.error("the private Redis has died and is started again", pid=self.pid, its_last_words=last[-300:])
            try:
                await self._launch(options)
            except Exception as error:
                log.error("the private Redis does not start", error=str(error))
                await asyncio.sleep(AGAIN)

    async def _adopt(self) -> bool:
        deadline = time.monotonic() + ADOPTION
        # As long as somebody holds that lock a server runs here, be it about to start or to stop.
        while (held := _take(self.folder / _SERVER_LOCK)) is None:
            self.pid = _pid_in(self.folder)
            if _is_ours(self.pid, self.folder):
                with contextlib.suppress(_Ended):
                    await self._until_ready()
                    self.adopted = True
                    log.info("the Redis of an earlier run still runs and is used", pid=self.pid)
                    return True
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    [f"store: a process that is not known holds the data in {self.folder} (see {_SERVER_LOCK} there)"]
                )
            await asyncio.sleep(0.02)
        held.close()
        return False

    async def _launch(self, options: StoreOptions) -> None:
        server, version = await asyncio.to_thread(find_server, options.redis_server)
        _check_data(self.folder, version)
        for truncated in (False, True):
            self._spawn(server, options, truncated=truncated)
            try:
                await self._until_ready()
            except _Ended as ended:
                if truncated or not await asyncio.to_thread(_may_cut, self.folder, server, ended.log):
                    raise ConfigurationError([_why(self.folder, ended)]) from None
                log.warning("the append-only file ends in the midst of a command, as after a power loss: it is cut")
            else:
                break
        (self.folder / _MARK).write_text(f"{version[0]}.{version[1]}\n")
        log.info("private Redis started", pid=self.pid, version=f"{version[0]}.{version[1]}", folder=str(self.folder))

    def _spawn(self, server: str, options: StoreOptions, *, truncated: bool) -> None:
        self.socket.unlink(missing_ok=True)
        (self.folder / "redis.log").unlink(missing_ok=True)
        config = self.folder / "redis.conf"
        config.write_text(_config(self.folder, self.socket, options, truncated=truncated))
        lock = _take(self.folder / _SERVER_LOCK)
        if lock is None:
            raise ConfigurationError([f"store: another Redis was started in {self.folder} just now"])
        # The server inherits the lock, and the kernel frees it with the server: no moment of a crash of ours leads
        # to two servers over the same data. A session of its own: a Ctrl-C must not reach it before we let go.
        self._child = subprocess.Popen(  # noqa: S603 - the program was looked for by us, no shell
            [server, str(config)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock.fileno(),),
        )
        lock.close()
        self.pid = self._child.pid

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + LOADING
        while not await _answers(self.socket):
            if not self._alive():
                raise _Ended(self.folder)
            if time.monotonic() > deadline:
                raise ConfigurationError([f"store: the private Redis in {self.folder} does not answer"])
            await asyncio.sleep(0.005)

    async def _keep(self, options: StoreOptions) -> None:
        """Begin to sync, before anything is answered: nobody knows what an adopted one has on the disk."""
        if self.adopted:
            # It may have been started with another setting, or by a version that left the syncing to it.
            try:
                answer = await _ask(self.socket, f"CONFIG SET appendfsync {_fsync(options)}")
            except (OSError, TimeoutError) as error:
                raise StoreUnavailable(f"the private Redis of an earlier run: {error}") from error
            if not answer.startswith(b"+OK"):
                raise StoreUnavailable(f"the private Redis of an earlier run: {answer.decode(errors='replace')}")
        if options.fsync == "everysec":
            self.syncer = Syncer(self.folder, rewrite=lambda: _have_rewritten(self.socket))
            await self.syncer.start()

    def _alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return _is_ours(self.pid, self.folder)

    async def stop(self) -> None:
        """Shut it down, sync what it wrote last, and free the data directory."""
        try:
            if self._watcher is not None:
                self._watcher.cancel()
                await asyncio.wait([self._watcher])
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(2):
                    reader, writer = await asyncio.open_unix_connection(str(self.socket))
                    writer.write(b"SHUTDOWN\r\n")
                    await reader.read()
                    writer.close()
            if not await self._gone(10.0):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGTERM)
                await self._gone(5.0)
            if self.syncer is not None:
                await self.syncer.stop()
        finally:
            self._lock.close()

    async def _gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._alive():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.01)
        return True


class _Ended(Exception):
    """The server ended before it was ready; `log` is what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.log = ""
        with contextlib.suppress(OSError):
            self.log = (folder / "redis.log").read_text(errors="replace")
        super().__init__(self.log)


def _folder(named: str) -> Path:
    folder = Path(named or "alertbridge-data").resolve()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([f"store: the data directory cannot be made: {error}"]) from None
    return folder


def _lock(folder: Path) -> IO[str]:
    """Take the data directory, or say who has it. The kernel frees it with our process."""
    stream = _take(folder / "lock")
    if stream is None:
        owner = (folder / "lock").read_text().strip() or "unknown"
        raise ConfigurationError(
            [f"store: the data directory {folder} is in use by another alertbridge (pid {owner})"]
        )
    stream.truncate(0)
    stream.write(str(os.getpid()))
    stream.flush()
    return stream


def _take(path: Path) -> IO[str] | None:
    """Return the file with a lock on it, or None when another process has that."""
    stream = path.open("a+")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        stream.close()
        return None
    return stream


def _pid_in(folder: Path) -> int:
    try:
        return int((folder / "redis.pid").read_text())
    except (OSError, ValueError):
        return 0


def _socket_path(folder: Path) -> Path:
    """Return where the socket is: in the data directory, or where its path is short enough for the kernel."""
    if _fits(path := folder / _SOCKET):
        return path
    name = f"alertbridge-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
    # TMPDIR may be long as well. The folder is made with mode 0700, and its owner is checked.
    roots = [Path(tempfile.gettempdir()), Path("/tmp")]  # noqa: S108
    place = next((root / name for root in roots if _fits(root / name / _SOCKET)), roots[-1] / name)
    place.mkdir(mode=0o700, exist_ok=True)
    if place.stat().st_uid != os.getuid() or place.is_symlink():
        raise ConfigurationError([f"store: {place} belongs to somebody else; choose a shorter data directory"])
    place.chmod(0o700)
    return place / _SOCKET


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether `pid` is a redis-server that runs in this directory and not a later owner of the number."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
        if Path("/proc/self").exists():
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state != "Z" and Path(f"/proc/{pid}/cwd").resolve() == folder
    except (OSError, IndexError):
        return False
    return True


def _check_data(folder: Path, version: tuple[int, int]) -> None:
    """Refuse what would begin empty where there were data."""
    if (folder / "appendonlydir").exists() and version < (7, 0):
        raise ConfigurationError(
            [f"store: the data in {folder} come from Redis 7, and this redis-server is {version[0]}.{version[1]}"]
        )
    if (folder / _MARK).exists() and not has_data(folder):
        raise ConfigurationError(
            [f"store: the append-only file in {folder} is gone; put it back, or remove {_MARK} there to begin empty"]
        )


def _may_cut(folder: Path, server: str, text: str) -> bool:
    file = last_file(folder)
    return "Unexpected end of file" in text and file is not None and only_cut(server, file)


def _why(folder: Path, ended: _Ended) -> str:
    lines = [line.split(" ", 5)[-1] for line in ended.log.splitlines() if " # " in line] or ["it wrote no log"]
    if "append only file" in ended.log or "AOF" in ended.log or "RDB" in ended.log:
        return (
            f"store: the data in {folder} are damaged and nothing was changed: {lines[-1][:300]} "
            "Keep a copy of the directory, then mend it with redis-check-aof, or restore a backup."
        )
    return f"store: the private Redis in {folder} did not start: {lines[-1][:300]}"


def _config(folder: Path, socket: Path, options: StoreOptions, *, truncated: bool) -> str:
    def quoted(path: Path) -> str:
        return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'

    return "\n".join(
        (
            "port 0",
            f"unixsocket {quoted(socket)}",
            "unixsocketperm 700",
            f"dir {quoted(folder)}",
            f"pidfile {quoted(folder / 'redis.pid')}",
            f"logfile {quoted(folder / 'redis.log')}",
            "daemonize no",
            "databases 1",
            'save ""',
            "appendonly yes",
            f"appendfsync {_fsync(options)}",
            f"aof-load-truncated {'yes' if truncated else 'no'}",
            "maxmemory-policy noeviction",
            # Also where Redis's own default is lower: the intake's records stay flat lists at a million alerts.
            "hash-max-ziplist-entries 512",
            "",
        )
    )


def _fsync(options: StoreOptions) -> str:
    """Return how Redis is to sync: with `everysec` it would hold back what it answers while a sync is under way."""
    return "always" if options.fsync == "always" else "no"


async def _answers(socket: Path) -> bool:
    try:
        return (await _ask(socket, "PING")).startswith(b"+PONG")
    except (OSError, TimeoutError):
        return False


async def _ask(socket: Path, command: str) -> bytes:
    """Return the first line of the answer. Raises OSError and TimeoutError."""
    async with asyncio.timeout(2):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            writer.write(f"{command}\r\n".encode())
            return await reader.readline()
        finally:
            writer.close()


def _have_rewritten(socket: Path) -> None:
    """Ask for new files; called in the syncer's thread. Raises OSError."""
    with sockets.socket(sockets.AF_UNIX) as stream:
        stream.settimeout(2)
        stream.connect(str(socket))
        stream.sendall(b"BGREWRITEAOF\r\n")
        log.info("the private Redis is to write its files anew", answer=stream.recv(200).decode(errors="replace"))
