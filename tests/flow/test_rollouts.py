"""Whole runs about rollouts: waited for, given up, and the one that a StatefulSet cannot mend by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bridge.actions.registry import actions
from bridge.model.reason import Reason
from bridge.model.remediation import Outcome
from bridge.model.target import ObjectRef
from tests.contract.action_cases.workloads import roll_out
from tests.support.cluster import BAD, HEALTHY, Site, deployment, open_site
from tests.support.rig import Rig

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("quiet_log")]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        await found.needs("controllers")
        yield found


def run(site: Site, action: str, about: ObjectRef, **params: Any) -> Rig:
    return Rig(site, actions()[action], params, about)


async def pods(site: Site) -> dict[str, tuple[str, str]]:
    """The image and the uid of each pod, by its name."""
    found = await site.direct.list("v1", "Pod", site.namespace, labels={"app": "web"})
    return {
        pod["metadata"]["name"]: (pod["spec"]["containers"][0]["image"], pod["metadata"]["uid"])
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    }


async def test_a_rollout_is_waited_for_and_nothing_is_written(site: Site) -> None:
    if site.simulated is not None:
        site.simulated.set_behavior(ready_delay=0.4)
    ref = site.ref("Deployment", "web")
    await site.send("POST", site.path("deployments"), deployment("web", HEALTHY, 2))
    rig = run(site, "rollout_status", ref)
    view = await rig.run()
    assert (view.outcome, view.reason) == (Outcome.SUCCEEDED, Reason.NOTHING_TO_DO.value), rig.told()
    assert await site.complete(ref)
    assert site.proxy.mutating() == []


async def test_a_rollout_that_passes_its_deadline_is_a_failure(site: Site) -> None:
    await site.send("POST", site.path("deployments"), deployment("web", BAD, 2, progressDeadlineSeconds=1))
    rig = run(site, "rollout_status", site.ref("Deployment", "web"))
    view = await rig.run()
    assert (view.outcome, view.reason) == (Outcome.FAILED, Reason.NOT_FIXED.value), rig.told()
    assert not [line for line in rig.told() if line.startswith("applying")]
    assert site.proxy.mutating() == []


async def test_a_statefulset_whose_new_version_never_ran_is_rolled_back_with_its_stuck_pod(site: Site) -> None:
    """Without the deletion of the stuck pod the StatefulSet would wait for it for ever."""
    ref = await roll_out(site, "StatefulSet")
    before = await pods(site)
    body = {"spec": {"containers": [{"name": "main", "image": BAD}]}}
    await site.send("PATCH", site.path("statefulsets", "web"), {"spec": {"template": body}})

    async def stuck() -> bool:
        return (await pods(site)).get("web-1", ("", ""))[0] == BAD

    await site.until(stuck)
    rig = run(site, "rollout_undo", ref, patience=0)
    view = await rig.run()
    assert view.outcome is Outcome.SUCCEEDED, rig.told()
    after = await pods(site)
    assert {image for image, _ in after.values()} == {HEALTHY}
    # The pod that was well all the time is the same as before.
    assert after["web-0"] == before["web-0"]
    assert [request.verb for request in site.proxy.applied()] == ["PATCH", "DELETE"]


async def test_a_sidecar_outlives_a_change_of_its_neighbour(site: Site) -> None:
    """A merge patch replaces the list of containers: what was recorded of a real server loses the sidecar."""
    document = deployment("web", HEALTHY, 2)
    sidecar = {"name": "sidecar", "image": HEALTHY, "env": [{"name": "KEEP", "value": "me"}]}
    document["spec"]["template"]["spec"]["containers"].append(sidecar)
    await site.send("POST", site.path("deployments"), document)
    ref = site.ref("Deployment", "web")
    await site.until(lambda: site.complete(ref))
    before = (await site.direct.get(ref))["spec"]["template"]["spec"]["containers"]
    rig = run(site, "set_env", ref, container="main", set={"MODE": "safe"})
    view = await rig.run()
    assert view.outcome is Outcome.SUCCEEDED, rig.told()
    after = (await site.direct.get(ref))["spec"]["template"]["spec"]["containers"]
    assert after == [{**before[0], "env": [{"name": "MODE", "value": "safe"}]}, before[1]]


async def test_an_eviction_waits_for_its_budget_and_never_gets_round_it(site: Site) -> None:
    """Fault 21."""
    # The rig's waits are short: a real budget's controller may take longer than all of them.
    await site.needs("simulated")
    ref = await site.deploy()
    api = "/apis/policy/v1"
    spec = {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "web"}}}
    await site.send("POST", site.path("poddisruptionbudgets", api=api), {"metadata": {"name": "web"}, "spec": spec})
    before = await pods(site)
    rig = run(site, "pod_evict", ref, only="all")
    running = asyncio.ensure_future(rig.run())

    async def refused() -> bool:
        return any(request.status == 429 for request in site.proxy.requests)

    await site.until(refused)
    assert await pods(site) == before
    path = site.path("poddisruptionbudgets", "web", api)
    await site.send("PATCH", path, {"spec": {"maxUnavailable": 1}})
    view = await running
    assert view.outcome is Outcome.SUCCEEDED, rig.told()
    assert len((await pods(site)).keys() - before.keys()) == 1
    assert {request.verb for request in site.proxy.mutating()} == {"POST"}
