"""What every action promises, for the four built-in ones, at a simulated cluster or a real one.

A plan only reads; applying it twice is applying it once; a plan that no longer fits is refused; an exact undo puts
back what it changed; a dry run leaves no trace; and the action sees for itself that it worked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from bridge.actions.registry import actions
from bridge.demo.objects import clone
from bridge.demo.workloads import CERTIFICATE_DEFINITION
from bridge.engine.apply import ChangeApplier
from bridge.engine.clock import SystemClock
from bridge.engine.context import RunContext
from bridge.errors import KubeNotFound, KubeUnavailable, PlanStale, TargetReplaced
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.plan import Change, Plan, Undo, read_pointer, write_pointer
from bridge.model.target import ObjectRef
from bridge.model.verification import Answer, Verification
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import Action
from tests.support.cluster import BAD, Site, open_site

pytestmark = pytest.mark.cluster


@dataclass
class Case:
    """An action, the object that it is about, and how somebody else gets in its way."""

    site: Site
    action: Action
    params: Any
    ref: ObjectRef
    context: RunContext
    meddle: Callable[[], Awaitable[object]]

    async def plan(self) -> Plan:
        plan = await self.action.plan(self.context, self.params)
        assert not plan.empty
        return plan

    async def read(self) -> dict[str, Any]:
        return await self.site.cluster.get(self.ref)

    async def apply(self, change: Change) -> bool:
        return await ChangeApplier(self.site.cluster).apply(change, remediation="rem-1")

    async def verified(self, plan: Plan) -> Verification:
        """Look until it is fixed or never will be, or the site's patience ends."""
        answer = Verification(Answer.UNKNOWN)

        async def done() -> bool:
            nonlocal answer
            answer = await self.action.verify(self.context, plan, self.params)
            return answer.answer is Answer.FIXED or answer.final

        await self.site.until(done)
        return answer


async def _restart(site: Site) -> Case:
    ref = await site.deploy()
    return _case(site, "rollout_restart", ref, {}, lambda: _restart_by_hand(site))


async def _undo(site: Site) -> Case:
    ref = await site.deploy()
    await site.set_image("web", BAD)

    async def second_revision() -> bool:
        document = await site.cluster.get(ref)
        status = document.get("status", {})
        return status.get("observedGeneration") == document["metadata"]["generation"] and bool(
            status.get("updatedReplicas")
        )

    await site.until(second_revision)
    return _case(site, "rollout_undo", ref, {"patience": 0}, lambda: site.set_image("web", f"{BAD}-2"))


async def _scale(site: Site) -> Case:
    ref = await site.deploy()
    path = site.path("deployments", "web")
    return _case(site, "scale", ref, {"by": 1}, lambda: site.send("PATCH", path, {"spec": {"replicas": 5}}))


async def _renew(site: Site) -> Case:
    """A certificate with ten days left, and a cert-manager that takes its time."""
    api = "/apis/cert-manager.io/v1"
    if site.simulated is not None:
        site.simulated.apply(clone(CERTIFICATE_DEFINITION))
    else:
        try:
            await site.cluster.list("cert-manager.io/v1", "Certificate", site.namespace)
        except KubeNotFound:
            pytest.skip("this cluster has no cert-manager")
        issuer = {"metadata": {"name": "own"}, "spec": {"selfSigned": {}}}
        await site.send("POST", site.path("issuers", api=api), issuer)
    spec = {"secretName": "tls", "duration": "240h", "dnsNames": ["web.test"], "issuerRef": {"name": "own"}}
    await site.send("POST", site.path("certificates", api=api), {"metadata": {"name": "tls"}, "spec": spec})
    ref = site.ref("Certificate", "tls", "cert-manager.io/v1")

    async def issued() -> bool:
        return bool((await site.cluster.get(ref)).get("status", {}).get("revision"))

    await site.until(issued)
    if site.simulated is not None:
        site.simulated.set_behavior(issue_delay=0.4)
    meddle = {"status": {"revision": 7}}
    return _case(
        site,
        "certificate_renew",
        ref,
        {},
        lambda: site.send("PATCH", site.path("certificates", "tls", api) + "/status", meddle),
    )


def _case(
    site: Site, name: str, ref: ObjectRef, params: dict[str, Any], meddle: Callable[[], Awaitable[Any]]
) -> Case:
    action = actions()[name]
    context = site.context(ref.kind, ref.name)
    return Case(site, action, action.params.model_validate(params), ref, context, meddle)


async def _restart_by_hand(site: Site) -> None:
    notes = {"annotations": {"kubectl.kubernetes.io/restartedAt": "2020-01-01T00:00:00Z"}}
    await site.send("PATCH", site.path("deployments", "web"), {"spec": {"template": {"metadata": notes}}})


@pytest.fixture(params=[_restart, _undo, _scale, _renew], ids=lambda make: make.__name__.strip("_"))
async def case(request: pytest.FixtureRequest) -> AsyncIterator[Case]:
    async with open_site() as site:
        made = await request.param(site)
        site.proxy.clear()
        yield made


async def test_a_plan_only_reads(case: Case) -> None:
    """Fault 70."""
    plan = await case.plan()
    assert {request.verb for request in case.site.proxy.requests} == {"GET"}
    assert case.site.proxy.mutating(dry_runs=True) == []
    assert plan.action == case.action.name
    assert [change.ref.name for change in plan.changes] == [case.ref.name]
    assert all(change.ref.uid for change in plan.changes)


async def test_planning_again_gives_the_same_plan(case: Case) -> None:
    """An approval binds to the changes' hash: it has to survive a second look at an unchanged cluster."""
    assert (await case.plan()).hash == (await case.plan()).hash


async def test_a_plan_is_what_the_action_declares(case: Case) -> None:
    plan = await case.plan()
    assert (plan.repeat, plan.undo, plan.undo_failed) == (
        case.action.repeat,
        case.action.undo,
        case.action.undo_failed,
    )
    assert plan.summary


async def test_applied_twice_is_applied_once(case: Case) -> None:
    """Fault 4."""
    plan = await case.plan()
    assert [await case.apply(change) for change in plan.changes] == [True]
    assert [await case.apply(change) for change in plan.changes] == [False]
    assert len(case.site.proxy.applied()) == 1


async def test_a_lost_reply_is_settled_by_reading_back(case: Case) -> None:
    """Fault 28."""
    plan = await case.plan()
    case.site.proxy.faults.cut(method="PATCH", after=True)
    assert await case.apply(plan.changes[0])
    assert len(case.site.proxy.applied()) == 1


async def test_a_request_that_never_arrived_is_made_once(case: Case) -> None:
    """Fault 28."""
    plan = await case.plan()
    case.site.proxy.faults.cut(method="PATCH")
    assert await case.apply(plan.changes[0])
    assert len(case.site.proxy.applied()) == 1


async def test_a_conflict_is_read_again_and_checked_again(case: Case) -> None:
    """Fault 20."""
    plan = await case.plan()
    case.site.proxy.faults.answer(409, method="PATCH", times=2)
    assert await case.apply(plan.changes[0])
    assert len(case.site.proxy.applied()) == 1


async def test_a_plan_that_no_longer_fits_is_refused(case: Case) -> None:
    """Fault 20."""
    plan = await case.plan()
    await case.meddle()
    with pytest.raises(PlanStale):
        await case.apply(plan.changes[0])
    assert case.site.proxy.mutating() == []


async def test_an_object_that_was_made_again_is_left_alone(case: Case) -> None:
    """Fault 27."""
    plan = await case.plan()
    old = await case.read()
    plural = f"{case.ref.kind.lower()}s"
    path = case.site.path(plural, case.ref.name, f"/apis/{case.ref.api_version}")
    await case.site.send("DELETE", path)

    async def gone() -> bool:
        try:
            await case.read()
        except KubeNotFound:
            return True
        return False

    await case.site.until(gone)
    again = {"metadata": {"name": case.ref.name}, "spec": old["spec"]}
    await case.site.send("POST", path.rpartition("/")[0], again)
    with pytest.raises(TargetReplaced):
        await case.apply(plan.changes[0])
    assert case.site.proxy.mutating() == []


async def test_an_exact_undo_puts_back_what_the_plan_changed(case: Case) -> None:
    if case.site.simulated is None and case.action.name == "certificate_renew":
        pytest.skip("a real cert-manager has begun by then")
    plan = await case.plan()
    assert plan.undo is Undo.EXACT
    before = await case.read()
    change = plan.changes[0]
    assert await case.apply(change)
    assert await case.apply(change.inverse)
    after = await case.read()
    for field in change.fields:
        if field.change:
            assert read_pointer(after, field.pointer) == read_pointer(before, field.pointer)


async def test_a_dry_run_leaves_no_trace(case: Case) -> None:
    """Fault 70."""
    plan = await case.plan()
    change = plan.changes[0]
    wanted: dict[str, Any] = {}
    for field in change.fields:
        if field.change:
            write_pointer(wanted, field.pointer, field.after)
    before = await case.read()
    await case.site.cluster.patch(change.ref, wanted, subresource=change.subresource, dry_run=True)
    assert case.site.proxy.mutating() == []
    after = await case.read()
    for field in change.fields:
        assert read_pointer(after, field.pointer) == read_pointer(before, field.pointer)


async def test_the_action_sees_that_it_worked(case: Case) -> None:
    plan = await case.plan()
    await case.apply(plan.changes[0])
    assert (await case.verified(plan)).answer is Answer.FIXED


async def test_a_look_before_the_write_is_no_success(case: Case) -> None:
    plan = await case.plan()
    answer = await case.action.verify(case.context, plan, case.params)
    assert answer.answer is Answer.NOT_FIXED


async def test_a_hung_look_ends_at_our_deadline_and_claims_nothing(case: Case) -> None:
    """Fault 23."""
    plan = await case.plan()
    await case.apply(plan.changes[0])
    case.site.proxy.faults.hang(method="GET", times=None)
    impatient = KubeCluster(ClusterConnection(name="test", url=case.site.proxy.url, deadline=0.2))
    reach = Reach(impatient, SystemClock(), Outside(OutsideSettings()))
    try:
        with pytest.raises(KubeUnavailable, match="no answer within"):
            await case.action.verify(msgspec.structs.replace(case.context, reach=reach), plan, case.params)
    finally:
        await impatient.close()
