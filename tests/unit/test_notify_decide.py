"""Who is told what, and when: as time lines of looks, with nothing but data."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.approval import Question
from bridge.model.mode import Mode
from bridge.model.notice import Ack, Event, Severity, Told
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, State
from bridge.model.target import Target
from bridge.model.telling import Notify
from bridge.notify.decide import MOST_CALLS, Say, look

NOW = 1_700_000_000.0
ALL = ["started", "waiting", "update", "done", "observed", "escalated"]
L1_TO_L4 = [
    {"name": "L1", "within": "15m", "channels": "on-call"},
    {"name": "L2", "within": "30m", "channels": "lead"},
    {"name": "L3", "within": "1h", "channels": "manager"},
    {"name": "L4", "within": "2h", "channels": "vp"},
]


def rules(**given: Any) -> Notify:
    names = ("team", "on-call", "lead", "manager", "vp")
    channels = {name: {"url_env": "X"} for name in names}
    return Notify.model_validate({"rules": [{"on": ALL, "channels": "team"}], **given, "channels": channels})


class Line:
    """One remediation, looked at again and again; `heard` is what was told, with the minute."""

    def __init__(self, rules: Notify, **labels: str) -> None:
        made = Remediation(
            id="r1",
            runbook="netweave/all-pods-down",
            target=Target("main", "Deployment", "shop", "web"),
            mode=Mode.AUTO,
            labels={"alertname": "GatewayDown", "severity": "critical", **labels},
            created_at=NOW,
        )
        self.view = RemediationView(
            remediation=made, state=State.RUNNING, incidents=("am/f/1",), open_incidents=("am/f/1",)
        )
        self.entries: list[Entry] = []
        self.told = Told()
        self.ack: Ack | None = None
        self.now = NOW
        self.look_at: float | None = None
        self.sent: set[str] | None = None
        self.withdrawn: set[str] = set()
        self.heard: list[tuple[float, str, tuple[str, ...]]] = []
        self._rules = rules

    def add(self, kind: str, **data: Any) -> Line:
        self.entries.append(Entry(kind=kind, data=data))
        return self.look()

    def change(self, **fields: Any) -> Line:
        self.view = msgspec.structs.replace(self.view, **fields)
        return self

    def end(self, outcome: Outcome, *, escalated: bool = False) -> Line:
        self.change(state=State.DONE, outcome=outcome, escalated=escalated)
        return self.add("finished")

    def look(self) -> Line:
        found = look(self._rules, self.view, self.entries, self.ack, self.told, now=self.now, sent=self.sent)
        self.told, self.look_at = found.told, found.look_at
        self.withdrawn = set(found.withdraw)
        for say in found.say:
            self.heard.append(((self.now - NOW) / 60, _word(say), say.channels))
        return self

    def wait(self, minutes: float) -> Line:
        """Let time pass; look whenever it was asked for."""
        end = self.now + minutes * 60
        while self.look_at is not None and self.look_at <= end:
            self.now = max(self.now, self.look_at)
            self.look()
        self.now = end
        return self


def _word(say: Say) -> str:
    return f"{say.event.value} {say.level}".strip()


def test_a_repair_is_told_when_it_begins_to_write_and_when_it_ends() -> None:
    line = Line(rules()).add("started").add("planned")
    assert line.heard == []
    line.add("applying").wait(2).add("applied").end(Outcome.SUCCEEDED)
    assert line.heard == [(0, "started", ("team",)), (2, "done", ("team",))]
    assert line.wait(5).change(open_incidents=()).wait(600).look().heard[2:] == []
    assert line.look_at is None


def test_what_was_called_mended_and_fires_on_calls_people_after_two_hours_as_a_failure_does() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).add("applying").end(Outcome.SUCCEEDED).wait(119)
    assert [word for _, word, _ in line.heard] == ["started", "done"]
    line.wait(20)
    assert line.heard[2:] == [(120, "escalated L1", ("team", "on-call")), (135, "escalated L2", ("lead",))]
    line.change(open_incidents=()).look().wait(600)
    assert [word for _, word, _ in line.heard[4:]] == ["resolved"]


def test_what_was_called_mended_and_is_taken_on_calls_nobody() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).add("applying").end(Outcome.SUCCEEDED)
    line.ack = Ack(by="ann")
    assert [word for _, word, _ in line.look().wait(600).heard] == ["started", "done"]


def test_what_nobody_ever_ends_because_a_person_asked_for_it_calls_nobody() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}]))
    asked = msgspec.structs.replace(line.view.remediation, requested_by="ann")
    line.change(remediation=asked).add("applying").end(Outcome.SUCCEEDED).wait(600)
    assert [word for _, word, _ in line.heard] == ["started", "done"]


def test_what_was_over_before_anybody_looked_is_told_once_as_its_end() -> None:
    line = Line(rules())
    line.entries = [Entry(kind=kind) for kind in ("started", "applying", "applied")]
    line.end(Outcome.SUCCEEDED)
    assert line.heard == [(0, "done", ("team",))]


@pytest.mark.parametrize("outcome", [Outcome.SUPPRESSED, Outcome.DENIED, Outcome.EXPIRED, Outcome.CANCELLED])
def test_what_changed_nothing_and_needs_nobody_is_not_told(outcome: Outcome) -> None:
    assert Line(rules()).add("started").end(outcome).heard == []


def test_a_plan_that_nobody_carries_out_has_an_event_of_its_own() -> None:
    assert Line(rules()).add("foreseen").end(Outcome.OBSERVED).heard == [(0, "observed", ("team",))]


def test_while_it_runs_it_is_told_of_every_quarter_of_an_hour() -> None:
    line = Line(rules()).add("applying").wait(50).end(Outcome.SUCCEEDED).wait(60)
    assert [(at, word) for at, word, _ in line.heard] == [
        (0, "started"),
        (15, "update"),
        (30, "update"),
        (45, "update"),
        (50, "done"),
    ]


def test_times_that_nobody_was_there_to_look_at_are_not_made_up_for() -> None:
    line = Line(rules()).add("applying")
    line.now += 5 * 3600
    line.look()
    assert [word for _, word, _ in line.heard] == ["started", "update"]
    assert line.look_at == line.now + 900


def test_people_are_asked_once_for_each_plan() -> None:
    first = Question(plans={"s/0": "aaaa"}, until=NOW + 9)
    again = Question(plans={"s/0": "aaaa"}, until=NOW + 99)
    other = Question(plans={"s/0": "bbbb"}, until=NOW + 999)
    line = Line(rules())
    names = []
    for question in (first, again, other):
        line.entries.append(Entry(kind="asked", data={"question": msgspec.to_builtins(question)}))
        found = look(rules(), line.view, line.entries, None, line.told, now=NOW)
        line.told = found.told
        names += [say.name for say in found.say]
    # The store keeps one message of a name.
    assert len(names) == 3
    assert names[0] == names[1] != names[2]


def test_nobody_who_answers_calls_the_next_level_at_its_time() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).end(Outcome.FAILED, escalated=True).wait(6 * 60)
    assert line.heard == [
        (0, "escalated L1", ("team", "on-call")),
        (15, "escalated L2", ("lead",)),
        (45, "escalated L3", ("manager",)),
        (105, "escalated L4", ("vp",)),
        (225, "escalated L4", ("vp",)),
        (345, "escalated L4", ("vp",)),
    ]


def test_calls_end_some_time() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).end(Outcome.FAILED, escalated=True).wait(60 * 24 * 60)
    assert len(line.heard) == MOST_CALLS
    assert line.look_at is None


def test_a_level_that_no_message_reaches_is_passed_over() -> None:
    """Who cannot hear cannot answer: the next one is not kept waiting for it. The last level has no next."""
    line = Line(rules(escalation=[{"levels": L1_TO_L4}]))
    line.sent = {"escalated-1/team"}
    line.end(Outcome.FAILED, escalated=True).wait(30)
    assert [(at, word) for at, word, _ in line.heard] == [
        (0, "escalated L1"),
        (3, "escalated L2"),
        (6, "escalated L3"),
        (9, "escalated L4"),
    ]
    line.wait(120)
    assert [(at, word) for at, word, _ in line.heard[4:]] == [(129, "escalated L4")]


def test_a_level_that_a_message_has_reached_has_its_time() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}]))
    line.sent = {"escalated-1/on-call"}
    line.end(Outcome.FAILED, escalated=True).wait(16)
    assert [(at, word) for at, word, _ in line.heard] == [(0, "escalated L1"), (15, "escalated L2")]


def test_what_is_out_of_date_is_withdrawn() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).add("applying")
    assert line.withdrawn == {"waiting"}
    line.wait(15)
    assert line.withdrawn == {"update"}
    line.end(Outcome.FAILED, escalated=True)
    assert line.withdrawn == {"started", "waiting", "update"}
    line.ack = Ack(by="ann", at=line.now)
    assert line.look().withdrawn == {"escalated"}
    assert line.change(open_incidents=()).look().withdrawn == {"escalated", "acknowledged"}


def test_an_acknowledgement_ends_the_calls_and_is_told_to_those_who_were_called() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).end(Outcome.FAILED, escalated=True).wait(20)
    line.ack = Ack(by="ann", at=line.now)
    line.look().wait(600)
    assert line.heard[2:] == [(20, "acknowledged", ("team", "on-call", "lead"))]
    assert line.look_at is None


def test_a_resolve_ends_the_calls() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).end(Outcome.UNKNOWN, escalated=True).wait(20)
    line.change(open_incidents=()).look().wait(600)
    assert line.heard[2:] == [(20, "resolved", ("team", "on-call", "lead"))]


def test_what_was_acknowledged_is_told_again_when_it_resolves() -> None:
    """Channels that keep incidents of their own close them then."""
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).end(Outcome.FAILED, escalated=True)
    line.ack = Ack(by="ann", at=line.now)
    line.look().change(open_incidents=()).look().look()
    assert [word for _, word, _ in line.heard] == ["escalated L1", "acknowledged", "resolved"]


def test_without_a_ladder_the_end_is_told_as_well() -> None:
    line = Line(rules()).end(Outcome.FAILED, escalated=True).wait(600)
    line.change(open_incidents=()).look().look()
    assert line.heard == [(0, "escalated", ("team",)), (600, "resolved", ("team",))]


def test_what_resolved_before_anybody_was_called_wakes_nobody() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).change(open_incidents=())
    line.end(Outcome.UNKNOWN, escalated=True).wait(600)
    assert line.heard == [(0, "escalated", ("team",))]


def test_without_an_alert_nothing_resolves_and_an_acknowledgement_is_waited_for() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).change(incidents=(), open_incidents=())
    line.end(Outcome.FAILED, escalated=True).wait(20)
    assert [word for _, word, _ in line.heard] == ["escalated L1", "escalated L2"]


def test_an_acknowledgement_before_the_end_spares_every_call() -> None:
    line = Line(rules(escalation=[{"levels": L1_TO_L4}])).add("applying")
    line.ack = Ack(by="ann", at=NOW)
    line.end(Outcome.FAILED, escalated=True).wait(600)
    assert [word for _, word, _ in line.heard] == ["started"]


def test_the_ladder_is_chosen_by_severity_and_runbook() -> None:
    ladders = [
        {"severity": ["low", "medium"], "levels": [{"name": "ticket", "within": "1h", "channels": "team"}]},
        {"runbooks": "omendb/*", "levels": [{"name": "dba", "within": "1h", "channels": "lead"}]},
        {"levels": L1_TO_L4},
    ]
    given = rules(rules=[], escalation=ladders)
    low = Line(given, severity="info").end(Outcome.FAILED, escalated=True)
    high = Line(given).end(Outcome.FAILED, escalated=True)
    assert (low.heard[0][1], high.heard[0][1]) == ("escalated ticket", "escalated L1")


def test_rules_add_up_and_a_channel_hears_once() -> None:
    said = [
        {"on": "done", "channels": ["team", "lead"]},
        {"on": ["done", "started"], "severity": "critical", "channels": ["team", "on-call"]},
        {"on": "done", "matchers": ['team="payments"'], "channels": "vp"},
    ]
    line = Line(rules(rules=said)).add("applying").end(Outcome.SUCCEEDED)
    assert line.heard == [(0, "started", ("team", "on-call")), (0, "done", ("team", "lead", "on-call"))]


@pytest.mark.parametrize(
    ("runbook", "labels", "expected"),
    [
        ("netweave/x", {"severity": "P1"}, Severity.CRITICAL),
        ("onboarding/x", {"severity": "P1"}, Severity.HIGH),
        ("onboarding/x", {"severity": "P0"}, Severity.CRITICAL),
        ("omendb/x", {"severity": "SEV3"}, Severity.MEDIUM),
        ("omnimesh/x", {"severity": "CRITICAL"}, Severity.CRITICAL),
        ("other/x", {"severity": "P1"}, Severity.MEDIUM),
        ("other/x", {"priority": "warning"}, Severity.MEDIUM),
        ("other/x", {"severity": "", "priority": "low"}, Severity.LOW),
        ("other/x", {}, Severity.MEDIUM),
        ("other/x", {"severity": "${labels.x}"}, Severity.MEDIUM),
    ],
)
def test_four_scales_become_one(runbook: str, labels: dict[str, str], expected: Severity) -> None:
    """P1 is the worst of netweave's four and the second of the onboarding platform's."""
    said = {
        "default": "medium",
        "scales": [
            {"runbooks": "netweave/*", "names": {"P1": "critical", "P2": "high", "P3": "medium", "P4": "low"}},
            {"runbooks": "onboarding/*", "names": {"P0": "critical", "P1": "high", "P2": "medium", "P3": "low"}},
        ],
    }
    assert rules(severity=said).severity.of(runbook, labels) is expected


@pytest.mark.parametrize(
    ("labels", "own", "expected"),
    [
        ({}, "P1", Severity.CRITICAL),
        ({"severity": "P3"}, "P1", Severity.MEDIUM),
        ({"severity": "as it was"}, "p2", Severity.HIGH),
        ({}, "as the alert says", Severity.LOW),
    ],
)
def test_an_alert_that_does_not_say_how_bad_it_is_is_as_bad_as_its_runbook_says(
    labels: dict[str, str], own: str, expected: Severity
) -> None:
    names = {"P1": "critical", "P2": "high", "P3": "medium"}
    said = {"default": "low", "scales": [{"runbooks": "netweave/*", "names": names}]}
    assert rules(severity=said).severity.of("netweave/x", labels, own) is expected


def test_the_ladder_of_an_alert_without_a_severity_is_that_of_its_runbook() -> None:
    given = rules(
        escalation=[
            {"severity": "critical", "levels": [{"name": "L1", "within": "5m", "channels": "on-call"}]},
            {"levels": [{"name": "ticket", "within": "1h", "channels": "team"}]},
        ]
    )
    silent = Line(given, severity="")
    made = msgspec.structs.replace(silent.view.remediation, runbook_doc={"severity": "critical"})
    silent.change(remediation=made).end(Outcome.FAILED, escalated=True)
    assert "escalated L1" in [what for _, what, _ in silent.heard]


def test_every_event_can_be_named_in_a_rule() -> None:
    given = rules(rules=[{"on": [event.value for event in Event], "channels": "team"}])
    assert len(given.rules[0].on) == len(Event)


MOVES = st.lists(
    st.one_of(
        st.sampled_from(["applying", "applied", "finish", "fail", "ack", "resolve", "look", "dead", "well"]),
        st.floats(min_value=0.1, max_value=600.0),
    ),
    max_size=40,
)


@given(MOVES)
def test_whatever_happens_in_whatever_order_nobody_hears_twice_and_nobody_is_called_in_vain(moves: list[Any]) -> None:
    """Looks come at any time: no message has the name of another, and after an answer nobody further is called."""
    line = Line(rules(escalation=[{"levels": L1_TO_L4}]))
    names: list[str] = []
    well = True
    for move in moves:
        if isinstance(move, float):
            line.now += move * 60
        elif move in ("dead", "well"):
            well = move == "well"
        elif move in ("finish", "fail"):
            outcome = Outcome.FAILED if move == "fail" else Outcome.SUCCEEDED
            if line.view.state is not State.DONE:
                line.change(state=State.DONE, outcome=outcome, escalated=move == "fail")
                line.entries.append(Entry(kind="finished"))
        elif move == "ack":
            line.ack = line.ack or Ack(by="ann", at=line.now)
        elif move == "resolve":
            line.change(open_incidents=())
        elif move != "look" and line.view.state is not State.DONE:
            line.entries.append(Entry(kind=move))
        answered = line.ack is not None or not line.view.open_incidents
        found = look(line._rules, line.view, line.entries, line.ack, line.told, now=line.now, sent=line.sent)
        line.sent = (line.sent or set()) | {f"{say.name}/{to}" for say in found.say for to in say.channels if well}
        line.told = found.told
        names += [say.name for say in found.say]
        called = [say for say in found.say if say.event is Event.ESCALATED and say.level]
        assert len(called) <= 1
        assert not (answered and called)
        assert found.look_at is None or found.look_at > line.now
    assert len(names) == len(set(names))
