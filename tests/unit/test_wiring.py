"""What a reload takes up, and what it says of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.settings import Settings
from bridge.wiring import may_answer, needs_restart


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"mode": "auto", "protected_namespaces": ["a"], "own": {"namespace": "b"}}, []),
        ({"secret_namespaces": []}, ["secret_namespaces"]),
        ({"notify": {"update_every": "5m"}, "external_url": "https://bridge"}, []),
        ({"notify": {"channels": {"a": {"url_env": "A"}}}}, ["notify.channels"]),
        ({"http": {"hosts": []}, "concurrency": 3}, ["concurrency", "http"]),
        ({"clusters": {"connections": {"a": {"url": "https://other"}}}}, ["clusters.connections"]),
        ({"clusters": {"label": "site", "connections": {"a": {"url": "https://one"}}}}, []),
    ],
)
def test_a_reload_names_what_it_does_not_take_up(changed: dict[str, Any], expected: list[str]) -> None:
    """An address or a permission that was changed must not be thought to be in force when it is not."""
    first: dict[str, Any] = {
        "secret_namespaces": ["shop"],
        "http": {"hosts": ["x"]},
        "clusters": {"connections": {"a": {"url": "https://one"}}},
    }
    assert needs_restart(settings(**first), settings(**first | changed)) == expected


def test_operators_of_now_may_agree_and_without_credentials_everybody() -> None:
    people = [
        {"name": "ann", "type": "bearer", "roles": "operator", "secret_env": "A"},
        {"name": "vera", "type": "bearer", "roles": "viewer", "secret_env": "B"},
    ]
    assert [may_answer(settings(credentials=people), name) for name in ("ann", "vera", "bob")] == [True, False, False]
    assert may_answer(settings(), "local")
