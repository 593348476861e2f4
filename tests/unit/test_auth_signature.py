"""Grafana's signatures: over the raw bytes, within the window, once."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.ingest.credentials import SIGNATURE_HEADER, Credential
from bridge.ingest.signature import SignatureChecker
from tests.support.intake import MemoryReplays
from tests.support.receiver import MovedClock
from tests.support.webhooks import PAYLOADS, recorded

STAMP = "X-Stamp"
PLAIN = Credential(name="plain", type="hmac", secrets=("old", "s3cret"))
STAMPED = Credential(name="stamped", type="hmac", secrets=("k",), timestamp_header=STAMP)
NOW = 1_795_200_000


def sign(secret: str, data: bytes) -> str:
    return hmac.new(secret.encode(), data, hashlib.sha256).hexdigest()


class Checked:
    def __init__(self) -> None:
        self.clock = MovedClock(NOW)
        self.replays = MemoryReplays()
        self.checker = SignatureChecker([PLAIN, STAMPED], self.clock, self.replays)

    async def check(self, body: bytes, *headers: tuple[str, str]) -> str | None:
        signed = await self.checker.check(CIMultiDictProxy(CIMultiDict(headers)), body)
        return signed and signed.principal.name


async def test_the_recorded_signature_of_the_raw_body_is_right() -> None:
    headers, data = recorded("grafana_firing_hmac")
    note = json.loads((PAYLOADS / "grafana_firing_hmac.json").read_text())["_hmac"]
    assert note["header"] == SIGNATURE_HEADER
    assert await Checked().check(data, (SIGNATURE_HEADER, headers[SIGNATURE_HEADER])) == "plain"
    assert await Checked().check(data + b" ", (SIGNATURE_HEADER, headers[SIGNATURE_HEADER])) is None


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ((SIGNATURE_HEADER, ""),),
        ((SIGNATURE_HEADER, sign("s3cret", b"{}")[:-1]),),
        ((SIGNATURE_HEADER, sign("s3cret", b"{}")[:32]),),
        ((SIGNATURE_HEADER, sign("s3cret", b"{}").upper()),),
        ((SIGNATURE_HEADER, "sha256=" + sign("s3cret", b"{}")),),
        ((SIGNATURE_HEADER, sign("s3cret", b"{}")), (SIGNATURE_HEADER, sign("s3cret", b"{}"))),
        ((SIGNATURE_HEADER, sign("s3cret", b"{}")), (SIGNATURE_HEADER, "0" * 64)),
        ((SIGNATURE_HEADER, sign("other", b"{}")),),
        ((SIGNATURE_HEADER, "\udcff" * 64),),
        ((SIGNATURE_HEADER, sign("k", b"{}")),),
        ((SIGNATURE_HEADER, sign("k", f"{NOW}:".encode() + b"{}")),),
        ((SIGNATURE_HEADER, sign("k", f"{NOW}.5:".encode() + b"{}")), (STAMP, f"{NOW}.5")),
        ((SIGNATURE_HEADER, sign("k", b"-5:{}")), (STAMP, "-5")),
        ((SIGNATURE_HEADER, sign("k", b"9" * 5000 + b":{}")), (STAMP, "9" * 5000)),
        ((SIGNATURE_HEADER, sign("k", f"{NOW}:".encode() + b"{}")), (STAMP, str(NOW)), (STAMP, str(NOW))),
    ],
    ids=range(16),
)
async def test_what_is_not_quite_right_is_nobody(headers: tuple[tuple[str, str], ...]) -> None:
    """Fault 48: truncated, two headers."""
    assert await Checked().check(b"{}", *headers) is None


async def test_a_timestamp_is_right_for_300_seconds_either_way() -> None:
    """Fault 48: 301 s old."""
    for off, expected in ((0, "stamped"), (300, "stamped"), (-300, "stamped"), (301, None), (-301, None)):
        stamp = str(NOW - off)
        signature = sign("k", f"{stamp}:".encode() + b"{}")
        assert await Checked().check(b"{}", (SIGNATURE_HEADER, signature), (STAMP, stamp)) == expected


async def test_a_signature_with_a_timestamp_is_right_once() -> None:
    """Fault 48: replayed."""
    one = Checked()
    headers = ((SIGNATURE_HEADER, sign("k", f"{NOW + 100}:".encode() + b"{}")), (STAMP, str(NOW + 100)))
    assert await one.check(b"{}", *headers) == "stamped"
    assert await one.check(b"{}", *headers) is None
    # It is remembered until its timestamp has left the window, and not a second less.
    (seconds,) = one.replays.known.values()
    assert seconds >= 400


async def test_a_signature_that_is_forgotten_is_right_again() -> None:
    one = Checked()
    headers = CIMultiDictProxy(
        CIMultiDict([(SIGNATURE_HEADER, sign("k", f"{NOW}:".encode() + b"{}")), (STAMP, str(NOW))])
    )
    signed = await one.checker.check(headers, b"{}")
    assert signed is not None
    await one.checker.forget(signed)
    assert await one.checker.check(headers, b"{}") is not None


async def test_without_a_timestamp_a_resend_of_the_same_bytes_is_no_replay() -> None:
    one = Checked()
    header = (SIGNATURE_HEADER, sign("s3cret", b"{}"))
    assert await one.check(b"{}", header) == "plain"
    assert await one.check(b"{}", header) == "plain"
