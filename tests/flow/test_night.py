"""A night in ten minutes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.night.night import open_night
from tests.support.night.script import the_night

pytestmark = pytest.mark.usefixtures("quiet_log")


async def test_a_night(tmp_path: Path) -> None:
    assert len(the_night()) == 60
    began = time.monotonic()
    async with open_night(tmp_path, the_night()) as night:
        try:
            await night.run()
        finally:
            print(night.told())
            print(time.monotonic() - began)
            print(night.channels.counts(), night.monitoring.sent, list(night.world.temporary()))
