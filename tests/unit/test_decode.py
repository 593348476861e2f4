"""Bodies become alerts: what is right is taken, what is wrong costs no sibling, what we ignore does not matter."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.ingest.decode import Batch, CustomPayload, Decoder, Malformed, TooMuch
from bridge.ingest.limits import RequestLimits
from bridge.model.alert import fingerprint
from bridge.model.refusal import Refused
from tests.support.webhooks import RECORDED, alert, body, recorded

DECODER = Decoder(RequestLimits())


def read(data: bytes, *, decoder: Decoder = DECODER, **options: Any) -> Batch:
    return decoder.decode(data, source="am", **options)


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_webhook_is_taken_whole(name: str) -> None:
    _, data = recorded(name)
    sent = json.loads(data)
    batch = read(data)
    assert batch.sender == ("grafana" if name.startswith("grafana") else "alertmanager")
    assert not batch.rejected
    assert [dict(a.labels) for a in batch.alerts] == [a["labels"] for a in sent["alerts"]]
    assert [a.fingerprint for a in batch.alerts] == [a["fingerprint"] for a in sent["alerts"]]
    assert [a.status for a in batch.alerts] == [a["status"] for a in sent["alerts"]]
    assert batch.truncated == sent["truncatedAlerts"]


@pytest.mark.parametrize("name", [name for name in RECORDED if not name.startswith("grafana")])
def test_our_fingerprint_is_the_one_alertmanager_sends(name: str) -> None:
    for one in json.loads(recorded(name)[1])["alerts"]:
        assert fingerprint(one["labels"]) == one["fingerprint"]


def test_a_firing_alert_has_no_end_and_a_resolved_one_has() -> None:
    ended = alert(2, status="resolved", endsAt="2026-11-20T18:45:07.25Z")
    firing, resolved = read(body(alert(1), ended)).alerts
    assert (firing.starts_at, firing.ends_at) == (1795200187000000, 0)
    assert resolved.ends_at == 1795200187000000 + 120_250_000


@pytest.mark.parametrize("given_one", ["", None, 7, "1f204b4fc9b3c7e", "1F204B4FC9B3C7E3", "../../../../../e", {}])
def test_a_fingerprint_that_is_none_is_computed(given_one: object) -> None:
    (one,) = read(body(alert(1, fingerprint=given_one))).alerts
    assert one.fingerprint == fingerprint(one.labels)
    without = alert(1)
    del without["fingerprint"]
    assert read(body(without)).alerts[0].fingerprint == one.fingerprint


def test_unknown_keys_and_wrong_things_in_ignored_fields_do_not_matter() -> None:
    odd = alert(1, values=None, extra=[1, {"a": None}], generatorURL=5)
    batch = read(body(odd, notification_reason={"x": 1}, routeLabels=7, groupLabels="x", status=5))
    assert len(batch.alerts) == 1
    assert batch.alerts[0].generator_url == ""


@pytest.mark.parametrize(
    "ignored", ["NaN", "-Infinity", "1e999", "9" * 5000, '"\\ud800"', '{"a": [NaN, "\\udfff"]}', '"x", "z": 1']
)
def test_what_no_number_and_no_text_is_does_not_matter_where_we_do_not_look(ignored: str) -> None:
    data = body(alert(1, values="HERE")).decode().replace('"HERE"', ignored).encode()
    assert [a.labels["pod"] for a in read(data).alerts] == ["gw-1"]


def test_a_digit_monster_beside_a_nan_is_ignored_as_well() -> None:
    data = body(alert(1, values="HERE")).decode().replace('"HERE"', "[NaN, " + "9" * 5000 + "]").encode()
    assert len(read(data).alerts) == 1


WRONG: list[tuple[dict[str, Any], Refused]] = [
    ({"labels": {"a": 1}}, Refused.WRONG_TYPE),
    ({"labels": None}, Refused.WRONG_TYPE),
    ({"labels": {}}, Refused.NO_LABELS),
    ({"status": "pending"}, Refused.WRONG_TYPE),
    ({"startsAt": 5}, Refused.WRONG_TYPE),
    ({"startsAt": "yesterday"}, Refused.BAD_TIME),
    ({"startsAt": "0001-01-01T00:00:00Z"}, Refused.BAD_TIME),
    ({"startsAt": "9999-01-01T00:00:00Z"}, Refused.BAD_TIME),
    ({"status": "resolved", "endsAt": "never"}, Refused.BAD_TIME),
    ({"annotations": {"a": []}}, Refused.WRONG_TYPE),
    ({"labels": {"a": "x" * 1_000_000}}, Refused.TOO_LONG),
    ({"labels": {"x" * 1_000_000: "a"}}, Refused.TOO_LONG),
    ({"labels": {f"l{n}": "" for n in range(10_000)}}, Refused.TOO_MANY_LABELS),
    ({"annotations": {f"l{n}": "" for n in range(10_000)}}, Refused.TOO_MANY_LABELS),
    ({"annotations": {"a": "x" * 1_000_000}}, Refused.TOO_LONG),
    ({"annotations": {"x" * 10_000: "a"}}, Refused.TOO_LONG),
    ({"labels": {f"l{n}": "x" * 8000 for n in range(40)}}, Refused.TOO_LONG),
]


@pytest.mark.parametrize(("change", "reason"), WRONG)
def test_one_wrong_alert_is_refused_with_a_reason_and_its_siblings_run(
    change: dict[str, Any], reason: Refused
) -> None:
    batch = read(body(alert(1), alert(2, **change), alert(3)))
    assert [a.labels["pod"] for a in batch.alerts] == ["gw-1", "gw-3"]
    (refused,) = batch.rejected
    assert (refused.index, refused.reason) == (1, reason)
    assert 0 < len(refused.excerpt) <= 300


@pytest.mark.parametrize("key", ["labels", "status", "startsAt"])
def test_an_alert_without_a_key_that_is_needed_is_refused(key: str) -> None:
    partial = alert(2)
    del partial[key]
    batch = read(body(alert(1), partial, 7, None, [], "x"))
    assert len(batch.alerts) == 1
    assert [(r.index, r.reason) for r in batch.rejected] == [(n, Refused.WRONG_TYPE) for n in (1, 2, 3, 4, 5)]
    assert key in batch.rejected[0].detail


def test_a_number_that_is_none_where_text_belongs_refuses_that_alert() -> None:
    data = body(alert(1), alert(2, startsAt="HERE")).decode().replace('"HERE"', "NaN").encode()
    batch = read(data)
    assert len(batch.alerts) == 1
    assert batch.rejected[0].reason is Refused.WRONG_TYPE


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"\xef\xbb\xbf" + body(alert(1)),
        body(alert(1)).replace(b"GatewayDown", b"Gateway\xffDown"),
        body(alert(1)).replace(b"gw-1", b"gw-\\ud800"),
        body(alert(1)).replace(b'"namespace"', b'"n\\udc00"'),
        body(alert(1)) + b"x",
        DEEP.encode(),
        b'{"a":' * 100_000,
        body(alert(1, values="HERE")).replace(b'"HERE"', DEEP.encode()),
        body(alert(1, values="NaN", other="HERE")).replace(b'"HERE"', DEEP.encode()),
        body(alert(1), truncatedAlerts="x"),
        body(alert(1), truncatedAlerts=1.5),
        body(alert(1), truncatedAlerts="HERE").replace(b'"HERE"', b"NaN"),
        body(alert(1), truncatedAlerts="HERE").replace(b'"HERE"', b"1e999"),
        body(alert(1), truncatedAlerts="HERE").replace(b'"HERE"', b"9" * 5000),
        body(alerts={"a": 1}),
        body(alerts="x"),
    ],
    ids=range(22),
)
def test_a_body_that_can_never_be_right_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(data)
    assert not caught.value.too_much
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"text": "an alert fired"},
        {"version": "4"},
        {"alerts": []},
        {"version": "5", "alerts": [alert(1)]},
        {"version": 4, "alerts": [alert(1)]},
        {"version": ["4"], "alerts": []},
    ],
)
def test_a_custom_payload_is_told_from_a_broken_one(document: object) -> None:
    with pytest.raises(CustomPayload, match="custom payloads"):
        read(json.dumps(document).encode())


def test_a_path_that_names_the_sender_is_believed_where_the_version_says_nothing() -> None:
    assert read(body(alert(1), version="5"), expected="alertmanager").sender == "alertmanager"
    assert read(body(alert(1)), expected="grafana").sender == "alertmanager"


@pytest.mark.parametrize("document", [{"alertname": "X"}, {"labels": {"a": "b"}}, {"runbook": "r"}])
def test_a_body_by_hand_is_recognised(document: object) -> None:
    assert read(json.dumps(document).encode()).sender == "manual"


def test_the_last_of_duplicate_keys_counts() -> None:
    data = body(alert(1)).decode()
    data = data.replace('"pod":"gw-1"', '"pod":"gw-0","pod":"gw-9"').replace(
        '"status":"firing","labels"', '"status":"resolved","status":"firing","labels"'
    )
    (one,) = read(data.encode()).alerts
    assert one.labels["pod"] == "gw-9"
    assert one.status == "firing"
    with_nan = read(data.replace('"annotations"', '"x":NaN,"annotations"').encode()).alerts
    assert with_nan == [one]


def test_ten_thousand_alerts_are_taken_and_more_than_the_bound_are_not() -> None:
    assert len(read(body(*(alert(n) for n in range(10_000)))).alerts) == 10_000
    with pytest.raises(TooMuch, match="at most 3"):
        read(body(*(alert(n) for n in range(4))), decoder=Decoder(RequestLimits(alerts=3)))
    with pytest.raises(TooMuch, match="at most 3"):
        read(body(*range(4)), decoder=Decoder(RequestLimits(alerts=3)))


def test_a_body_of_nothing_but_values_is_not_decoded() -> None:
    with pytest.raises(TooMuch, match="values"):
        read(b'{"version":"4","alerts":[' + b"1," * 2_000_000 + b"1]}")


def test_what_looks_like_a_template_stays_text() -> None:
    """Fault 40."""
    labels = {"alertname": "{{7*7}}", "a": "{0.__class__}", "b": "${labels.x}", "c": "%(x)s"}
    (one,) = read(body(alert(1, labels=labels))).alerts
    assert one.labels == labels


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"])


@given(
    st.dictionaries(FIELDS, JSON), st.dictionaries(st.sampled_from(["version", "alerts", "truncatedAlerts"]), JSON)
)
def test_no_value_anywhere_breaks_it(change: dict[str, Any], envelope: dict[str, Any]) -> None:
    """Fault 39: Malformed, or the alert refused, or taken; never another error."""
    data = json.dumps({**json.loads(body(alert(1), {**alert(2), **change})), **envelope}).encode()
    try:
        batch = read(data)
    except Malformed:
        return
    if "alerts" not in envelope:
        assert batch.alerts[0].labels["pod"] == "gw-1"
        assert len(batch.alerts) + len(batch.rejected) == 2
    for refused in batch.rejected:
        refused.excerpt.encode()


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


@given(st.data())
def test_no_damage_to_a_real_body_breaks_it(data: st.DataObject) -> None:
    whole = bytearray(body(alert(1), alert(2)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(Malformed):
        read(bytes(whole))
