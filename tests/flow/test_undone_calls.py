"""Temporary changes that are calls end as other changes do: what the run marked as its own is known to its undo."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.model.certificates import Wanted, self_signed
from tests.support.redis import RedisServer
from tests.support.stage import Stage

ROTATE = {
    "name": "test/rotate",
    "summary": "Serve another certificate for a while.",
    "target": {"kind": "Secret", "api_version": "v1", "namespace": "${labels.namespace}", "name": "${labels.secret}"},
    "scenarios": [
        {
            "name": "rotate",
            "otherwise": True,
            "steps": [{"action": "tls_rotate", "with": {"unless_days_left": 1000}, "until": "15m"}],
        }
    ],
}


@pytest.fixture
async def stage(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[ROTATE]) as stage:
        stage.configure(alerts={"Ending": {"runbook": "test/rotate", "mode": "auto"}})
        yield stage


def put(stage: Stage) -> None:
    wanted = Wanted(
        dns_names=("web.example.org",),
        ip_addresses=(),
        seconds=40 * 86400.0,
        key_type="ecdsa-p256",
        serial=77,
        at=stage.clock.now() - 60,
    )
    certificate, key = self_signed(wanted)
    data = {"tls.crt": base64.b64encode(certificate).decode(), "tls.key": base64.b64encode(key).decode()}
    meta = {"name": "web-tls", "namespace": "shop"}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": "kubernetes.io/tls", "data": data}
    stage.cluster.apply(manifest)


def data_of(stage: Stage) -> dict[str, Any]:
    found = stage.cluster.get("secrets", "shop", "web-tls")
    assert found is not None
    return dict(found["data"])


async def test_a_certificate_that_was_replaced_for_a_while_is_the_old_one_again(stage: Stage) -> None:
    put(stage)
    old = data_of(stage)
    await stage.fire("Ending", secret="web-tls")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert data_of(stage) != old
    await stage.advance(16 * 60)
    assert (await stage.ends())[-1] == ("undone", "temporary_ended"), (await stage.runs())[-1].detail
    assert data_of(stage) == old
    names = [each["metadata"]["name"] for each in stage.cluster.list("secrets", "shop")]
    assert names == ["web-tls"], "the copy is gone with it"
