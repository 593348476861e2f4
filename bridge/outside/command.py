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
from bridge.model.outside import ExecReply
from bridge.outside.allow import arguments_match
from bridge.outside.options import CommandPeer

KEPT = 32 << 10
"""Bytes of each stream that are kept."""
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

_PIECE = 64 << 10
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
        process = await _started(name, [*command.run, *arguments])
        out, err = _Tail(), _Tail()
        assert process.stdout is not None
        assert process.stderr is not None
        readers = [asyncio.create_task(out.read(process.stdout)), asyncio.create_task(err.read(process.stderr))]
        try:
            async with asyncio.timeout(seconds):
                await process.wait()
            await asyncio.wait(readers, timeout=_LEFT_OPEN)
        except TimeoutError as error:
            raise OutcomeUnknown(f"the command {name!r} was killed after {seconds:g} s") from error
        finally:
            # The group, not the process: what it started must not go on behind our back. Also when cancelled.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for reader in readers:
                reader.cancel()
            await asyncio.gather(process.wait(), *readers, return_exceptions=True)
        return ExecReply(process.returncode or 0, out.text, err.text, out.cut or err.cut)


async def _started(name: str, argv: Sequence[str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
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

    async def read(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(_PIECE):
            self._kept += piece
            if len(self._kept) > KEPT:
                self._kept, self.cut = self._kept[-KEPT:], True

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")
