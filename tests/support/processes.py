"""Real processes for tests: started on loopback, ready before they are used, always ended.

Used through the fixture `processes`; the servers beside this module (alertmanager, prometheus) are made of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

Check = Callable[[], Awaitable[bool]]

_random = random.Random()


def free_port() -> int:
    """Return a loopback port that was free for TCP and UDP a moment ago.

    It lies below the range that the kernel gives to outgoing connections, so that nothing takes it meanwhile.
    """
    while True:
        port = _random.randrange(12_000, 32_000)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            try:
                stream.bind(("127.0.0.1", port))
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


async def until(check: Check, *, seconds: float = 10.0, every: float = 0.02, what: str = "the condition") -> None:
    """Wait until `check` answers true; raise AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not await check():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {seconds:g} s")
        await asyncio.sleep(every)


async def answers(url: str, status: int = 200) -> bool:
    """Whether a GET of `url` is answered with `status`; False when nothing listens."""
    timeout = aiohttp.ClientTimeout(total=2)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.status == status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


class Process:
    """One running program. Its output, both streams, is in `log`."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.pid = popen.pid
        self.log = log
        self._popen = popen

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    @property
    def frozen(self) -> bool:
        """Whether the kernel has stopped it (proc(5), state T)."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def kill(self) -> None:
        """SIGKILL, and wait until the kernel has taken it away: its sockets are closed afterwards."""
        self._signal(signal.SIGKILL)
        self._popen.wait(10)

    def terminate(self) -> None:
        """SIGTERM; does not wait."""
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: every thread stands still until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def reload(self) -> None:
        """SIGHUP."""
        self._signal(signal.SIGHUP)

    async def wait(self, seconds: float = 10.0) -> int:
        """Return its exit status; raise AssertionError if it still runs after `seconds`."""

        async def ended() -> bool:
            return self.returncode is not None

        await until(ended, seconds=seconds, what=f"the end of {self.name}")
        status = self.returncode
        assert status is not None
        return status

    async def said(self, text: str, *, seconds: float = 10.0) -> None:
        """Wait until its output holds `text`."""

        async def found() -> bool:
            return text in self.output

        await until(found, seconds=seconds, what=f"{text!r} in the output of {self.name}")

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._popen.send_signal(number)

    def end(self) -> None:
        """Take down its whole process group, frozen or not."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(10)


class Processes:
    """The processes of one test. `folder` takes their logs and whatever files they need."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Process] = []

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: str | Check,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        seconds: float = 20.0,
    ) -> Process:
        """Start `argv` and return once `ready` (a URL that answers 200, or a check) is true.

        `env` is added to the environment. Raises AssertionError with the process's output when it ends or is
        not ready within `seconds`.
        """
        number = len(self._running)
        log = self.folder / f"{number:02}-{name}.log"
        with log.open("wb") as output:
            # A process group of its own, so that `end` reaches what the program itself starts.
            # Not asyncio's: its children die with its loop's watcher, and `end` must work after the loop is closed.
            popen = subprocess.Popen(  # noqa: ASYNC220
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._running.append(process)

        async def is_ready() -> bool:
            if process.returncode is not None:
                raise AssertionError(f"{name} ended with {process.returncode}:\n{process.output[-4000:]}")
            return await (answers(ready) if isinstance(ready, str) else ready())

        try:
            await until(is_ready, seconds=seconds, what=f"{name} being ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.output[-4000:]}") from None
        return process

    def named(self, beginning: str) -> list[Process]:
        """Return those whose names begin so, the oldest first."""
        return [process for process in self._running if process.name.startswith(beginning)]

    def close(self) -> None:
        """End all of them, the newest first."""
        while self._running:
            self._running.pop().end()
