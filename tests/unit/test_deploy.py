"""What deploy/ ships: it builds, holds no wildcard, watches figures that exist, and agrees with the configuration."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from bridge.app import read
from bridge.cli import main
from bridge.ingest.counters import Counters
from bridge.model.mode import Mode
from bridge.telemetry import Metrics
from tests.support import deploy_files
from tests.support.need import need

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ROLES = sorted(path.parent.name for path in DEPLOY.glob("rbac/*/role.yml"))
BUILDS = ("base", "overlays/embedded", "overlays/external-redis")
WORKLOADS = {"base": "Deployment", "overlays/embedded": "StatefulSet", "overlays/external-redis": "Deployment"}


def documents(text: str) -> list[Any]:
    return list(YAML(typ="safe").load_all(text))


@functools.cache
def built(kubectl: str, folder: str) -> tuple[dict[str, Any], ...]:
    """Return the objects that `kubectl kustomize` makes of a folder of deploy/."""
    done = subprocess.run(
        [kubectl, "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return tuple(documents(done.stdout))


@pytest.fixture(params=BUILDS)
def build(request: pytest.FixtureRequest) -> tuple[str, tuple[dict[str, Any], ...]]:
    return request.param, built(need("kubectl"), request.param)


def of_kind(objects: tuple[dict[str, Any], ...], kind: str) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind]


def workload(folder: str) -> dict[str, Any]:
    (found,) = of_kind(built(need("kubectl"), folder), WORKLOADS[folder])
    return found


# ---- Kubernetes objects -------------------------------------------------------------------------------------


def test_every_kustomization_builds_objects_with_kind_name_and_place(build: tuple[str, Any]) -> None:
    folder, objects = build
    names = [(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in objects]
    wide = ("Namespace", "ClusterRole", "ClusterRoleBinding")
    assert len(names) == len(set(names))
    for each in objects:
        assert each["kind"] in wide or each["metadata"]["namespace"]
    assert len(of_kind(objects, "Deployment")) + len(of_kind(objects, "StatefulSet")) == 1
    assert of_kind(objects, WORKLOADS[folder])


def test_two_generations_of_kustomize_build_the_same(build: tuple[str, Any]) -> None:
    """Names further kubectl programs in ALERTBRIDGE_TEST_KUBECTLS, separated like PATH."""
    folder, objects = build
    others = [each for each in os.environ.get("ALERTBRIDGE_TEST_KUBECTLS", "").split(os.pathsep) if each]

    def content(found: tuple[dict[str, Any], ...]) -> list[str]:
        # The old one writes empty labels and annotations into a merged ConfigMap.
        for each in found:
            each["metadata"] = {key: value for key, value in each["metadata"].items() if value}
        return sorted(json.dumps(each, sort_keys=True) for each in found)

    for other in others:
        assert content(built(other, folder)) == content(objects)


def test_no_role_holds_a_wildcard_or_a_secret_by_any_name_and_what_is_in_no_namespace_is_only_read() -> None:
    kubectl = need("kubectl")
    roles = {
        folder: [each for each in built(kubectl, f"rbac/{folder}") if each["kind"] in ("Role", "ClusterRole")]
        for folder in ROLES
    }
    assert all(roles.values())
    for folder, role in [(folder, role) for folder, some in roles.items() for role in some]:
        for rule in role["rules"]:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            # Those of a system are a folder of their own, which nobody gets without taking it.
            opened = folder.endswith("-secrets")
            assert "secrets" not in rule["resources"] or rule.get("resourceNames") or opened
            assert not {"deletecollection", "update", "escalate", "bind"} & set(rule["verbs"])
            assert role["kind"] == "Role" or not {*rule["verbs"]} & {"create", "delete"}
    for folder in BUILDS:
        assert not [each for each in built(kubectl, folder) if "Role" in each["kind"]], "a newcomer grants nothing"


@pytest.mark.parametrize("folder", ROLES)
def test_a_role_is_what_the_command_in_its_first_line_prints(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    shipped = (DEPLOY / "rbac" / folder / "role.yml").read_text()
    assert shipped == deploy_files.role(shipped.partition("\n")[0].removeprefix("# "))


def test_each_system_has_its_role_and_every_file_its_place_in_the_pod(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`python -m tests.support.deploy_files` writes them."""
    monkeypatch.chdir(ROOT)
    assert (ROOT / "config/kustomization.yml").read_text() == deploy_files.kustomization()
    for path in deploy_files.WORKLOADS:
        assert path.read_text() == deploy_files.workload(path)
    for system in deploy_files.systems():
        for path, text in deploy_files.role_files(system):
            assert path.read_text() == text, path


def test_every_binding_binds_the_account_that_the_pods_run_as(build: tuple[str, Any]) -> None:
    folder, objects = build
    account = workload(folder)["spec"]["template"]["spec"]["serviceAccountName"]
    (found,) = of_kind(objects, "ServiceAccount")
    assert found["metadata"]["name"] == account
    for granted in (built(need("kubectl"), f"rbac/{name}") for name in ROLES):
        assert of_kind(granted, "RoleBinding")
        for binding in of_kind(granted, "RoleBinding"):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": account, "namespace": "alertbridge"}]
            roles = [r["metadata"]["name"] for r in of_kind(granted, "Role") if _beside(r, binding)]
            assert binding["roleRef"]["name"] in roles


def _beside(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["metadata"]["namespace"] == other["metadata"]["namespace"])


def test_pods_meet_the_restricted_pod_security_standard(build: tuple[str, Any]) -> None:
    folder, objects = build
    (namespace,) = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = workload(folder)["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    allowed = {"configMap", "secret", "emptyDir", "projected", "persistentVolumeClaim", "downwardAPI"}
    for volume in pod["volumes"]:
        assert set(volume) - {"name"} <= allowed
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)


def test_service_policy_budget_and_workload_select_the_same_pods(build: tuple[str, Any]) -> None:
    folder, objects = build
    labels = workload(folder)["spec"]["template"]["metadata"]["labels"]
    assert workload(folder)["spec"]["selector"]["matchLabels"].items() <= labels.items()
    for service in of_kind(objects, "Service"):
        assert service["spec"]["selector"].items() <= labels.items()
    for policy in of_kind(objects, "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
        assert set(policy["spec"]["policyTypes"]) <= {"Ingress", "Egress"}
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budget["spec"]["minAvailable"] < workload(folder)["spec"]["replicas"]


def test_embedded_redis_has_one_replica_on_a_volume_and_external_has_two_that_avoid_each_other() -> None:
    embedded = workload("overlays/embedded")
    assert embedded["spec"]["replicas"] == 1
    (claim,) = embedded["spec"]["volumeClaimTemplates"]
    (container,) = embedded["spec"]["template"]["spec"]["containers"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in container["volumeMounts"]
    external = workload("overlays/external-redis")
    assert external["spec"]["replicas"] == 2
    assert external["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"]
    assert not external["spec"].get("volumeClaimTemplates")


def test_the_stateful_set_runs_the_same_pod_as_the_deployment_but_for_its_volume() -> None:
    stateful = json.loads(json.dumps(workload("overlays/embedded")["spec"]["template"]["spec"]))
    plain = json.loads(json.dumps(workload("overlays/external-redis")["spec"]["template"]["spec"]))
    for pod in (stateful, plain):
        (container,) = pod["containers"]
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["mountPath"] != "/data"]
        # The private Redis lives in the same container.
        del container["resources"]
        pod["volumes"] = [v for v in pod["volumes"] if v["name"] != "data"]
        # One pod has no other to avoid.
        pod.pop("affinity", None)
    assert stateful == plain


def test_probes_ask_for_the_right_endpoints(build: tuple[str, Any]) -> None:
    (container,) = workload(build[0])["spec"]["template"]["spec"]["containers"]
    assert container["livenessProbe"]["httpGet"] == {"path": "/-/healthy", "port": "http"}
    assert container["startupProbe"]["httpGet"]["path"] == "/-/healthy"
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "http"}
    assert [port["name"] for port in container["ports"]] == ["http"]


# ---- configuration ------------------------------------------------------------------------------------------

OVERLAYS = BUILDS[1:]
MOST_APPLIED = 262_144
"""Bytes of an object that `kubectl apply` takes: it keeps a copy in an annotation, and annotations end there."""


def mounted(objects: tuple[dict[str, Any], ...], kind: str) -> dict[str, str]:
    """Return the files that a pod finds in /etc/alertbridge, by their paths."""
    maps = {each["metadata"]["name"]: each for each in of_kind(objects, "ConfigMap")}
    (found,) = of_kind(objects, kind)
    (volume,) = [v["projected"] for v in found["spec"]["template"]["spec"]["volumes"] if v["name"] == "config"]
    files = {}
    for source in [each["configMap"] for each in volume["sources"] if "configMap" in each]:
        data = maps.pop(source["name"])["data"]
        assert {item["key"] for item in source["items"]} == set(data)
        files.update({item["path"]: data[item["key"]] for item in source["items"]})
    assert not maps
    return files


def shipped() -> dict[str, str]:
    """Return the files of config/ that a pod gets."""
    paths = [p for folder in ("runbooks", "systems") for p in (ROOT / "config" / folder).rglob("*.yml")]
    return {str(path.relative_to(ROOT / "config")): path.read_text() for path in paths}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_pods_find_every_shipped_file_at_its_path(folder: str) -> None:
    files = mounted(built(need("kubectl"), folder), WORKLOADS[folder])
    assert files.pop("bridge.yml") == (DEPLOY / folder / "bridge.yml").read_text()
    assert files == shipped()


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_object_is_small_enough_to_be_applied(folder: str) -> None:
    for each in built(need("kubectl"), folder):
        assert len(json.dumps(each)) < MOST_APPLIED, each["metadata"]["name"]


def laid_out(files: dict[str, str], tmp_path: Path) -> Path:
    """Write the files that a pod finds, as the kubelet does, and return the configuration among them."""
    credentials, data = tmp_path / "credentials", tmp_path / "config/..2026"
    credentials.mkdir()
    for name in ("alertmanager", "operator", "redis"):
        (credentials / name).write_text("a-secret-of-the-test\n")
    for path, text in files.items():
        file = data / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("/etc/alertbridge-credentials", str(credentials)))
    # Every name at the top is a link through `..data`, which is swapped when something changes.
    (tmp_path / "config/..data").symlink_to(data.name)
    for top in {path.partition("/")[0] for path in files}:
        (tmp_path / "config" / top).symlink_to(f"..data/{top}")
    return tmp_path / "config/bridge.yml"


@pytest.mark.parametrize("folder", OVERLAYS)
def test_the_configuration_of_an_overlay_passes_the_check_and_routes_nothing(folder: str, tmp_path: Path) -> None:
    configuration = read(laid_out(mounted(built(need("kubectl"), folder), WORKLOADS[folder]), tmp_path))
    assert configuration.settings.mode is Mode.OBSERVE
    assert configuration.settings.listen.port == 9877
    # What stands in the library are parts of runbooks.
    files = {path.removesuffix(".yml") for path in shipped() if path.startswith("runbooks/")}
    assert {f"runbooks/{name}" for name in configuration.runbooks} == {p for p in files if "/library/" not in p}
    assert ["there is no route" in warning for warning in configuration.warnings] == [True]


def adopted(folder: str, systems: list[str], tmp_path: Path) -> tuple[dict[str, Any], ...]:
    """Return what the overlay of an adopter makes, as docs/operations.md shows it."""
    own = tmp_path / "own"
    own.mkdir()
    names = [folder, *(name for name in (f"rbac/{each}" for each in systems) if (DEPLOY / name).is_dir())]
    bases = "".join(f"  - {os.path.relpath(DEPLOY / name, own.resolve())}\n" for name in names)
    included = ", ".join(f"systems/{name}.yml" for name in systems if not name.endswith("-secrets"))
    text = (DEPLOY / folder / "bridge.yml").read_text()
    (own / "bridge.yml").write_text(text.replace("include: []", f"include: [{included}]"))
    (own / "kustomization.yml").write_text(
        f"bases:\n{bases}generatorOptions: {{disableNameSuffixHash: true}}\nconfigMapGenerator:\n"
        "  - {name: alertbridge-config, namespace: alertbridge, behavior: merge, files: [bridge.yml]}\n"
    )
    return built(need("kubectl"), str(own))


@pytest.mark.parametrize("folder", OVERLAYS)
def test_an_adopter_gets_the_routes_and_the_roles_of_the_systems_they_take(folder: str, tmp_path: Path) -> None:
    """All of them, so that none stands in the way of another."""
    systems = deploy_files.systems()
    objects = adopted(folder, [*systems, *(f"{name}-secrets" for name in systems)], tmp_path)
    configuration = read(laid_out(mounted(objects, WORKLOADS[folder]), tmp_path))
    assert {match.runbook.partition("/")[0] for match in configuration.table.matches()} >= set(systems)
    assert not configuration.warnings
    roles = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects]
    assert len(set(roles)) == len(roles)
    done = CliRunner().invoke(main, ["rbac", "-o", "json", "-c", str(tmp_path / "config/bridge.yml")])
    assert granted(json.loads(done.stdout)["items"]) == granted(objects)


def granted(objects: Iterable[dict[str, Any]]) -> set[tuple[str, ...]]:
    """Return what the roles among the objects allow, one by one."""
    return {
        (each["metadata"].get("namespace", ""), group, resource, verb)
        for each in objects
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_pod_reads_the_secret_where_the_configuration_looks_for_it(build: tuple[str, Any]) -> None:
    (container,) = workload(build[0])["spec"]["template"]["spec"]["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert places["credentials"] == "/etc/alertbridge-credentials"
    assert container["args"] == ["serve", "--config", f"{places['config']}/bridge.yml"]


# ---- image --------------------------------------------------------------------------------------------------


def test_the_images_last_stage_has_no_build_tools_and_no_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert "USER 65532:65532" in last
    assert not re.search(r"pip.* install |apt-get|gcc|COPY (?!--from)(?!config)", last)
    assert "--require-hashes" in text


def test_everything_that_the_image_copies_is_let_through_to_its_build() -> None:
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = set()
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= set(line.split()[1:-1])
    assert copied == let_through
    for path in copied:
        assert (ROOT / path).exists(), path


# ---- what watches it ----------------------------------------------------------------------------------------


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [need(program), *arguments], capture_output=True, text=True, timeout=60, cwd=DEPLOY, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_the_rules_and_each_fires_when_it_should_and_not_before() -> None:
    run("promtool", "check", "rules", "prometheus/alertbridge.yml")
    run("promtool", "test", "rules", "prometheus/tests/alertbridge_test.yml")


def test_every_rule_is_tested_both_ways() -> None:
    (rules,) = documents((DEPLOY / "prometheus/alertbridge.yml").read_text())
    (tests,) = documents((DEPLOY / "prometheus/tests/alertbridge_test.yml").read_text())
    cases = [case for test in tests["tests"] for case in test["alert_rule_test"]]
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == names


def test_prometheus_accepts_the_scrape_configuration(tmp_path: Path) -> None:
    (config,) = documents((DEPLOY / "prometheus/scrape.yml").read_text())
    for job in config["scrape_configs"]:
        # Debian builds Prometheus without Kubernetes service discovery; the rest is checked.
        assert job.pop("kubernetes_sd_configs")[0]["role"] == "pod"
    file = tmp_path / "prometheus.yml"
    file.write_text(json.dumps(config))
    run("promtool", "check", "config", "--syntax-only", str(file))


def test_alertmanager_accepts_the_receiver_and_keeps_alerts_about_alertbridge_from_it() -> None:
    run("amtool", "check-config", "alertmanager/receiver.yml")

    def receivers(*labels: str) -> str:
        flag = "--config.file=alertmanager/receiver.yml"
        return run("amtool", "config", "routes", "test", flag, *labels).strip()

    assert receivers("alertname=AlertbridgeDown", "severity=critical") == "people"
    assert receivers("alertname=Watchdog") == "alertbridge"
    assert receivers("alertname=GatewayDown", "severity=critical") == "alertbridge,people"


def metric_names() -> set[str]:
    """Return every name that a process exposes, of histograms with their suffixes."""
    metrics = Metrics("0")
    metrics.register(Counters())
    names = set()
    for family in metrics.registry.collect():
        suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}.get(family.type, ("",))
        names |= {family.name + suffix for suffix in suffixes}
    return names


def test_rules_and_dashboard_ask_for_figures_that_exist() -> None:
    used = set()
    for path in ("prometheus/alertbridge.yml", "prometheus/tests/alertbridge_test.yml", "grafana/dashboard.json"):
        used |= set(re.findall(r"\balertbridge_[a-z_]+[a-z](?=[\[{() \"',]|$)", (DEPLOY / path).read_text()))
    assert len(used) > 15
    assert used <= metric_names()


def test_docs_name_figures_that_exist() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md")]
    used = {name for page in pages for name in re.findall(r"`(alertbridge_[a-z_]+)[`{]", page.read_text())}
    known = metric_names()
    assert used
    assert used <= known | {name.removesuffix("_bucket") for name in known}


def test_the_dashboard_has_every_figure_of_people_guards_and_schedules() -> None:
    """What nobody can see is not looked at."""
    text = (DEPLOY / "grafana/dashboard.json").read_text()
    parts = ("paused", "halted", "runbook_", "budget_", "notices_", "schedule_runs", "child_", "time_to_", "page_")
    wanted = {name for name in metric_names() if name.removeprefix("alertbridge_").startswith(parts)}
    assert {name for name in wanted if not name.endswith(("_count", "_sum"))} <= set(
        re.findall(r"alertbridge_\w+", text)
    )


def test_the_dashboards_panels_ask_something_and_do_not_overlap() -> None:
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"]
            assert all(target["expr"] for target in panel["targets"])


def test_the_dashboards_queries_are_promql(tmp_path: Path) -> None:
    dashboard = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    rules = [
        {"record": f"q{number}", "expr": query.replace("$__rate_interval", "5m").replace("$job", "alertbridge")}
        for number, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    run("promtool", "check", "rules", str(file))


def test_grafanas_contact_point_signs_with_a_timestamp() -> None:
    (provisioned,) = documents((DEPLOY / "grafana/contact-point.yml").read_text())
    (point,) = provisioned["contactPoints"]
    (receiver,) = point["receivers"]
    assert receiver["type"] == "webhook"
    assert receiver["settings"]["hmacConfig"]["timestampHeader"]
    assert receiver["disableResolveMessage"] is False
