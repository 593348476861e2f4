"""Actions that wait by a watch: they see the end when it comes, and ask a few times rather than every moment."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.actions.drain import Drain
from bridge.actions.job_run import JobRun
from bridge.model.plan import Operation
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer
from tests.support.cluster import Site, open_site
from tests.support.rig import Rig

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]


async def node_of(site: Site, app: str) -> str:
    pods = await site.direct.list("v1", "Pod", site.namespace, labels={"app": app})
    return str(pods[0]["spec"]["nodeName"])


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment that is long enough on a busy machine."""
    monkeypatch.setattr("bridge.actions.waiting.MOMENT", 20.0)


async def test_a_drain_sees_a_slow_pod_go_by_one_watch() -> None:
    """Fault 67: it is not over while a pod that was evicted still ends."""
    async with open_site() as site:
        await site.needs("nodes", "eviction", "simulated")
        assert site.simulated is not None
        ref = await site.deploy(replicas=1)
        node = ObjectRef("v1", "Node", "", await node_of(site, "web"), cluster=site.cluster.name)
        rig = Rig(site, Drain(), {}, node)
        plan = await rig.plan()
        assert [change.operation for change in plan.changes] == [Operation.PATCH, Operation.EVICT]
        site.simulated.set_behavior(termination_delay=0.6)
        await rig.make_all(plan)
        site.proxy.clear()
        answer = await rig.action.verify(rig.context, plan, rig.params)
        lists = [entry for entry in site.proxy.requests if entry.path.endswith("/pods")]
        assert len(lists) <= 4
        assert "not gone" not in answer.detail
        await site.until(lambda: site.complete(ref))
        assert (await rig.action.verify(rig.context, plan, rig.params)).answer is Answer.FIXED


async def test_a_drain_whose_pod_does_not_go_says_so_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 67."""
    monkeypatch.setattr("bridge.actions.waiting.MOMENT", 0.2)
    async with open_site() as site:
        await site.needs("nodes", "eviction", "simulated")
        assert site.simulated is not None
        await site.deploy(replicas=1)
        node = ObjectRef("v1", "Node", "", await node_of(site, "web"), cluster=site.cluster.name)
        rig = Rig(site, Drain(), {}, node)
        plan = await rig.plan()
        site.simulated.set_behavior(termination_delay=3600)
        await rig.make_all(plan)
        answer: Any = await rig.action.verify(rig.context, plan, rig.params)
        assert (answer.answer, answer.final) == (Answer.NOT_FIXED, False)
        assert "have not gone yet" in answer.detail


async def run_job(site: Site, image: str, **params: Any) -> tuple[Rig, Any]:
    pod = {"containers": [{"name": "restore", "image": image}]}
    about = ObjectRef("v1", "Namespace", "", site.namespace, cluster=site.cluster.name)
    given = {"name": "restore", "namespace": site.namespace, "template": template(pod), **params}
    rig = Rig(site, JobRun(), given, about)
    plan = await rig.plan()
    await rig.make_all(plan)
    site.proxy.clear()
    return rig, plan


def template(pod: dict[str, Any]) -> dict[str, Any]:
    return {"backoffLimit": 0, "template": {"spec": pod}}


async def test_the_end_of_a_job_is_seen_by_one_watch() -> None:
    async with open_site() as site:
        await site.needs("simulated")
        assert site.simulated is not None
        site.simulated.set_behavior(job_duration=0.7)
        rig, plan = await run_job(site, "backup:1.0")
        answer = await rig.action.verify(rig.context, plan, rig.params)
        assert answer.answer is Answer.FIXED
        assert len([entry for entry in site.proxy.requests if "/jobs" in entry.path]) <= 3


async def test_a_job_that_fails_or_takes_too_long_is_over() -> None:
    async with open_site() as site:
        await site.needs("simulated")
        assert site.simulated is not None
        site.simulated.set_behavior(job_duration=0.5)
        rig, plan = await run_job(site, "backup:bad")
        failed = await rig.action.verify(rig.context, plan, rig.params)
        assert (failed.answer, failed.final, "BackoffLimitExceeded" in failed.detail) == (
            Answer.NOT_FIXED,
            True,
            True,
        )
        site.simulated.set_behavior(job_duration=3600)
        rig, plan = await run_job(site, "backup:2.0", deadline="1s")
        late = await rig.action.verify(rig.context, plan, rig.params)
        assert (late.answer, late.final) == (Answer.NOT_FIXED, True)
        assert "DeadlineExceeded" in late.detail
