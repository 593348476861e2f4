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


def wide(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a runbook about a node."""
    return runbook(name, *steps, **{"target": {"kind": "Node", "name": "${labels.node}"}, **more})


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

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.run(*arguments, "-o", "json")
        assert done.exit_code == 0, done.output
        found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return found

    def rules(self, *arguments: str) -> dict[tuple[str, str], set[str]]:
        """Return namespace (empty: cluster-wide) and resource, with the verbs."""
        found: dict[tuple[str, str], set[str]] = {}
        for role in self.objects(*arguments):
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


# -- where


def test_what_is_in_no_namespace_has_a_cluster_role_of_a_name_that_no_other_installation_takes(desk: Desk) -> None:
    desk.write(wide("test/drain", {"action": "drain"}), runbook("test/scale", SCALE))
    desk.write(alerts={"NodeBad": "test/drain", "Load": "test/scale"})
    objects = desk.objects("--account", "ops/bridge")
    assert [(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in objects] == [
        ("ClusterRole", "ops-bridge", None),
        ("ClusterRoleBinding", "ops-bridge", None),
        ("Role", "bridge", "shop"),
        ("RoleBinding", "bridge", "shop"),
    ]
    assert objects[1]["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "ops-bridge",
    }
    rules = desk.rules()
    assert rules["", "nodes"] == {"get", "list", "patch"}
    assert rules["", "pods/eviction"] == {"create"}
    assert rules["", "deployments.apps"] == {"get"}, "whether the workload of a pod may be touched; not more"


def test_a_storage_class_is_read_in_the_cluster_and_its_claims_in_their_namespace(desk: Desk) -> None:
    expand = {"action": "pvc_expand", "with": {"name": "data", "by": "1Gi", "max_size": "9Gi"}}
    desk.write(runbook("test/grow", expand), alerts={"Full": "test/grow"})
    assert desk.rules() == {
        ("", "storageclasses.storage.k8s.io"): {"get"},
        ("shop", "persistentvolumeclaims"): {"get", "patch"},
    }


def test_an_empty_namespace_never_widens_a_role(desk: Desk) -> None:
    target = {"namespace": "${params.namespace}", "name": "web"}
    left_out = {"action": "scale", "with": {"by": 1, "namespace": "${params.other}"}}
    params = {"namespace": {"default": "shop"}, "other": {"default": ""}}
    desk.write(runbook("test/scale", left_out, target=target, params=params), alerts={"Load": "test/scale"})
    assert {place for place, _ in desk.rules()} == {"shop"}
    desk.write(alerts={"Load": {"runbook": "test/scale", "params": {"namespace": ""}}})
    assert desk.run().exit_code == 1
    assert "ClusterRole" not in desk.run().output


def test_a_step_in_no_namespace_about_something_that_is_in_one_is_said(desk: Desk) -> None:
    web = {"action": "scale", "with": {"by": 1, "kind": "Deployment", "name": "web"}}
    desk.write(wide("test/node", web), alerts={"NodeBad": "test/node"})
    done = desk.run()
    assert done.exit_code == 1
    assert "scale of test/node: deployments are in namespaces" in done.stderr
    assert "deployments]" not in done.stdout


def test_every_value_that_matchers_leave_a_label_counts_and_no_other(desk: Desk) -> None:
    desk.write(
        runbook("test/scale", SCALE, target={"namespace": "${labels.namespace}", "name": "web"}),
        route={
            "routes": [
                {
                    "matchers": ['namespace=~"one|two|three"', 'namespace!="three"'],
                    "routes": [{"matchers": ['alertname=~"A|B"'], "runbook": "test/scale"}],
                },
                {"matchers": ['namespace="one"', 'namespace="two"'], "runbook": "test/scale"},
            ]
        },
    )
    assert {place for place, _ in desk.rules("--namespace", "other")} == {"one", "two"}
    assert "names another namespace" not in desk.run().stdout


def test_it_says_for_which_runbooks_a_label_can_name_a_further_namespace(desk: Desk) -> None:
    target = {"namespace": "${'namespace' in labels ? labels.namespace : params.namespace}", "name": "web"}
    desk.write(runbook("test/scale", SCALE, target=target), runbook("test/fixed", SCALE))
    desk.write(alerts={"Load": "test/scale", "Other": "test/fixed"})
    shown = " ".join(desk.run().stdout.replace("\n#", "").split())
    assert "another namespace, that is out of reach until it is added by --namespace: test/scale." in shown


def test_the_items_of_a_list_are_asked_for_one_by_one(desk: Desk) -> None:
    each = {**SCALE, "for_each": ["a", "b"], "with": {"by": 1, "namespace": "${item}", "name": "web"}}
    desk.write(runbook("test/all", each), alerts={"Load": "test/all"})
    assert {place for place, _ in desk.rules()} == {"a", "b"}
    with_kind = {"kind": "${item.kind}", "namespace": "${item.namespace}", "name": "${item.name}", "by": 1}
    target = {"kind": "StatefulSet", "namespace": "shop", "name": "web", "at_most": 3}
    desk.write(
        runbook("test/all", {**SCALE, "for_each": "${targets}", "with": with_kind}, target=target),
        alerts={"Load": "test/all"},
    )
    assert ("shop", "statefulsets.apps") in desk.rules()


def test_a_list_that_only_a_run_knows_has_to_be_said(desk: Desk) -> None:
    evidence = {"found": {"collect": "objects", "with": {"kind": "Pod"}}}
    each = {**SCALE, "for_each": "${evidence.found.items}", "with": {"by": 1, "namespace": "${item.namespace}"}}
    desk.write(runbook("test/all", each, evidence=evidence), alerts={"Load": "test/all"})
    assert "scale of test/all: its namespace is only known when it runs" in desk.run().stderr
    assert {place for place, name in desk.rules("-n", "batch") if name == "deployments.apps"} == {"batch"}


# -- what


def test_a_kind_that_only_a_run_knows_has_to_be_written_down(desk: Desk) -> None:
    kind = {"action": "scale", "with": {"by": 1, "kind": "${labels.kind}"}}
    manifest = {"action": "object_apply", "with": {"manifest": "${params.manifest}"}}
    desk.write(runbook("test/kind", kind), alerts={"Load": "test/kind"})
    assert "scale of test/kind: its kind is only known when it runs" in desk.run("-n", "other").stderr
    params = {"namespace": {"default": "shop"}, "manifest": {"default": "${labels.manifest}"}}
    desk.write(runbook("test/kind", manifest, params=params), alerts={"Load": "test/kind"})
    assert desk.run().exit_code == 1


def test_the_plural_of_a_custom_kind_is_called_a_guess(desk: Desk) -> None:
    def delete(version: str, kind: str) -> dict[str, Any]:
        return {"action": "object_delete", "with": {"api_version": version, "kind": kind, "name": "x"}}

    steps = [delete("example.org/v1", kind) for kind in ("Gateway", "Policy", "Mesh")]
    desk.write(runbook("test/lift", *steps, delete("policy/v1", "PodDisruptionBudget")), alerts={"A": "test/lift"})
    shown = desk.run().stdout
    assert "resources: [gateways, meshes, policies]" in shown
    assert shown.count("The plural is a guess: see `kubectl api-resources --api-group=example.org`.") == 1


def test_what_a_manifest_holds_is_asked_for_where_it_says(desk: Desk) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "${labels.unknown}", "namespace": "${params.namespace}"},
    }
    desk.write(
        runbook("test/put", {"action": "object_apply", "with": {"manifest": manifest}}), alerts={"A": "test/put"}
    )
    assert desk.rules() == {("shop", "configmaps"): {"create", "delete", "get", "patch"}}


# -- what the configuration allows


def test_secrets_are_granted_only_where_they_may_be_read(desk: Desk) -> None:
    rotate = {"action": "tls_rotate", "with": {"name": "web-tls", "dns_names": ["web.test"]}}
    desk.write(runbook("test/tls", rotate), alerts={"A": "test/tls"})
    done = desk.run()
    assert done.exit_code == 0
    assert "tls_rotate of test/tls asks for Secrets in shop, which `secret_namespaces` does not name" in done.stderr
    assert desk.rules() == {}
    desk.write(alerts={"A": "test/tls"}, secret_namespaces=["shop"])
    assert desk.rules() == {("shop", "secrets"): {"create", "delete", "get", "list", "patch"}}
    assert desk.run().stderr == ""


def test_a_collector_that_does_without_secrets_is_no_warning(desk: Desk) -> None:
    certificate = {"kind": "Certificate", "api_version": "cert-manager.io/v1", "namespace": "shop", "name": "web"}
    evidence = {"c": {"collect": "certificate"}}
    desk.write(runbook("test/cert", SCALE, target=certificate, evidence=evidence), alerts={"A": "test/cert"})
    assert "Secrets" not in desk.run().output


def test_secrets_can_be_bound_to_names_and_printed_apart(desk: Desk) -> None:
    evidence = {"all": {"collect": "certificates"}, "one": {"collect": "certificates", "with": {"secret": "web-tls"}}}
    desk.write(runbook("test/cert", SCALE, evidence=evidence), alerts={"A": "test/cert"}, secret_namespaces=["shop"])
    role, _ = desk.objects("--secret", "web-tls", "--only", "secrets", "--name", "bridge-secrets")
    assert role["metadata"]["name"] == "bridge-secrets"
    assert role["rules"] == [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["web-tls"], "verbs": ["get"]},
    ]


def test_nothing_is_changed_in_a_protected_namespace(desk: Desk) -> None:
    run = {"action": "exec", "with": {"command": ["true"]}}
    system = {"namespace": {"default": "kube-system"}}
    allowed = {"allow": [["true"]]}
    desk.write(runbook("test/system", SCALE, run, params=system), alerts={"A": "test/system"}, exec=allowed)
    assert set().union(*desk.rules().values()) == {"get", "list"}
    assert ("kube-system", "pods/exec") not in desk.rules()
    assert "scale of test/system changes something in kube-system" in desk.run().stderr


@pytest.mark.parametrize("where", ["route", "runbook", "step"])
def test_what_only_observes_gets_no_verb_that_changes(desk: Desk, where: str) -> None:
    step = {**SCALE, "mode": "observe"} if where == "step" else SCALE
    more = {"mode": "observe"} if where == "runbook" else {}
    route = {"runbook": "test/scale", "mode": "observe" if where == "route" else "auto"}
    desk.write(runbook("test/scale", step, **more), alerts={"Load": route})
    assert desk.rules()["shop", "deployments.apps"] == {"get"}


def test_each_cluster_has_roles_of_its_own(desk: Desk) -> None:
    connections = {name: {"url": f"http://127.0.0.1:{port}"} for name, port in (("north", 1), ("south", 2))}
    keep = {"cluster": "south", "namespace": "shop", "name": "config", "good_while": {"name": "web"}}
    desk.write(
        runbook("test/scale", SCALE),
        runbook("test/cordon", {"action": "cordon", "with": {"name": "node-1"}}),
        clusters={"connections": connections, "names": {"n": "north"}, "default": "south"},
        keep_copies=[keep],
        route={
            "routes": [
                {"matchers": ['cluster="n"', 'alertname="A"'], "runbook": "test/scale"},
                {"matchers": ['alertname="B"'], "runbook": "test/cordon"},
                {"matchers": ['cluster=""'], "runbook": "test/scale"},
            ]
        },
    )
    assert ("shop", "deployments.apps") in desk.rules("--cluster", "north")
    assert ("shop", "configmaps") not in desk.rules("--cluster", "north")
    assert ("shop", "configmaps") in desk.rules("--cluster", "south")
    for name in connections:
        assert ("", "nodes") in desk.rules("--cluster", name)
    assert "For all clusters together (north, south)" in desk.run().stdout
    assert desk.run("--cluster", "west").exit_code == 2


def test_keeping_copies_reads_the_named_objects_alone(desk: Desk) -> None:
    keep = {"namespace": "shop", "name": "config", "good_while": {"name": "web"}}
    desk.write(keep_copies=[keep], alerts={})
    role, _ = desk.objects()
    named = {tuple(rule["resources"]): rule.get("resourceNames") for rule in role["rules"]}
    assert named == {("configmaps",): ["config"], ("deployments",): ["web"], ("pods",): None}


def test_a_name_adds_nothing_to_what_is_allowed_by_any_name(desk: Desk) -> None:
    keep = {"namespace": "shop", "name": "config", "good_while": {"name": "web"}}
    desk.write(runbook("test/scale", SCALE), keep_copies=[keep], alerts={"Load": "test/scale"})
    role, _ = desk.objects()
    assert [rule.get("resourceNames") for rule in role["rules"] if rule["resources"] == ["deployments"]] == [None]


def test_a_runbook_that_is_started_by_hand_can_be_added(desk: Desk) -> None:
    desk.write(runbook("test/scale", SCALE), alerts={})
    assert ("shop", "deployments.apps") in desk.rules("--runbook", "test/scale")
    assert desk.run("--runbook", "test/none").exit_code == 2


def test_events_take_a_permission_where_something_is_changed_and_only_when_they_are_on(desk: Desk) -> None:
    wanted = {"Down": {"runbook": "test/scale", "mode": "auto"}}
    desk.write(runbook("test/scale", SCALE), alerts=wanted)
    assert "create" not in desk.rules().get(("shop", "events"), set())
    desk.write(runbook("test/scale", SCALE), alerts=wanted, events={"enabled": True})
    assert "create" in desk.rules()[("shop", "events")]
    assert "create" not in desk.rules("--observe").get(("shop", "events"), set())
