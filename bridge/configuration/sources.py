"""The files of a configuration: which there are, and whether any of them has changed. Called by loader and holder.

A ConfigMap that is mounted into a pod is a folder in which every name is a link through `..data`, and an update
swaps that one link. So what counts is the content behind the names, never their dates; and whatever begins with a
dot is not looked into, or every file would be found three times.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_SUFFIXES = (".yml", ".yaml")
_DEEPEST = 8
MOST_FILES = 2000


class Sources:
    """What one reading of the configuration looked at, also when it failed."""

    def __init__(self) -> None:
        self._read: dict[Path, bytes] = {}
        self._patterns: set[str] = set()

    def use(self, path: Path) -> None:
        """Note that a file is about to be read: a change from now on is a change."""
        self._read.setdefault(path, _hash(path))

    def find(self, pattern: str) -> list[Path]:
        """Return the YAML files of a folder and below, or those that a pattern matches, in order."""
        self._patterns.add(pattern)
        found = _find(pattern)
        for path in found:
            self.use(path)
        return found

    def as_read(self) -> str:
        """Return a hash over the names and contents of all files as they were read."""
        return _digest(self._read)

    def as_now(self) -> str:
        """Return the same hash over what is there now."""
        return _digest({path: _hash(path) for path in {*self._read, *(p for w in self._patterns for p in _find(w))}})


def _hash(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b"not there"


def _digest(hashes: Mapping[Path, bytes]) -> str:
    digest = hashlib.sha256()
    for path in sorted(hashes):
        digest.update(os.fsencode(path) + b"\0" + hashes[path])
    return digest.hexdigest()


def _find(pattern: str) -> list[Path]:
    if os.path.isdir(pattern):
        found = _walk(Path(pattern), _DEEPEST)
    else:
        found = (Path(name) for name in glob.glob(pattern, recursive=True))
    files = {path for path in found if path.suffix in _SUFFIXES and path.is_file()}
    return sorted(files)[:MOST_FILES]


def _walk(folder: Path, levels: int) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            if levels:
                yield from _walk(entry, levels - 1)
        else:
            yield entry
