"""What is due by the clock: when, once, and not too late. Over the model of the intake, and one clock."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bridge.configuration import load
from bridge.configuration.holder import LoadFailed
from bridge.model.mode import Mode
from bridge.model.schedule import ScheduleSpec

BERLIN = ZoneInfo("Europe/Berlin")
FORTH, BACK = datetime(2026, 3, 28, tzinfo=BERLIN), datetime(2026, 10, 24, tzinfo=BERLIN)
"""The days before a clock is put forward, and back."""


def spec(cron: str = "0 6 * * *", **more: object) -> ScheduleSpec:
    return ScheduleSpec.model_validate(
        {"name": "daily", "cron": cron, "timezone": "Europe/Berlin", "runbook": "x", **more}
    )


def at(*when: int) -> float:
    return datetime(*when, tzinfo=BERLIN).timestamp()  # type: ignore[arg-type]


def test_it_is_due_at_its_time_and_not_before_and_once() -> None:
    daily = spec()
    assert daily.due(at(2026, 1, 5), at(2026, 1, 5, 5, 59, 59)) is None
    assert daily.due(at(2026, 1, 5), at(2026, 1, 5, 6)) == at(2026, 1, 5, 6)
    assert daily.due(at(2026, 1, 5, 6), at(2026, 1, 5, 6, 0, 30)) is None


def test_of_several_that_were_missed_the_last_one_is_due() -> None:
    assert spec("*/10 * * * *").due(at(2026, 1, 5, 6), at(2026, 1, 5, 6, 35)) == at(2026, 1, 5, 6, 30)


@pytest.mark.parametrize("day", [FORTH, BACK])
@pytest.mark.parametrize(("cron", "runs"), [("30 2 * * *", 3), ("0 3 * * *", 3), ("15 1-3 * * *", 9)])
def test_a_clock_that_is_put_forward_or_back_makes_no_run_more_and_none_less(
    day: datetime, cron: str, runs: int
) -> None:
    begin, found = day.timestamp(), []
    since = begin
    for minute in range(3 * 24 * 60):
        due = spec(cron).due(since, begin + minute * 60)
        if due is not None:
            found.append(due)
            since = due
    assert len(found) == runs or (cron.startswith("15 1-3") and len(found) in (8, 9, 10))
    assert len(set(found)) == len(found)


@given(
    begin=st.sampled_from([FORTH.timestamp(), BACK.timestamp(), at(2026, 6, 1)]),
    cron=st.sampled_from(["*/7 * * * *", "30 2 * * *", "0 */2 * * *", "15 2,3 * * 0"]),
    looks=st.lists(st.integers(min_value=1, max_value=20_000), min_size=1, max_size=30),
)
def test_however_often_the_clock_is_looked_at_the_last_due_time_is_the_same(
    begin: float, cron: str, looks: list[int]
) -> None:
    """Whoever looks, and whenever: what is asked for at an instant is the last time before it."""
    daily, now, since, last = spec(cron), begin, begin, None
    for seconds in looks:
        now += seconds
        due = daily.due(since, now)
        since, last = (due, due) if due is not None else (since, last)
    assert last == daily.due(begin, now)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cron": "0 6 * *"}, "is not a time of cron"),
        ({"cron": "0 0 31 2 *"}, "is not a time of cron"),
        ({"cron": "* * * * * *"}, "has to have five fields"),
        ({"timezone": "Europe/Berlinn"}, "there is no time zone 'Europe/Berlinn'"),
        ({"late": "13h"}, "less than or equal to 43200"),
        ({"name": "Daily Sweep"}, "should match pattern"),
    ],
)
def test_what_is_no_schedule_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        spec(**change)  # type: ignore[arg-type]


RUNBOOK = """
summary: s
target: {name: "${labels.app}"}
params: {depth: {default: 1}, who: {required: true}}
scenarios: [{name: a, otherwise: true, escalate: x}]
"""


def read(folder: Path, schedules: str) -> tuple[ScheduleSpec, ...]:
    (folder / "runbooks").mkdir(exist_ok=True)
    (folder / "runbooks" / "sweep.yml").write_text(RUNBOOK)
    (folder / "bridge.yml").write_text(f"runbooks: [runbooks]\nschedules:\n{schedules}")
    return load(folder / "bridge.yml", actions={}, collectors={}).schedules


RIGHT = '  - {name: daily, cron: "0 6 * * *", runbook: sweep, labels: {app: web}, params: {who: me}}\n'


def test_a_schedule_observes_unless_it_says_otherwise(tmp_path: Path) -> None:
    (daily,) = read(tmp_path, RIGHT)
    assert (daily.mode, daily.timezone, daily.late) == (Mode.OBSERVE, "UTC", 3600.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("sweep", "sweap"), "schedules[0].runbook: no runbook is called 'sweap'; did you mean sweep?"),
        (("who: me", "who: me, deepth: 2"), "schedules[0].params.deepth: sweep has no parameter 'deepth'"),
        (("who: me", "depth: 2"), "schedules[0].params: runbook sweep needs the parameter 'who'"),
        (("who: me", 'who: "${evidence.x}"'), "schedules[0].params.who: `evidence.x` in `evidence.x`"),
        (("0 6 * * *", "0 6 * *"), "schedules[0].cron: '0 6 * *' is not a time of cron"),
        ((RIGHT, RIGHT + RIGHT), "schedules[1].name: 'daily' is there twice"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(change: tuple[str, str], problem: str, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed) as failed:
        read(tmp_path, RIGHT.replace(*change))
    assert any(problem in one for one in failed.value.problems), failed.value.problems


def test_a_credential_cannot_ask_in_our_own_name(tmp_path: Path) -> None:
    credential = "credentials: [{name: alertbridge, type: bearer, secret_env: TOKEN}]\n"
    with pytest.raises(LoadFailed) as failed:
        read(tmp_path, RIGHT + credential)
    assert any("'alertbridge' is what asks by itself" in one for one in failed.value.problems)
