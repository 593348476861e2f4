"""What arrives at Slack, PagerDuty, Teams, Jira and Opsgenie: the bytes that the real library sends, on loopback."""

from __future__ import annotations

import asyncio
import io
import logging
import re
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apprise
import pytest

from bridge.errors import Hung, PermanentError, TemporaryError
from bridge.model.outside import Message
from bridge.outside.addresses import addressed
from bridge.outside.notify import CUT
from bridge.outside.options import Channel, OutsideSettings
from bridge.outside.reach import Outside
from bridge.telemetry import configure_logging
from tests.support.processes import free_port
from tests.support.services import Arrived, Services, open_services
from tests.support.sink import open_sink

KEY, TOKEN = "i0f8a7e6d5c4b3a2918f7e6d5c4b3a29", "aZ9secretToken00zz99"
ADDRESSES = {
    "slack": f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}ab12",
    "pagerduty": f"pagerduty://{KEY}@{TOKEN}",
    "teams": f"workflows://prod-01.westeurope.logic.azure.com:443/{KEY}/{TOKEN}/",
    "jira": f"jira://{TOKEN}/",
    "opsgenie": "opsgenie://f8a7e6d5-c4b3-a291-8f7e-6d5c4b3a2918/",
}
SECRETS = (KEY, TOKEN, "f8a7e6d5-c4b3-a291-8f7e-6d5c4b3a2918")
MARKUP = "<!channel> <https://evil.example|here> [a](https://evil.example) *b* {{7*7}} ${labels.x}"


def message(level: str = "failure", text: str = MARKUP, **more: str) -> Message:
    return Message(title="[critical] [a](https://evil.example)", text=text, level=level, thread="r1", **more)


@pytest.fixture
async def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Services]:
    async with open_services(tmp_path, monkeypatch) as opened:
        yield opened


async def told(services: Services, channel: str, *messages: Message) -> list[Arrived]:
    """Send on a channel; return what arrived there."""
    outside = Outside(OutsideSettings(channels={channel: Channel(url=ADDRESSES[channel])}))
    for each in messages:
        await outside.notify(channel, each)
    await outside.close()
    return services.arrived


async def test_slack_shows_a_label_as_it_is_and_calls_nobody_by_it(services: Services) -> None:
    (one,) = await told(services, "slack", message())
    assert (one.host, one.path) == ("hooks.slack.com", f"/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}ab12")
    (shown,) = one.json["attachments"]
    assert "&lt;!channel&gt; &lt;https://evil.example|here&gt;" in shown["text"]
    assert "<" not in shown["text"] + shown["title"]
    assert one.json["mrkdwn"] is False


async def test_pagerduty_has_one_incident_for_a_remediation_and_ends_it(services: Services) -> None:
    called = message(text="what was found", link="https://bridge.example/r/r1")
    ended = message("success", sign="resolve")
    opened, acknowledged, closed = await told(services, "pagerduty", called, message("info"), ended)
    assert opened.json["routing_key"] == KEY
    assert (opened.json["event_action"], opened.json["dedup_key"]) == ("trigger", "r1")
    assert opened.json["payload"]["severity"] == "critical"
    assert opened.json["payload"]["summary"].endswith("what was found")
    assert opened.json["links"] == [{"href": "https://bridge.example/r/r1"}]
    assert (acknowledged.json["event_action"], acknowledged.json["dedup_key"]) == ("trigger", "r1")
    assert (closed.json["event_action"], closed.json["dedup_key"]) == ("resolve", "r1")


async def test_pagerduty_opens_no_incident_for_what_went_well(services: Services) -> None:
    (one,) = await told(services, "pagerduty", message("success"))
    assert one.json["event_action"] == "resolve"


async def test_teams_gets_a_card_in_which_a_label_is_no_link(services: Services) -> None:
    (one,) = await told(services, "teams", message())
    title, text = [each["text"] for each in one.json["attachments"][0]["content"]["body"] if "text" in each]
    assert "](" not in title + text
    assert "\\[a\\]" in text


@pytest.mark.parametrize(
    ("channel", "most"), [("pagerduty", 1024), ("teams", 1000), ("jira", 15000), ("slack", 35000)]
)
async def test_a_huge_plan_is_cut_to_what_the_service_takes_and_its_beginning_stays(
    services: Services, channel: str, most: int
) -> None:
    lines = ["what matters", *(f"+ line {number} of a plan, with something in it" for number in range(400))]
    (one,) = await told(services, channel, message(text="\n".join(lines)))
    found = {
        "pagerduty": lambda body: body["payload"]["summary"],
        "teams": lambda body: body["attachments"][0]["content"]["body"][2]["text"].replace("\\", ""),
        "jira": lambda body: body["description"],
        "slack": lambda body: body["attachments"][0]["text"],
    }[channel](one.json)
    assert len(found) <= most
    assert "what matters" in found
    if most < 8000:
        assert found.endswith(CUT)


@pytest.mark.parametrize("channel", ["jira", "opsgenie"])
async def test_an_alert_is_one_for_each_remediation_and_none_is_opened_for_what_went_well(
    services: Services, channel: str
) -> None:
    first, second = await told(services, channel, message(), message("info"), message("success", sign="resolve"))
    assert (first.json["alias"], second.json["alias"]) == ("r1", "r1")


@pytest.mark.parametrize("channel", ADDRESSES)
async def test_no_credential_of_a_channel_is_in_a_log_or_an_error(
    services: Services, channel: str, log_as_before: None
) -> None:
    """Whatever the log's level is, and however the service fails; also for what the libraries log themselves."""
    written = io.StringIO()
    configure_logging("json", "debug", written)
    errors = []
    for status in (200, 401, 403, 404, 429, 500):
        services.status = status
        try:
            await told(services, channel, message())
        except TemporaryError as error:
            errors.append(str(error))
    assert len(errors) == 5
    assert any("429" in error for error in errors)
    logging.getLogger("apprise").warning("%s", ADDRESSES[channel])
    logging.getLogger("test").warning("the log is written")
    said = written.getvalue() + " ".join(errors)
    assert "the log is written" in said
    assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize("channel", ADDRESSES)
async def test_no_credential_is_told_of_a_service_that_cannot_be_reached(
    channel: str, monkeypatch: pytest.MonkeyPatch, log_as_before: None
) -> None:
    written = io.StringIO()
    configure_logging("json", "debug", written)
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TemporaryError, match="cannot be reached") as caught:
        await told(Services(), channel, message())
    said = written.getvalue() + str(caught.value)
    assert [secret for secret in SECRETS if secret in said] == []


@pytest.mark.parametrize("scheme", ["json", "form", "xml", "mailto"])
async def test_no_credential_is_told_of_an_own_server_that_cannot_be_reached(
    scheme: str, log_as_before: None
) -> None:
    written = io.StringIO()
    configure_logging("json", "debug", written)
    url = f"{scheme}://ann:{TOKEN}@127.0.0.1:{free_port()}/{KEY}?to=team@shop.example&from=a@shop.example"
    outside = Outside(OutsideSettings(channels={"own": Channel(url=url)}))
    with pytest.raises(TemporaryError) as caught:
        await outside.notify("own", message())
    await outside.close()
    said = written.getvalue() + str(caught.value)
    assert [secret for secret in SECRETS if secret in said] == []


def test_the_addresses_that_the_page_shows_are_some_that_the_library_knows() -> None:
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text()
    rows = dict(re.findall(r"^\| ([^|]+) \| `(\w+://[^`]+)`", page, re.M))
    assert set(rows) >= {"Slack", "PagerDuty", "Teams", "e-mail", "Jira Service Management", "webhook"}
    for name, address in rows.items():
        made = apprise.Apprise.instantiate(addressed(address, message()))
        assert made is not None, name


@pytest.mark.parametrize("level", ["debug", "error"])
async def test_a_redirect_is_no_delivery_and_is_named_whatever_is_logged(services: Services, level: str) -> None:
    """What leads elsewhere would arrive there without its text, and be called sent."""
    configure_logging("json", level, io.StringIO())
    async with open_sink() as sink:
        services.status, services.location = 301, sink.url
        with pytest.raises(TemporaryError, match="301"):
            await told(services, "teams", message())
        assert sink.requests == []


async def test_a_channel_is_one_address() -> None:
    outside = Outside(OutsideSettings(channels={"both": Channel(url=f"json://localhost/{TOKEN} json://localhost/b")}))
    with pytest.raises(PermanentError, match="a channel has one") as caught:
        await outside.notify("both", message())
    assert TOKEN not in str(caught.value)


async def test_a_channel_that_never_ends_its_answers_costs_no_other_channel(services: Services) -> None:
    """Fault 23: a byte now and then keeps a socket's own deadline from ever passing."""

    async def trickle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.02)

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outside = Outside(
        OutsideSettings(
            channels={
                "slow": Channel(url=f"json://127.0.0.1:{port}/x", deadline=0.1),
                "well": Channel(url=ADDRESSES["slack"]),
            }
        )
    )
    for _ in range(12):
        with pytest.raises(Hung):
            await outside.notify("slow", message())
    await outside.notify("well", message())
    assert len(services.arrived) == 1
    waiting = [thread for thread in threading.enumerate() if thread.name == "notify slow"]
    assert 0 < len(waiting) <= 4
    # The end of the process waits for none of them.
    assert all(thread.daemon for thread in waiting)
    await outside.close()
    server.close()
