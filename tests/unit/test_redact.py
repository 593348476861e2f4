"""Credentials do not outlive the text that they came in, whatever stands around them; the rest does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.redact import mask, mask_values, redact

SECRET = st.text("abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", min_size=20, max_size=40).map(
    lambda text: f"Qx7{text}Qx7"
)
NOISE = st.text(st.characters(codec="ascii", exclude_characters="\"'\\"), max_size=200).map(
    # A quoted text that the noise opens would rightly go with what is in it.
    lambda text: text.replace("-----", "- -").replace("Qx7", "")
)
_WRITTEN = """password DB_PASSWORD redis-passwd clientSecret api_key X-Api-Key access.token refreshToken AccountKey
SharedAccessKey private_key aws_secret_access_key auth X-Amz-Signature"""
NAMES = st.sampled_from(_WRITTEN.split())
FORMS = st.sampled_from(
    [
        "{name}={secret}",
        "{name}: {secret}",
        '"{name}": "{secret}"',
        "{name} => '{secret}'",
        '{{\\"{name}\\": \\"{secret}\\"}}',
        "--{name} {secret}",
        "--{name}={secret}",
        "- name: {name}\n  value: {secret}",
        '{{"name":"{name}","value":"{secret}"}}',
        "{name}: |\n  {secret}\n  {secret}\nnext: fine",
        "https://x/?a=1&{name}={secret}&b=2",
    ]
)
SHAPES = st.sampled_from(
    [
        "Authorization: Bearer {secret}",
        "authorization: Basic {secret}==",
        "Proxy-Authorization: Negotiate {secret}",
        "postgres://app:{secret}@db:5432/shop",
        "redis://:{secret}@cache/0",
        "curl -u admin:{secret} http://x/",
        "ALTER USER app PASSWORD '{secret}'",
        "requirepass {secret}",
        "Set-Cookie: session={secret}; Path=/",
        "eyJhbGciOiJIUzI1NiJ9.{secret}.{secret}",
        "ghp_{secret}",
        "glpat-{secret}",
        "xoxb-{secret}",
        "sk_live_{secret}",
        "AIza{secret}{secret}",
        "https://hooks.slack.com/services/{secret}",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{secret}\n",
    ]
)


@given(before=NOISE, name=NAMES, form=FORMS, secret=SECRET, after=NOISE)
def test_what_is_called_like_a_credential_is_taken_out_of_any_text(
    before: str, name: str, form: str, secret: str, after: str
) -> None:
    text = f"{before}\n{form.format(name=name, secret=secret)}\n{after}"
    assert "Qx7" not in redact(text, longest=5000)


@given(before=NOISE, shape=SHAPES, secret=SECRET, after=NOISE)
def test_what_looks_like_a_credential_is_taken_out_of_any_text(
    before: str, shape: str, secret: str, after: str
) -> None:
    assert "Qx7" not in redact(f"{before}\n{shape.format(secret=secret)}\n{after}", longest=5000)


@given(st.text(max_size=2000))
def test_a_text_that_was_redacted_does_not_change_again(text: str) -> None:
    once = redact(text, longest=5000)
    assert redact(once, longest=5000) == once


@pytest.mark.parametrize(
    "line",
    [
        "GET /healthz 200 3.2ms",
        'level=error msg="backend=redis failed: dial tcp 10.0.0.7:6379: i/o timeout" attempt=3',
        "Back-off restarting failed container web in pod web-6f7d-x2x (uid 1b4e)",
        "cache:\n  ttl:\n    resources: 60s\n    resource_pools: 600s\n",
        "kubernetes:\n  timeout: 10s\n  circuit_breaker: {enabled: true, threshold: 5}",
        "http://web.shop.svc:8080/insert?series=1",
        "container image registry.k8s.io/pause:3.10 already present",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line, longest=1000) == line


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
        max_leaves=20,
    )
)
def test_masking_keeps_a_documents_shape(value: Any) -> None:
    def shape(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: shape(inner) for key, inner in item.items()}
        return [shape(inner) for inner in item] if isinstance(item, list) else type(item)

    assert shape(mask(value)) == shape(value)


def test_a_secret_is_shown_by_its_keys_alone() -> None:
    shown = mask(
        {"kind": "Secret", "metadata": {"name": "tls"}, "data": {"a": "aHVudGVyMg=="}, "stringData": {"b": "x"}}
    )
    assert shown["data"] == {"a": "[redacted]"}
    assert shown["stringData"] == {"b": "[redacted]"}
    assert shown["metadata"] == {"name": "tls"}


def test_a_change_of_a_secret_is_shown_without_its_values() -> None:
    change = {
        "ref": {"kind": "Secret", "name": "tls"},
        "fields": [
            {"pointer": "/data/tls.crt", "before": "b2xk", "after": "bmV3"},
            {"pointer": "/data", "before": None, "after": {"tls.key": "bmV3"}},
            {"pointer": "/metadata/annotations/x", "before": "1", "after": "2"},
        ],
    }
    fields = mask(change)["fields"]
    assert fields[0] == {"pointer": "/data/tls.crt", "before": "[redacted]", "after": "[redacted]"}
    assert fields[1]["after"] == {"tls.key": "[redacted]"}
    assert fields[2]["after"] == "2"


def test_a_change_of_a_field_that_is_called_like_a_credential_is_shown_without_its_values() -> None:
    shown = mask({"pointer": "/data/db_password", "before": "correct horse", "after": "battery staple"})
    assert shown == {"pointer": "/data/db_password", "before": "[redacted]", "after": "[redacted]"}
    assert mask({"pointer": "/data/log_level", "before": "info", "after": "debug"})["after"] == "debug"


def test_names_of_secrets_are_no_secrets() -> None:
    reference = {"secretName": "web-tls", "secret": "web-tls", "secretKeyRef": {"name": "web", "key": "password"}}
    assert mask(reference) == reference
    assert mask({"password": "correct horse", "apiKey": "x", "refresh_token": "y", "empty_token": ""}) == {
        "password": "[redacted]",
        "apiKey": "[redacted]",
        "refresh_token": "[redacted]",
        "empty_token": "",
    }


def test_values_of_a_configmap_are_masked_by_their_keys_and_by_what_they_hold() -> None:
    shown = mask_values(
        {"log_level": "debug", "db_password": "correct horse", "app.yml": "port: 80\npassword: hunter2\n"},
        longest=1000,
    )
    assert shown["log_level"] == "debug"
    assert shown["db_password"] == "[redacted]"
    assert "hunter2" not in json.dumps(shown)
    assert "port: 80" in shown["app.yml"]
