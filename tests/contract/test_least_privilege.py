"""What `alertbridge rbac` prints is enough for every action and every collector, and nothing asks beyond it.

The account of each flow has the printed roles and nothing else, at a simulated cluster that enforces them; the proxy
before it has seen what was asked. Guards, marks, reading back and undoing are part of a flow, as in a real run.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bridge.actions.registry import actions
from bridge.cli import main
from bridge.engine.gather import gather
from bridge.engine.putback import inverses
from bridge.engine.temporary import made_plans
from bridge.evidence.registry import collectors
from bridge.guards.own_part import OwnPartGuard, OwnParts
from bridge.guards.owner import OwnerGuard
from bridge.guards.protected import ProtectedGuard
from bridge.model.mode import Mode
from bridge.model.permission import Permission
from bridge.model.remediation import Outcome
from bridge.model.runbook import Collect
from bridge.ports import Action
from tests.contract import test_collectors as evidence
from tests.contract.action_cases import Case, Env, Scene, all_cases
from tests.contract.action_cases.workloads import CONTROLLERS, note, roll_out
from tests.support.asked import beyond
from tests.support.cluster import BAD, Site, deployment, only_simulated, open_site
from tests.support.rig import REMEDIATION, Rig
from tests.support.trial import Trial, trials

pytestmark = pytest.mark.usefixtures("quiet_log")

BEYOND_KUBERNETES = {
    *("command", "http_call", "http_check", "notify", "promql_check", "sentinel_failover", "sql", "status_page"),
    *("http_probe", "runbook"),
}
"""Actions that ask nothing of the API server."""
EVIDENCE_BEYOND_KUBERNETES = {"api_health", "http", "promql", "redis", "sentinel", "sql", "tls"}
"""Collectors that need no leave; the API server's health is open to everybody who is logged in."""


ACCOUNT, LOOKING = "alertbridge", "alertbridge-looking"


def asks_kubernetes(action: Action) -> bool:
    return action.name not in BEYOND_KUBERNETES


# -- flows that the cases of the contract don't have


async def status(env: Env) -> Scene:
    return Scene(about=await env.site.deploy(), params={})


async def stuck(env: Env) -> Scene:
    """A StatefulSet with a pod that holds up its rollout, which is removed."""
    site = env.site
    ref = await roll_out(site, "StatefulSet")
    container = {"name": "main", "image": BAD}
    await site.send(
        "PATCH", site.path("statefulsets", "web"), {"spec": {"template": {"spec": {"containers": [container]}}}}
    )

    async def is_held_up() -> bool:
        pods = await site.direct.list("v1", "Pod", site.namespace)
        return any(pod["spec"]["containers"][0]["image"] == BAD for pod in pods)

    await site.until(is_held_up)
    return Scene(about=ref, params={"patience": 0})


async def replicas(env: Env) -> Scene:
    """The number of replicas is a field like any other to `object_apply`, and yet may be an autoscaler's."""
    ref = await env.site.deploy(replicas=1)
    manifest = {**deployment("web", "", 2), "metadata": {"name": "web"}}
    manifest["spec"] = {"replicas": 2}
    return Scene(about=ref, params={"manifest": manifest, "force": True})


async def pod(env: Env) -> Scene:
    """A pod that is the target itself."""
    await roll_out(env.site, "StatefulSet")
    await note(env.site, "StatefulSet", "test/version", "1")
    about = env.site.ref("Pod", "web-0", "v1")
    return Scene(about=about, params={"only": "all"})


MORE = (
    Case(action="rollout_status", prepare=status, needs=CONTROLLERS),
    Case(action="rollout_undo", variant="stuck", prepare=stuck, needs=CONTROLLERS),
    Case(action="object_apply", variant="replicas", prepare=replicas, needs=CONTROLLERS),
    Case(action="pod_delete", variant="itself", prepare=pod, needs=CONTROLLERS),
)
trial = trials(asks_kubernetes, MORE)
watching = trials(lambda action: action.name == "rollout_status", MORE)
ABOUT_NODES = {"kind": "Node", "name": "node-1"}
EVIDENCE = (
    *(
        replace(case, needs=tuple(word for word in case.needs if word != "quotas"))
        for case in evidence.CASES
        if case.collect not in EVIDENCE_BEYOND_KUBERNETES and not case.outside
    ),
    evidence.Case("metrics", {"read": {"up": {"metric": "up"}}}),
    evidence.Case("pods", kind="Node", name="node-1", variant="node"),
    evidence.Case("events", kind="Node", name="node-1", variant="node"),
    evidence.Case("describe", ABOUT_NODES, variant="node"),
)


# -- the account


def granted(folder: Path, runbook: dict[str, Any], *options: str, secrets: str) -> list[dict[str, Any]]:
    """Return the objects that the command prints for a configuration of this runbook alone."""
    (folder / "runbooks").mkdir(exist_ok=True)
    (folder / "runbooks" / "case.yml").write_text(json.dumps(runbook))
    alerts = {"Case": {"runbook": runbook["name"], "mode": "auto"}}
    place = folder / "bridge.yml"
    allowed = {"secret_namespaces": [secrets], "exec": {"allow": [["echo", "..."]]}}
    place.write_text(json.dumps({"mode": "auto", "alerts": alerts, **allowed}))
    options = ("--account", f"ops/{ACCOUNT}", *options)
    done = CliRunner().invoke(main, ["rbac", "-c", str(place), "-o", "json", *options])
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


def enter(site: Site, objects: Iterable[dict[str, Any]], account: str = ACCOUNT) -> None:
    """From now on, everything that goes through the proxy is asked by the account that has these roles."""
    cluster = only_simulated(site)
    for each in objects:
        cluster.apply(each)
    site.proxy.token = cluster.issue_token("ops", account)
    site.proxy.clear()


def permissions(objects: Iterable[dict[str, Any]]) -> list[Permission]:
    return [
        Permission(group, resource, tuple(rule["verbs"]), role["metadata"].get("namespace", ""), names)
        for role in objects
        for rule in role.get("rules", ())
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for names in [tuple(rule.get("resourceNames", ()))]
    ]


def assert_within(site: Site, objects: list[dict[str, Any]]) -> None:
    refused = [(entry.verb, entry.path) for entry in site.proxy.requests if entry.status == 403]
    assert refused == []
    assert beyond(site.proxy.requests, permissions(objects), site.namespace) == []


# -- the proof


async def test_an_action_is_planned_guarded_made_proven_and_undone_with_the_printed_roles(
    trial: Trial, tmp_path: Path
) -> None:
    """First it is only looked at, with the roles for that. The undo comes last, after the proof."""
    site, scene = trial.site, trial.scene
    rig, looking = trial.rig, Rig(site, trial.action, scene.params, scene.about, reach=scene.reach)
    for each in (rig, looking):
        each.guards = (ProtectedGuard(), OwnPartGuard(OwnParts(namespace="ops", pod="alertbridge-0")), OwnerGuard())
    runbook = rig.runbook.model_dump(mode="json", by_alias=True, exclude_unset=True)

    objects = granted(tmp_path, runbook, "--observe", "--account", f"ops/{LOOKING}", secrets=site.namespace)
    assert {verb for one in permissions(objects) for verb in one.verbs} <= {"get", "list", "watch"}
    enter(site, objects, LOOKING)
    looking.mode = Mode.OBSERVE
    view = await looking.run()
    assert view.outcome is Outcome.OBSERVED or trial.case.action == "rollout_status", looking.told()
    assert_within(site, objects)

    objects = granted(tmp_path, runbook, secrets=site.namespace)
    enter(site, objects)
    view = await rig.run()
    assert view.outcome is Outcome.SUCCEEDED, rig.told()
    for plan, change in inverses(made_plans(rig.work.rows[REMEDIATION].entries)):
        await rig.make(plan, change)
    assert site.proxy.requests
    assert_within(site, objects)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with open_site() as found:
        yield found


@pytest.mark.parametrize("case", EVIDENCE, ids=lambda case: case.id)
async def test_evidence_is_gathered_with_the_printed_roles(case: evidence.Case, site: Site, tmp_path: Path) -> None:
    only_simulated(site)
    await evidence.prepare(case, site)
    runbook = {
        "name": "test/case",
        "summary": "One collector alone.",
        "target": {"kind": case.kind, "namespace": "" if case.kind == "Node" else site.namespace, "name": case.name},
        "evidence": {"it": {"collect": case.collect, "with": case.params}},
        "scenarios": [{"name": "only", "otherwise": True, "steps": [{"wait": {"for": "1s"}}]}],
    }
    objects = granted(tmp_path, runbook, secrets=site.namespace)
    enter(site, objects)
    wanted = {"it": Collect.model_validate(runbook["evidence"]["it"])}  # type: ignore[index]
    context = evidence.context_of(case, site)
    found = await gather(wanted, collectors=collectors(), context=context, variables={})
    # Nobody answers in a simulated pod, and no quota is kept there.
    assert case.collect in ("metrics", "quotas") or not found.missing
    assert site.proxy.requests
    assert_within(site, objects)
    assert all(verb in ("get", "list") for one in permissions(objects) for verb in one.verbs)


def test_every_action_and_every_collector_is_in_a_flow() -> None:
    flows = {case.action for case in (*all_cases(), *MORE)}
    assert flows | BEYOND_KUBERNETES == set(actions())
    for name in BEYOND_KUBERNETES:
        assert not actions()[name].permissions("Deployment", actions()[name].example)
    assert {case.collect for case in EVIDENCE} | EVIDENCE_BEYOND_KUBERNETES == set(collectors())
    for name in EVIDENCE_BEYOND_KUBERNETES:
        assert not collectors()[name].permissions("Deployment", {})


async def test_an_account_without_a_role_is_refused_here(watching: Trial) -> None:
    """Else the proof would prove nothing."""
    enter(watching.site, [])
    assert (await watching.rig.run()).outcome is not Outcome.SUCCEEDED
    assert {entry.status for entry in watching.site.proxy.requests} == {403}
