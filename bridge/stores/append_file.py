"""Judges the append-only file of the embedded Redis: cut at its end, or damaged in its midst. Used by embedded.

A power loss cuts the last command: Redis may drop that one and go on. Damage in the midst can look the same to
Redis (a wrong length makes it read on to the end), and everything behind it would be dropped without a word.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_ANALYZED = re.compile(r"ok_up_to=(\d+)")
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
        rest = stream.read()
    # Whole commands behind the unreadable place: that is no cut.
    return _COMMAND.search(rest) is None
