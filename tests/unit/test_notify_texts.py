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
    assert told().text.startswith("alertbridge show r1\n\n")
    assert told(url="https://bridge.example").text.startswith("alertbridge show r1\nhttps://bridge.example/r/r1\n")


def test_the_headline_says_what_became_of_it() -> None:
    assert told().title == "[critical] repaired: WebDown on main:deployment/shop/web"
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


APPLIED = Entry(kind="applied", text="set LOG_LEVEL of deployment/shop/web", data={"wrote": True})
FOUND = Entry(kind="scenario", text="too quiet: evidence.log.lines == 0")
PROVED = Entry(kind="verified", text="3 of 3 updated, 3 ready, 3 available", data={"answer": "fixed"})
UNDONE = Entry(kind="undone", text="undo: set LOG_LEVEL of deployment/shop/web")


def called(*entries: Entry, **changes: Any) -> str:
    known = {"outcome": Outcome.FAILED, "escalated": True, "reason": "not_fixed", "open_incidents": ("am/f/1",)}
    return str(told(Event.ESCALATED, entries, **{**known, **changes}).text)


def test_whoever_is_called_reads_what_was_found_done_put_back_and_left_and_what_to_type() -> None:
    said = called(FOUND, APPLIED, PROVED, UNDONE, outcome=Outcome.UNDONE, detail="not fixed; it is put back")
    assert said.splitlines()[:3] == [
        "not fixed; it is put back",
        "",
        "alertbridge ack r1   (you take it on: nobody further is called)",
    ]
    assert "Found: too quiet: evidence.log.lines == 0" in said
    assert "Done: set LOG_LEVEL of deployment/shop/web" in said
    assert "Put back: undo: set LOG_LEVEL of deployment/shop/web" in said
    assert "Proof: 3 of 3 updated, 3 ready, 3 available" in said
    assert "Left to you: 1 alert still fires" in said
    assert "alertbridge undo" not in said


def test_what_stands_can_be_put_back_by_hand_and_the_message_says_how() -> None:
    said = called(planned(Field("/spec/x", 1, 2)), APPLIED, outcome=Outcome.UNKNOWN)
    assert "Put back: nothing: what was done stands" in said
    assert "alertbridge undo r1   (puts back what it changed)" in said
    assert "look at the target: what became of it is not known" in said


def test_what_nothing_undoes_is_not_offered_to_be_undone() -> None:
    entry = planned(Field("/spec/x", 1, 2))
    entry.data["plan"]["undo"] = "none"
    assert "alertbridge undo" not in called(entry, APPLIED)


def test_who_is_called_for_nothing_changed_is_told_so() -> None:
    said = called(FOUND, detail="the deployment is not there")
    assert "Done: nothing was changed" in said
    assert "Put back" not in said
    assert "alertbridge undo" not in said


def test_what_the_evidence_said_before_the_first_write_is_told() -> None:
    kept = {"evidence": {"pods": {"total": 3, "ready": 0, "crashlooping": 3, "token": "password=hunter55555"}}}
    shown = view(outcome=Outcome.FAILED, escalated=True)
    said = message(Notify(), shown, (FOUND,), Event.ESCALATED, now=NOW, external_url="", kept=kept).text
    assert "- 3 of 3 pods were not ready (pods)" in said
    assert "- pods: total 3, ready 0, crashlooping 3" in said
    assert "hunter" not in said


def test_what_the_runbook_leaves_to_people_is_told() -> None:
    book = {"escalate": "Call the database team before you restart anything."}
    made = msgspec.structs.replace(view().remediation, runbook_doc=book)
    shown = msgspec.structs.replace(view(outcome=Outcome.FAILED, escalated=True), remediation=made)
    said = message(Notify(), shown, (), Event.ESCALATED, now=NOW, external_url="")
    assert "Left to you: Call the database team before you restart anything." in said.text


def test_what_matters_stands_before_the_plan() -> None:
    """A service that takes a thousand characters gets what matters, whatever the plan's size."""
    fields = tuple(Field(f"/data/key{number}", "a" * 200, "b" * 200) for number in range(60))
    said = called(FOUND, planned(*fields), APPLIED, detail="why it failed")
    for word in ("why it failed", "alertbridge ack r1", "Found:", "Done:", "Put back:", "Left to you:"):
        assert word in said[:700], word


def test_what_is_told_afterwards_is_short() -> None:
    for event in (Event.ACKNOWLEDGED, Event.RESOLVED):
        said = told(event, (planned(Field("/spec/x", 1, 2)), APPLIED)).text
        assert "---" not in said
        assert len(said.splitlines()) < 10


def test_many_lines_of_one_sort_are_cut_to_the_last_ones() -> None:
    entries = [Entry(kind="applied", text=f"step {number}", data={"wrote": True}) for number in range(30)]
    said = called(*entries)
    assert "- (25 more before)" in said
    assert "- step 29" in said
    assert "- step 3\n" not in said
