"""A trigger by hand becomes an alert in the name of who asks."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import InvalidInput
from bridge.ingest.limits import RequestLimits
from bridge.ingest.trigger import decode_trigger
from bridge.model.alert import Alert, fingerprint
from bridge.model.principal import Principal, Role

ALICE = Principal("alice", frozenset({Role.OPERATOR}))


def read(document: Any, now: float = 1000.5) -> Alert:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode_trigger(data, ALICE, now=now, limits=RequestLimits())


def test_a_name_and_labels_are_enough() -> None:
    one = read({"alertname": "GatewayDown", "labels": {"namespace": "net"}})
    assert one.labels == {"alertname": "GatewayDown", "namespace": "net"}
    assert (one.source, one.requested_by, one.status) == ("alice", "alice", "firing")
    assert one.starts_at == 1_000_500_000
    assert one.fingerprint == fingerprint(one.labels)


def test_it_says_who_asked_why_and_what_is_overridden() -> None:
    one = read({"alertname": "X", "requested_by": "bob", "why": "drill", "override": ["cooldown", "cooldown"]})
    assert (one.source, one.requested_by, one.why, one.override) == (
        "alice",
        "bob (with the credential alice)",
        "drill",
        ("cooldown",),
    )


def test_two_runbooks_for_the_same_labels_are_two_things() -> None:
    first, second = (read({"runbook": name, "labels": {"a": "b"}}) for name in ("r/one", "r/two"))
    assert first.runbook == "r/one"
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("reason", ["protected_namespace", "protected_object", "own_part", "observe_only"])
def test_what_is_protected_is_not_for_an_operator_to_override(reason: str) -> None:
    """Faults 63 and 64: only the configuration, or the object's owner, says otherwise."""
    with pytest.raises(InvalidInput, match="cooldown"):
        read({"alertname": "X", "override": ["cooldown", reason]})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"labels": {}},
        {"alertname": 5},
        {"alertname": "X", "labels": {"a": 1}},
        {"alertname": "X", "labels": {"alertname": "Y"}},
        {"alertname": "X", "override": ["everything"]},
        {"alertname": "X", "override": "cooldown"},
        {"alertname": "X", "startsAt": "today"},
        {"alertname": "X", "startsAt": "0001-01-01T00:00:00Z"},
        {"alertname": "X", "status": "maybe"},
        {"alertname": "X", "why": "x" * 2000},
        {"alertname": "X" * 10_000},
        {"alertname": "X", "labels": {f"l{n}": "" for n in range(1000)}},
        [],
        b"{",
        b'{"alertname":"\\ud800"}',
        b'{"alertname":"\xff"}',
        b'{"alertname":"X","why":' + b"[" * 100_000,
        b'{"alertname":"X","z":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=range(19),
)
def test_a_trigger_that_is_wrong_says_so(document: Any) -> None:
    with pytest.raises(InvalidInput):
        read(document)


@given(
    st.dictionaries(
        st.sampled_from(["alertname", "runbook", "labels", "annotations", "status", "startsAt", "why", "override"]),
        st.none() | st.text() | st.integers() | st.lists(st.text()) | st.dictionaries(st.text(), st.text()),
    )
)
def test_no_trigger_breaks_it(document: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidInput):
        read(document)
