"""Whoever guesses is slowed down, by address; senders at the same address are not, and nobody is for long."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st

from bridge.api.server import add_api
from bridge.app import CurrentCredentials
from bridge.ingest.guesses import AT_ONCE, EVERY, SLOTS, Guesses
from tests.support.api_fakes import Memory, parts
from tests.support.receiver import BEARER, MovedClock, Served, served
from tests.support.webhooks import alert, body

pytestmark = pytest.mark.usefixtures("quiet_log")
WRONG = {"Authorization": "Bearer wrong"}
PAGE = "/r/r1"


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()}


RIGHT = basic("p:ss")


@pytest.fixture
async def door() -> AsyncIterator[Served]:
    async with served() as one:
        one.receiver.guesses = Guesses(one.clock.monotonic)
        yield one


@pytest.fixture
async def house(door: Served) -> AsyncIterator[TestClient[Any, Any]]:
    """The API and the page behind the same door."""
    app = web.Application()
    add_api(app, parts(Memory(), authenticator=CurrentCredentials(door.receiver)))
    async with TestClient(TestServer(app)) as client:
        yield client


async def test_a_sender_is_taken_beside_somebody_who_guesses(door: Served) -> None:
    """Alertmanager drops what is answered 429."""
    answers = [await door.post(b"{}", headers=WRONG) for _ in range(AT_ONCE + 2)]
    assert [each.status for each in answers] == [401] * AT_ONCE + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= EVERY
    assert (await door.post(body(alert()), headers=BEARER)).status == 200
    assert door.counters.wrong_credentials == {"401": AT_ONCE, "429": 2}


async def test_a_persons_password_cannot_be_tried_at_the_senders_door(door: Served) -> None:
    for _ in range(AT_ONCE):
        await door.post(b"{}", headers=basic("guess"))
    assert (await door.post(body(alert()), headers=RIGHT)).status == 429
    door.clock.at += EVERY
    assert (await door.post(body(alert()), headers=RIGHT)).status == 403, "it is known, and is no sender"


@pytest.mark.parametrize("path", ["/api/v1/remediations", PAGE])
async def test_guesses_at_the_api_and_the_page_are_slowed_down(
    house: TestClient[Any, Any], door: Served, path: str
) -> None:
    found = [(await house.get(path, headers=basic(str(guess)))).status for guess in range(AT_ONCE)]
    assert found == [401] * AT_ONCE
    refused = await house.get(path, headers=RIGHT)
    assert refused.status == 429, "else the right one would show"
    assert int(refused.headers["Retry-After"]) <= EVERY
    for _ in range(50):
        assert (await house.get(path, headers=WRONG)).status == 429
    door.clock.at += EVERY
    assert (await house.get(path, headers=RIGHT)).status == 200, "tries meanwhile prolong nothing"
    assert (await house.get("/-/healthy", headers=WRONG)).status == 200


async def test_a_token_typed_into_the_page_counts_as_well(house: TestClient[Any, Any]) -> None:
    origin = {"Origin": str(house.make_url("/")).rstrip("/")}
    form = {"do": "look", "token": "guess"}
    found = [(await house.post(PAGE, data=form, headers=origin)).status for _ in range(AT_ONCE + 1)]
    assert found == [401] * AT_ONCE + [429]


async def test_who_shows_no_credential_has_guessed_nothing(house: TestClient[Any, Any], door: Served) -> None:
    for _ in range(AT_ONCE + 1):
        assert (await house.get(PAGE)).status == 401
        assert (await door.post(b"{}", headers={})).status == 401
    assert (await house.get(PAGE, headers=RIGHT)).status == 200


def test_another_address_is_another_matter() -> None:
    guesses = Guesses(MovedClock(0.0).monotonic)
    while not guesses.wait("192.0.2.1"):
        guesses.wrong("192.0.2.1")
    # In a slot of 4096 somebody else may be by chance.
    assert sum(guesses.wait(f"198.51.100.{last}") > 0 for last in range(256)) < 8
    guesses = Guesses(MovedClock(0.0).monotonic)
    for last in range(AT_ONCE):
        guesses.wrong(f"2001:db8::{last}")
    assert guesses.wait("2001:db8::ffff"), "one network of IPv6 is one peer"


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), max_size=200))
def test_nobody_waits_longer_than_for_one_try_and_more_than_the_bound_never_get_through(
    steps: list[tuple[float, bool]],
) -> None:
    clock, looked_at = MovedClock(0.0), 0
    guesses = Guesses(clock.monotonic)
    for passed, guess in steps:
        clock.at += passed
        wait = guesses.wait("192.0.2.1")
        assert wait <= EVERY + 1e-6
        if guess and not wait:
            guesses.wrong("192.0.2.1")
            looked_at += 1
    assert looked_at <= AT_ONCE + clock.at / EVERY + 1


def test_however_many_addresses_there_are_they_take_no_more_memory() -> None:
    guesses = Guesses()
    for number in range(20_000):
        guesses.wrong(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guesses._even_at) == SLOTS
