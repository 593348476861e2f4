"""Fixtures for every kind of test. Helpers that are not fixtures live in tests/support."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Processes


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Start real programs with it; they are ended with the test, however it ends."""
    running = Processes(tmp_path)
    try:
        yield running
    finally:
        running.close()
