"""What is measured, as programs of their own: Redis with the limit, and Redis with the complete product."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.support.processes import free_port
from tests.support.redis import RedisServer

ROOT = Path(__file__).parent.parent.parent
TOKEN = "benchmark-token"

CONFIG = """\
listen: {{port: {port}}}
redis: {{url: "redis://127.0.0.1:{redis}"}}
log: {{level: warning}}
credentials:
  - {{name: alertmanager, type: bearer, roles: sender, secret_file: token}}
clusters: {{connections: {{main: {{url: "{cluster}"}}}}}}
{routing}"""
NO_ROUTE = "runbooks: []\nroute: {}\n"
"""Alerts match no route: routing and recording that nothing is to be done is part of what is measured."""


class Stack:
    """One server with a Redis of its own; both are new."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.port = free_port()
        self.redis = RedisServer(folder / "redis")
        self.seconds_to_ready = 0.0
        """From the start of the program to its first 2xx."""
        self._popen: subprocess.Popen[bytes] | None = None

    def start(self, ready: str, *command: str) -> None:
        self.redis.start()
        begin = time.monotonic()
        with (self.folder / "out.log").open("wb") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *command], stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=ROOT
            )
        deadline = time.monotonic() + 20
        while not _answers(f"http://127.0.0.1:{self.port}{ready}"):
            if time.monotonic() > deadline or self._popen.poll() is not None:
                raise AssertionError((self.folder / "out.log").read_text())
            time.sleep(0.01)
        self.seconds_to_ready = time.monotonic() - begin

    def resident(self) -> float:
        """Return megabytes of memory that the server holds now."""
        assert self._popen is not None
        pages = int(Path(f"/proc/{self._popen.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6

    def stop(self) -> None:
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()
        self.redis.stop()


def start_limit(folder: Path) -> Stack:
    stack = Stack(folder)
    stack.start("/", "-m", "tests.benchmarks.limit", str(stack.port), str(stack.redis.port))
    return stack


def start_product(
    folder: Path,
    *,
    cluster: str = "http://127.0.0.1:9",
    files: Mapping[Path, str] | None = None,
    routing: str = NO_ROUTE,
) -> Stack:
    """Start the complete product: receiver, dispatcher and worker in one process, as `alertbridge serve`."""
    stack = Stack(folder)
    (folder / "token").write_text(TOKEN)
    for path, text in (files or {}).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config = folder / "bridge.yml"
    config.write_text(CONFIG.format(port=stack.port, redis=stack.redis.port, cluster=cluster, routing=routing))
    stack.start("/-/ready", "-m", "bridge", "serve", "--config", str(config))
    return stack


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False
