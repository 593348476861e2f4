"""Judges the append-only file of the embedded Redis: cut at its end, or damaged in its midst. Used by embedded.

A power loss cuts the last command: Redis may drop that one and go on. Damage in the midst can look the same to
Redis (a wrong length makes it read on to the end), and everything behind it would be dropped without a word.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_ANALYZED = re.compile(r"ok_up_to=(\d+)")
_COUNT = re.compile(rb"\*(\d+)\r\n")
_SIZE = re.compile(rb"\$(\d+)\r\n")
_COMMAND = re.compile(rb"\r\n\*\d+\r\n\$\d+\r\n[A-Za-z]+\r\n")


def has_data(folder: Path) -> bool:
    """Whether an append-only file of any version stands in the data directory."""
    return any((folder / "appendonlydir").glob("*")) or (folder / "appendonly.aof").exists()


def last_file(folder: Path) -> Path | None:
    """Return the file that commands are appended to: Redis 7 has several in a folder, 6.2 one."""
    newer = sorted((folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: int(path.name.rsplit(".", 3)[1]))
    older = folder / "appendonly.aof"
    return newer[-1] if newer else older if older.exists() else None


def only_cut(server: str, file: Path) -> bool:
    """Whether nothing but the last, unfinished command is unreadable.

    redis-server checks the file itself when it is called by the name of that program.
    """
    run = subprocess.run(  # noqa: S603 - no shell, and both paths are ours
        ["redis-check-aof", str(file)],  # noqa: S607 - what it shall call itself, not a program on PATH
        executable=server,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    found = _ANALYZED.search(run.stdout)
    if found is None:
        return False
    with file.open("rb") as stream:
        stream.seek(int(found[1]))
        return is_cut(stream.read())


def is_cut(rest: bytes) -> bool:
    """Whether `rest` is whole commands (of a transaction that lacks its end) and then the beginning of one."""
    at = 0
    while (end := _skip_command(rest, at)) is not None:
        at = end
    # Behind a cut nothing follows; behind a wrong length there are other commands.
    return _COMMAND.search(rest, at) is None and (at == len(rest) or rest[at : at + 1] == b"*")


def _skip_command(data: bytes, at: int) -> int | None:
    """Return where the command at `at` ends, or None when it does not end well."""
    head = _COUNT.match(data, at)
    if head is None:
        return None
    at = head.end()
    for _ in range(int(head[1])):
        size = _SIZE.match(data, at)
        if size is None or data[(stop := size.end() + int(size[1])) : stop + 2] != b"\r\n":
            return None
        at = stop + 2
    return at
