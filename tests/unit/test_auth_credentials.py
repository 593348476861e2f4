"""Who calls is known by secret, signature or certificate; everything else is nobody."""

from __future__ import annotations

import base64
import hmac
import timeit
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from bridge.errors import ConfigurationError
from bridge.ingest.auth import Authenticator, subjects
from bridge.ingest.credentials import Credential
from bridge.model.principal import EVERYBODY, Principal, Role
from tests.support.receiver import MovedClock

CREDENTIALS = [
    Credential(name="am", type="bearer", secrets=("new-token", "old-token")),
    Credential(name="alice", type="basic", secrets=("pass:word",), roles=frozenset({Role.OPERATOR})),
    Credential(name="carol", type="basic", username="c", secrets=("päß",)),
    Credential(name="mesh", type="certificate", subjects=frozenset({"am.example", "spiffe://x/am"})),
]


def identify(*values: str, credentials: list[Credential] | None = None) -> Principal | None:
    authenticator = Authenticator(CREDENTIALS if credentials is None else credentials, clock=MovedClock())
    headers = CIMultiDict([("Authorization", value) for value in values])
    return authenticator.identify(make_mocked_request("POST", "/webhook", headers=headers))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Bearer new-token", "am"),
        ("Bearer old-token", "am"),
        ("bearer new-token", "am"),
        ("Token new-token", "am"),
        (basic("alice:pass:word"), "alice"),
        (basic("c:päß"), "carol"),
    ],
)
def test_every_secret_of_a_credential_is_right_so_that_one_can_be_rotated(value: str, name: str) -> None:
    principal = identify(value)
    assert principal is not None
    assert principal.name == name


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer new-toke",),
        ("Bearer new-token2",),
        ("new-token",),
        ("Basic new-token",),
        ("Bearer pass:word",),
        ("Basic ====",),
        (basic("alice"),),
        (basic("alice:"),),
        (basic("carol:päß"),),
        (basic(":pass:word"),),
        ("Bearer new-token", "Bearer new-token"),
    ],
)
def test_what_is_not_quite_right_is_nobody(values: tuple[str, ...]) -> None:
    assert identify(*values) is None


def test_without_any_credential_everybody_may_everything() -> None:
    assert identify(credentials=[]) is EVERYBODY
    assert identify("Bearer whatever", credentials=[]) is EVERYBODY


@pytest.mark.parametrize(
    "credential",
    [
        Credential(name="a", type="bearer"),
        Credential(name="a", type="bearer", secrets=("",)),
        Credential(name="a", type="hmac", secrets=("x", "")),
        Credential(name="a", type="certificate"),
        Credential(name="a", type="certificate", subjects=frozenset({""})),
        Credential(name="a", type="basic", username="a:b", secrets=("x",)),
    ],
)
def test_a_credential_that_anybody_or_nobody_could_present_is_refused(credential: Credential) -> None:
    with pytest.raises(ConfigurationError, match="'a'"):
        Authenticator([credential], clock=MovedClock())


@given(st.text(alphabet=st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=50))
def test_no_authorization_header_breaks_it(value: str) -> None:
    assert identify(value) is None


def test_every_secret_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 47: digests of equal length, all of them, whichever is right."""
    compared: list[tuple[int, int]] = []
    really = hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return really(left, right)

    monkeypatch.setattr("bridge.ingest.auth.hmac.compare_digest", compare)
    for value in ("Bearer new-token", "Bearer old-token", "Bearer x", "Bearer " + "n" * 1000):
        compared.clear()
        identify(value)
        assert compared == [(32, 32), (32, 32)]


def test_a_nearly_right_token_takes_as_long_as_a_wrong_one() -> None:
    """Fault 47, measured: far from a comparison that ends with the first wrong letter of a long secret."""
    secret = "s" * 20_000
    authenticator = Authenticator([Credential(name="a", type="bearer", secrets=(secret,))], clock=MovedClock())

    def seconds(token: str) -> float:
        request: Any = make_mocked_request("POST", "/", headers={"Authorization": f"Bearer {token}"})
        return min(timeit.repeat(lambda: authenticator.identify(request), number=50, repeat=15))

    near, far = seconds(secret[:-1] + "x"), seconds("x" + secret[1:])
    assert 0.8 < near / far < 1.25


def test_the_names_of_a_certificate_are_its_alternative_names_and_its_common_name() -> None:
    certificate = {
        "subject": ((("organizationName", "x"),), (("commonName", "am.example"),)),
        "subjectAltName": (("DNS", "a.example"), ("URI", "spiffe://x/am"), ("IP Address", "10.0.0.1")),
    }
    assert subjects(certificate) == ["a.example", "spiffe://x/am", "am.example"]
