"""Every start and every reload of the configuration is in the trail, with who had it read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.configuration import Configuration, ConfigurationHolder, load
from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.model.audit import Note
from bridge.reloading import Reloader
from bridge.telemetry import Metrics
from tests.support.clock import FakeClock
from tests.support.installation import RESTART
from tests.support.memory_audit import MemoryAudit

pytestmark = pytest.mark.usefixtures("quiet_log")


class Site:
    """A configuration in a folder, and the process that has read it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "bridge.yml"
        runbooks = folder / "runbooks"
        runbooks.mkdir()
        (runbooks / "restart.yml").write_text(json.dumps(RESTART))
        self.write(WebDown="test/restart")
        self.audit = MemoryAudit(FakeClock())
        self.metrics = Metrics("test")
        self.taken: list[Configuration] = []
        self.reloader = Reloader(
            ConfigurationHolder(load(self.file), lambda: load(self.file)), self.metrics, self.audit, process="host-1"
        )
        self.reloader.take_ups.append(self.taken.append)

    def write(self, **alerts: Any) -> None:
        self.file.write_text(json.dumps({"alerts": alerts}))

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return [(one.note.what, one.note.who, one.note.why) for one in self.audit.notes if one.note]

    @property
    def texts(self) -> list[str]:
        return [one.note.text for one in self.audit.notes if one.note]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_a_start_says_with_what_it_starts(site: Site) -> None:
    await site.reloader.started("version 1: receiver, worker")
    assert site.said == [("start", "alertbridge", "version 1: receiver, worker")]
    assert site.texts == ["routes: 1, runbooks: 1, mode at most: observe"]
    assert site.audit.notes[0].note is not None
    assert site.audit.notes[0].note.about == "host-1"


async def test_whoever_asks_for_a_reload_is_named(site: Site) -> None:
    site.write(WebDown="test/restart", ShopDown="test/restart")
    assert await site.reloader.reload("olga") == (2, 1)
    assert site.said == [("reload", "olga", "")]
    assert site.texts == ["routes: 2, runbooks: 1, mode at most: observe"]
    assert len(site.taken) == 1


async def test_a_changed_file_and_a_signal_are_named_as_such(site: Site) -> None:
    await site.reloader.look()
    assert site.said == [], "nothing has changed"
    site.write(ShopDown="test/restart")
    await site.reloader.look()
    await site.reloader.quietly("SIGHUP")
    assert site.said == [("reload", "alertbridge", "its files have changed"), ("reload", "alertbridge", "SIGHUP")]


async def test_a_refused_one_is_told_with_what_was_wrong_and_changes_nothing(site: Site) -> None:
    """Fault 59."""
    site.write(WebDown="test/not-there")
    with pytest.raises(ConfigurationError):
        await site.reloader.reload("olga")
    await site.reloader.quietly("SIGHUP")
    assert [what for what, _, _ in site.said] == ["reload_refused", "reload_refused"]
    assert "test/not-there" in site.texts[0]
    assert site.taken == []


async def test_a_reload_that_cannot_be_recorded_is_made_all_the_same(site: Site) -> None:
    async def away(note: Note) -> None:
        raise StoreUnavailable("gone")

    site.audit.record = away  # type: ignore[method-assign]
    assert await site.reloader.reload("olga") == (1, 1)
    assert len(site.taken) == 1
