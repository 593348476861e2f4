"""Whether people have silenced an alert, asked of Debian's real Alertmanager."""

from __future__ import annotations

import time

import pytest

from bridge.engine.silenced import Silenced
from bridge.errors import TemporaryError
from bridge.outside.alertmanager import CREATED_BY
from bridge.outside.options import OutsideSettings
from bridge.outside.reach import Outside
from tests.support.alertmanager import Alertmanager, start_alertmanager
from tests.support.processes import Processes, free_port, until

LABELS = {"alertname": "WebDown", "namespace": "shop", "said": 'a "quoted" \\ value'}


@pytest.fixture
async def manager(processes: Processes) -> Alertmanager:
    return await start_alertmanager(processes, f"http://127.0.0.1:{free_port()}/webhook")


async def covering(manager: Alertmanager, labels: dict[str, str], *, expect: int) -> list[str]:
    """Return the comments of the silences that cover the alert, once there are so many."""
    outside = Outside(OutsideSettings(alertmanager=manager.url))
    found: list[str] = []

    async def as_many() -> bool:
        nonlocal found
        found = [each.comment for each in await Silenced(outside.alertmanager, ours=CREATED_BY).covering(labels)]
        return len(found) == expect

    try:
        await until(as_many, seconds=15, what=f"{expect} silences")
        return found
    finally:
        await outside.close()


async def test_silence_of_a_person_covers_the_alert_until_it_is_lifted(manager: Alertmanager) -> None:
    await manager.fire(LABELS)
    assert await covering(manager, LABELS, expect=0) == []
    silence = await manager.silence({"namespace": "shop"}, comment="moving the shop")
    assert await covering(manager, LABELS, expect=1) == ["moving the shop"]
    other = {**LABELS, "namespace": "bank"}
    await manager.fire(other)
    assert await covering(manager, other, expect=0) == []
    await manager.unsilence(silence)
    assert await covering(manager, LABELS, expect=0) == []


async def test_our_own_silence_is_none(manager: Alertmanager) -> None:
    await manager.fire(LABELS)
    outside = Outside(OutsideSettings(alertmanager=manager.url))
    try:
        await outside.alertmanager.silence(LABELS, now=time.time(), until=time.time() + 600, comment="held")
        await manager.silence(LABELS, comment="ann is at it")
    finally:
        await outside.close()
    assert await covering(manager, LABELS, expect=1) == ["ann is at it"]


async def test_alert_that_alertmanager_does_not_know_is_not_silenced(manager: Alertmanager) -> None:
    await manager.silence({"namespace": "shop"})
    assert await covering(manager, LABELS, expect=0) == []


async def test_an_alertmanager_that_is_away_is_said_to_be(manager: Alertmanager) -> None:
    outside = Outside(OutsideSettings(alertmanager=f"http://127.0.0.1:{free_port()}"))
    try:
        with pytest.raises(TemporaryError):
            await Silenced(outside.alertmanager, ours=CREATED_BY).covering(LABELS)
    finally:
        await outside.close()
