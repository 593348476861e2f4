"""Alertmanager's time intervals: when a route is muted or active. Pure; used by routes and guards.

Source: prometheus/alertmanager, timeinterval; its configuration manual, section "time_interval".
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from bridge.model.runbook import Strict

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_TIME = re.compile(r"(?:([01]\d|2[0-3]):([0-5]\d)|24:00)\Z", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,9}\Z", re.ASCII)

Range = tuple[int, int]
"""Both ends are part of it."""


def _range(what: str, names: Mapping[str, int], numbers: bool, low: int, high: int) -> Callable[[object], Range]:
    """Return a reader of `monday:friday`, `1:5`, `-3:-1`, or one value, of which both ends lie in low..high."""

    def number(text: str) -> int:
        if text in names:
            return names[text]
        if numbers and _INTEGER.match(text) and low <= int(text) <= high:
            return int(text)
        raise ValueError(f"{text!r} is no {what}")

    def read(value: object) -> Range:
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"expected a {what} or a range such as A:B, got {value!r}")
        ends = str(value).lower().split(":")
        if len(ends) > 2:
            raise ValueError(f"expected a {what} or a range such as A:B, got {value!r}")
        return number(ends[0]), number(ends[-1])

    return read


def _ordered(read: Callable[[object], Range]) -> Callable[[object], Range]:
    def check(value: object) -> Range:
        begin, end = read(value)
        if begin > end:
            raise ValueError(f"{value!r} ends before it begins")
        return begin, end

    return check


def _day_of_month(value: object) -> Range:
    begin, end = _range("day of the month (1 to 31, or -1 to -31 from its end)", {}, True, -31, 31)(value)
    if not begin or not end:
        raise ValueError("0 is no day of the month")
    if begin < 0 < end:
        raise ValueError(f"{value!r}: the end has to be negative when the beginning is")
    # As in Alertmanager: what is wrong in the shortest month is wrong.
    if (begin if begin > 0 else 28 + begin) > (end if end > 0 else 28 + end):
        raise ValueError(f"{value!r} ends before it begins")
    return begin, end


def _minute(value: object) -> int:
    if not isinstance(value, str) or not (match := _TIME.match(value)):
        raise ValueError(f"expected a time such as 09:00, or 24:00 for the end of the day, got {value!r}")
    return 1440 if match.group(1) is None else int(match.group(1)) * 60 + int(match.group(2))


def _location(value: object) -> str:
    try:
        if isinstance(value, str) and value and (value == "Local" or ZoneInfo(value)):
            return value
    except (KeyError, OSError, ValueError):  # not found is a KeyError
        pass
    raise ValueError(f"expected a time zone such as Europe/Berlin, UTC or Local, got {value!r}")


_weekday = _ordered(_range("weekday", {name: at for at, name in enumerate(_DAYS)}, False, 0, 6))
_month = _ordered(_range("month", {name: at for at, name in enumerate(_MONTHS, 1)}, True, 1, 12))
_year = _ordered(_range("year", {}, True, 0, 9999))


class TimeRange(Strict):
    """Part of a day; `end_time` is no longer part of it."""

    start_time: Annotated[int, BeforeValidator(_minute)]
    """Such as `"09:00"`."""
    end_time: Annotated[int, BeforeValidator(_minute)]
    """Such as `"17:00"`; `"24:00"` is the end of the day."""

    @model_validator(mode="after")
    def _not_backwards(self) -> TimeRange:
        if self.start_time >= self.end_time:
            raise ValueError("start_time has to be before end_time; write two ranges around midnight")
        return self


Weekdays = Annotated[Range, BeforeValidator(_weekday)]
DaysOfMonth = Annotated[Range, BeforeValidator(_day_of_month)]
Months = Annotated[Range, BeforeValidator(_month)]
Years = Annotated[Range, BeforeValidator(_year)]


class TimeInterval(Strict):
    """Contains a moment when each part that is given contains it. Without `location` it is UTC."""

    times: tuple[TimeRange, ...] | None = Field(default=None, min_length=1)
    """Parts of the day."""
    weekdays: tuple[Weekdays, ...] | None = Field(default=None, min_length=1)
    """Such as `monday:friday`."""
    days_of_month: tuple[DaysOfMonth, ...] | None = Field(default=None, min_length=1)
    """1 to 31, or from its end: `-3:-1` are its last three."""
    months: tuple[Months, ...] | None = Field(default=None, min_length=1)
    """Names or numbers, such as `january:march`."""
    years: tuple[Years, ...] | None = Field(default=None, min_length=1)
    """Such as `2026:2027`."""
    location: Annotated[str, BeforeValidator(_location)] = "UTC"
    """The zone that all this is in, such as Europe/Berlin; `Local` is the machine's."""

    def contains(self, now: float) -> bool:
        """Return whether the moment (unix seconds) is in it."""
        local = self._local(now)
        minute = local.hour * 60 + local.minute
        return (
            (self.times is None or any(r.start_time <= minute < r.end_time for r in self.times))
            and (self.days_of_month is None or _day_is_in(local, self.days_of_month))
            and _is_in(local.month, self.months)
            and _is_in(local.isoweekday() % 7, self.weekdays)
            and _is_in(local.year, self.years)
        )

    def _local(self, now: float) -> datetime:
        utc = datetime.fromtimestamp(now, UTC)
        return utc.astimezone() if self.location == "Local" else utc.astimezone(ZoneInfo(self.location))


def _is_in(value: int, ranges: Iterable[Range] | None) -> bool:
    return ranges is None or any(begin <= value <= end for begin, end in ranges)


def _day_is_in(local: datetime, ranges: Iterable[Range]) -> bool:
    days = monthrange(local.year, local.month)[1]
    for begin, end in ranges:
        first = begin if begin > 0 else days + begin + 1
        last = end if end > 0 else days + end + 1
        if first <= local.day <= last:
            return True
    return False


class NamedIntervals(Strict):
    """A name for a set of intervals; it is active when one of them contains the moment."""

    name: str = Field(min_length=1)
    """What routes call it."""
    time_intervals: tuple[TimeInterval, ...]
    """It is active while one of these contains the moment."""

    def contains(self, now: float) -> bool:
        return any(interval.contains(now) for interval in self.time_intervals)
