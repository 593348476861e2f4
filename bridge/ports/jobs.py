"""What has to be done from time to time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec


class Job(msgspec.Struct, frozen=True):
    """`work` runs `every` seconds, counted from the end of the last run; bridge.engine.periodic runs it."""

    name: str
    every: float
    work: Callable[[], Awaitable[object]]
