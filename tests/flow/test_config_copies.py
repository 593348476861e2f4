"""Good copies of a ConfigMap: proven by the workload that depends on it, kept before each change, put back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.workloads import deployment
from bridge.engine.copies import EVERY, CopyKeeper, permissions
from bridge.model.target import ObjectRef
from bridge.printing.rehearsal import document
from bridge.rehearsal import rehearse_runbook
from bridge.wiring import kept_copies
from tests.support.redis import RedisServer
from tests.support.stage import Stage

REF = ObjectRef("v1", "ConfigMap", "shop", "web-config", cluster="sim")
RESTORE = {
    "name": "test/restore",
    "summary": "Put the last good configuration back.",
    "target": {"kind": "Deployment", "namespace": "${labels.namespace}", "name": "${labels.deployment}"},
    "scenarios": [
        {
            "name": "restore",
            "otherwise": True,
            "steps": [
                {"action": "configmap_restore", "with": {"name": "web-config"}},
                {"action": "rollout_restart"},
            ],
        }
    ],
}
KEEP = [{"namespace": "shop", "name": "web-config", "good_while": {"name": "web"}, "after": "10m"}]
ALERTS = {"ConfigBroken": {"runbook": "test/restore", "mode": "auto"}}


class Keeping:
    """A stage with a configured ConfigMap, and the job of one or more workers."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.keepers = [self.worker()]

    def worker(self) -> CopyKeeper:
        stage = self.stage
        return CopyKeeper(lambda: kept_copies(stage._configuration), stage._kube, stage.stores.copies)

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            self.stage.clock.jump(EVERY)
            # A turn is real time at Redis, which does not pass here.
            await self.forget_turn()
            for keeper in self.keepers:
                await keeper.look()

    async def forget_turn(self) -> None:
        link = self.stage._link
        await link.command("DEL", link.key("copies:turn"))

    async def copies(self) -> list[tuple[str, bool]]:
        return [(c.manifest["data"]["level"], c.good) for c in await self.stage.stores.copies.of(REF)]

    def configure(self, level: str) -> None:
        meta = {"name": "web-config", "namespace": "shop"}
        self.stage.cluster.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"level": level}}
        )

    def roll_out(self, version: int, **spec: Any) -> None:
        self.stage.cluster.apply(deployment("web", f"registry.example/web:{version}", namespace="shop", **spec))
        self.stage.clock.jump(10)

    @property
    def level(self) -> str:
        found = self.stage.cluster.get("configmaps", "shop", "web-config")
        assert found is not None
        return str(found["data"]["level"])


@pytest.fixture
async def keeping(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Keeping]:
    async with Stage.open(redis_server, tmp_path, runbooks_too=[RESTORE]) as stage:
        stage.configure(alerts=ALERTS, keep_copies=KEEP)
        keeping = Keeping(stage)
        keeping.configure("info")
        stage.clock.jump(5)
        keeping.roll_out(1)
        yield keeping


async def test_a_content_is_good_after_ten_minutes_with_every_pod_ready(keeping: Keeping) -> None:
    await keeping.minutes(9)
    assert await keeping.copies() == []
    await keeping.minutes(3)
    assert await keeping.copies() == [("info", True)]
    (copy,) = await keeping.stage.stores.copies.of(REF)
    assert copy.why == "deployment/shop/web was fully ready with it for 600 s"
    assert keeping.stage.writes == []


async def test_pods_that_started_with_another_content_prove_nothing_of_this_one(keeping: Keeping) -> None:
    await keeping.minutes(12)
    keeping.configure("broken, but not read yet")
    await keeping.minutes(30)
    assert await keeping.copies() == [("info", True)]
    keeping.roll_out(2)
    await keeping.minutes(12)
    assert await keeping.copies() == [("broken, but not read yet", True), ("info", True)]


async def test_a_bad_minute_begins_the_count_anew(keeping: Keeping) -> None:
    await keeping.minutes(8)
    keeping.stage.cluster.set_behavior(images={"registry.example/web:2": "never"})
    keeping.roll_out(2)
    await keeping.minutes(2)
    keeping.stage.cluster.set_behavior(images={})
    keeping.roll_out(3)
    await keeping.minutes(8)
    assert await keeping.copies() == []
    await keeping.minutes(4)
    assert await keeping.copies() == [("info", True)]


async def test_however_many_workers_look_it_is_looked_at_once(keeping: Keeping) -> None:
    keeping.keepers = [keeping.worker() for _ in range(4)]
    keeping.stage.proxy.clear()
    await keeping.minutes(1)
    reads = [request for request in keeping.stage.proxy.requests if request.path.endswith("/web-config")]
    assert len(reads) == 1


async def test_the_job_asks_for_no_more_than_it_declares(keeping: Keeping) -> None:
    from tests.support.asked import beyond

    keeping.stage.proxy.clear()
    await keeping.minutes(1)
    leave = permissions(kept_copies(keeping.stage._configuration))
    assert beyond(keeping.stage.proxy.requests, leave, "shop") == []


async def test_a_broken_configuration_goes_back_to_the_last_good_one(keeping: Keeping) -> None:
    await keeping.minutes(12)
    keeping.configure("broken")
    stage = keeping.stage
    await stage.fire("ConfigBroken", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert keeping.level == "info"
    # What was replaced is kept as well, and is not taken for good.
    assert await keeping.copies() == [("broken", False), ("info", True)]


async def test_a_plan_at_the_server_is_made_with_the_kept_copies_and_changes_nothing(keeping: Keeping) -> None:
    """Elsewhere nobody knows them, and that is what it says. Fault 70."""
    await keeping.minutes(12)
    keeping.configure("broken")
    stage, labels = keeping.stage, {"alertname": "ConfigBroken", "namespace": "shop", "deployment": "web"}
    stage.proxy.clear()
    shown = document(await rehearse_runbook(stage._configuration, "test/restore", labels, copies=stage.stores.copies))
    plans = [entry["data"]["plan"] for entry in shown["journal"] if entry["kind"] == "planned"]
    (field,) = [field for field in plans[0]["changes"][0]["fields"] if field["pointer"] == "/data/level"]
    assert (field["before"], field["after"]) == ("broken", "info")
    assert shown["planned"]
    assert stage.proxy.mutating(dry_runs=True) == []
    assert await keeping.copies() == [("info", True)]
    alone = document(await rehearse_runbook(stage._configuration, "test/restore", labels))
    assert not alone["planned"]
    assert "only the running server knows: `alertbridge plan --url URL`" in alone["detail"]


async def test_without_a_good_copy_nothing_is_written_and_the_mend_is_named(keeping: Keeping) -> None:
    keeping.configure("broken")
    stage = keeping.stage
    await stage.fire("ConfigBroken", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("failed", "plan_failed")]
    (view,) = await stage.runs()
    assert "no copy is kept" in view.detail
    assert "keep_copies" in view.detail
    assert stage.writes == []


async def test_the_good_content_itself_is_not_the_trouble(keeping: Keeping) -> None:
    """The restore says so, and the steps after it are made."""
    await keeping.minutes(12)
    stage = keeping.stage
    await stage.fire("ConfigBroken", deployment="web")
    await stage.settle()
    assert await stage.ends() == [("succeeded", "verified")]
    assert all("/configmaps/" not in write for write in stage.writes)


async def test_a_cluster_that_is_away_proves_nothing_and_ends_no_job(keeping: Keeping) -> None:
    await keeping.minutes(8)
    keeping.stage.proxy.faults.answer(503, times=None)
    await keeping.minutes(6)
    keeping.stage.proxy.faults.clear()
    await keeping.minutes(8)
    assert await keeping.copies() == []
