"""The shipped netweave runbooks decide and prove what the people's runbooks say, at a simulated cluster."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bridge.actions.registry import actions
from bridge.configuration.expressions import Condition, render
from bridge.demo import SimulatedCluster, SimulatedServer
from bridge.demo.workloads import (
    NAMESPACE,
    deployment,
    seed_api,
    seed_autoscaled,
    seed_certificate,
    seed_gateway,
    service,
)
from bridge.engine.apply import ChangeApplier
from bridge.engine.choose import Choice, choose
from bridge.engine.clock import SystemClock
from bridge.engine.context import RunContext, variables
from bridge.engine.gather import gather
from bridge.errors import PlanError
from bridge.evidence.registry import collectors
from bridge.kube.client import KubeCluster
from bridge.kube.connection import ClusterConnection
from bridge.model.mode import Mode
from bridge.model.plan import Plan
from bridge.model.remediation import Remediation, RemediationView, State
from bridge.model.target import Target
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.need import need
from tests.support.scenes.shipped import shipped

FOLDER = Path(__file__).parents[2] / "config" / "runbooks" / "netweave"
DAY = 86400.0


@dataclass
class Bench:
    """A run of one runbook by hand: evidence, choice, plan, write, proof."""

    simulated: SimulatedCluster
    server: SimulatedServer
    cluster: KubeCluster = field(init=False)
    params: dict[str, Any] = field(default_factory=dict)
    started_at: float = 0.0
    resolved: bool = False

    async def connect(self, *, secret_namespaces: frozenset[str]) -> None:
        """Reach the cluster, with leave to read Secrets in those namespaces."""
        await self.close()
        connection = ClusterConnection(name="test", url=self.server.url, secret_namespaces=secret_namespaces)
        self.cluster = KubeCluster(connection)

    async def close(self) -> None:
        if hasattr(self, "cluster"):
            await self.cluster.close()

    def load(self, name: str, labels: dict[str, str]) -> None:
        # With the scenarios of other runbooks that it uses.
        self.runbook = shipped().runbooks[f"netweave/{name}"]
        params = {key: parameter.default for key, parameter in self.runbook.params.items()} | self.params
        scope = {"labels": labels, "annotations": {}, "params": params}
        spec = self.runbook.target
        target = Target("test", spec.kind, render(spec.namespace, scope), render(spec.name, scope))
        now = self.simulated.now()
        remediation = Remediation(
            id="rem-1",
            runbook=name,
            target=target,
            mode=Mode.AUTO,
            params=params,
            labels=labels,
            started_at=self.started_at or now,
            created_at=now,
        )
        opened = () if self.resolved else ("i",)
        self.view = RemediationView(
            remediation=remediation, state=State.RUNNING, incidents=("i",), open_incidents=opened
        )
        reach = Reach(self.cluster, SystemClock(), Outside(OutsideSettings()))
        self.context = RunContext(remediation="rem-1", planned_at=now, target=target, reach=reach)
        self.evidence: dict[str, Any] = {}

    def variables(self) -> Mapping[str, Any]:
        return variables(self.view, now=self.simulated.now(), prometheus=False, evidence=self.evidence)

    async def look(self, wanted: Any) -> dict[str, str]:
        found = await gather(
            wanted,
            collectors=collectors(),
            context=self.context,
            variables=self.variables(),
        )
        self.evidence = {**self.evidence, **found.values}
        for name in found.missing:
            self.evidence.pop(name, None)
        return found.missing

    async def choice(self, name: str, labels: dict[str, str] | None = None) -> Choice:
        self.load(name, labels or {})
        self.missing = await self.look(self.runbook.evidence)
        return choose(self.runbook.scenarios, self.variables())

    async def plan(self, choice: Choice) -> Plan:
        assert choice.scenario is not None, choice.why
        step = choice.scenario.steps[0]
        action = actions()[step.action]
        return await action.plan(self.context, action.params.model_validate(render(step.with_, self.variables())))

    async def apply(self, plan: Plan) -> None:
        for change in plan.changes:
            assert (await ChangeApplier(self.cluster).apply(change, remediation="rem-1")).wrote

    async def proof(self) -> tuple[bool | None, str]:
        assert self.runbook.verify is not None
        await self.look(self.runbook.verify.evidence)
        return Condition(self.runbook.verify.fixed).evaluate_detailed(self.variables())

    async def proved(self) -> None:
        async with asyncio.timeout(10):
            while (answer := await self.proof())[0] is not True:  # noqa: ASYNC110 - it looks from outside
                await asyncio.sleep(0.05)
        assert answer[0] is True


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    simulated = SimulatedCluster()
    simulated.set_behavior(ready_delay=0.05, termination_delay=0.02, issue_delay=0.05)
    async with SimulatedServer(simulated, tick=0.005) as server:
        made = Bench(simulated, server)
        await made.connect(secret_namespaces=frozenset({NAMESPACE}))
        yield made
        await made.close()


async def test_a_gateway_whose_new_version_never_got_ready_is_rolled_back(bench: Bench) -> None:
    seed_gateway(bench.simulated)
    choice = await bench.choice("all-pods-down")
    assert choice.scenario is not None
    assert choice.scenario.name == "bad deployment"
    plan = await bench.plan(choice)
    assert "1.5.0-bad" in plan.summary
    assert plan.disruption.ready_pods == 0
    assert (await bench.proof())[0] is False
    await bench.apply(plan)
    await bench.proved()
    # It is no release here, has no configuration, and no Redis.
    beside = {"helm", "config", "sentinel", "redis_pods", "redis_previous_logs", "redis_volumes"}
    assert bench.missing.keys() <= beside


async def test_a_gateway_that_was_well_in_this_version_is_restarted(bench: Bench) -> None:
    name = "netweave-gateway"
    with bench.simulated.travel(bench.simulated.now() - DAY):
        bench.simulated.apply(service(name))
        bench.simulated.apply(deployment(name, "gateway:1"))
        bench.simulated.settle(30)
    bench.simulated.set_behavior(respond=lambda service, method, path: (500, "stuck"))
    choice = await bench.choice("all-pods-down")
    assert choice.scenario is not None
    assert choice.scenario.name == "anything else"
    plan = await bench.plan(choice)
    assert plan.action == "rollout_restart"
    await bench.apply(plan)
    bench.simulated.set_behavior(respond=None)
    await bench.proved()


async def test_a_gateway_that_is_well_or_switched_off_is_not_restarted(bench: Bench) -> None:
    """An alert that is late, or whose query is at fault; and a person who does not want it to run."""
    name = "netweave-gateway"
    with bench.simulated.travel(bench.simulated.now() - DAY):
        bench.simulated.apply(service(name))
        bench.simulated.apply(deployment(name, "gateway:1"))
        bench.simulated.settle(30)
    choice = await bench.choice("all-pods-down")
    assert (choice.scenario, choice.unknown) == (None, False)
    bench.simulated.apply(deployment(name, "gateway:1", replicas=0))
    bench.simulated.settle(5)
    choice = await bench.choice("all-pods-down")
    assert (choice.scenario, choice.unknown) == (None, False)


async def test_a_gateway_that_was_rolled_back_and_is_still_down_is_not_rolled_back_further(bench: Bench) -> None:
    """What is wrong is none of the versions' then: the next alert would go back one more, and so on."""
    seed_gateway(bench.simulated)
    bench.simulated.set_behavior(judge=lambda pod: "crash")
    await bench.apply(await bench.plan(await bench.choice("all-pods-down")))
    async with asyncio.timeout(5):
        while (choice := await bench.choice("all-pods-down")) and bench.evidence["rollout"]["revision"] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert bench.evidence["rollout"]["went_back"]
    assert choice.scenario is not None
    assert choice.scenario.name == "anything else"


async def test_a_version_that_was_never_ready_but_is_old_is_not_rolled_back(bench: Bench) -> None:
    seed_gateway(bench.simulated, ago=2 * DAY)
    choice = await bench.choice("all-pods-down")
    assert choice.scenario is not None
    assert choice.scenario.name == "anything else"


@pytest.mark.parametrize("path", ["/replicasets", "/deployments/"])
async def test_evidence_that_is_missing_leads_to_no_scenario(bench: Bench, path: str) -> None:
    seed_gateway(bench.simulated)
    bench.server.faults.answer(403, path=path, times=None)
    choice = await bench.choice("all-pods-down")
    assert choice.scenario is None
    assert choice.unknown
    assert "rollout" in bench.missing


async def test_the_labels_of_the_alert_say_which_gateway(bench: Bench) -> None:
    seed_gateway(bench.simulated, name="second")
    choice = await bench.choice("all-pods-down", {"namespace": NAMESPACE, "deployment": "second"})
    plan = await bench.plan(choice)
    assert plan.changes[0].ref.name == "second"


async def test_a_health_check_that_fails_is_not_fixed_and_a_hung_one_is_unknown(bench: Bench) -> None:
    """Decision 8."""
    name = "netweave-gateway"
    with bench.simulated.travel(bench.simulated.now() - DAY):
        bench.simulated.apply(deployment(name, "gateway:1"))
        bench.simulated.settle(30)
    bench.load("all-pods-down", {})
    # There is no such Service: that is no evidence about the gateway's health.
    assert (await bench.proof())[0] is None
    bench.simulated.apply(service(name))
    assert (await bench.proof())[0] is True
    bench.server.faults.answer(500, path="/proxy/", times=1)
    assert (await bench.proof())[0] is None


def _release(bench: Bench, ago: float, image: str = "api:2") -> None:
    with bench.simulated.travel(bench.simulated.now() - ago):
        bench.simulated.apply(deployment("netweave-api", image))
        bench.simulated.settle(20)


API = {"namespace": NAMESPACE, "deployment": "netweave-api"}


async def test_errors_that_began_after_a_release_roll_it_back(bench: Bench) -> None:
    seed_api(bench.simulated)
    _release(bench, ago=900)
    bench.started_at = bench.simulated.now() - 300
    choice = await bench.choice("high-error-rate", API)
    assert choice.scenario is not None
    assert choice.scenario.name == "bug in a recent deployment"
    plan = await bench.plan(choice)
    assert "netweave-api:2.1.0" in plan.summary
    await bench.apply(plan)


async def test_the_errors_of_an_outage_that_was_rolled_back_do_not_roll_back_once_more(bench: Bench) -> None:
    """GatewayDown has gone back from 2 to 1, seconds after both alerts started; 0 served before 1."""
    seed_api(bench.simulated, age=90 * DAY)
    _release(bench, ago=30 * DAY, image="api:1")
    _release(bench, ago=900, image="api:2")
    _release(bench, ago=20, image="api:1")
    bench.started_at = bench.simulated.now() - 40
    choice = await bench.choice("high-error-rate", API)
    assert bench.evidence["rollout"]["last_healthy"]["revision"] > 0
    assert choice.scenario is not None
    assert choice.scenario.name == "too few replicas"


async def test_errors_that_end_with_the_last_pod_are_not_mended(bench: Bench) -> None:
    seed_api(bench.simulated)
    bench.resolved = True
    bench.simulated.apply(deployment("netweave-api", "registry.example/netweave-api:2.1.0", replicas=0))
    bench.simulated.settle(5)
    bench.load("high-error-rate", API)
    assert (await bench.proof())[0] is False


def test_the_share_of_failed_requests_is_zero_where_none_fails_and_unknown_without_any(tmp_path: Path) -> None:
    """After a rollback the new pods have no series of failed requests: that is what mended looks like."""
    promtool = need("promtool")
    runbook = YAML(typ="safe").load((FOLDER / "high-error-rate.yml").read_text())
    rule = {"record": "share", "expr": runbook["params"]["query"]["default"]}
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))

    def told(expected: list[float], **series: str) -> dict[str, Any]:
        written = [
            {"series": f'o2ims_http_requests_total{{status="{name[1:]}"}}', "values": values}
            for name, values in series.items()
        ]
        samples = [{"labels": "{}", "value": value} for value in expected]
        test = {"expr": "sum(share)", "eval_time": "10m", "exp_samples": samples}
        return {"interval": "30s", "input_series": written, "promql_expr_test": [test]}

    tests = [
        told([0], _200="0+60x20"),
        told([0.25], _200="0+90x20", _503="0+30x20"),
        told([0], _200="0+60x20", _503="0+30x5 stale"),
        told([]),
    ]
    file = tmp_path / "test.json"
    file.write_text(json.dumps({"rule_files": ["rules.json"], "evaluation_interval": "30s", "tests": tests}))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("released", "alerted"), [(DAY, 300), (100, 600)])
async def test_a_release_long_before_or_after_the_alert_is_not_suspected(
    bench: Bench, released: float, alerted: float
) -> None:
    seed_api(bench.simulated)
    _release(bench, ago=released)
    bench.started_at = bench.simulated.now() - alerted
    choice = await bench.choice("high-error-rate", API)
    plan = await bench.plan(choice)
    assert plan.action == "scale"
    assert plan.changes[0].fields[0].after == 5


async def test_a_restart_before_the_alert_is_no_release(bench: Bench) -> None:
    seed_api(bench.simulated)
    restarted = deployment("netweave-api", "registry.example/netweave-api:2.1.0")
    notes = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    restarted["spec"]["template"]["metadata"]["annotations"] = notes
    with bench.simulated.travel(bench.simulated.now() - 900):
        bench.simulated.apply(restarted)
        bench.simulated.settle(20)
    choice = await bench.choice("high-error-rate", API)
    assert choice.scenario is not None
    assert choice.scenario.name == "too few replicas"


async def test_replicas_are_added_up_to_the_limit_and_never_behind_an_autoscaler(bench: Bench) -> None:
    """Fault 66."""
    seed_api(bench.simulated)
    bench.params = {"max_replicas": 4}
    plan = await bench.plan(await bench.choice("high-error-rate", API))
    assert plan.changes[0].fields[0].after == 4
    assert plan.notes
    seed_autoscaled(bench.simulated, name="netweave-worker")
    choice = await bench.choice("high-error-rate", {"namespace": NAMESPACE, "deployment": "netweave-worker"})
    with pytest.raises(PlanError, match="HorizontalPodAutoscaler"):
        await bench.plan(choice)


async def test_without_prometheus_the_resolve_is_the_witness(bench: Bench) -> None:
    seed_api(bench.simulated)
    bench.load("high-error-rate", API)
    assert (await bench.proof())[0] is False
    bench.resolved = True
    bench.load("high-error-rate", API)
    assert (await bench.proof())[0] is True


async def test_a_certificate_that_runs_out_is_renewed_and_proved_from_itself(bench: Bench) -> None:
    seed_certificate(bench.simulated, days_left=7)
    choice = await bench.choice("certificate-expiring")
    plan = await bench.plan(choice)
    assert (plan.action, plan.changes[0].subresource) == ("certificate_renew", "status")
    await bench.apply(plan)
    await bench.proved()
    assert bench.evidence["certificate"]["source"] == "secret"
    assert bench.evidence["certificate"]["days_left"] > 80


async def test_without_leave_to_read_the_secret_the_proof_is_unknown_unless_the_status_will_do(bench: Bench) -> None:
    seed_certificate(bench.simulated, days_left=60)
    await bench.connect(secret_namespaces=frozenset())
    bench.load("certificate-expiring", {})
    assert (await bench.proof())[0] is None
    bench.params = {"from_secret": False}
    bench.load("certificate-expiring", {})
    assert (await bench.proof())[0] is True


async def test_a_certificate_that_lasts_has_no_scenario(bench: Bench) -> None:
    seed_certificate(bench.simulated, days_left=60)
    choice = await bench.choice("certificate-expiring")
    assert choice.scenario is None
    assert not choice.unknown
