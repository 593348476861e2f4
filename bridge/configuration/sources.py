"""The files of a configuration: which there are, and whether any of them has changed. Called by loader and holder.

A ConfigMap that is mounted into a pod is a folder in which every name is a link through `..data`, and an update
swaps that one link. So what counts is the content behind the names, never their dates; and whatever begins with a
dot is not looked into, or every file would be found three times.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = (".yml", ".yaml")
_DEEPEST = 8
MOST_FILES = 2000


class Sources:
    """What one reading of the configuration looked at, also when it failed."""

    def __init__(self) -> None:
        self._files: set[Path] = set()
        self._patterns: set[str] = set()

    def use(self, path: Path) -> None:
        """Note that a file was read, or was looked for."""
        self._files.add(path)

    def find(self, pattern: str) -> list[Path]:
        """Return the YAML files of a folder and below, or those that a pattern matches, in order."""
        self._patterns.add(pattern)
        found = _find(pattern)
        self._files.update(found)
        return found

    def fingerprint(self) -> str:
        """Return a hash over the names and contents of all files as they are now."""
        files = self._files.union(*map(_find, self._patterns))
        digest = hashlib.sha256()
        for path in sorted(files):
            digest.update(f"{path}\0".encode("utf-8", "surrogateescape"))
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError:
                digest.update(b"-")
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
