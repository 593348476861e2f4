"""The clock that deadlines are made with is the store's, whatever the host believes."""

from __future__ import annotations

import time

import pytest

from bridge.engine.clock import SystemClock
from bridge.errors import StoreUnavailable


@pytest.mark.parametrize("off", [3600.0, -3600.0])
async def test_a_host_whose_clock_is_an_hour_off_goes_by_the_stores(off: float) -> None:
    """Fault 19."""
    clock = SystemClock()

    async def told() -> float:
        return time.time() + off

    assert await clock.set_by(told) == pytest.approx(off, abs=1)
    assert clock.now() == pytest.approx(time.time() + off, abs=1)


async def test_a_store_that_is_away_leaves_the_clock_as_it_was() -> None:
    clock = SystemClock()

    async def away() -> float:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        await clock.set_by(away)
    assert clock.now() == pytest.approx(time.time(), abs=1)
