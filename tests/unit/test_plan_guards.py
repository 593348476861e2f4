"""The plan guards: protected places, our own parts, owners, what cannot be undone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bridge.engine.context import RunContext
from bridge.errors import PermanentError
from bridge.guards.own_part import OwnPartGuard, OwnParts
from bridge.guards.owner import OwnerGuard
from bridge.guards.protected import ProtectedGuard
from bridge.guards.reversible import ReversibleGuard
from bridge.model.mode import Mode
from bridge.model.plan import Change, Field, Operation, Plan, Undo
from bridge.model.reason import Reason, Verdict
from bridge.model.remediation import Remediation
from bridge.model.target import ObjectRef, Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from bridge.ports import PlanGuard
from tests.support.clock import FakeClock
from tests.support.fake_cluster import FakeCluster


def remediation(**settings: Any) -> Remediation:
    about: dict[str, Any] = {"target": Target("test", "Deployment", "shop", "web"), **settings}
    return Remediation(id="rem-1", runbook="r", mode=Mode.AUTO, **about)


def plan(
    namespace: str = "shop",
    name: str = "web",
    *,
    kind: str = "Deployment",
    pointer: str = "/spec/template",
    action: str = "rollout_undo",
    subresource: str = "",
    undo: Undo = Undo.EXACT,
) -> Plan:
    ref = ObjectRef("apps/v1", kind, namespace, name, "u", "test")
    change = Change(ref=ref, fields=(Field(pointer, 1, 2),), summary="s", subresource=subresource)
    return Plan(action=action, summary="s", changes=(change,), undo=undo)


async def check(guard: PlanGuard, wanted: Plan, *documents: dict[str, Any], **settings: Any) -> Verdict:
    rem = remediation(**settings)
    reach = Reach(FakeCluster(*documents), FakeClock(), Outside(OutsideSettings()))
    context = RunContext(remediation=rem.id, planned_at=0, target=rem.target, reach=reach)
    return await guard.check(rem, wanted, context)


def web(
    labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, **meta: Any
) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "labels": labels or {}, "annotations": annotations or {}, **meta},
    }


async def test_a_protected_namespace_is_not_changed() -> None:
    """Fault 64."""
    verdict = await check(ProtectedGuard(), plan("kube-system", "coredns"))
    assert (verdict.decision, verdict.reason) == ("deny", Reason.PROTECTED_NAMESPACE)
    itself = plan("", "kube-system", kind="Namespace")
    assert (await check(ProtectedGuard(), itself)).reason is Reason.PROTECTED_NAMESPACE
    assert (await check(ProtectedGuard(), plan())).allowed
    assert (await check(ProtectedGuard(()), plan("kube-system", "coredns"))).allowed
    assert not (await check(ProtectedGuard(["shop"]), plan())).allowed


async def test_a_route_may_name_a_protected_namespace_and_opens_just_that_one() -> None:
    """Fault 64."""
    dns, mesh = plan("kube-system", "coredns"), plan("istio-system", "pilot")
    guard = ProtectedGuard(["kube-system", "istio-system"])
    denied = await check(guard, dns)
    assert "`allow_namespaces`" in denied.detail
    excepted: dict[str, Any] = {"allow_namespaces": ("kube-system",)}
    assert (await check(guard, dns, **excepted)).allowed
    assert not (await check(guard, mesh, **excepted)).allowed
    itself = plan("", "kube-system", kind="Namespace")
    assert not (await check(guard, itself, **excepted)).allowed
    assert not (await check(guard, everywhere("ClusterRole"), **excepted)).allowed
    off = {
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": {"alertbridge.io/mode": "off"}},
    }
    assert (await check(guard, dns, off, **excepted)).reason is Reason.PROTECTED_OBJECT


def everywhere(kind: str, operation: Operation = Operation.CREATE, **more: Any) -> Plan:
    ref = ObjectRef("example.k8s.io/v1", kind, "", "all")
    change = Change(ref=ref, operation=operation, manifest={}, summary="s", **more)
    return Plan(action="object_apply", summary="s", changes=(change,))


@pytest.mark.parametrize("kind", ["ValidatingWebhookConfiguration", "ClusterRoleBinding", "CustomResourceDefinition"])
@pytest.mark.parametrize("operation", [Operation.CREATE, Operation.APPLY, Operation.PATCH])
async def test_what_decides_in_every_namespace_decides_in_protected_ones(kind: str, operation: Operation) -> None:
    """Fault 64."""
    verdict = await check(ProtectedGuard(), everywhere(kind, operation))
    assert (verdict.decision, verdict.reason) == ("deny", Reason.PROTECTED_NAMESPACE)
    assert "kube-system" in verdict.detail


async def test_what_decides_in_every_namespace_may_be_lifted_put_back_and_restored_by_its_release() -> None:
    """A webhook that fails is mended by its removal."""
    role = everywhere("ClusterRole")
    assert (await check(ProtectedGuard(()), role)).allowed
    assert (await check(ProtectedGuard(), everywhere("ClusterRole", Operation.DELETE))).allowed
    assert (await check(ProtectedGuard(), role, undo_of="rem-0")).allowed
    assert (await check(ProtectedGuard(), everywhere("ClusterRole", as_owner="Helm"))).allowed


async def test_a_drain_evicts_from_protected_namespaces_only_where_that_is_allowed() -> None:
    """Fault 64."""
    coredns = ObjectRef("v1", "Pod", "kube-system", "coredns-1", "u1")
    eviction = Change(ref=coredns, operation=Operation.EVICT, summary="evict")
    drain = Plan(action="drain", summary="drain", changes=(eviction,))
    refused = await check(ProtectedGuard(), drain)
    assert refused.reason is Reason.PROTECTED_NAMESPACE
    assert "drain_protected" in refused.detail
    assert (await check(ProtectedGuard(drains=True), drain)).allowed
    by_itself = msgspec.structs.replace(drain, action="pod_evict")
    assert not (await check(ProtectedGuard(drains=True), by_itself)).allowed
    deleted = msgspec.structs.replace(drain, changes=(msgspec.structs.replace(eviction, operation=Operation.DELETE),))
    assert not (await check(ProtectedGuard(drains=True), deleted)).allowed


async def test_an_object_that_is_marked_off_is_not_changed() -> None:
    verdict = await check(ProtectedGuard(), plan(), web(annotations={"alertbridge.io/mode": "off"}))
    assert (verdict.decision, verdict.reason) == ("deny", Reason.PROTECTED_OBJECT)
    assert (await check(ProtectedGuard(), plan(), web(annotations={"alertbridge.io/mode": "auto"}))).allowed


def owned(kind: str, name: str, owner: tuple[str, str] | None, **annotations: str) -> dict[str, Any]:
    meta: dict[str, Any] = {"name": name, "annotations": {f"alertbridge.io/{k}": v for k, v in annotations.items()}}
    if owner is not None:
        of = {"apiVersion": "apps/v1", "kind": owner[0], "name": owner[1], "uid": "o", "controller": True}
        meta["ownerReferences"] = [of]
    return {"kind": kind, "metadata": meta}


@pytest.mark.parametrize("operation", [Operation.DELETE, Operation.EVICT, Operation.CALL])
@pytest.mark.parametrize("mode", ["off", "auto"])
async def test_the_pods_of_a_workload_that_is_marked_off_are_left_alone(operation: Operation, mode: str) -> None:
    """A pod has the annotations of its template, not those of its workload."""
    pod = Change(ref=ObjectRef("v1", "Pod", "shop", "web-1-a", "u", "test"), operation=operation, summary="s")
    wanted = Plan(action="pod_delete", summary="s", changes=(pod,))
    documents = [
        owned("Pod", "web-1-a", ("ReplicaSet", "web-1")),
        owned("ReplicaSet", "web-1", ("Deployment", "web")),
        owned("Deployment", "web", None, mode=mode),
    ]
    verdict = await check(ProtectedGuard(), wanted, *documents)
    assert verdict.allowed is (mode == "auto")
    if mode == "off":
        assert verdict.reason is Reason.PROTECTED_OBJECT
        assert "deployment/shop/web, of which pod/shop/web-1-a is, has the mark" in verdict.detail


OWN = OwnParts(
    namespace="alertbridge",
    pod="bridge-worker-7c9d8f-abcde",
    node="node-1",
    workloads=("alertbridge",),
    redis=("data/redis",),
)


@pytest.mark.parametrize(
    ("namespace", "name", "kind", "own"),
    [
        ("alertbridge", "alertbridge", "Deployment", True),
        ("alertbridge", "alertbridge-0", "Pod", True),
        ("alertbridge", "bridge-worker", "Deployment", True),
        ("alertbridge", "bridge-worker-7c9d8f", "ReplicaSet", True),
        ("data", "redis", "StatefulSet", True),
        ("data", "redis-0", "Pod", True),
        ("", "node-1", "Node", True),
        ("", "alertbridge", "Namespace", True),
        ("alertbridge", "deny-all", "NetworkPolicy", True),
        ("data", "small", "ResourceQuota", True),
        ("shop", "deny-all", "NetworkPolicy", False),
        ("alertbridge", "grafana", "Deployment", False),
        ("shop", "alertbridge", "Deployment", False),
        ("shop", "redis", "StatefulSet", False),
        ("data", "redisinsight", "Deployment", False),
        ("", "node-2", "Node", False),
    ],
)
async def test_what_we_run_on_is_not_changed(namespace: str, name: str, kind: str, own: bool) -> None:
    """Fault 63."""
    verdict = await check(OwnPartGuard(OWN), plan(namespace, name, kind=kind))
    assert verdict.reason is (Reason.OWN_PART if own else Reason.ALLOWED)


async def test_another_clusters_namesakes_are_not_our_parts() -> None:
    """Fault 63."""
    elsewhere = msgspec.structs.replace(OWN, cluster="home")
    assert (await check(OwnPartGuard(elsewhere), plan("alertbridge", "alertbridge"))).allowed
    assert (await check(OwnPartGuard(OwnParts()), plan("alertbridge", "web"))).allowed


HELM = {"app.kubernetes.io/managed-by": "Helm"}
RELEASE = {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "apps"}


@pytest.mark.parametrize(
    ("labels", "annotations", "hint"),
    [
        (HELM, RELEASE, "helm rollback shop -n apps"),
        (HELM, {}, "helm rollback RELEASE -n shop"),
        ({}, {"argocd.argoproj.io/tracking-id": "store:apps/Deployment:shop/web"}, "argocd app rollback store"),
        ({"argocd.argoproj.io/instance": "store"}, {}, "argocd app rollback store"),
        (
            {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
            {},
            "flux suspend kustomization apps -n flux-system",
        ),
        (HELM | {"helm.toolkit.fluxcd.io/name": "shop"}, RELEASE, "flux suspend helmrelease shop"),
    ],
)
async def test_an_owners_object_is_left_to_it_with_the_command_to_use(
    labels: dict[str, str], annotations: dict[str, str], hint: str
) -> None:
    verdict = await check(OwnerGuard(), plan(), web(labels, annotations))
    assert (verdict.decision, verdict.reason) == ("deny", Reason.OWNER_WOULD_REVERT)
    assert hint in verdict.detail
    assert (await check(OwnerGuard(), plan(), web(labels, annotations), allow_drift=True)).allowed


async def test_an_operators_object_is_left_to_it() -> None:
    owner = {"kind": "Gateway", "name": "main", "controller": True}
    verdict = await check(OwnerGuard(), plan(), web(ownerReferences=[owner]))
    assert "gateway/main" in verdict.detail
    assert (await check(OwnerGuard(), plan(), web(ownerReferences=[{**owner, "controller": False}]))).allowed


async def test_an_autoscaler_owns_the_count_and_nothing_else() -> None:
    """Fault 66."""
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "auto"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}},
    }
    verdict = await check(OwnerGuard(), plan(pointer="/spec/replicas", action="scale"), web(), hpa)
    assert verdict.reason is Reason.OWNER_WOULD_REVERT
    assert (await check(OwnerGuard(), plan(), web(), hpa)).allowed


async def test_a_status_is_nobodys_manifest() -> None:
    assert (await check(OwnerGuard(), plan(subresource="status"), web(HELM, RELEASE))).allowed


@pytest.mark.parametrize("operation", [Operation.DELETE, Operation.EVICT])
async def test_a_pod_that_its_controller_makes_again_may_go(operation: Operation) -> None:
    owners = [{"kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": True}]
    pod = {**web({"app.kubernetes.io/managed-by": "Helm"}, ownerReferences=owners), "kind": "Pod"}
    changed = plan(kind="Pod")
    removed = msgspec.structs.replace(changed.changes[0], operation=operation, fields=())
    assert (await check(OwnerGuard(), msgspec.structs.replace(changed, changes=(removed,)), pod)).allowed
    assert not (await check(OwnerGuard(), changed, pod)).allowed


async def test_what_nobody_owns_may_be_changed() -> None:
    assert (await check(OwnerGuard(), plan(), web({"app.kubernetes.io/managed-by": "kustomize"}))).allowed
    assert (await check(OwnerGuard(), plan())).allowed


async def test_what_cannot_be_undone_needs_leave_or_a_person() -> None:
    irreversible = plan(undo=Undo.NONE)
    assert (await check(ReversibleGuard(), irreversible)).reason is Reason.UNDO_NONE
    assert (await check(ReversibleGuard(), irreversible, allow_irreversible=True)).allowed
    asked = msgspec.structs.replace(remediation(), mode=Mode.APPROVE)
    context = RunContext(remediation="r", planned_at=0, target=asked.target, reach=None)  # type: ignore[arg-type]
    assert (await ReversibleGuard().check(asked, irreversible, context)).allowed
    assert (await check(ReversibleGuard(), plan())).allowed


# -- operations beyond patches


def operated(operation: Operation, ref: ObjectRef, **more: Any) -> Plan:
    change = Change(ref=ref, operation=operation, summary="s", **more)
    return Plan(action="object_delete", summary="s", changes=(change,))


CONFIG = ObjectRef("v1", "ConfigMap", "shop", "config", "u", "test")
HELM_CONFIG = {
    "kind": "ConfigMap",
    "metadata": {"name": "config", "labels": HELM, "annotations": RELEASE},
}


async def test_an_object_that_its_owner_would_make_again_is_not_deleted() -> None:
    removed = operated(Operation.DELETE, CONFIG)
    verdict = await check(OwnerGuard(), removed, HELM_CONFIG)
    assert verdict.reason is Reason.OWNER_WOULD_REVERT
    assert "Helm release shop, which would make it again" in verdict.detail
    owner = {"kind": "Gateway", "name": "main", "controller": True}
    owned = {"kind": "ConfigMap", "metadata": {"name": "config", "ownerReferences": [owner]}}
    assert "gateway/main" in (await check(OwnerGuard(), removed, owned)).detail
    assert (await check(OwnerGuard(), removed, {"kind": "ConfigMap", "metadata": {"name": "config"}})).allowed


async def test_helms_own_records_are_no_drift_for_helm_but_for_those_who_own_the_release() -> None:
    """Decision 11: Helm is rolled back through its own records, except where a GitOps controller owns the release."""
    own = operated(Operation.PATCH, CONFIG, fields=(Field("/data/x", 1, 2),), as_owner="Helm")
    assert (await check(OwnerGuard(), own, HELM_CONFIG)).allowed
    flux = {**HELM, "helm.toolkit.fluxcd.io/name": "shop"}
    released = {"kind": "ConfigMap", "metadata": {"name": "config", "labels": flux, "annotations": RELEASE}}
    assert "Flux helmrelease shop" in (await check(OwnerGuard(), own, released)).detail


async def test_a_restart_is_not_told_to_be_reverted_by_helm_which_keeps_it() -> None:
    verdict = await check(OwnerGuard(), plan(action="rollout_restart"), web(HELM, RELEASE))
    assert verdict.reason is Reason.OWNER_WOULD_REVERT
    assert "would revert this" not in verdict.detail
    assert "helm upgrade shop" in verdict.detail


async def test_what_is_not_there_yet_is_nobodys_and_is_not_read() -> None:
    """Who may make a Secret need not be allowed to read one."""
    secret = operated(Operation.CREATE, ObjectRef("v1", "Secret", "shop", "tls", "", "test"), manifest={})
    cluster = FakeCluster()
    cluster.errors["get", "Secret"] = PermanentError("Secrets of shop are not read")
    for guard in (OwnerGuard(), ProtectedGuard()):
        reach = Reach(cluster, FakeClock(), Outside(OutsideSettings()))
        rem = remediation()
        context = RunContext(remediation=rem.id, planned_at=0, target=rem.target, reach=reach)
        assert (await guard.check(rem, secret, context)).allowed
    made = operated(Operation.CREATE, ObjectRef("v1", "ConfigMap", "kube-system", "x", "", "test"), manifest={})
    assert (await check(ProtectedGuard(), made)).reason is Reason.PROTECTED_NAMESPACE


@pytest.mark.parametrize("operation", [Operation.EVICT, Operation.DELETE, Operation.CALL])
async def test_our_own_pod_stays_and_is_not_called_into(operation: Operation) -> None:
    """Fault 63. Also when a drain would take it along."""
    own = operated(operation, ObjectRef("v1", "Pod", "alertbridge", OWN.pod, "u", "test"))
    assert (await check(OwnPartGuard(OWN), own)).reason is Reason.OWN_PART
    protected = operated(operation, ObjectRef("v1", "Pod", "kube-system", "coredns-1", "u", "test"))
    assert (await check(ProtectedGuard(), protected)).reason is Reason.PROTECTED_NAMESPACE


async def test_our_own_node_is_not_taken_out_of_service() -> None:
    """Fault 63."""
    node = ObjectRef("v1", "Node", "", "node-1", "u", "test")
    cordon = operated(Operation.PATCH, node, fields=(Field("/spec/unschedulable", None, True),))
    assert (await check(OwnPartGuard(OWN), cordon)).reason is Reason.OWN_PART


async def test_a_peer_that_is_called_like_us_is_not_our_part() -> None:
    peer = operated(Operation.CALL, ObjectRef("", "Postgres", "alertbridge", "alertbridge", "", "test"))
    for guard in (OwnPartGuard(OWN), OwnerGuard(), ProtectedGuard()):
        assert (await check(guard, peer)).allowed


async def test_a_plug_ins_call_on_its_target_is_guarded_as_a_change_of_it() -> None:
    """Faults 63 and 64. What a function does there is its own; a peer of the same name is another thing."""
    ref = ObjectRef("", "my_fix", "shop", "web", cluster="test")
    call = Change(ref=ref, operation=Operation.CALL, summary="s")
    wanted = Plan(action="my_fix", summary="s", changes=(call,))
    verdict = await check(ProtectedGuard(), wanted, web(annotations={"alertbridge.io/mode": "off"}))
    assert verdict.reason is Reason.PROTECTED_OBJECT
    own = OwnPartGuard(OwnParts(namespace="shop", workloads=("web",)))
    assert (await check(own, wanted)).reason is Reason.OWN_PART
    peer = msgspec.structs.replace(call, ref=ObjectRef("", "Postgres", "", "web"))
    elsewhere = msgspec.structs.replace(wanted, changes=(peer,))
    assert (await check(own, elsewhere)).allowed
    assert (await check(ProtectedGuard(), elsewhere, web(annotations={"alertbridge.io/mode": "off"}))).allowed
    database = Target("test", "Database", "", "Orders_DB")
    named = msgspec.structs.replace(call, ref=ObjectRef("", "my_fix", "", "Orders_DB", cluster="test"))
    assert (await check(ProtectedGuard(), msgspec.structs.replace(wanted, changes=(named,)), target=database)).allowed
