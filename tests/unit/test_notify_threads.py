"""What keeps the messages of one remediation together, by channel."""

from __future__ import annotations

import apprise
import pytest

from bridge.model.outside import Message
from bridge.outside.addresses import addressed


def told(sign: str = "") -> Message:
    return Message(title="t", text="x", thread="r1", sign=sign)


@pytest.mark.parametrize(
    ("url", "sign", "expected"),
    [
        ("json://localhost/hook", "", "json://localhost/hook?:thread=r1"),
        ("jsons://localhost/hook?verify=no", "", "jsons://localhost/hook?verify=no&:thread=r1"),
        ("json://localhost/?:thread=mine", "", "json://localhost/?:thread=mine"),
        ("slack://a/b/c", "", "slack://a/b/c"),
        ("pagerduty://k@i", "", "pagerduty://k@i?dedup=r1&action=trigger"),
        ("pagerduty://k@i", "resolve", "pagerduty://k@i?dedup=r1&action=resolve"),
        ("pagerduty://k@i?action=trigger", "resolve", "pagerduty://k@i?action=trigger&dedup=r1"),
    ],
)
def test_the_thread_goes_where_the_channel_takes_it(url: str, sign: str, expected: str) -> None:
    assert addressed(url, told(sign)) == expected


def test_mail_refers_to_one_id_for_each_remediation() -> None:
    url = addressed("mailto://ann:pw@mail.example?to=team@mail.example", told())
    service = apprise.Apprise.instantiate(url)
    assert service is not None
    assert service.headers == {"References": "<r1@alertbridge>", "In-Reply-To": "<r1@alertbridge>"}


def test_pagerduty_gets_one_incident_for_each_remediation_and_its_end() -> None:
    service = apprise.Apprise.instantiate(addressed(f"pagerduty://{'i' * 32}@{'a' * 20}", told("resolve")))
    assert service is not None
    assert (service.dedup, service.action) == ("r1", "resolve")


def test_nothing_is_added_to_a_message_without_a_thread() -> None:
    assert addressed("json://localhost", Message(title="t", text="x")) == "json://localhost"
