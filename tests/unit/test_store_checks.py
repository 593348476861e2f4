"""What the start-up checks say about a server, by what it tells of itself."""

from __future__ import annotations

import pytest

from bridge.errors import ConfigurationError
from bridge.stores import StoreOptions
from bridge.stores.checks import judge
from bridge.stores.connection import open_source

GOOD = {
    "redis_version": "7.0.15",
    "role": "master",
    "maxmemory_policy": "noeviction",
    "maxmemory": "0",
    "aof_enabled": "1",
    "connected_slaves": "0",
}
SETTINGS = {"save": "", "appendfsync": "everysec", "min-replicas-to-write": "0"}


def test_a_server_that_keeps_everything_is_silently_used() -> None:
    assert judge(GOOD, SETTINGS, StoreOptions()) == ([], [])


@pytest.mark.parametrize("version", ["6.0.16", "5.0.3", "3.2"])
def test_too_old_a_server_is_refused(version: str) -> None:
    with pytest.raises(ConfigurationError, match=r"6\.2 or later"):
        judge({**GOOD, "redis_version": version}, SETTINGS, StoreOptions(allow_unsafe=True))


def test_what_a_managed_service_hides_is_not_held_against_it() -> None:
    hidden = dict.fromkeys(SETTINGS)
    refusals, warnings = judge({**GOOD, "aof_enabled": "0"}, hidden, StoreOptions())
    assert refusals == []
    assert "may lose alerts" in warnings[0]


def test_sentinel_without_min_replicas_to_write_is_told_what_a_split_costs() -> None:
    """Fault 10."""
    _, warnings = judge(GOOD, SETTINGS, StoreOptions(mode="sentinel"))
    assert "min-replicas-to-write is 0" in warnings[0]


def test_more_replicas_demanded_than_there_are_is_told() -> None:
    _, warnings = judge(GOOD, SETTINGS, StoreOptions(min_replicas=2))
    assert "min_replicas is 2 and 0 are there" in warnings[0]


def test_failed_writes_to_disk_are_told() -> None:
    """Fault 16."""
    _, warnings = judge({**GOOD, "aof_last_write_status": "err"}, SETTINGS, StoreOptions())
    assert "aof_last_write_status is err" in warnings[0]


def test_a_disk_that_was_too_slow_for_everysec_is_told_and_one_that_keeps_up_is_not() -> None:
    """Fault 6: what Redis has answered it holds back while a sync is under way, for 2 s at most."""
    slow = {**GOOD, "aof_delayed_fsync": "3"}
    _, warnings = judge(slow, SETTINGS, StoreOptions())
    assert "up to 2 s of alerts that were answered 200 are lost" in warnings[0]
    for info, fsync in (({**GOOD, "aof_delayed_fsync": "0"}, "everysec"), (slow, "always"), (slow, None)):
        assert judge(info, {**SETTINGS, "appendfsync": fsync}, StoreOptions()) == ([], [])


def test_a_wrong_url_is_named_without_its_secret() -> None:
    with pytest.raises(ConfigurationError) as refused:
        open_source(StoreOptions(mode="url", url="http://user:secret@redis:6379"), "key", size=1)
    assert "http://redis:6379" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_file_that_is_not_there_is_named() -> None:
    options = StoreOptions(mode="url", url="redis://redis", password_file="/nowhere/password")
    with pytest.raises(ConfigurationError, match="/nowhere/password"):
        open_source(options, "key", size=1)
