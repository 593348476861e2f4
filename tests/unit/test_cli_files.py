"""Commands that read the configuration: check-config and route-test."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main

ROUTES = """
mode: auto
clusters:
  connections: {main: {url: "http://127.0.0.1:1"}}
runbooks: [RUNBOOKS]
time_intervals:
  - {name: never, time_intervals: [{years: ["1999"]}]}
route:
  routes:
    - matchers: ['alertname="GatewayDown"']
      runbook: netweave/all-pods-down
      mode: observe
      continue: true
    - matchers: ['severity=~"crit.*"']
      runbook: netweave/high-error-rate
      active_time_intervals: [never]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    runbooks = Path(__file__).parents[2] / "config" / "runbooks"
    (tmp_path / "bridge.yml").write_text(ROUTES.replace("RUNBOOKS", json.dumps(str(runbooks))))
    return tmp_path / "bridge.yml"


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_a_good_configuration_is_status_0(file) -> None:
    result = run("check-config", file)
    assert result.exit_code == 0
    assert re.search(r": 2 routes, \d+ runbooks: all well", result.stdout)
    assert json.loads(run("check-config", file, "-o", "json").stdout)["routes"] == 2


def test_every_mistake_is_one_line_with_its_place_and_status_2(file) -> None:
    file.write_text(
        file.read_text().replace("runbook: netweave/high-error-rate", "runbok: x").replace("auto", "loud")
    )
    result = run("check-config", file)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{file}:") and line.split(":")[1].isdigit() for line in lines)
    assert "runbok" in result.stderr


@pytest.mark.parametrize("command", ["check-config", "route-test", "serve", "worker"])
def test_a_configuration_that_is_not_there_is_status_2(command, tmp_path) -> None:
    result = run(command, "--config", tmp_path / "none.yml")
    assert result.exit_code == 2
    assert "none.yml" in result.stderr


def test_serve_beyond_loopback_without_a_credential_is_refused(file) -> None:
    """Fault 49: no secret configured while listening beyond loopback: start-up refuses."""
    file.write_text(file.read_text() + "listen: {host: 0.0.0.0}\n")
    result = run("serve", "--config", file)
    assert result.exit_code == 2
    assert "credential" in result.stderr


def test_route_test_draws_the_path_and_what_would_be_done(file) -> None:
    labels = ("alertname=GatewayDown", "severity=critical")
    result = run("route-test", "-c", file, *labels)
    assert result.exit_code == 0
    assert '├── {alertname="GatewayDown"}' in result.stdout
    assert '└── {severity=~"crit.*"}' in result.stdout
    found = json.loads(
        run("route-test", "-c", file, "-o", "json", "alertname=GatewayDown", "severity=critical").stdout
    )
    first, second = found["routes"]
    assert (first["runbook"], first["mode"], first["muted"]) == ("netweave/all-pods-down", "observe", "no")
    # A route that says nothing only observes, however far the process may go.
    assert (second["runbook"], second["mode"], second["cluster"]) == ("netweave/high-error-rate", "observe", "main")
    assert "never" in second["muted"]


def test_route_test_says_no_with_status_1(file) -> None:
    assert run("route-test", "-c", file, "alertname=Other").exit_code == 1


def test_route_test_tells_an_unknown_cluster(file) -> None:
    assert "unknown: denied" in run("route-test", "-c", file, "alertname=GatewayDown", "cluster=mars").stdout
