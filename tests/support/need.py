"""Programs that tests run for real. Called by fixtures; a laptop without one skips, CI fails."""

from __future__ import annotations

import glob
import os
import shutil
from typing import NoReturn

import pytest

_PACKAGES = {
    "redis-server": "redis-server",
    "redis-sentinel": "redis-sentinel",
    "redis-cli": "redis-tools",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "kubectl": "kubernetes-client",
    "wrk": "wrk",
    "openssl": "openssl",
    "initdb": "postgresql",
    "gcc": "gcc libc6-dev",
}
# Debian keeps some servers out of an ordinary user's PATH.
_ELSEWHERE = ("/usr/local/sbin", "/usr/sbin", "/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True))


def need(program: str) -> str:
    """Return the path of `program`; without it skip the test, or fail where env CI is set."""
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(_ELSEWHERE))
    if found is None:
        missing(f"{program} is not installed (Debian: apt-get install {_PACKAGES.get(program, program)})")
    return found


def missing(what: str) -> NoReturn:
    """Skip because something real is not there, or fail where env CI is set: CI must leave nothing out."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
