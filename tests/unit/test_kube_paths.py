"""Names, selectors and paths: nothing that came from outside widens a request."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidInput
from bridge.kube.paths import KNOWN, check_kind, field_selector, label_selector, object_path, service_path

DEPLOYMENT = KNOWN["apps/v1", "Deployment"]
NASTY = [".", "..", "", "a/b", "%2e%2e", "..%2f", "a\\b", "a?b", "a#b", "A", "-a", "a-", "a\n", "ａ", "a" * 254]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_that_is_no_name_never_becomes_a_path(name: str) -> None:
    """Fault 41."""
    with pytest.raises(InvalidInput):
        object_path(DEPLOYMENT, "shop", name)


@pytest.mark.parametrize("namespace", [*NASTY, "a.b"])
def test_a_namespace_that_is_no_namespace_never_becomes_a_path(namespace: str) -> None:
    """Fault 41."""
    with pytest.raises(InvalidInput):
        object_path(DEPLOYMENT, namespace, "web")


@given(st.text(max_size=40), st.text(max_size=40))
def test_every_accepted_path_has_exactly_the_expected_segments(namespace: str, name: str) -> None:
    """Fault 41."""
    try:
        path = object_path(DEPLOYMENT, namespace, name)
    except InvalidInput:
        return
    assert path.split("/") == ["", "apis", "apps", "v1", "namespaces", namespace, "deployments", name]
    assert unquote(urlsplit(path).path) == path


@pytest.mark.parametrize("kind", ["deployments/x", "", "../Secret", "Deploy ment", "pod", "D" * 80])
def test_a_kind_that_is_no_kind_is_refused(kind: str) -> None:
    with pytest.raises(InvalidInput):
        check_kind("apps/v1", kind)


@pytest.mark.parametrize("version", ["", "..", "apps/../v1", "v1/../../x", "apps/v1/x", "a..b/v1", "APPS/v1"])
def test_an_api_version_that_is_none_is_refused(version: str) -> None:
    with pytest.raises(InvalidInput):
        check_kind(version, "Deployment")


@pytest.mark.parametrize(
    "labels",
    [
        {},
        "",
        " ",
        {"app": "a,b in (x)"},
        {"app": "a=b"},
        {"app,b": "x"},
        {"app": "x y"},
        {"app": "--kubeconfig=/x"},
        {"app": ";rm -rf /"},
        "app=a,b in (x),",
        "app=a b",
        "app in x",
        "app in (a,b) or c",
    ],
)
def test_an_empty_or_injected_label_selector_is_refused(labels: dict[str, str] | str) -> None:
    """Faults 42 and 43."""
    with pytest.raises(InvalidInput):
        label_selector(labels)


def test_label_selectors_are_written_as_kubernetes_reads_them() -> None:
    assert label_selector(None) is None
    assert label_selector({"b": "2", "app.kubernetes.io/name": "web"}) == "app.kubernetes.io/name=web,b=2"
    assert label_selector("app=web,tier in (a,b),!canary") == "app=web,tier in (a,b),!canary"


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=20), min_size=1, max_size=3))
def test_a_selector_from_a_mapping_has_one_term_for_each_label(labels: dict[str, str]) -> None:
    """Fault 42."""
    try:
        selector = label_selector(labels)
    except InvalidInput:
        return
    assert selector is not None
    assert dict(term.split("=", 1) for term in selector.split(",")) == labels


def test_field_selectors_refuse_what_could_add_terms() -> None:
    assert field_selector({"involvedObject.name": "web"}) == "involvedObject.name=web"
    for value in ("a,b=c", "", "a=b", "a\\,b"):
        with pytest.raises(InvalidInput):
            field_selector({"involvedObject.name": value})


@pytest.mark.parametrize(
    "path", ["", "healthz", "/../x", "/a/../b", "/a/%2e%2e/b", "/../a?b", "/a?b#c", "/a?b c", "/a b", "//..", "/./x"]
)
def test_a_service_path_cannot_leave_its_service(path: str) -> None:
    with pytest.raises(InvalidInput):
        service_path("shop", "web", "http", path)


def test_a_service_is_reached_through_the_proxy_of_the_api_server() -> None:
    assert service_path("shop", "web", "http", "/healthz") == (
        "/api/v1/namespaces/shop/services/web:http/proxy/healthz"
    )
    assert service_path("shop", "web", "http", "/query?start=1&end=a%20b").endswith("/proxy/query?start=1&end=a%20b")
    assert service_path("shop", "web", "https:8443", "/").endswith("/services/https:web:8443/proxy/")
