"""Who is called for an alert that comes and goes: as time lines over all its firings, with nothing but data."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.mode import Mode
from bridge.model.notice import Ack, Event, Paged, Severity, Told
from bridge.model.reason import TOLD_ONCE
from bridge.model.remediation import Entry, Outcome, Remediation, RemediationView, State
from bridge.model.target import Target
from bridge.model.telling import Notify
from bridge.notify.again import cause_of
from bridge.notify.decide import look

NOW = 1_700_000_000.0
LEVELS = [
    {"name": "L1", "within": "15m", "channels": "on-call"},
    {"name": "L2", "within": "30m", "channels": "lead"},
    {"name": "L3", "within": "1h", "channels": "manager"},
]
CHANNELS = {name: {"url_env": "X"} for name in ("team", "on-call", "lead", "manager")}
RULES = [{"on": ["escalated", "resolved"], "channels": "team"}]


class Flapping:
    """One alert, and what becomes of each of its firings; `heard` is what was told, with the minute.

    Looks are made when they are asked for, as the crier does. `silent` names the channels on which nothing arrives.
    """

    def __init__(self, *, levels: Any = LEVELS, rules: Any = (), **more: Any) -> None:
        ladder = [{"levels": levels}] if levels else []
        self.rules = Notify.model_validate({"channels": CHANNELS, "rules": rules, "escalation": ladder, **more})
        self.now = NOW
        self.heard: list[tuple[float, str]] = []
        self.calls: list[tuple[float, str]] = []
        self.silent: set[str] = set()
        self._views: dict[str, RemediationView] = {}
        self._told: dict[str, Told] = {}
        self._acks: dict[str, Ack] = {}
        self._at: dict[str, float] = {}
        self._sent: dict[str, set[str]] = {}
        self._paged: dict[str, Paged] = {}

    def fire(self, *, reason: str = "not_fixed", escalated: bool = True, over: bool = False, **labels: str) -> str:
        """It fires, and a run for it ends at once in a way that needs a person."""
        name = f"r{len(self._views) + 1}"
        made = Remediation(
            id=name,
            runbook="shop/restart",
            target=Target("main", "Deployment", "shop", "web"),
            mode=Mode.AUTO,
            labels={"alertname": "WebDown", "severity": "critical", **labels},
        )
        incident = f"am/f/{len(self._views)}"
        self._views[name] = RemediationView(
            remediation=made,
            state=State.DONE,
            outcome=Outcome.DENIED,
            reason=reason,
            escalated=escalated,
            incidents=(incident,),
            open_incidents=() if over else (incident,),
        )
        self._look(name)
        return name

    def resolve(self, *names: str) -> None:
        for name in names or [name for name, view in self._views.items() if view.open_incidents]:
            self._views[name] = msgspec.structs.replace(self._views[name], open_incidents=())
            self._look(name)

    def flap(self, minutes: float, *, fires: float = 3, rests: float = 3) -> None:
        """Let it come and go for a time."""
        end = self.now + minutes * 60
        while self.now < end:
            self.fire()
            self.wait(fires)
            self.resolve()
            self.wait(rests)

    def ack(self, name: str) -> None:
        self._acks[name] = Ack(by="ann", at=self.now)
        self._look(name)

    def wait(self, minutes: float) -> None:
        end = self.now + minutes * 60
        while due := min((at, name) for at, name in [(end + 1, ""), *((at, n) for n, at in self._at.items())]):
            if due[0] > end:
                break
            self.now = max(self.now, due[0])
            self._look(due[1])
        self.now = end

    def _look(self, name: str) -> None:
        view, told = self._views[name], self._told.get(name, Told())
        cause = cause_of(view)
        found = look(
            self.rules,
            view,
            [Entry(kind="finished")],
            self._acks.get(name),
            told,
            now=self.now,
            sent=self._sent.get(name, set()),
            paged=self._paged.get(cause),
        )
        self._told[name] = found.told
        if found.paged is not None:
            self._paged[cause] = msgspec.convert(msgspec.to_builtins(found.paged), Paged)
        self._at.pop(name, None)
        if found.look_at is not None:
            self._at[name] = found.look_at
        minute = (self.now - NOW) / 60
        for say in found.say:
            self.heard.append((minute, f"{say.event.value} {say.level or ','.join(say.channels)}"))
            if say.event is Event.ESCALATED:
                self.calls.append((minute, say.level or "rules"))
            arrived = {f"{say.name}/{channel}" for channel in say.channels if channel not in self.silent}
            self._sent.setdefault(name, set()).update(arrived)
        for other in found.wake:
            self._at[other] = self.now


def test_an_alert_that_comes_and_goes_pages_once_and_everybody_hears_its_first_end() -> None:
    on = Flapping()
    name = on.fire()
    on.wait(2)
    on.ack(name)
    on.resolve()
    on.wait(3)
    on.flap(10 * 60)
    assert on.heard == [(0, "escalated L1"), (2, "acknowledged on-call"), (2, "resolved on-call")]


def test_it_is_paged_again_when_the_time_of_an_answer_is_over_and_it_goes_on() -> None:
    on = Flapping()
    on.ack(on.fire())
    on.wait(3)
    on.resolve()
    on.flap(25 * 60)
    assert on.calls[:3] == [(0, "L1"), (720, "L1"), (735, "L2")]


def test_a_ladder_that_nobody_answered_goes_on_with_the_next_firing() -> None:
    on = Flapping()
    on.flap(60)
    assert on.calls == [(0, "L1"), (15, "L2"), (45, "L3")]
    assert [word for _, word in on.heard if word.startswith("resolved")] == [
        "resolved on-call",
        "resolved lead",
        "resolved manager",
    ]


def test_whoever_could_not_be_reached_is_passed_over_though_it_resolves_in_between() -> None:
    """It ends after two minutes each time: before it is known whether the call arrived."""
    on = Flapping()
    on.silent = {"on-call"}
    on.flap(20, fires=2, rests=3)
    assert on.calls == [(0, "L1"), (5, "L2")]


def test_whoever_was_not_reached_yet_hears_of_the_next_firing() -> None:
    on = Flapping()
    on.silent = {"on-call"}
    on.flap(1, fires=0.5, rests=0.5)
    on.silent = set()
    on.fire()
    on.wait(13)
    assert on.calls == [(0, "L1"), (1, "L1")]
    on.wait(1)
    assert on.calls[2:] == [(15, "L2")]


def test_an_answer_to_an_earlier_firing_ends_the_calls_of_a_later_one() -> None:
    on = Flapping()
    first = on.fire()
    on.wait(3)
    on.resolve()
    on.wait(3)
    on.fire()
    on.wait(1)
    on.ack(first)
    on.wait(11 * 60)
    assert on.calls == [(0, "L1")]


def test_an_answer_to_a_firing_of_which_nobody_heard_ends_the_calls_as_well() -> None:
    on = Flapping()
    on.fire()
    on.wait(1)
    on.ack(on.fire())
    on.wait(11 * 60)
    assert on.calls == [(0, "L1")]
    assert on.heard[-1] == (1, "acknowledged on-call")


def test_quiet_ends_what_is_remembered() -> None:
    on = Flapping()
    on.ack(on.fire())
    on.resolve()
    on.wait(59)
    on.fire()
    on.resolve()
    on.wait(61)
    on.fire()
    assert on.calls == [(0, "L1"), (120, "L1")]


def test_whoever_was_reached_a_while_ago_and_saw_it_end_is_called_before_the_next_level() -> None:
    on = Flapping()
    on.fire()
    on.resolve()
    on.wait(40)
    on.fire()
    assert on.calls == [(0, "L1"), (40, "L1")]


def test_another_reason_and_a_higher_severity_page_anew_and_a_lower_one_does_not() -> None:
    on = Flapping()
    on.ack(on.fire(severity="warning"))
    on.fire(severity="warning")
    assert len(on.calls) == 1
    on.fire(severity="warning", reason="protected_object")
    assert len(on.calls) == 2
    on.fire(severity="critical")
    assert len(on.calls) == 3
    on.fire(severity="warning")
    assert len(on.calls) == 3


def test_what_was_told_once_continues_the_ladder_of_the_one_that_was_told() -> None:
    on = Flapping()
    on.fire(reason="attempts_spent")
    on.wait(3)
    on.resolve()
    on.wait(3)
    on.fire(reason="attempts_spent", escalated=False)
    on.wait(10)
    assert on.calls == [(0, "L1"), (15, "L2")]


def test_the_one_that_is_left_goes_on_when_the_one_that_called_has_ended() -> None:
    on = Flapping()
    first = on.fire(reason="attempts_spent")
    on.wait(1)
    on.fire(reason="attempts_spent", escalated=False)
    on.wait(1)
    on.resolve(first)
    on.wait(14)
    assert on.calls == [(0, "L1"), (15, "L2")]


def test_without_a_ladder_it_is_told_again_every_four_hours_for_as_long_as_it_goes_on() -> None:
    on = Flapping(levels=(), rules=RULES)
    on.flap(9 * 60)
    assert [minute for minute, _ in on.calls] == [0, 240, 480]


def test_what_ended_before_anybody_looked_calls_the_first_level_with_the_next_firing() -> None:
    on = Flapping(rules=RULES)
    on.fire(over=True)
    assert on.heard == [(0, "escalated team")]
    on.wait(3)
    on.fire()
    assert on.heard[1:] == [(3, "escalated L1")]


def test_what_people_asked_for_and_what_is_put_back_has_no_cause() -> None:
    on = Flapping()
    on.fire()
    view = on._views["r1"]
    assert cause_of(view)
    for fields in ({"requested_by": "ann"}, {"undo_of": "r0"}):
        made = msgspec.structs.replace(view.remediation, **fields)
        assert cause_of(msgspec.structs.replace(view, remediation=made)) == ""
    assert cause_of(msgspec.structs.replace(view, incidents=())) == ""
    assert cause_of(msgspec.structs.replace(view, escalated=False)) == ""


def test_causes_are_alerts_or_for_what_holds_a_runbook_up_its_target() -> None:
    on = Flapping()
    on.fire()
    view = on._views["r1"]
    other = msgspec.structs.replace(view, incidents=("am/g/1",), open_incidents=("am/g/1",))
    assert cause_of(view) != cause_of(other)
    for reason in TOLD_ONCE:
        first, second = (msgspec.structs.replace(each, reason=reason.value) for each in (view, other))
        assert cause_of(first) == cause_of(second)


MINUTES = st.floats(0.5, 90).map(lambda minutes: round(minutes, 1))


@given(
    moves=st.lists(st.tuples(MINUTES, MINUTES, st.booleans()), min_size=1, max_size=25),
    silent=st.sets(st.sampled_from(["on-call", "lead"])),
)
def test_however_it_comes_and_goes_nobody_is_forgotten_and_nobody_is_paged_without_need(
    moves: list[tuple[float, float, bool]], silent: set[str]
) -> None:
    on = Flapping()
    on.silent = silent
    answered: float | None = None
    """The minute in which somebody took it on last."""
    for fires, rests, ack in moves:
        began, before = (on.now - NOW) / 60, len(on.calls)
        name = on.fire()
        on.wait(fires / 2)
        if ack:
            on.ack(name)
            answered = (on.now - NOW) / 60
        on.wait(fires / 2)
        # Whatever fires has been called for: within what a level waits, or since somebody took it on.
        longest = 12 * 60 if answered is not None else 60 + 15
        known = max(_last_call(on), answered if answered is not None else -1.0)
        assert known >= began + fires - longest - 1, on.heard
        on.resolve()
        # Of one firing nobody is called twice within the time of a level.
        new = [minute for minute, _ in on.calls[before:]]
        levels = [word for _, word in on.calls[before:]]
        assert levels == sorted(levels), on.heard
        assert len(new) <= 2 + fires / 3
        on.wait(rests)
        if rests > 60:
            answered = None


def _last_call(on: Flapping) -> float:
    """Return the minute in which somebody was called last."""
    return max((minute for minute, _ in on.calls), default=-1.0)


@given(moves=st.lists(st.tuples(st.floats(0.5, 30), st.floats(0.5, 59)), min_size=1, max_size=30))
def test_whoever_took_it_on_is_not_called_again_for_half_a_day_of_it(moves: list[tuple[float, float]]) -> None:
    on = Flapping()
    on.ack(on.fire())
    on.resolve()
    for fires, rests in moves:
        on.fire()
        on.wait(fires)
        on.resolve()
        on.wait(rests)
        if on.now >= NOW + 12 * 3600:
            break
        assert on.calls == [(0, "L1")]


def test_severities_are_named_from_the_worst_on() -> None:
    """What rises is told by their order."""
    assert [severity.value for severity in Severity] == ["critical", "high", "medium", "low"]
