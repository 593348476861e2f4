"""`alertbridge demo` as a newcomer runs it: a process of its own, on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.need import need

COMMAND = [sys.executable, "-m", "bridge", "demo", "--port", "0"]
ENV = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}


@pytest.fixture(scope="module", autouse=True)
def once() -> Iterator[subprocess.Popen[str]]:
    """The demo that ends by itself, begun before the first test: both mostly wait, and so do it at once."""
    need("redis-server")
    command = [*COMMAND, "--once"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV) as demo:
        try:
            yield demo
        finally:
            demo.terminate()


def test_it_stays_takes_the_curl_that_it_shows_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    log = tmp_path / "told"
    # A short one: a unix socket's path has at most 107 characters.
    place = Path(tempfile.mkdtemp(prefix="ab"))
    with log.open("w") as out:
        demo = subprocess.Popen(COMMAND, stdout=out, stderr=subprocess.STDOUT, env={**ENV, "TMPDIR": str(place)})
    try:
        shown = until(log, r"curl (\S+/api/v1/trigger) .*\n\s+-d '(.*CertExpiringSoon.*)'")
        url, body = shown.groups()
        request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer)["seen"] == "new"
        until(log, r"CertExpiringSoon, by hand[\s\S]*the certificate holds for 90 days")
        approve_as_it_says(log, url.removesuffix("/api/v1/trigger"))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
        assert "Traceback" not in log.read_text()
        assert list(place.iterdir()) == []
    finally:
        demo.kill()
        demo.wait()
        shutil.rmtree(place)


def test_once_heals_all_three_and_ends_by_itself(once: subprocess.Popen[str]) -> None:
    told, errors = once.communicate(timeout=110)
    assert once.returncode == 0, told + errors
    assert "3 of 3 healed" in told
    in_order = [
        "GatewayDown",
        "0 of 3 pods are ready",
        "as Alertmanager sends it: 200",
        "crashlooping 3",
        "panic: configuration is required",
        "bad deployment",
        "-      - image: registry.example/netweave-gateway:1.5.0-bad",
        "+      - image: registry.example/netweave-gateway:1.4.2",
        "written",
        "3 of 3 updated, 3 ready",
        "3 of 3 pods are ready, and they run 1.4.2 again",
        "HighErrorRate",
        "+  replicas: 5",
        "5 replicas share the load",
        "CertExpiringSoon",
        "the certificate holds for 90 days",
    ]
    at = -1
    for words in in_order:
        at = told.find(words, at + 1)
        assert at >= 0, f"{words!r} is not told, or not in its place:\n{told}"
    assert "\x1b" not in told
    assert "Traceback" not in errors


def approve_as_it_says(log: Path, url: str) -> None:
    """Fire the alert whose repair asks first, and answer with the command that is shown."""
    body = until(log, r"-d '(.*HighErrorRate.*)'").group(1)
    request = urllib.request.Request(f"{url}/api/v1/trigger", body.encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
    asked = until(log, r"HighErrorRate, by hand[\s\S]*from 3 to 5 replicas[\s\S]* asks .* approve (\w+)")
    assert "written" not in asked.group().partition("HighErrorRate, by hand")[2]
    with urllib.request.urlopen(f"{url}/r/{asked.group(1)}", timeout=10) as page:
        assert b"Is this to be done?" in page.read()
    answer = [sys.executable, "-m", "bridge", "approve", asked.group(1), "--url", url]
    assert subprocess.run(answer, capture_output=True, env=ENV, timeout=30, check=False).returncode == 0
    until(log, r" asks [\s\S]*done      written")


def until(log: Path, pattern: str, seconds: float = 50.0) -> re.Match[str]:
    """Wait until the process has told what `pattern` describes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = re.search(pattern, log.read_text())
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{pattern!r} was not told:\n{log.read_text()}")
