"""New pairs for TLS Secrets: what is made, what is refused with the mend, and where keys never are."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from bridge.actions.tls_rotate import TlsParams, TlsRotate
from bridge.actions.tls_secrets import Pair, TlsSecrets
from bridge.engine.context import RunContext
from bridge.errors import InvalidInput, PermanentError, PlanError, PlanStale
from bridge.model.certificates import BadPair, KeyType, Wanted, is_pair, read_leaf, self_signed, serial_of
from bridge.model.plan import Change, Plan
from bridge.model.target import Target
from bridge.model.verification import Answer
from bridge.outside.options import OutsideSettings, TlsPair
from bridge.outside.reach import Outside, Reach
from tests.support.clock import START, FakeClock
from tests.support.fake_cluster import FakeCluster

DAY = 86400.0


def made(days: float = 3, *names: str, serial: int = 7, **more: Any) -> tuple[bytes, bytes]:
    dns = names or ("web.test",)
    return self_signed(Wanted(dns_names=dns, seconds=(days + 30) * DAY, serial=serial, at=START - 30 * DAY, **more))


def secret(pair: tuple[bytes, bytes], name: str = "web-tls", **more: Any) -> dict[str, Any]:
    data = {"tls.crt": base64.b64encode(pair[0]).decode(), "tls.key": base64.b64encode(pair[1]).decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name},
        "data": data,
        **more,
    }


class Case:
    """A rotation at a cluster in a dictionary."""

    def __init__(self, *documents: dict[str, Any], files: TlsPair | None = None) -> None:
        self.cluster = FakeCluster(*documents)
        outside = Outside(OutsideSettings(tls_pairs={"ready": files} if files else {}))
        reach = Reach(self.cluster, FakeClock(), outside)
        target = Target("test", "Secret", "shop", "web-tls")
        self.context = RunContext(remediation="0192abcd", planned_at=START, target=target, reach=reach)
        self.action = TlsRotate()

    async def plan(self, **params: Any) -> Plan:
        return await self.action.plan(self.context, TlsParams(**params))

    async def make(self, *changes: Change) -> list[dict[str, Any]]:
        return [await self.action.perform(self.context, change) for change in changes]

    def data(self, name: str = "web-tls") -> dict[str, bytes]:
        found = self.cluster.objects["Secret", "shop", name]["data"]
        return {key: base64.b64decode(value) for key, value in found.items()}


async def test_a_new_pair_has_the_names_of_the_old_one_and_fits_together() -> None:
    case = Case(secret(made(3, "web.test", "*.web.test")))
    plan = await case.plan()
    told = (await case.make(*plan.changes))[-1]
    data = case.data()
    leaf = read_leaf(data["tls.crt"])
    assert leaf.dns_names == ("web.test", "*.web.test")
    assert is_pair(data["tls.crt"], data["tls.key"])
    assert leaf.not_after == START + 90 * DAY
    assert leaf.serial == f"{serial_of('0192abcd', 'shop', 'web-tls'):x}" == told["serial"]
    answer = await case.action.verify(case.context, plan, TlsParams())
    assert answer.answer is Answer.FIXED, answer


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048", "ed25519"])
def test_every_kind_of_key_makes_a_pair(key_type: KeyType) -> None:
    certificate, key = made(10, key_type=key_type)
    assert is_pair(certificate, key)
    assert not is_pair(certificate, made(10, key_type=key_type)[1])
    leaf = read_leaf(certificate)
    assert (leaf.serial, leaf.dns_names) == ("7", ("web.test",))


async def test_no_key_is_in_plan_or_result() -> None:
    case = Case(secret(made()))
    plan = await case.plan()
    results = await case.make(*plan.changes)
    shown = msgspec.json.encode([plan, results]).decode() + repr(results) + repr(Pair(b"certificate", b"key"))
    for name in ("web-tls", "web-tls-alertbridge-0192abcd"):
        key = case.data(name)["tls.key"]
        assert key not in shown.encode()
        assert base64.b64encode(key).decode() not in shown
    assert "PRIVATE KEY" not in shown


async def test_the_undo_puts_the_old_pair_back_and_takes_the_copy_away() -> None:
    old = made()
    case = Case(secret(old))
    plan = await case.plan()
    await case.make(*plan.changes)
    copy = case.cluster.objects["Secret", "shop", "web-tls-alertbridge-0192abcd"]
    assert copy["type"] == "Opaque"
    assert copy["metadata"]["ownerReferences"][0]["name"] == "web-tls"
    await case.make(*plan.inverses)
    assert case.data() == {"tls.crt": old[0], "tls.key": old[1]}
    assert ("Secret", "shop", "web-tls-alertbridge-0192abcd") not in case.cluster.objects


async def test_the_undo_leaves_alone_what_somebody_put_in_since() -> None:
    case = Case(secret(made()))
    plan = await case.plan()
    await case.make(*plan.changes)
    theirs = secret(made(60, serial=99))["data"]
    case.cluster.objects["Secret", "shop", "web-tls"]["data"] = theirs
    for change in plan.inverses:
        with pytest.raises(PlanStale, match="web-tls"):
            await case.make(change)
    assert case.cluster.objects["Secret", "shop", "web-tls"]["data"] == theirs
    assert case.data("web-tls-alertbridge-0192abcd")


async def test_without_its_copy_nothing_is_replaced() -> None:
    case = Case(secret(made()))
    plan = await case.plan()
    with pytest.raises(PlanStale, match="copy"):
        await case.make(plan.changes[-1])


async def test_a_lost_reply_is_told_by_the_serial_number() -> None:
    case = Case(secret(made()))
    plan = await case.plan()
    keep, rotate = plan.changes
    assert [await TlsSecrets(case.context, change).done() for change in plan.changes] == [False, False]
    await case.make(keep)
    assert [await TlsSecrets(case.context, change).done() for change in (keep, rotate)] == [True, False]
    await case.make(rotate)
    assert [await TlsSecrets(case.context, change).done() for change in (keep, rotate)] == [True, True]
    undo = plan.inverses
    assert [await TlsSecrets(case.context, change).done() for change in undo] == [False, False]
    await case.make(*undo)
    assert await TlsSecrets(case.context, undo[1]).done()


async def test_the_copy_of_an_earlier_rotation_goes_with_the_next() -> None:
    case = Case(secret(made()))
    await case.make(*(await case.plan()).changes)
    case.context = msgspec.structs.replace(case.context, remediation="0193ffff")
    plan = await case.plan(unless_days_left=365)
    assert [change.ref.name for change in plan.changes] == ["web-tls-alertbridge-0192abcd", "web-tls", "web-tls"]


async def test_planned_again_after_it_was_made_there_is_nothing_to_do() -> None:
    case = Case(secret(made()))
    await case.make(*(await case.plan()).changes)
    again = await case.plan(unless_days_left=365)
    assert again.empty
    assert "has its new certificate already" in again.summary


async def test_a_pair_that_will_do_is_left_alone_and_one_that_does_not_fit_is_not() -> None:
    good, other = made(60), made(60)
    assert (await Case(secret(good)).plan()).empty
    assert not (await Case(secret((good[0], other[1]))).plan()).empty
    assert not (await Case(secret((b"none", b"none"))).plan(dns_names=["web.test"])).empty


async def test_a_given_pair_is_checked_before_it_is_taken() -> None:
    ready = made(90, serial=8)
    case = Case(secret(made()), secret(ready, "ready"))
    plan = await case.plan(from_secret="ready")
    await case.make(*plan.changes)
    assert case.data() == {"tls.crt": ready[0], "tls.key": ready[1]}
    assert (await case.action.verify(case.context, plan, TlsParams(from_secret="ready"))).answer is Answer.FIXED
    for wrong, error in (
        (secret(made(5), "ready"), "30 days are asked for"),
        (secret((made(90)[0], made(90)[1]), "ready"), "not that of the certificate"),
        (secret(made(90, "other.test"), "ready"), "web.test as well"),
        (secret((b"", b""), "ready"), "no tls.crt"),
    ):
        with pytest.raises(PlanError, match=error):
            await Case(secret(made()), wrong).plan(from_secret="ready")
    with pytest.raises(PlanError, match="does not exist"):
        await Case(secret(made())).plan(from_secret="ready")


async def test_a_given_pair_that_changed_since_planning_is_not_taken() -> None:
    case = Case(secret(made()), secret(made(90, serial=8), "ready"))
    plan = await case.plan(from_secret="ready")
    await case.make(plan.changes[0])
    case.cluster.put(secret(made(90, serial=9), "ready"))
    with pytest.raises(PlanStale, match="another certificate than when planned"):
        await case.make(plan.changes[1])


async def test_a_pair_comes_from_files_that_the_settings_name(tmp_path: Path) -> None:
    certificate, key = made(90, serial=8)
    (tmp_path / "tls.crt").write_bytes(certificate)
    (tmp_path / "tls.key").write_bytes(key)
    files = TlsPair(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"))
    case = Case(secret(made()), files=files)
    plan = await case.plan(from_files="ready")
    await case.make(*plan.changes)
    assert case.data()["tls.key"] == key
    with pytest.raises(InvalidInput, match="`tls_pairs`"):
        await case.plan(from_files="other", unless_days_left=365)
    (tmp_path / "tls.key").unlink()
    with pytest.raises(PermanentError, match=r"tls.key cannot be read"):
        await Case(secret(made()), files=files).plan(from_files="ready")


async def test_a_secret_that_is_not_there_is_made_when_told_and_taken_away_by_the_undo() -> None:
    case = Case()
    with pytest.raises(PlanError, match="create: true"):
        await case.plan(dns_names=["web.test"])
    with pytest.raises(PlanError, match="set `dns_names`"):
        await case.plan(create=True)
    plan = await case.plan(create=True, dns_names=["web.test"], ip_addresses=["10.0.0.1"])
    await case.make(*plan.changes)
    assert read_leaf(case.data()["tls.crt"]).ip_addresses == ("10.0.0.1",)
    assert set(case.data()) == {"tls.crt", "tls.key", "ca.crt"}
    await case.make(*plan.inverses)
    assert not case.cluster.objects


@pytest.mark.parametrize(
    ("more", "params", "error"),
    [
        ({"immutable": True}, {}, "make another Secret"),
        ({"type": "kubernetes.io/dockerconfigjson"}, {}, "only kubernetes.io/tls and Opaque"),
        (
            {"metadata": {"name": "web-tls", "annotations": {"cert-manager.io/certificate-name": "web"}}},
            {},
            "use `certificate_renew`",
        ),
        ({"metadata": {"name": "web-tls", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, {}, "is being deleted"),
        ({}, {"dns_names": ["other.test"]}, "other_names: true"),
    ],
)
async def test_what_is_not_to_be_replaced_is_an_error_with_the_mend(
    more: dict[str, Any], params: dict[str, Any], error: str
) -> None:
    with pytest.raises(PlanError, match=error):
        await Case({**secret(made()), **more}).plan(**params)


async def test_what_cert_manager_cannot_issue_any_more_is_replaced_when_told() -> None:
    meta = {"name": "web-tls", "annotations": {"cert-manager.io/certificate-name": "web"}}
    assert not (await Case(secret(made(), metadata=meta)).plan(although_managed=True)).empty


async def test_a_wildcard_covers_the_names_of_one_label() -> None:
    case = Case(secret(made(3, "a.web.test")))
    assert not (await case.plan(dns_names=["*.web.test"])).empty
    with pytest.raises(PlanError, match=r"a\.b\.web\.test"):
        await Case(secret(made(3, "a.b.web.test"))).plan(dns_names=["*.web.test"])


@pytest.mark.parametrize(
    "params",
    [
        {"from_secret": "a", "from_files": "b"},
        {"from_secret": "a", "dns_names": ["x.test"]},
        {"from_namespace": "far"},
        {"duration": "10d", "days": 30},
        {"duration": "1m"},
        {"dns_names": ["not a name"]},
        {"dns_names": ["a.*.test"]},
        {"ip_addresses": ["300.1.1.1"]},
        {"key_type": "dsa"},
    ],
)
def test_wrong_parameters_are_errors(params: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TlsParams(**params)


async def test_which_secret_is_meant_has_to_be_known() -> None:
    case = Case()
    target = Target("test", "Deployment", "shop", "web")
    with pytest.raises(InvalidInput, match="set `name`"):
        await case.action.plan(msgspec.structs.replace(case.context, target=target), TlsParams())


@pytest.mark.parametrize("pem", [b"", b"no", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused_without_quoting_it(pem: bytes) -> None:
    with pytest.raises(BadPair, match="no readable certificate") as caught:
        read_leaf(pem)
    assert "AAAA" not in str(caught.value)
