"""Programs of this host: allow-listed, off by default, argument lists only.

A program gets a cleared environment, no input, and a process group of its own, which is killed at the deadline and
when nobody waits for it any more. Of its output the end is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence

from bridge.errors import InvalidInput, OutcomeUnknown, PermanentError, TemporaryError
from bridge.model.argument_lists import arguments_match
from bridge.model.outside import ExecReply
from bridge.outside.options import CommandPeer

KEPT = 32 << 10
"""Bytes of each stream that are kept."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

_LEFT_OPEN = 0.5
"""Seconds in which output may still come after the program ended: something that it started may hold the pipe."""


class Commands:
    """The configured programs."""

    def __init__(self, commands: Mapping[str, CommandPeer]) -> None:
        self._commands = commands

    def check(self, name: str, arguments: Sequence[str]) -> CommandPeer:
        """Return the command; raise InvalidInput when it is not there or does not take these arguments."""
        if name not in self._commands:
            raise InvalidInput(f"there is no command {name!r} (`commands`)")
        command = self._commands[name]
        if not arguments_match(command.arguments, arguments):
            raise InvalidInput(
                f"the command {name!r} does not take these arguments (`commands.{name}.arguments`): {list(arguments)}"
            )
        return command

    async def run(self, name: str, arguments: Sequence[str], *, deadline: float) -> ExecReply:
        """Run it; see ports.Connections.command. The shorter of its own time-out and `deadline` (seconds) counts."""
        command = self.check(name, arguments)
        seconds = min(deadline, command.timeout)
        transport, program = await _started(name, [*command.run, *arguments])
        try:
            async with asyncio.timeout(seconds):
                await program.exited.wait()
            await program.output_ended(_LEFT_OPEN)
        except TimeoutError as error:
            raise OutcomeUnknown(f"the command {name!r} was killed after {seconds:g} s") from error
        finally:
            # The group, not the process: what it started must not go on behind our back. Also when cancelled.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(transport.get_pid(), signal.SIGKILL)
            transport.close()
        out, err = program.streams[1], program.streams[2]
        return ExecReply(transport.get_returncode() or 0, out.text, err.text, out.cut or err.cut)


class _Program(asyncio.SubprocessProtocol):
    """What a running program says. Its end counts, not its output's: a child may hold the pipes open for ever."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.streams = {1: _Tail(), 2: _Tail()}
        self._ended: dict[int, asyncio.Event] = {1: asyncio.Event(), 2: asyncio.Event()}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.streams[fd].add(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._ended[fd].set()

    def process_exited(self) -> None:
        self.exited.set()

    async def output_ended(self, seconds: float) -> None:
        """Wait for the end of the output, no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for ended in self._ended.values():
                    await ended.wait()


async def _started(name: str, argv: Sequence[str]) -> tuple[asyncio.SubprocessTransport, _Program]:
    try:
        return await asyncio.get_running_loop().subprocess_exec(
            _Program,
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            env=dict(ENVIRONMENT),
            cwd="/",
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise PermanentError(f"the command {name!r} cannot be started: {error.strerror}: {argv[0]}") from error
    except OSError as error:
        raise TemporaryError(f"the command {name!r} cannot be started: {error.strerror}") from error


class _Tail:
    """The end of a stream."""

    def __init__(self) -> None:
        self._kept = b""
        self.cut = False

    def add(self, piece: bytes) -> None:
        self._kept += piece
        if len(self._kept) > KEPT:
            self._kept, self.cut = self._kept[-KEPT:], True

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")
