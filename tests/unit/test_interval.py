"""Time intervals mean what they mean in Alertmanager."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.model.interval import NamedIntervals, TimeInterval


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("interval", "moment", "inside"),
    [
        ({}, "2024-01-01T00:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2024-01-01T09:00", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2024-01-01T16:59:59", True),
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2024-01-01T17:00", False),
        ({"times": [{"start_time": "17:00", "end_time": "24:00"}]}, "2024-01-01T23:59:59", True),
        ({"weekdays": ["monday:friday"]}, "2024-01-05T12:00", True),
        ({"weekdays": ["Monday:FRIDAY"]}, "2024-01-06T12:00", False),
        ({"weekdays": ["sunday"]}, "2024-01-07T12:00", True),
        ({"weekdays": ["saturday", "sunday"]}, "2024-01-06T12:00", True),
        ({"days_of_month": ["1:5", -1]}, "2024-02-29T12:00", True),
        ({"days_of_month": [-1]}, "2023-02-28T12:00", True),
        ({"days_of_month": ["-3:-1"]}, "2023-04-27T12:00", False),
        ({"days_of_month": ["-3:-1"]}, "2023-04-28T12:00", True),
        ({"days_of_month": ["-31:-1"]}, "2023-02-01T12:00", True),
        ({"days_of_month": ["29:31"]}, "2023-02-28T12:00", False),
        ({"days_of_month": ["25:-1"]}, "2023-02-28T12:00", True),
        ({"months": ["may:august", 12]}, "2024-08-31T12:00", True),
        ({"months": ["5:8"]}, "2024-09-01T00:00", False),
        ({"months": ["december"]}, "2024-12-01T00:00", True),
        ({"years": ["2020:2022", 2024]}, "2024-12-01T00:00", True),
        ({"years": ["2020:2022"]}, "2023-01-01T00:00", False),
        ({"weekdays": ["monday"], "years": [2023]}, "2024-01-01T00:00", False),
        # New year in Sydney is still the old one in UTC; summer time moves the office hours.
        ({"years": [2024], "location": "Australia/Sydney"}, "2023-12-31T13:00", True),
        (
            {"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Europe/Berlin"},
            "2024-07-01T07:30",
            True,
        ),
        (
            {"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Europe/Berlin"},
            "2024-01-01T07:30",
            False,
        ),
        ({"location": "Local"}, "2024-01-01T07:30", True),
    ],
)
def test_an_interval_contains_what_alertmanagers_does(interval: dict[str, Any], moment: str, inside: bool) -> None:
    assert TimeInterval.model_validate(interval).contains(at(moment)) is inside


@pytest.mark.parametrize(
    "interval",
    [
        {"times": [{"start_time": "9:00", "end_time": "17:00"}]},
        {"times": [{"start_time": "17:00", "end_time": "09:00"}]},
        {"times": [{"start_time": "24:01", "end_time": "24:00"}]},
        {"times": [{"start_time": "09:00"}]},
        {"times": []},
        {"weekdays": ["friday:monday"]},
        {"weekdays": ["1:5"]},
        {"weekdays": ["monday:"]},
        {"weekdays": [None]},
        {"days_of_month": [0]},
        {"days_of_month": ["32"]},
        {"days_of_month": ["-1:5"]},
        {"days_of_month": ["10:5"]},
        {"days_of_month": [True]},
        {"months": ["13"]},
        {"months": ["may:april"]},
        {"years": ["2024:2020"]},
        {"years": ["1:2:3"]},
        {"location": "Europe/Nowhere"},
        {"location": "../../etc/passwd"},
        {"hours": []},
    ],
)
def test_what_is_no_interval_is_refused(interval: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TimeInterval.model_validate(interval)


def test_a_named_set_is_active_when_one_of_its_intervals_is() -> None:
    named = NamedIntervals.model_validate(
        {"name": "quiet", "time_intervals": [{"weekdays": ["sunday"]}, {"months": ["august"]}]}
    )
    assert named.contains(at("2024-08-05T00:00"))
    assert named.contains(at("2024-01-07T00:00"))
    assert not named.contains(at("2024-01-08T00:00"))
