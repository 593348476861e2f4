"""Times in queries and answers: RFC 3339 in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

_PATTERN = r"^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z$"

Moment = Annotated[
    str,
    msgspec.Meta(
        pattern=_PATTERN, max_length=27, description="RFC 3339 in UTC with a Z, e.g. `2030-01-31T14:02:11Z`"
    ),
]


def seconds_of(moment: str) -> float:
    """Return unix seconds. A day that its month does not have is one of the next month, as in `2030-02-30`."""
    day, clock = int(moment[8:10]), moment[11:].rstrip("Z")
    first = datetime.fromisoformat(f"{moment[:8]}01T{clock[:8]}").replace(tzinfo=UTC)
    part = float(f"0{clock[8:]}") if clock[8:] else 0.0
    return (first + timedelta(days=day - 1)).timestamp() + part


def moment(seconds: float | None) -> datetime | None:
    """Return unix seconds as a UTC time; None for None and for 0, which stands for "not known"."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
