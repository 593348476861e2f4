"""An alert's labels are data: what they name is checked, and nothing in them is ever evaluated."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.assign import ClusterMap, Refused, Wish, assign
from bridge.model.alert import Alert
from bridge.model.intake import Assignment
from bridge.model.mode import Mode
from bridge.model.reason import Reason
from bridge.model.runbook import Runbook
from bridge.model.target import Target

CLUSTERS = ClusterMap(names={"prod-eu": "eu", "prod-us": "us"}, default="home")
STEPS = [{"action": "restart"}]
TARGET = {"kind": "Deployment", "namespace": "${labels.namespace}", "name": "${labels.deployment}"}


def book(**fields: Any) -> Runbook:
    scenarios = [{"name": "only", "otherwise": True, "steps": STEPS}]
    return Runbook.model_validate(
        {"name": "test/down", "summary": "Mend it.", "target": TARGET, "scenarios": scenarios, **fields}
    )


def ask(
    labels: dict[str, str] | None = None,
    runbook: Runbook | None = None,
    clusters: ClusterMap = CLUSTERS,
    alert: dict[str, Any] | None = None,
    **wish: Any,
) -> Assignment:
    ids = itertools.count(1)
    about: dict[str, Any] = {
        "source": "am",
        "fingerprint": "f" * 16,
        "status": "firing",
        "starts_at": 1_700_000_000_500_000,
        "labels": {"alertname": "Down", "namespace": "shop", "deployment": "web", **(labels or {})},
        **(alert or {}),
    }
    return assign(
        Alert(**about),
        Wish(runbook=runbook or book(), path="route.routes[0]", **wish),
        clusters=clusters,
        new_id=lambda: f"r{next(ids)}",
    )


def refusal(*args: Any, **kwargs: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        ask(*args, **kwargs)
    return refused.value


def test_the_target_is_made_from_the_labels_and_the_run_keeps_its_configuration() -> None:
    made = ask(mode=Mode.AUTO, cooldown=5.0, max_attempts=2)
    run = made.remediation
    assert run.target == Target("home", "Deployment", "shop", "web")
    assert (made.join_key, made.queue_key) == ("test/down|home|Deployment|shop|web", "home|Deployment|shop|web")
    assert (run.mode, run.cooldown, run.max_attempts, run.route) == (Mode.AUTO, 5.0, 2, "route.routes[0]")
    assert run.started_at == 1_700_000_000.5
    assert Runbook.model_validate(run.runbook_doc) == book()


NO_NAMES = (
    *("", ".", "..", "a/b", "../x", "%2e%2e", "%2E", "a%2fb", "a\\b", "a?b", "a#b", "a b", "A", "-a", "a-", "a..b"),
    *("a\n", "\u0430", "a\x00", "*", "a" * 254, "web,app in (x)", "--kubeconfig=/x", ";rm -rf /"),
    *("{{7*7}}", "${labels.x}"),
)


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("label", ["namespace", "deployment"])
def test_a_name_that_kubernetes_would_not_take_never_becomes_a_target(label: str, name: str) -> None:
    """Faults 41 to 43. An empty namespace would ask the whole cluster."""
    assert refusal({label: name}).reason is Reason.INVALID_TARGET


@given(st.text(max_size=20))
def test_whatever_a_label_says_a_target_has_names_that_are_names(name: str) -> None:
    """Fault 41."""
    try:
        target = ask({"namespace": name, "deployment": name}).remediation.target
    except Refused:
        return
    assert target.name == target.namespace == name
    assert name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_a_label_that_is_not_there_is_told_by_its_name() -> None:
    bare = {"labels": {"alertname": "Down"}}
    assert "labels.namespace" in refusal(alert=bare).detail


def test_a_kind_without_namespaces_has_none() -> None:
    target = {"kind": "Node", "api_version": "v1", "name": "${labels.node}"}
    made = ask({"node": "n1"}, book(target=target))
    assert made.remediation.target == Target("home", "Node", "", "n1")


@pytest.mark.parametrize("text", ["{{7*7}}", "{0.__class__}", "${labels.deployment}", "${1+1}", "%(x)s", "$${x}"])
def test_what_looks_like_a_template_in_a_label_stays_text(text: str) -> None:
    """Fault 40."""
    params = {"team": {"default": "${labels.team}"}, "note": {"default": "for ${labels.team}"}}
    made = ask({"team": text}, book(params=params)).remediation
    assert made.params == {"team": text, "note": f"for {text}"}
    assert made.labels["team"] == text


def test_what_a_parameter_took_from_a_label_is_not_evaluated_in_the_target_either() -> None:
    """Fault 40. The second rendering must not see the first one's result as an expression."""
    params = {"place": {"default": "${labels.place}"}}
    target = {**TARGET, "namespace": "${params.place}"}
    assert (
        refusal({"place": "${labels.namespace}"}, book(params=params, target=target)).reason is Reason.INVALID_TARGET
    )
    assert ask({"place": "other"}, book(params=params, target=target)).remediation.target.namespace == "other"


# -- clusters


def test_a_mapped_label_leads_to_its_connection() -> None:
    assert ask({"cluster": "prod-eu"}).remediation.target.cluster == "eu"


@pytest.mark.parametrize("value", ["prod-eu2", "eu", "home", "PROD-EU", " prod-eu", "default"])
def test_a_cluster_that_is_not_mapped_is_denied_and_never_served_by_the_default(value: str) -> None:
    """Decision 5: the name of a connection is no label value either."""
    refused = refusal({"cluster": value})
    assert refused.reason is Reason.UNKNOWN_CLUSTER
    assert repr(value) in refused.detail


@pytest.mark.parametrize("labels", [{}, {"cluster": ""}])
def test_the_default_serves_alerts_without_the_label_and_only_where_there_is_one(labels: dict[str, str]) -> None:
    """An empty label and one that is not there are the same, as in Prometheus."""
    assert ask(labels).remediation.target.cluster == "home"
    assert refusal(labels, clusters=ClusterMap(names={}, default=None)).reason is Reason.UNKNOWN_CLUSTER


def test_another_label_may_name_the_cluster() -> None:
    clusters = ClusterMap(label="k8s", names={"a": "eu"}, default=None)
    assert ask({"k8s": "a", "cluster": "whatever"}, clusters=clusters).remediation.target.cluster == "eu"


# -- parameters


def test_a_routes_parameter_wins_over_the_runbooks_default() -> None:
    params = {"replicas": {"default": 3}, "names": {"default": ["a", "${labels.deployment}"]}}
    made = ask(None, book(params=params), params={"replicas": 5}).remediation
    assert made.params == {"replicas": 5, "names": ["a", "web"]}


def test_a_required_parameter_without_a_value_is_refused_by_its_name() -> None:
    refused = refusal(None, book(params={"window": {"required": True}}))
    assert refused.reason is Reason.INVALID_TARGET
    assert "window" in refused.detail


def test_a_parameter_whose_label_is_missing_is_refused_by_its_name() -> None:
    assert "team" in refusal(None, book(params={"team": {"default": "${labels.team}"}})).detail


# -- joining


def test_runs_join_by_runbook_and_target_and_queue_by_target() -> None:
    """Decision 4."""
    one = ask({"pod": "web-1"})
    assert ask({"pod": "web-2"}).join_key == one.join_key
    assert ask(None, book(name="test/other")).join_key != one.join_key
    assert ask(None, book(name="test/other")).queue_key == one.queue_key
    assert ask({"deployment": "api"}).queue_key != one.queue_key
    assert ask({"cluster": "prod-eu"}).queue_key != one.queue_key


def test_the_hash_tells_configurations_apart_and_not_alerts() -> None:
    params = {"n": {"default": 3}}
    one = ask({"pod": "web-1"}, book(params=params)).remediation
    assert ask({"pod": "web-2"}, book(params=params)).remediation.config_hash == one.config_hash
    assert ask(None, book(params=params), params={"n": 4}).remediation.config_hash != one.config_hash
    assert ask(None, book(params=params, summary="Other.")).remediation.config_hash != one.config_hash


def test_the_mode_that_no_route_names_is_observe() -> None:
    assert ask().remediation.mode is Mode.OBSERVE


def test_who_asked_by_hand_and_what_they_override_is_kept() -> None:
    by_hand = {"requested_by": "olga", "why": "release", "override": ("cooldown",)}
    made = ask(alert=by_hand).remediation
    assert (made.requested_by, made.why, made.override) == ("olga", "release", ("cooldown",))


# -- several targets


SEVERAL = {**TARGET, "at_most": 5}


def test_the_alerts_of_a_group_ask_for_one_run_where_the_runbook_is_written_for_several_targets() -> None:
    group = {"zone": "b", "alertname": "Down"}
    one = ask(None, book(target=SEVERAL), group=group)
    other = ask({"deployment": "api"}, book(target=SEVERAL), group=dict(reversed(group.items())))
    assert (one.join_key, one.queue_key, one.most_targets) == (other.join_key, other.queue_key, 5)
    assert one.remediation.target != other.remediation.target
    assert one.remediation.group == 'group|home|{"alertname":"Down","zone":"b"}'


@pytest.mark.parametrize(
    ("runbook", "group"), [(book(), {"zone": "b"}), (book(target=SEVERAL), None)], ids=["runbook", "route"]
)
def test_a_group_widens_nothing_unless_both_the_route_and_the_runbook_say_so(
    runbook: Runbook, group: dict[str, str] | None
) -> None:
    made = ask(None, runbook, group=group)
    assert (made.join_key, made.most_targets) == ("test/down|home|Deployment|shop|web|observe", 0)
    assert made.remediation.group == ""


def test_a_group_is_of_one_cluster_one_runbook_and_its_own_labels() -> None:
    keys = {
        ask(None, book(target=SEVERAL), group={"zone": "b"}).join_key,
        ask({"cluster": "prod-eu"}, book(target=SEVERAL), group={"zone": "b"}).join_key,
        ask(None, book(target=SEVERAL), group={"zone": "c"}).join_key,
        ask(None, book(target=SEVERAL), group={}).join_key,
        ask(None, book(target=SEVERAL, name="test/other"), group={"zone": "b"}).join_key,
    }
    assert len(keys) == 5
