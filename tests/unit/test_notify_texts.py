"""The words of a message, and what never stands in one."""

from __future__ import annotations

from typing import Any

import msgspec

from bridge.model.mode import Mode
from bridge.model.notice import Event
from bridge.model.plan import Change, Field, Plan
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, State
from bridge.model.target import ObjectRef, Target
from bridge.model.telling import Notify
from bridge.notify.texts import message, variables

NOW = 1_700_000_000.0


def view(**changes: Any) -> RemediationView:
    made = Remediation(
        id="r1",
        runbook="shop/web",
        target=Target("main", "Deployment", "shop", "web"),
        mode=Mode.AUTO,
        labels={"alertname": "WebDown", "severity": "page"},
        undo_of=changes.pop("undo_of", ""),
        created_at=NOW - 300,
    )
    known = {"state": State.DONE, "outcome": Outcome.SUCCEEDED, **changes}
    return RemediationView(remediation=made, **known)


def told(event: Event = Event.DONE, entries: tuple[Entry, ...] = (), url: str = "", **changes: Any) -> Any:
    return message(Notify(), view(**changes), entries, event, now=NOW, external_url=url)


def planned(*fields: Field) -> Entry:
    change = Change(ref=ObjectRef("apps/v1", "Deployment", "shop", "web"), fields=fields, summary="change it")
    plan = Plan(action="set_env", summary="change it", changes=(change,))
    return Entry(kind="planned", data={"step": "s/0", "plan": msgspec.to_builtins(plan)})


def test_no_credential_stands_in_a_message() -> None:
    entry = planned(Field("/spec/password", "hunter22222", "hunter33333"))
    said = told(entries=(entry,), detail="login failed: password=hunter44444")
    assert "hunter" not in said.text
    assert "[redacted]" in said.text


def test_a_long_plan_is_cut_and_says_where_the_rest_is() -> None:
    fields = tuple(Field(f"/data/key{number}", "a" * 1000, "b" * 1000) for number in range(200))
    said = told(entries=(planned(*fields),))
    assert len(said.text) < 8000
    assert len(said.text.splitlines()) < 100


def test_without_an_address_of_our_own_a_message_names_the_command_alone() -> None:
    assert "http" not in told().text
    assert told().text.endswith("alertbridge show r1")
    assert told(url="https://bridge.example").text.endswith("https://bridge.example/r/r1")


def test_the_headline_says_what_became_of_it() -> None:
    assert told().title == "[critical] repaired: shop/web on main:deployment/shop/web"
    assert told(undo_of="r0").title.startswith("[critical] put back:")
    assert told(outcome=Outcome.FAILED).title.startswith("[critical] failed:")
    assert [told(outcome=each).level for each in (Outcome.SUCCEEDED, Outcome.FAILED)] == ["success", "warning"]


def test_all_messages_of_a_remediation_are_one_thread_and_its_end_closes_it() -> None:
    assert {told(event).thread for event in Event} == {"r1"}
    assert {event for event in Event if told(event).sign == "resolve"} == {Event.RESOLVED}


def test_every_name_that_a_template_may_use_has_a_value() -> None:
    from bridge.model.telling import TEMPLATE_NAMES

    known = variables(Notify(), view(), (), Event.DONE, now=NOW, external_url="", level="", ack=None)
    assert known.keys() == TEMPLATE_NAMES
