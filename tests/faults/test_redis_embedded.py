"""The private Redis: one owner, adopted after a kill, never silently empty."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.errors import ConfigurationError, StoreUnavailable
from bridge.model.intake import Seen
from bridge.stores import StoreOptions, Stores, open_stores
from bridge.stores.embedded import EmbeddedRedis
from bridge.stores.server_program import find_server
from tests.support.alerts import firing, transitions
from tests.support.processes import until
from tests.support.redis import server_program


@pytest.fixture(params=["system", "wheel"])
async def options(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StoreOptions]:
    yield StoreOptions(data_dir=str(tmp_path / "data"), redis_server=server_program(request.param))
    end_all(tmp_path)


def end_all(folder: Path) -> None:
    """End servers that a failed test left behind."""
    for file in folder.glob("data*/redis.pid"):
        pid = int(file.read_text())
        if alive(pid) and Path(f"/proc/{pid}/cwd").resolve() == file.parent:
            os.kill(pid, signal.SIGKILL)


async def stored(options: StoreOptions, count: int = 20) -> None:
    """Store alerts and shut down cleanly."""
    stores = await open_stores(options)
    for nr in range(count):
        await stores.intake.accept([firing(pod=str(nr))])
    await stores.close()


async def pods(stores: Stores) -> list[str]:
    return [t.alert.labels["pod"] for t in await transitions(stores)]


def append_file(options: StoreOptions) -> Path:
    (file,) = [*Path(options.data_dir).glob("appendonlydir/*.incr.aof"), *Path(options.data_dir).glob("*.aof")]
    return file


async def test_clean_stop_and_start_keep_everything(options: StoreOptions) -> None:
    await stored(options)
    stores = await open_stores(options)
    assert len(await pods(stores)) == 20
    await stores.close()


def alive(pid: int) -> bool:
    """Whether it runs; one that only waits to be reaped (state Z, proc(5)) does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_second_start_in_the_same_data_directory_is_refused(options: StoreOptions) -> None:
    stores = await open_stores(options)
    with pytest.raises(ConfigurationError, match=f"in use by another alertbridge \\(pid {os.getpid()}\\)"):
        await open_stores(options)
    await stores.health.ping()
    await stores.close()


_CHILD = """
import asyncio, os, sys
from bridge.stores import StoreOptions, open_stores
from tests.support.alerts import firing
async def main():
    stores = await open_stores(StoreOptions(data_dir=sys.argv[1], redis_server=sys.argv[2]))
    await stores.intake.accept([firing(pod="before")])
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""


async def test_start_after_a_kill_adopts_the_redis_that_still_runs(options: StoreOptions) -> None:
    """Fault 2, for the embedded Redis: what was answered is there, and the process is the same."""
    child = [sys.executable, "-c", _CHILD, options.data_dir, options.redis_server]
    assert (await asyncio.to_thread(subprocess.run, child, timeout=30)).returncode == -signal.SIGKILL
    pid = int((Path(options.data_dir) / "redis.pid").read_text())
    assert alive(pid)
    redis = await EmbeddedRedis.start(options)
    assert (redis.adopted, redis.pid) == (True, pid)
    await redis.stop()
    assert not alive(pid)
    stores = await open_stores(options)
    assert await pods(stores) == ["before"]
    await stores.close()


async def test_pid_file_of_a_redis_that_is_gone_is_no_redis(options: StoreOptions) -> None:
    await stored(options, 1)
    (Path(options.data_dir) / "redis.pid").write_text(str(os.getpid()))
    stores = await open_stores(options)
    assert await pods(stores) == ["0"]
    await stores.close()


async def test_killed_redis_loses_nothing(options: StoreOptions) -> None:
    """Fault 6, embedded."""
    redis = await EmbeddedRedis.start(options)
    os.kill(redis.pid, signal.SIGKILL)
    await redis.stop()
    await stored(options)
    stores = await open_stores(options)
    assert len(await pods(stores)) == 20
    await stores.close()


async def test_a_redis_that_dies_beside_us_is_started_again_with_everything(options: StoreOptions) -> None:
    """Fault 6, embedded: alerts are refused meanwhile, and taken again without anybody's doing."""
    stores = await open_stores(options)
    assert await stores.intake.accept([firing(pod="before")]) == [Seen.NEW]
    pid_file = Path(options.data_dir) / "redis.pid"
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGKILL)

    async def taken() -> bool:
        try:
            return await stores.intake.accept([firing(pod="after")]) != []
        except StoreUnavailable:
            return False

    await until(taken, seconds=20)
    assert int(pid_file.read_text()) != pid
    assert await pods(stores) == ["before", "after"]
    await stores.close()


async def test_append_file_cut_in_its_last_command_is_loaded(options: StoreOptions) -> None:
    """Fault 7: the tail that a power loss leaves. What is lost is lost whole, and taken when it comes again."""
    await stored(options)
    file = append_file(options)
    os.truncate(file, file.stat().st_size - 7)
    stores = await open_stores(options)
    assert await pods(stores) == [str(nr) for nr in range(19)]
    seen = await stores.intake.accept([firing(pod="18"), firing(pod="19")])
    assert seen == [Seen.DUPLICATE, Seen.NEW]
    await stores.close()


@pytest.mark.parametrize("damage", ["length", "garbage"])
async def test_append_file_damaged_in_its_midst_refuses_to_start(options: StoreOptions, damage: str) -> None:
    """Fault 8: a clear error, never silently empty, and the file is left as it was."""
    await stored(options)
    file = append_file(options)
    data = file.read_bytes()
    places = [match.start(1) for match in re.finditer(rb"\r\n\$(\d+)\r\n", data)]
    at = places[len(places) // 2]
    # A length that is too great makes Redis read on to the end, as if the file were cut there.
    damaged = data[:at] + (b"99999999" if damage == "length" else b"\x00\xff\x00\xff") + data[at + 2 :]
    file.write_bytes(damaged)
    with pytest.raises(ConfigurationError, match="damaged and nothing was changed"):
        await open_stores(options)
    assert file.read_bytes() == damaged
    with pytest.raises(ConfigurationError, match="damaged"):
        await open_stores(options)


async def test_append_file_that_is_gone_refuses_to_start(options: StoreOptions) -> None:
    """Fault 8: never silently empty."""
    await stored(options, 1)
    append_file(options).unlink()
    shutil.rmtree(Path(options.data_dir, "appendonlydir"), ignore_errors=True)
    with pytest.raises(ConfigurationError, match="is gone"):
        await open_stores(options)


async def test_data_of_redis_7_are_not_overlooked_by_an_older_one(tmp_path: Path) -> None:
    """Fault 8: 6.2 looks elsewhere for its file and would begin empty."""
    options = StoreOptions(data_dir=str(tmp_path), redis_server=server_program("system"))
    if find_server(options.redis_server)[1] < (7, 0):
        pytest.skip("no Redis 7 here")
    await stored(options, 1)
    with pytest.raises(ConfigurationError, match="come from Redis 7"):
        await open_stores(StoreOptions(data_dir=str(tmp_path), redis_server=server_program("wheel")))


async def test_data_directory_with_a_long_name_works(options: StoreOptions, tmp_path: Path) -> None:
    """A unix socket's path has 108 bytes at most."""
    deep = tmp_path / ("data" + "x" * 120)
    stores = await open_stores(StoreOptions(data_dir=str(deep), redis_server=options.redis_server))
    assert await stores.intake.accept([firing()]) == [Seen.NEW]
    await stores.close()


async def test_without_any_redis_the_command_that_installs_one_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bridge.stores.server_program._on_path", lambda: None)
    monkeypatch.setattr("bridge.stores.server_program.in_wheel", lambda: None)
    with pytest.raises(ConfigurationError, match=r"no redis-server was found; install it with: .*redis"):
        await open_stores(StoreOptions(data_dir=str(tmp_path)))


async def test_program_that_is_no_redis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"is no redis-server of 6\.2 or later"):
        await open_stores(StoreOptions(data_dir=str(tmp_path), redis_server="/bin/true"))
