"""Faults 32 to 40 and 44 to 48: what a sender, or somebody else, may post. Against a receiver that really listens."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.errors import ConfigurationError
from bridge.ingest.auth import Authenticator
from bridge.ingest.counters import Counters
from bridge.ingest.credentials import SIGNATURE_HEADER, Credential
from bridge.ingest.receiver import Receiver
from bridge.ingest.server import check_exposure
from bridge.model.refusal import Refused
from bridge.telemetry import configure_logging
from tests.support.intake import MemoryIntake, MemoryRefusals
from tests.support.receiver import BEARER, OPERATOR, SENDER, MovedClock, Served, head, read_answer, served
from tests.support.webhooks import RECORDED, alert, body, recorded

ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice:p:ss").decode()}
DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture
async def receiver() -> AsyncIterator[Served]:
    async with served() as one:
        yield one


# ---- what is right


@pytest.mark.parametrize("name", RECORDED)
async def test_every_recorded_webhook_is_taken_and_its_repeat_is_a_duplicate(name: str, receiver: Served) -> None:
    headers, data = recorded(name)
    auth = BEARER if "grafana" not in name or SIGNATURE_HEADER not in headers else {}
    kept = {key: value for key, value in headers.items() if key not in ("Content-Length", "Authorization")}
    count = len(json.loads(data)["alerts"])
    first = await receiver.post(data, headers=kept | auth)
    assert (first.status, first.json) == (200, {"alerts": count, "new": count})
    second = await receiver.post(data, headers=kept | auth)
    assert (second.status, second.json) == (200, {"alerts": count, "duplicate": count})


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("path", ["/", "/webhook", "/webhook/alertmanager", "/webhook/grafana"])
async def test_every_path_takes_both_methods(path: str, method: str, receiver: Served) -> None:
    assert (await receiver.post(body(alert(1)), path, method=method)).status == 200
    assert receiver.intake.alerts[0].source == "am"


async def test_a_body_announced_with_expect_is_taken(receiver: Served) -> None:
    data = body(alert(1))
    reader, writer = await receiver.connect()
    headers = {**BEARER, "Expect": "100-continue", "Content-Length": str(len(data))}
    writer.write(head("POST", "/webhook", headers.items()))
    assert (await read_answer(reader)).status == 100
    writer.write(data)
    assert (await read_answer(reader)).status == 200
    writer.close()


@pytest.mark.parametrize(
    ("version", "headers", "closed"),
    [("1.1", {}, False), ("1.1", {"Connection": "close"}, True), ("1.0", {}, True)],
)
async def test_a_connection_is_kept_as_the_request_asks(
    version: str, headers: dict[str, str], closed: bool, receiver: Served
) -> None:
    data = body(alert(1))
    request = head("POST", "/webhook", [*BEARER.items(), *headers.items(), ("Content-Length", str(len(data)))]) + data
    reader, writer = await receiver.connect()
    for _ in range(1 if closed else 3):
        writer.write(request.replace(b"HTTP/1.1", b"HTTP/" + version.encode()))
        answer = await read_answer(reader)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["date"].endswith("GMT")
    if closed:
        assert await reader.read() == b""
    writer.close()


async def test_requests_that_come_together_are_answered_in_order(receiver: Served) -> None:
    data = [body(*(alert(n) for n in range(count))) for count in (1, 2, 3)]
    reader, writer = await receiver.connect()
    headers = [head("POST", "/webhook", [*BEARER.items(), ("Content-Length", str(len(one)))]) for one in data]
    writer.write(b"".join(first + one for first, one in zip(headers, data, strict=True)))
    assert [(await read_answer(reader)).json["alerts"] for _ in data] == [1, 2, 3]
    writer.close()


async def test_an_operator_triggers_by_hand_and_a_sender_does_not(receiver: Served) -> None:
    data = json.dumps({"alertname": "X", "labels": {"namespace": "net"}, "why": "drill"}).encode()
    refused = await receiver.post(data)
    assert refused.status == 403
    assert "operator" in refused.json["detail"]
    assert (await receiver.post(data, headers=ALICE)).status == 200
    (one,) = receiver.intake.alerts
    assert (one.source, one.requested_by, one.why) == ("alice", "alice", "drill")


async def test_an_operator_who_is_no_sender_posts_no_webhooks(receiver: Served) -> None:
    assert (await receiver.post(body(alert(1)), headers=ALICE)).status == 403
    assert not receiver.intake.alerts


async def test_alerts_cut_off_by_the_sender_are_counted(receiver: Served) -> None:
    assert (await receiver.post(body(alert(1), truncatedAlerts=7))).status == 200
    assert receiver.counters.truncated == 7


# ---- what is wrong


async def test_a_store_that_is_away_is_503_and_tells_nothing_of_itself(receiver: Served) -> None:
    receiver.intake.fails = True
    answer = await receiver.post(body(alert(1)))
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"redis" not in answer.body.lower()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip", "x"])
async def test_a_compressed_body_is_415(encoding: str, receiver: Served) -> None:
    """Fault 32."""
    answer = await receiver.post(gzip.compress(body(alert(1))), headers={**BEARER, "Content-Encoding": encoding})
    assert answer.status == 415
    assert not receiver.intake.alerts


@pytest.mark.parametrize(
    "data", [DEEP, b'{"a":' * 100_000, body(alert(1, values=0)).replace(b":0,", b":" + DEEP + b",")]
)
async def test_json_nested_100_000_deep_is_400(data: bytes, receiver: Served) -> None:
    """Fault 33."""
    assert (await receiver.post(data)).status == 400


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9" * 5000])
async def test_a_number_that_is_none_is_400_where_we_read_one_and_nothing_where_we_do_not(
    number: bytes, receiver: Served
) -> None:
    """Faults 34 and 36."""
    read = body(alert(1), truncatedAlerts="HERE").replace(b'"HERE"', number)
    assert (await receiver.post(read)).status == 400
    inside = body(alert(2), alert(3, startsAt="HERE")).replace(b'"HERE"', number)
    answer = await receiver.post(inside)
    assert (answer.status, answer.json["new"], answer.json["refused"]) == (200, 1, 1)
    ignored = body(alert(4, values={"A": "HERE"})).replace(b'"HERE"', number)
    assert (await receiver.post(ignored)).json == {"alerts": 1, "new": 1}


async def test_the_last_of_duplicate_keys_is_taken_and_they_are_counted(receiver: Served) -> None:
    """Fault 35."""
    data = body(alert(1)).replace(b'"pod":"gw-1"', b'"pod":"gw-0","pod":"gw-9"')
    assert (await receiver.post(data)).status == 200
    assert [one.labels["pod"] for one in receiver.intake.alerts] == ["gw-9"]
    assert receiver.counters.duplicate_keys == 1


@pytest.mark.parametrize(
    "data",
    [
        body(alert(1)).replace(b"GatewayDown", b"\xff\xfe"),
        b"\xef\xbb\xbf" + body(alert(1)),
        body(alert(1)).replace(b"gw-1", b"gw-\\ud800"),
        body(alert(1)).decode().encode("utf-16"),
    ],
    ids=["utf8", "bom", "surrogate", "utf16"],
)
async def test_text_that_is_none_is_400(data: bytes, receiver: Served) -> None:
    """Fault 37."""
    answer = await receiver.post(data)
    assert answer.status == 400
    assert not receiver.intake.alerts


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"a": "x" * 1_000_000}, Refused.TOO_LONG),
        ({f"l{n}": "x" for n in range(10_000)}, Refused.TOO_MANY_LABELS),
    ],
)
async def test_an_alert_with_too_much_of_labels_is_refused_with_a_record_and_its_siblings_run(
    labels: dict[str, str], reason: Refused, receiver: Served
) -> None:
    """Fault 38."""
    answer = await receiver.post(body(alert(1), alert(2, labels=labels), alert(3)))
    assert (answer.status, answer.json["new"], answer.json["refused"]) == (200, 2, 1)
    assert answer.json["errors"][0]["pointer"] == "/alerts/1"
    (record,) = receiver.refusals.records
    assert (record.source, record.sender, record.reason, record.index) == ("am", "alertmanager", reason, 1)
    assert len(record.excerpt) <= 300
    assert receiver.counters.refused[reason.value] == 1


async def test_when_all_are_refused_the_answer_is_400_and_says_why(receiver: Served) -> None:
    """Fault 39."""
    answer = await receiver.post(body(alert(1, labels=None), alert(2, status=7)))
    assert answer.status == 400
    assert [error["pointer"] for error in answer.json["errors"]] == ["/alerts/0", "/alerts/1"]
    assert len(receiver.refusals.records) == 2


async def test_a_custom_payload_is_a_clear_400_and_counted(receiver: Served) -> None:
    answer = await receiver.post(json.dumps({"text": "Gateway is down"}).encode())
    assert answer.status == 400
    assert "custom payloads cannot be read" in answer.json["detail"]
    assert receiver.counters.custom_payloads == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["version", "alerts", "truncatedAlerts", "labels", "alertname", "status", "startsAt", "fingerprint", "why"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    document=st.dictionaries(st.sampled_from(KEYS), JSON),
    change=st.dictionaries(st.sampled_from(KEYS), JSON),
    headers=st.sampled_from([BEARER, ALICE]),
)
async def test_no_document_is_answered_500(
    document: dict[str, Any], change: dict[str, Any], headers: dict[str, str], receiver: Served
) -> None:
    """Fault 39."""
    for data in (document, {"version": "4", "alerts": [alert(1), {**alert(2), **change}]}, {**alert(3), **document}):
        answer = await receiver.post(json.dumps(data).encode(), headers=headers)
        assert answer.status in (200, 400, 403)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300))
async def test_no_bytes_are_answered_500(data: bytes, receiver: Served) -> None:
    """Fault 39."""
    assert (await receiver.post(data)).status == 400


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from(["Authorization", "Origin", "Host", SIGNATURE_HEADER, "Content-Type", "X-A"]),
    value=st.binary(max_size=60).filter(lambda raw: not set(raw) & set(b"\r\n\0")),
)
async def test_no_header_is_answered_500(name: str, value: bytes, receiver: Served) -> None:
    headers = [*BEARER.items()] if name != "Authorization" else []
    answer = await receiver.post(body(alert(1)), headers=[*headers, (name, value.decode("utf-8", "surrogateescape"))])
    assert answer.status in (200, 400, 401, 403)


async def test_what_looks_like_a_template_is_stored_as_it_is(receiver: Served) -> None:
    """Fault 40."""
    labels = {"alertname": "{{7*7}}", "a": "{0.__class__}", "b": "${labels.x}"}
    assert (await receiver.post(body(alert(1, labels=labels)))).status == 200
    assert receiver.intake.alerts[0].labels == labels


async def test_what_would_break_a_log_line_does_not(log_as_before: None, receiver: Served) -> None:
    """Fault 44: CR, LF, escapes and U+2028 in a label, a path and a header."""
    out = io.StringIO()
    configure_logging("json", stream=out)
    evil = "a\r\nlevel=error \x1b[31mred\x1b[0m \u2028 \u0085 \x00"
    wrong = alert(1, labels={"alertname": evil}, startsAt=evil)
    assert (await receiver.post(body(wrong))).status == 400
    await receiver.post(
        b"", "/webhook?" + "%0d%0a\u2028\x1b".encode().decode("latin-1"), headers={"User-Agent": "\x1b[2J"}
    )
    await receiver.post(b"{", headers={**BEARER, "User-Agent": "x\u2028\x85\x1b[0m"})
    lines = out.getvalue().split("\n")
    assert len(lines) >= 3
    assert lines.pop() == ""
    for line in lines:
        assert json.loads(line)["event"]
        assert line.isascii()
        assert line.isprintable()


async def test_no_address_in_an_alert_is_called(receiver: Served) -> None:
    """Fault 45: a listener that an alert names in every field sees no connection."""
    calls = []
    trap = await asyncio.start_server(lambda _r, w: (calls.append(1), w.close())[1], "127.0.0.1", 0)
    url = f"http://127.0.0.1:{trap.sockets[0].getsockname()[1]}/"
    one = alert(1, generatorURL=url, silenceURL=url, annotations={"runbook_url": url}, imageURL=url)
    assert (await receiver.post(body(one, externalURL=url))).status == 200
    trap.close()
    await trap.wait_closed()
    assert not calls


# ---- who may


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic !!!"},
        {SIGNATURE_HEADER: "0" * 64},
        {SIGNATURE_HEADER: "zz"},
        [*BEARER.items(), *BEARER.items()],
    ],
    ids=range(6),
)
async def test_who_is_not_known_is_401_whatever_the_body_is(headers: Any, receiver: Served) -> None:
    """Fault 47: before the body is parsed, or even looked at."""
    for data in (body(alert(1)), b"{", DEEP):
        answer = await receiver.post(data, headers=headers)
        assert answer.status == 401
        assert answer.headers["www-authenticate"]
    assert not receiver.intake.alerts


STAMPED = Credential(name="grafana", type="hmac", secrets=("k",), timestamp_header="X-Stamp")


def signed(data: bytes, stamp: float) -> dict[str, str]:
    text = str(int(stamp))
    return {
        SIGNATURE_HEADER: hmac.new(b"k", text.encode() + b":" + data, hashlib.sha256).hexdigest(),
        "X-Stamp": text,
    }


async def test_a_signature_is_right_once_and_for_300_seconds() -> None:
    """Fault 48."""
    async with served(STAMPED) as receiver:
        now = receiver.clock.now()
        data = body(alert(1))
        assert (await receiver.post(data, headers=signed(data, now))).status == 200
        replayed = await receiver.post(data, headers=signed(data, now))
        assert replayed.status == 401
        assert (await receiver.post(data, headers=signed(data, now - 301))).status == 401
        cut = {**signed(data, now - 5), SIGNATURE_HEADER: signed(data, now - 5)[SIGNATURE_HEADER][:40]}
        assert (await receiver.post(data, headers=cut)).status == 401
        twice = [*signed(data, now - 6).items(), (SIGNATURE_HEADER, "0" * 64)]
        assert (await receiver.post(data, headers=twice)).status == 401
        assert (await receiver.post(data, headers=signed(data, now - 7))).status == 200


async def test_a_resend_after_a_503_is_no_replay() -> None:
    """Fault 48."""
    async with served(STAMPED) as receiver:
        data = body(alert(1))
        headers = signed(data, receiver.clock.now())
        receiver.intake.fails = True
        assert (await receiver.post(data, headers=headers)).status == 503
        receiver.intake.fails = False
        assert (await receiver.post(data, headers=headers)).status == 200


async def test_without_a_credential_a_browser_is_kept_out() -> None:
    """Fault 49: open on loopback is open to pages that make a browser post there, unless they are refused."""
    async with served() as one:
        one.receiver.authenticator = Authenticator([], clock=one.clock)
        data = body(alert(1))
        assert (await one.post(data, headers={})).status == 200
        assert (await one.post(data, headers={"Origin": "http://evil.example"})).status == 403
        assert (await one.post(data, headers={"Host": "evil.example"})).status == 403
        rebound = {"Origin": "http://evil.example", "Host": "evil.example"}
        assert (await one.post(data, headers=rebound)).status == 403
        assert (await one.post(data, headers={"Host": "localhost:9877"})).status == 200


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("", False),
        ("bridge.example", False),
    ],
)
def test_listening_beyond_loopback_without_a_credential_is_refused(host: str, allowed: bool) -> None:
    """Fault 49."""

    def receiver(*credentials: Credential) -> Receiver:
        return Receiver(
            intake=MemoryIntake(),
            refusals=MemoryRefusals(),
            authenticator=Authenticator(credentials, clock=MovedClock()),
            clock=MovedClock(),
            counters=Counters(),
        )

    check_exposure([host], receiver(SENDER, OPERATOR))
    if allowed:
        check_exposure([host], receiver())
    else:
        with pytest.raises(ConfigurationError, match="no credential is configured"):
            check_exposure([host], receiver())
