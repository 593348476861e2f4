"""What runs by the clock: a runbook, when, and with which limits. Pure.

Times are those of cron: in a zone's own time, once where a clock is put forward or back over them, but for those that
are due at every so many minutes or hours.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from bridge.model.mode import Mode
from bridge.model.route import NamespaceName
from bridge.model.runbook import DayAtMost, Duration, Strict

LONGEST_LOOK = 7 * 86400.0
"""How far back times are looked for that nobody was there at."""
LATEST = 12 * 3600.0
"""How late a run may be at most: shorter than an alert is remembered."""


class ScheduleSpec(Strict):
    """One schedule."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """By which its runs are known: `schedule:NAME`."""
    cron: str
    """Minute, hour, day of the month, month and day of the week."""
    timezone: str = "UTC"
    """The zone that these are in, such as Europe/Berlin."""
    runbook: str
    """What is run."""
    labels: dict[str, str] = Field(default={}, max_length=50)
    """What the runbook makes its target of, as of the labels of an alert."""
    params: dict[str, Any] = Field(default={})
    """The runbook's parameters."""
    mode: Mode = Mode.OBSERVE
    """How far it may go."""
    late: Annotated[Duration, Field(ge=60, le=LATEST)] = 3600.0
    """A run that nobody could make in time is made so much later at most; after that it is left out, and told."""
    allow_drift: bool = False
    """As a route's: whether it may change what Helm, Argo CD, Flux or an HPA owns."""
    allow_irreversible: bool = False
    """As a route's: whether it may do what has no undo."""
    allow_namespaces: tuple[NamespaceName, ...] = ()
    """Protected namespaces in which its runs may change objects all the same."""
    approvers: Annotated[int, Field(ge=1, le=20)] = 1
    """Mode approve: how many different people have to agree; the runbook may want more."""
    approve_within: DayAtMost | None = None
    """Mode approve: no answer by then means no; left out: the runbook says it."""

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            raise ValueError(f"there is no time zone {value!r}: expected one such as Europe/Berlin") from None
        return value

    @field_validator("cron")
    @classmethod
    def _right(cls, value: str) -> str:
        try:
            next(CronSim(value, datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))))
        except (CronSimError, StopIteration) as error:
            said = str(error) or "is never due"
            raise ValueError(
                f"{value!r} is not a time of cron: {said}; expected five fields such as `30 6 * * 1-5`"
            ) from None
        if len(value.split()) != 5:
            raise ValueError(f"{value!r} has to have five fields: it begins with the minute")
        return value

    def due(self, since: float, now: float) -> float | None:
        """Return when it was due last after `since` and not after `now` (unix seconds); None: not at all."""
        # Forwards, since a clock that was put back makes two times of one only in this direction.
        found = None
        for at in self._after(max(since, now - LONGEST_LOOK)):
            if at.timestamp() > now:
                return found
            found = at.timestamp()
        return found

    def next_due(self, now: float, count: int = 3) -> list[datetime]:
        """Return the times after `now` at which it is due."""
        return list(itertools.islice(self._after(now), count))

    def _after(self, at: float) -> Iterator[datetime]:
        return CronSim(self.cron, datetime.fromtimestamp(at, ZoneInfo(self.timezone)))
