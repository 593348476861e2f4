"""Workers of a bench that die: at any point that a run passes."""

from __future__ import annotations

from tests.support.bench import Bench


class Killed(BaseException):
    """A process that is gone: nothing of it runs any more."""


def kill(bench: Bench, at: int, only: str = "") -> None:
    """Kill the run at the n-th point that it passes (of those called `only`), and no other run after it."""
    count = 0

    async def point(name: str) -> None:
        nonlocal count
        count += name.startswith(only)
        if count == at and name.startswith(only):
            raise Killed(name)

    bench.work.point = bench.cluster.point = point
