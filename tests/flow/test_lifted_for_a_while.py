"""Objects lifted for a while and settings turned up for a while: both are back by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from tests.support.definitions import DESTINATION_RULE
from tests.support.redis import RedisServer
from tests.support.stage import Stage

MINUTE = 60.0
MESH = "networking.istio.io/v1"


def runbook(title: str, action: str, **params: Any) -> dict[str, Any]:
    step = {"action": action, "with": params, "until": "15m", "hold": "1m"}
    return {
        "name": f"test/{title}",
        "summary": "Something for a while.",
        "target": {"kind": "Deployment", "namespace": "${labels.namespace}", "name": "${labels.deployment}"},
        "scenarios": [{"name": "only", "otherwise": True, "steps": [step]}],
    }


RUNBOOKS = [
    runbook("lift", "object_delete", api_version=MESH, kind="DestinationRule", name="web"),
    runbook("debug", "log_level", level="debug", config_map="web-config"),
]
ALERTS = {
    "Partition": {"runbook": "test/lift", "mode": "auto"},
    "Puzzle": {"runbook": "test/debug", "mode": "auto"},
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=RUNBOOKS) as stage:
        stage.configure(alerts=ALERTS)
        meta = {"namespace": "shop"}
        stage.cluster.apply(DESTINATION_RULE)
        spec = {"host": "web", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
        stage.cluster.apply(
            {"apiVersion": MESH, "kind": "DestinationRule", "metadata": {**meta, "name": "web"}, "spec": spec}
        )
        data = {"log_level": "info"}
        stage.cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta, "name": "web-config"}, "data": data}
        )
        stage.cluster.apply(deployment("web", "registry.example/web:1", namespace="shop"))
        stage.clock.jump(10)
        yield stage


def rule(stage: Stage) -> Any:
    return stage.cluster.get("destinationrules.networking.istio.io", "shop", "web")


def level(stage: Stage) -> str:
    return str(stage.cluster.get("configmaps", "shop", "web-config")["data"]["log_level"])  # type: ignore[index]


async def test_a_rule_is_lifted_for_a_while_and_put_back_as_it_was(stage: Stage) -> None:
    before = rule(stage)
    await stage.fire("Partition", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert rule(stage) is None
    await stage.advance(16 * MINUTE)
    assert (await stage.ends())[-1][0] == "undone"
    after = rule(stage)
    assert after["spec"] == before["spec"]
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


async def test_debug_logging_goes_back_before_the_pods_start_again(stage: Stage) -> None:
    await stage.fire("Puzzle", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert level(stage) == "debug"
    stage.proxy.clear()
    await stage.advance(16 * MINUTE)
    assert (await stage.ends())[-1][0] == "undone"
    assert level(stage) == "info"
    assert [write.rpartition("/")[2] for write in stage.writes] == ["web-config", "web"]
