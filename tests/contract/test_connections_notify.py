"""Messages on channels, sent by the real library to a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from bridge.errors import Hung, InvalidInput, PermanentError, TemporaryError
from bridge.model.outside import Message
from bridge.outside.options import Channel, OutsideSettings
from bridge.outside.reach import Outside
from tests.support.scripted_kube import ScriptedKube, hang, ok, scripted_kube, text

MESSAGE = Message(title="netweave is repaired", text="3 of 3 pods\n<b>{{7*7}}</b> ${labels.x}", level="success")


@pytest.fixture
async def server() -> AsyncIterator[ScriptedKube]:
    async with scripted_kube() as scripted:
        yield scripted


def outside_of(url: str, **more: float) -> Outside:
    return Outside(OutsideSettings(channels={"on-call": Channel(url=url, **more)}))


async def test_a_message_arrives_as_it_was_written(server: ScriptedKube) -> None:
    """Fault 40: nothing in it is evaluated or read as markup."""
    server.script(ok({}))
    outside = outside_of(server.url.replace("http://", "json://") + "/hook/s3cret-token")
    await outside.notify("on-call", MESSAGE)
    await outside.close()
    assert server.seen == [("POST", "/hook/s3cret-token")]
    sent = json.loads(server.bodies[0])
    assert (sent["title"], sent["message"], sent["type"]) == (MESSAGE.title, MESSAGE.text, "success")


async def test_a_service_that_says_no_is_told(server: ScriptedKube) -> None:
    server.script(text(500, "no"))
    outside = outside_of(server.url.replace("http://", "json://") + "/s3cret-token")
    with pytest.raises(TemporaryError, match="did not take") as caught:
        await outside.notify("on-call", MESSAGE)
    assert "s3cret" not in str(caught.value)
    await outside.close()


async def test_a_channel_that_hangs_has_a_deadline(server: ScriptedKube) -> None:
    """Fault 23."""
    server.script(hang)
    outside = outside_of(server.url.replace("http://", "json://") + "?rto=1", deadline=0.3)
    with pytest.raises(Hung):
        await outside.notify("on-call", MESSAGE)
    await outside.close()


async def test_a_channel_has_to_be_configured_and_known() -> None:
    with pytest.raises(InvalidInput, match=r"`notify\.channels`"):
        await outside_of("json://localhost").notify("other", MESSAGE)
    with pytest.raises(PermanentError, match="apprise") as caught:
        await outside_of("no-such-service://s3cret").notify("on-call", MESSAGE)
    assert "s3cret" not in str(caught.value)
