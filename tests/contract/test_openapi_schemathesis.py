"""The OpenAPI document is true: schemathesis asks the real, running server everything that it describes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installation import RESTART
from tests.support.need import need

TOKEN = "token-of-an-operator"
HOOKS = Path(__file__).parents[1] / "support" / "schemathesis_hooks.py"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a Redis of its own, a credential, one alert in it and no cluster; yields its URL."""
    need("redis-server")
    folder = tmp_path_factory.mktemp("server")
    configuration = {
        "listen": {"port": 0},
        "redis": {"data_dir": str(folder / "redis")},
        "credentials": [{"name": "olga", "type": "bearer", "roles": ["operator"], "secret_env": "TOKEN"}],
        "clusters": {"connections": {"none": {"url": "http://127.0.0.1:1"}}},
    }
    (folder / "runbooks").mkdir()
    (folder / "runbooks" / "restart.yml").write_text(json.dumps(RESTART))
    config = folder / "bridge.yml"
    config.write_text(json.dumps(configuration))
    log = folder / "log"
    with log.open("w") as out:
        command = [sys.executable, "-m", "bridge", "serve", "--config", str(config)]
        process = subprocess.Popen(command, stderr=out, env={**os.environ, "TOKEN": TOKEN})
    try:
        url = f"http://{_address(log, process)}"
        labels = {"namespace": "shop", "deployment": "web"}
        _call(f"{url}/api/v1/trigger", {"runbook": "test/restart", "labels": labels})
        (made,) = _until(lambda: _call(f"{url}/api/v1/remediations")["remediations"])
        # Ended, so that following its journal ends as well.
        _call(f"{url}/api/v1/remediations/{made['id']}/cancel", {})
        _until(lambda: _call(f"{url}/api/v1/remediations?state=done")["remediations"])
        yield url
        # A traceback behind a 4xx would be a bug as well, and so would a credential in the log.
        assert "Traceback" not in log.read_text()
        assert TOKEN not in log.read_text()
    finally:
        process.terminate()
        process.wait(30)


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    found = _until(lambda: re.search(r'"addresses": \["([^"]+)"', log.read_text()) or process.poll() is not None)
    assert isinstance(found, re.Match), f"the server did not start:\n{log.read_text()}"
    return found[1]


def _call(url: str, body: object = None) -> Any:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    raw = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, raw, headers), timeout=10) as answer:
        return json.load(answer)


def _until(look: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def test_every_operation_is_as_described(server: str, tmp_path: Path) -> None:
    """All phases (examples, coverage, fuzzing, stateful) with all checks; the seed is fixed."""
    known = _call(f"{server}/api/v1/remediations")["remediations"][0]
    parameters = {"id": known["id"], "fingerprint": known["incidents"][0].split("/")[1]}
    given = [f"{name} = {json.dumps(value)}" for name, value in parameters.items()]
    lines = [f"hooks = {json.dumps(str(HOOKS))}", "[parameters]", *given]
    (tmp_path / "schemathesis.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run"]
    command += [f"{server}/api/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}", "--no-color"]
    command += ["--max-examples", "15", "--seed", "1", "--generation-database", "none"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    assert re.search(r"Tested: 1[5-9]|Tested: [2-9]\d", ran.stdout), ran.stdout
