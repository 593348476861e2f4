"""What scenes of shipped runbooks share; servers that take a while to start are started once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.redis import RedisServer
from tests.support.scenes.theatre import Theatre


@pytest.fixture
def theatre(redis_server: RedisServer, tmp_path: Path, quiet_log: None) -> Theatre:
    """A theatre without Sentinels and databases: what asks for them gets no answer."""
    return Theatre(redis_server, tmp_path)
