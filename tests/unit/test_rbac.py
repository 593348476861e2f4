"""`alertbridge rbac`: roles that hold what the configured runbooks need, where they need it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from ruamel.yaml import YAML

from bridge.cli import main

SCALE: dict[str, Any] = {"action": "scale", "with": {"by": 1}}


def runbook(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "summary": "A runbook.",
        "params": {"namespace": {"default": "shop"}},
        "target": {"namespace": "${params.namespace}", "name": "web"},
        "scenarios": [{"name": "always", "otherwise": True, "steps": list(steps)}],
        **more,
    }


class Desk:
    """A folder with a configuration, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, *runbooks: dict[str, Any], **settings: Any) -> None:
        (self.folder / "runbooks").mkdir(exist_ok=True)
        for one in runbooks:
            (self.folder / "runbooks" / f"{one['name'].replace('/', '-')}.yml").write_text(json.dumps(one))
        (self.folder / "bridge.yml").write_text(json.dumps(settings))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["rbac", "-c", str(self.folder / "bridge.yml"), *arguments])

    def rules(self, *arguments: str) -> dict[tuple[str, str], set[str]]:
        """Return namespace (empty: cluster-wide) and resource, with the verbs."""
        done = self.run(*arguments, "-o", "json")
        assert done.exit_code == 0, done.output
        found: dict[tuple[str, str], set[str]] = {}
        for role in json.loads(done.output)["items"]:
            for rule in role.get("rules", ()):
                for resource in rule["resources"]:
                    name = f"{resource}.{rule['apiGroups'][0]}".rstrip(".")
                    found.setdefault((role["metadata"].get("namespace", ""), name), set()).update(rule["verbs"])
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_runbook_asks_for_its_actions_verbs_in_its_own_namespace(desk: Desk) -> None:
    desk.write(runbook("test/scale", SCALE), alerts={"Load": "test/scale"})
    assert desk.rules() == {
        ("shop", "deployments.apps"): {"get", "patch"},
        ("shop", "horizontalpodautoscalers.autoscaling"): {"list"},
        ("shop", "pods"): {"list"},
    }


def test_a_runbook_that_no_route_names_asks_for_nothing(desk: Desk) -> None:
    desk.write(runbook("test/scale", SCALE), runbook("test/idle", SCALE), alerts={})
    assert desk.rules() == {}


def test_the_kind_of_the_target_decides(desk: Desk) -> None:
    target = {"kind": "StatefulSet", "namespace": "data", "name": "db"}
    desk.write(runbook("test/scale", SCALE, target=target), alerts={"Load": "test/scale"})
    assert ("data", "statefulsets.apps") in desk.rules()
    assert ("data", "deployments.apps") not in desk.rules()


def test_routes_and_matchers_name_namespaces(desk: Desk) -> None:
    target = {"namespace": "${'namespace' in labels ? labels.namespace : params.namespace}", "name": "web"}
    desk.write(
        runbook("test/scale", SCALE, target=target),
        route={
            "routes": [
                {"matchers": ['namespace="one"'], "routes": [{"matchers": ["a=b"], "runbook": "test/scale"}]},
                {"matchers": ['alertname="Load"'], "runbook": "test/scale", "params": {"namespace": "two"}},
            ]
        },
    )
    assert {place for place, _ in desk.rules()} == {"one", "two"}
    assert {place for place, _ in desk.rules("-n", "three")} == {"one", "two", "three"}


def test_a_namespace_that_only_a_label_says_has_to_be_named(desk: Desk) -> None:
    target = {"namespace": "${labels.namespace}", "name": "web"}
    desk.write(runbook("test/scale", SCALE, target=target), alerts={"Load": "test/scale"})
    refused = desk.run()
    assert refused.exit_code == 1
    assert "test/scale: its namespace stands in a label of the alert" in refused.output
    assert {place for place, _ in desk.rules("-n", "shop")} == {"shop"}
    assert desk.run("-n", "../kube-system").exit_code == 2


def test_a_step_in_another_namespace_asks_there(desk: Desk) -> None:
    other = {"action": "scale", "with": {"by": 1, "namespace": "batch", "name": "report"}}
    desk.write(runbook("test/scale", SCALE, other), alerts={"Load": "test/scale"})
    assert {place for place, name in desk.rules() if name == "deployments.apps"} == {"shop", "batch"}


def test_looking_and_planning_need_a_role_that_changes_nothing(desk: Desk) -> None:
    desk.write(runbook("test/scale", SCALE), alerts={"Load": "test/scale"})
    verbs = set().union(*desk.rules("--observe").values())
    assert verbs <= {"get", "list", "watch"}


def test_it_prints_what_kubectl_applies_with_the_users_of_each_rule(desk: Desk) -> None:
    desk.write(runbook("test/scale", SCALE), alerts={"Load": "test/scale"})
    shown = desk.run("--account", "ops/bridge").output
    role, binding = YAML(typ="safe").load_all(shown)
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "shop")
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "bridge", "namespace": "ops"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert "  # scale\n" in shown
    assert desk.run("--account", "bridge").exit_code == 2
