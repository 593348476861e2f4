"""`alertbridge plan`: what a runbook would do, against a cluster that sees nothing but reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.demo import SimulatedCluster, SimulatedServer, scene
from tests.support.recording_proxy import RecordingProxy

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture
async def proxy() -> AsyncIterator[RecordingProxy]:
    cluster = SimulatedCluster()
    scene.set_the_scene(cluster)
    async with SimulatedServer(cluster) as api, RecordingProxy(api.url) as before:
        yield before


@pytest.fixture
def config(proxy: RecordingProxy, tmp_path: Path) -> Path:
    file = tmp_path / "bridge.yml"
    settings = {
        "mode": "auto",
        "clusters": {"connections": {"sim": {"url": proxy.url}}},
        "runbooks": [str(CONFIG / "runbooks")],
        "alerts": {"GatewayDown": {"runbook": "netweave/all-pods-down", "mode": "auto"}},
    }
    file.write_text(json.dumps(settings))
    return file


async def plan(config: Path, *arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, ["plan", *arguments, "-c", str(config)])


async def test_a_plan_is_shown_as_a_difference_without_one_mutating_request(
    proxy: RecordingProxy, config: Path
) -> None:
    """Fault 70."""
    labels = ("alertname=GatewayDown", "namespace=o2ims-system", "deployment=netweave-gateway")
    shown = await plan(config, "netweave/all-pods-down", *labels)
    assert shown.exit_code == 0, shown.output
    assert "bad deployment" in shown.output
    assert "-      - image: registry.example/netweave-gateway:1.5.0-bad" in shown.output
    assert "+      - image: registry.example/netweave-gateway:1.4.2" in shown.output
    assert "Nothing was changed. Its route's mode is auto." in shown.output
    assert proxy.requests
    assert proxy.mutating(dry_runs=True) == []


async def test_without_a_route_it_says_that_it_is_planned_as_by_hand(proxy: RecordingProxy, config: Path) -> None:
    labels = ("namespace=o2ims-system", "deployment=netweave-gateway")
    shown = await plan(config, "netweave/all-pods-down", *labels)
    assert "No route leads to it with these labels (alertname?)" in shown.output


async def test_programs_get_it_as_json(config: Path) -> None:
    shown = await plan(config, "netweave/all-pods-down", "deployment=netweave-gateway", "-o", "json")
    found = json.loads(shown.output)
    assert (found["planned"], found["outcome"], found["target"]["name"]) == (True, "observed", "netweave-gateway")
    (planned,) = [entry["data"]["plan"] for entry in found["journal"] if entry["kind"] == "planned"]
    assert planned["action"] == "rollout_undo"
    assert planned["changes"][0]["ref"]["uid"]
    assert found["evidence"]["pods"]["ready"] == 0


async def test_what_cannot_be_planned_is_said_with_status_1(config: Path) -> None:
    shown = await plan(config, "netweave/all-pods-down", "deployment=no-such")
    assert shown.exit_code == 1
    assert "No plan: evidence_missing" in shown.output
    assert "no-such" in shown.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("netweave/no-such",), "there is no runbook 'netweave/no-such'; there are: netweave/all-pods-down"),
        (("netweave/all-pods-down", "deployment=../x"), "is not a Kubernetes object name"),
        (("netweave/all-pods-down", "cluster=far"), "names no configured cluster"),
        (("netweave/all-pods-down", "deployment"), "'deployment' is not LABEL=VALUE"),
    ],
)
async def test_wrong_usage_is_status_2_and_reaches_no_cluster(
    proxy: RecordingProxy, config: Path, arguments: tuple[str, ...], told: str
) -> None:
    """Fault 41."""
    shown = await plan(config, *arguments)
    assert shown.exit_code == 2
    assert told in shown.output
    assert proxy.requests == []
