"""What the collectors make of what a cluster shows, and what they keep out."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from bridge.engine.context import RunContext
from bridge.errors import InvalidInput, KubeForbidden, PermanentError, TemporaryError, Unreachable
from bridge.evidence.registry import collectors
from bridge.model.outside import HttpReply, HttpRequest
from bridge.model.redact import redact
from bridge.model.target import Target
from bridge.model.workload import format_time
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside, Reach
from tests.support.clock import START, FakeClock
from tests.support.cluster import deployment
from tests.support.fake_cluster import FakeCluster

NOW = START


class FakeReach(Reach):
    """Reaches a fake cluster, and answers queries with what it is told."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(cluster, FakeClock(), Outside(OutsideSettings()))
        self.samples: list[tuple[dict[str, str], float]] = []
        self.answer: int | HttpReply | Exception = 200

    async def promql(self, query: str) -> Any:
        return self.samples

    async def http(self, request: HttpRequest) -> HttpReply:
        if isinstance(self.answer, Exception):
            raise self.answer
        return HttpReply(self.answer) if isinstance(self.answer, int) else self.answer


async def collect(
    name: str,
    reach: FakeReach,
    kind: str = "Deployment",
    target: str = "web",
    **given: Any,
) -> dict[str, Any]:
    collector = collectors()[name]
    context = RunContext(remediation="r", planned_at=NOW, target=Target("test", kind, "shop", target), reach=reach)
    found = await collector.collect(context, collector.params.model_validate(given))
    assert json.loads(json.dumps(found)) == found
    return found


def pod(name: str, *, ready: bool = False, **status: Any) -> dict[str, Any]:
    container = {"name": "main", "ready": ready, "restartCount": 0, "state": {"running": {}}, **status}
    return {
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web"}, "creationTimestamp": format_time(NOW - 60)},
        "spec": {"containers": [{"name": "main", "image": "web:1"}], "nodeName": "node-1"},
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [container],
        },
    }


def waiting(reason: str) -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason}}}


async def test_pods_are_counted_by_what_is_wrong_with_them() -> None:
    oom = {"lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}, "restartCount": 4}
    pending = pod("e")
    pending["status"] = {
        "phase": "Pending",
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}],
    }
    leaving = pod("f", ready=True)
    leaving["metadata"]["deletionTimestamp"] = format_time(NOW)
    other = pod("g", ready=True)
    other["metadata"]["labels"] = {"app": "other"}
    cluster = FakeCluster(
        deployment("web", "web:1", 3),
        pod("a", ready=True),
        pod("b", **waiting("CrashLoopBackOff"), restartCount=7),
        pod("c", **oom),
        pod("d", **waiting("ImagePullBackOff")),
        pending,
        leaving,
        other,
    )
    found = await collect("pods", FakeReach(cluster))
    items = {item["name"]: item["reason"] for item in found.pop("items")}
    assert found == {
        "total": 5,
        "ready": 1,
        "crashlooping": 2,
        "oom_killed": 1,
        "image_pull_errors": 1,
        "pending": 1,
        "unschedulable": 1,
        "failed": 0,
        "not_running": 1,
        "terminating": 1,
        "restarts": 11,
        "restart_reasons": {"OOMKilled": 1},
        "restarted_seconds": 0.0,
        "nodes": {"node-1": 5},
        "truncated": False,
    }
    assert items == {
        "a": "",
        "b": "CrashLoopBackOff",
        "c": "OOMKilled",
        "d": "ImagePullBackOff",
        "e": "Unschedulable",
    }


async def test_a_workload_without_pods_has_every_field_all_the_same() -> None:
    found = await collect("pods", FakeReach(FakeCluster(deployment("web", "web:1", 0))))
    assert found["total"] == found["ready"] == found["crashlooping"] == 0


def event(name: str, about: str, at: float, message: str = "m", **more: Any) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": {"kind": "Pod", "name": about},
        "lastTimestamp": format_time(at),
        "message": message,
        "reason": "BackOff",
        **more,
    }


async def test_events_are_about_the_workload_bounded_and_newest_last() -> None:
    cluster = FakeCluster(
        event("e2", "web-abc-1", NOW - 10, type="Warning"),
        event("e1", "web", NOW - 20, message="password=hunter2"),
        event("e3", "website-1", NOW - 5),
        event("e4", "web-abc", 0, series={"lastObservedTime": format_time(NOW - 1), "count": 9}),
    )
    found = await collect("events", FakeReach(cluster), last=2)
    assert (found["total"], found["warnings"], found["reasons"]) == (3, 1, {"BackOff": 3})
    assert [item["age_seconds"] for item in found["items"]] == [10.0, 1.0]
    assert found["items"][1]["count"] == 9
    everything = await collect("events", FakeReach(cluster), scope="namespace")
    assert everything["total"] == 4
    assert "hunter2" not in json.dumps(everything)


async def test_logs_are_those_of_the_sickest_pods_without_credentials() -> None:
    cluster = FakeCluster(
        deployment("web", "web:1", 3), pod("a", ready=True), pod("b", restartCount=5), pod("c", restartCount=9)
    )
    cluster.texts = {"b": "one\ntwo\nAuthorization: Bearer abcdefgh12345\n", "a": "fine\n"}
    found = await collect("logs", FakeReach(cluster), pods=2, lines=2, previous=True)
    assert [(item["pod"], bool(item["error"])) for item in found["items"]] == [("c", True), ("b", False)]
    assert "two" in found["text"]
    assert "abcdefgh" not in found["text"]


async def test_logs_that_may_not_be_read_are_missing_not_empty() -> None:
    cluster = FakeCluster(deployment("web", "web:1", 1), pod("a"))
    cluster.errors["logs", "Pod"] = KubeForbidden("no")
    with pytest.raises(KubeForbidden):
        await collect("logs", FakeReach(cluster))


@pytest.mark.parametrize(
    "secret",
    [
        "password=hunter2secret",
        'password: "hunter2secret"',
        '{"api_key":"hunter2secret"}',
        "DB_PASSWORD='hunter2secret'",
        "Authorization: Bearer hunter2secret",
        "authorization: Basic hunter2secret",
        "postgres://app:hunter2secret@db/x",
        "eyJhbGciOiJIUzI1NiJ9.hunter2secret.c2ln",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2secret\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nhunter2secret",
        "client_secret => hunter2secret",
        "token=hunter2secret&x=1",
        "ghp_hunter2secret0123456789abcd",
        r'msg="{\"password\": \"hunter2secret\"}"',
        r'{"body":"{\\\"token\\\":\\\"hunter2secret\\\"}"}',
        "connect --db-password hunter2secret --verbose",
        '"tokens": ["hunter2secret", "hunter2secret"]',
        "Set-Cookie: session=hunter2secret; Path=/",
    ],
)
def test_what_looks_like_a_credential_is_taken_out(secret: str) -> None:
    cleaned = redact(f"before {secret} after", longest=1000)
    assert "hunter2" not in cleaned
    assert cleaned.startswith("before ")


def test_the_rest_of_a_key_whose_beginning_was_not_read_is_taken_out() -> None:
    cleaned = redact("hunter2\nhunter2\n-----END EC PRIVATE KEY-----\nlistening", longest=1000)
    assert cleaned == "[redacted]\nlistening"


def test_ordinary_lines_stay_as_they_are() -> None:
    line = 'level=error msg="reading configuration" error="unknown field cache.ttlSeconds" status=500'
    assert redact(line, longest=1000) == line
    flags = "gateway --token-file /run/token --password-policy --port 80"
    assert redact(flags, longest=1000).endswith("--password-policy --port 80")


@given(st.text(max_size=3000), st.integers(10, 200))
def test_redacted_text_is_bounded_and_steers_no_terminal(text: str, longest: int) -> None:
    """Fault 44."""
    cleaned = redact(text, longest=longest)
    assert len(cleaned) <= longest
    assert not any(ord(c) < 32 and c not in "\n\t" for c in cleaned)


async def test_a_query_without_samples_is_missing_not_zero() -> None:
    reach = FakeReach(FakeCluster())
    with pytest.raises(PermanentError, match="no samples"):
        await collect("promql", reach, query="x")
    reach.samples = [({}, float("nan"))]
    with pytest.raises(PermanentError):
        await collect("promql", reach, query="x")
    reach.samples = [({"a": "1"}, 0.25), ({"a": "2"}, 0.5)]
    found = await collect("promql", reach, query="x", by="a")
    assert (found["value"], found["samples"], found["by_label"]) == (0.5, 2, {"1": 0.25, "2": 0.5})
    assert found["series"][0] == {"labels": {"a": "2"}, "value": 0.5}
    assert (await collect("promql", reach, query="x", reduce="sum"))["value"] == 0.75


async def test_a_refused_connection_is_an_answer_and_a_hung_one_is_none() -> None:
    """Fault 23."""
    reach = FakeReach(FakeCluster())
    assert (await collect("http", reach, url="http://a/"))["ok"] is True
    reach.answer = 503
    assert (await collect("http", reach, url="http://a/"))["ok"] is False
    reach.answer = Unreachable("refused")
    found = await collect("http", reach, url="http://a/")
    assert (found["status"], found["ok"], found["error"]) == (0, False, "refused")
    reach.answer = TemporaryError("no answer within 10 s")
    with pytest.raises(TemporaryError):
        await collect("http", reach, url="http://a/")


async def test_a_service_is_asked_through_the_api_server() -> None:
    cluster = FakeCluster()
    cluster.status = 503
    found = await collect("service", FakeReach(cluster))
    assert (found["status"], found["ok"]) == (503, False)


async def test_an_autoscaler_is_found_by_its_target() -> None:
    hpa = {
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "auto"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 5, "minReplicas": 2},
        "status": {"currentReplicas": 5, "desiredReplicas": 9},
    }
    found = await collect("hpa", FakeReach(FakeCluster(hpa)))
    assert (found["found"], found["name"], found["max"], found["at_max"]) == (True, "auto", 5, True)
    none = await collect("hpa", FakeReach(FakeCluster()))
    assert (none["found"], none["at_max"], none["max"]) == (False, False, 0)
    assert none.keys() == found.keys()
    facts = await collect("deployment", FakeReach(FakeCluster(deployment("web", "web:1", 2), hpa)))
    assert (facts["autoscaled"], facts["autoscaler"], facts["replicas"]) == (True, "auto", 2)


async def test_a_rollout_of_another_kind_has_every_field_as_well() -> None:
    for kind in ("Deployment", "StatefulSet", "DaemonSet"):
        document = {**deployment("web", "web:1", 1), "kind": kind}
        found = await collect("rollout", FakeReach(FakeCluster(document)), kind)
        assert found["last_healthy"]["revision"] == 0
        assert found["never_ready"] is None
        assert found["history"] == []


def pem(days: float) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "web.test")])
    end = datetime.fromtimestamp(NOW, UTC) + timedelta(days=days)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(255)
        .not_valid_before(end - timedelta(days=90))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("web.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM)


def tls(status_days: float = 5) -> dict[str, Any]:
    return {
        "kind": "Certificate",
        "metadata": {"name": "tls"},
        "spec": {"secretName": "tls"},
        "status": {
            "revision": 2,
            "notAfter": format_time(NOW + status_days * 86400),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def secret(content: bytes) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": "tls"}, "data": {"tls.crt": base64.b64encode(content).decode()}}


async def test_the_days_left_are_the_certificates_own_where_secrets_may_be_read() -> None:
    cluster = FakeCluster(tls(5), secret(pem(80) + pem(1000)))
    reach = FakeReach(cluster)
    own = await collect("certificate", reach, "Certificate", "tls", from_secret=True)
    assert (own["source"], own["days_left"], own["serial"], own["dns_names"]) == ("secret", 80.0, "ff", ["web.test"])
    cluster.secret_namespaces = frozenset()
    told = await collect("certificate", reach, "Certificate", "tls")
    assert (told["source"], told["days_left"], told["ready"], told["issuing"]) == ("status", 5.0, True, False)
    assert told.keys() == own.keys()


async def test_a_secret_is_not_read_without_leave() -> None:
    cluster = FakeCluster(tls(), secret(pem(80)))
    cluster.secret_namespaces = frozenset({"elsewhere"})
    await collect("certificate", FakeReach(cluster), "Certificate", "tls")
    with pytest.raises(PermanentError, match="secret_namespaces"):
        await collect("certificate", FakeReach(cluster), "Certificate", "tls", from_secret=True)
    assert ("get", "Secret") not in cluster.calls


@pytest.mark.parametrize(
    "content", [b"", b"hunter2", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
async def test_a_broken_certificate_is_missing_evidence_and_quotes_nothing(content: bytes) -> None:
    reach = FakeReach(FakeCluster(tls(), secret(content)))
    with pytest.raises(PermanentError) as caught:
        await collect("certificate", reach, "Certificate", "tls")
    assert "hunter2" not in str(caught.value)


async def test_a_target_that_is_no_name_reaches_no_cluster() -> None:
    """Fault 41."""
    cluster = FakeCluster()
    for name in ("pods", "events", "logs", "rollout", "deployment", "hpa"):
        with pytest.raises(InvalidInput):
            await collect(name, FakeReach(cluster), target="..")
    assert cluster.calls == []
