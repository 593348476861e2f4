"""The disk under the private Redis is slow, or the power fails: killed and cut for real, in the midst of it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import StoreUnavailable
from bridge.model.intake import Seen
from bridge.stores import Link, StoreOptions, Stores, connect, open_stores
from bridge.stores.embedded import EmbeddedRedis
from tests.support.alerts import firing, transitions
from tests.support.processes import until
from tests.support.receiver import SENDER, served
from tests.support.redis import server_program
from tests.support.webhooks import alert, body

_CHILD = """
import asyncio, sys, time
from bridge.errors import StoreUnavailable
from bridge.stores import StoreOptions, open_stores
from tests.support.alerts import firing
async def main():
    stores = await open_stores(StoreOptions(data_dir=sys.argv[1], redis_server=sys.argv[2]))
    number = 0
    while True:
        number += 1
        try:
            await stores.intake.accept([firing(pod=f"{sys.argv[3]}{number}")])
        except StoreUnavailable:
            print("refused", number, time.monotonic(), flush=True)
        else:
            print("answered", f"{sys.argv[3]}{number}", time.monotonic(), flush=True)
        await asyncio.sleep(0.003)
asyncio.run(main())
"""
SLACK = 0.5
"""Seconds that may pass in the child between an answer and its time being noted."""


class Machine:
    """One process with its private Redis, on a disk that notes what it was made to keep."""

    def __init__(self, folder: Path, which: str, noting: Path) -> None:
        self.data = folder / "data"
        self.options = StoreOptions(data_dir=str(self.data), redis_server=server_program(which))
        self._noting = noting
        self._log = folder / "synced.log"
        self._slow = folder / "slow"
        self._said = folder / "said"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self, prefix: str = "") -> None:
        """Let a process take alerts until it is killed."""
        noted = {"LD_PRELOAD": str(self._noting), "SYNCED_LOG": str(self._log), "SYNCED_SLOW": str(self._slow)}
        with self._said.open("ab") as said:
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(self.data), self.options.redis_server, prefix],
                env={**os.environ, **noted},
                stdout=said,
                start_new_session=True,
            )

    def slow_down(self, milliseconds: int) -> None:
        """Let each sync take so much longer from now on."""
        self._slow.write_text(str(milliseconds))

    def said(self, word: str) -> dict[str, float]:
        """Return what was answered or refused, and when."""
        # The log is there as well, and the last line may have been cut by a kill.
        lines = self._said.read_text().split("\n")[:-1] if self._said.exists() else []
        return {name: float(at) for line in lines if line.startswith(f"{word} ") for _, name, at in [line.split()]}

    async def answers(self, prefix: str = "", *, more_than: int = 0) -> None:
        async def done() -> bool:
            return sum(name.startswith(prefix) for name in self.said("answered")) > more_than

        await until(done, seconds=30, what="answered alerts")

    async def has_synced(self) -> bool:
        return max(int(line.split()[1]) for line in self._log.read_text().splitlines() if ".aof" in line) > 10_000

    def kill_process(self) -> None:
        assert self._child is not None
        self._child.kill()
        self._child.wait()

    def kill_redis(self) -> None:
        """Kill it, and let nobody start it again."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGSTOP)
        pid = int((self.data / "redis.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}/cwd").exists() and Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z":
            time.sleep(0.005)

    def rewrite(self) -> None:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.data / "redis.sock"))
            stream.sendall(b"BGREWRITEAOF\r\n")
            assert stream.recv(100).startswith(b"+")

    def pull_the_plug(self) -> None:
        """Kill everything, and leave of each file what the disk was made to keep."""
        self.kill_redis()
        self.kill_process()
        kept: dict[int, int] = {}
        for line in self._log.read_text().splitlines():
            _, size, inode, _ = line.split(" ", 3)
            kept[int(inode)] = int(size)
        for file in (*self.data.glob("appendonlydir/*"), *self.data.glob("*.aof")):
            os.truncate(file, kept.get(file.stat().st_ino, 0))

    async def kept(self) -> set[str]:
        """Return what the next start finds."""
        stores = await open_stores(self.options)
        try:
            return {found.alert.labels["pod"] for found in await transitions(stores)}
        finally:
            await stores.close()

    async def lost_and_kept(self) -> tuple[list[float], list[float]]:
        """Return when what was answered and is gone was answered, and when what is there."""
        kept = await self.kept()
        answered = self.said("answered")
        return (
            [at for name, at in answered.items() if name not in kept],
            [at for name, at in answered.items() if name in kept],
        )

    def end(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self.kill_process()
        file = self.data / "redis.pid"
        if file.exists() and Path(f"/proc/{file.read_text().strip()}/cwd").resolve() == self.data:
            self.kill_redis()


@pytest.fixture(params=["system", "wheel"])
def machine(request: pytest.FixtureRequest, tmp_path: Path, noting: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path, request.param, noting)
    yield machine
    machine.end()


async def test_a_redis_that_is_killed_while_its_slow_disk_syncs_loses_nothing_that_was_answered(
    machine: Machine,
) -> None:
    """Fault 6: what is answered is with the kernel, although the disk is more than a second behind."""
    machine.start()
    await machine.answers(more_than=50)
    machine.slow_down(1500)
    # Longer than it takes until the next sync begins, and shorter than until that one ends.
    await asyncio.sleep(1.3)
    machine.kill_redis()
    machine.kill_process()
    machine.slow_down(0)
    assert machine.said("answered").keys() <= await machine.kept()


async def test_a_power_loss_costs_the_private_redis_two_seconds_of_alerts_at_most(machine: Machine) -> None:
    """Fault 7: where a sync takes longer than that, alerts are refused until it is through."""
    machine.start()
    await machine.answers(more_than=50)
    await until(machine.has_synced, what="a sync of what was answered")
    machine.slow_down(20_000)

    async def refused() -> bool:
        return len(machine.said("refused")) > 10

    await until(refused, seconds=20, what="503 while the disk is behind")
    machine.pull_the_plug()
    machine.slow_down(0)
    lost, kept = await machine.lost_and_kept()
    assert 1.0 - SLACK < max(lost) - min(lost) <= 2.0 + SLACK
    assert max(kept) < min(lost), "a gap"


async def test_a_power_loss_while_redis_writes_its_files_anew_costs_no_more(machine: Machine) -> None:
    """Fault 7: what went into the files before and after is kept alike."""
    machine.start()
    await machine.answers(more_than=50)
    machine.rewrite()
    await asyncio.sleep(1.3)
    machine.rewrite()
    await machine.answers(more_than=len(machine.said("answered")) + 20)
    machine.pull_the_plug()
    lost, kept = await machine.lost_and_kept()
    assert not lost or max(lost) - min(lost) <= 2.0 + SLACK
    assert max(kept) < min(lost, default=max(kept) + 1.0), "a gap"


async def test_who_adopts_a_redis_syncs_what_its_dead_owner_did_not(machine: Machine) -> None:
    """Faults 2 and 7: a process dies alone, another one goes on, and then the power fails."""
    machine.start("first")
    await machine.answers(more_than=50)
    machine.kill_process()
    machine.start("second")
    await machine.answers("second")
    machine.pull_the_plug()
    kept = await machine.kept()
    assert {name for name in machine.said("answered") if name.startswith("first")} <= kept


async def test_a_clean_stop_leaves_nothing_to_be_lost(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 7, after a shutdown: the last sync has everything."""
    sizes: dict[int, int] = {}

    def noted(descriptor: int) -> None:
        about = os.fstat(descriptor)
        sizes[about.st_ino] = about.st_size

    redis = await EmbeddedRedis.start(machine.options)
    assert redis.syncer is not None
    monkeypatch.setattr(redis.syncer, "_flush", noted)
    stores = store_of(redis)
    await stores.intake.accept([firing()])
    await stores.close()
    for file in (*machine.data.glob("appendonlydir/*.incr.aof"), *machine.data.glob("*.aof")):
        assert sizes[file.stat().st_ino] == file.stat().st_size


async def test_a_disk_that_fails_to_sync_is_told_and_its_file_is_written_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults 7 and 16: 503 and not ready: a later sync of the same file would succeed, and have kept nothing."""
    redis = await EmbeddedRedis.start(machine.options)
    syncer = redis.syncer
    assert syncer is not None
    stores = store_of(redis)
    flush, rewrite = syncer._flush, syncer._rewrite
    failed: list[int] = []

    def fails_once(descriptor: int) -> None:
        if not failed:
            failed.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")
        flush(descriptor)

    # It is written anew when the test has seen what is told meanwhile.
    asked = threading.Event()
    monkeypatch.setattr(syncer, "_rewrite", asked.set)
    try:
        monkeypatch.setattr(syncer, "_flush", fails_once)
        assert await stores.intake.accept([firing(pod="before")]) == [Seen.NEW]

        said = []

        async def ready() -> bool:
            try:
                await stores.health.ping()
            except StoreUnavailable as error:
                said.append(str(error))
                return False
            return True

        async def unready() -> bool:
            return not await ready()

        await until(unready, seconds=20)
        assert "Input/output error" in said[0]
        assert asked.is_set()
        async with served(SENDER, stores=stores) as receiver:
            assert (await receiver.post(body(alert(1)))).status == 503
        with pytest.raises(StoreUnavailable):
            await stores.intake.accept([firing(pod="meanwhile")])
        await asyncio.to_thread(rewrite)
        await until(ready, seconds=20, what="recovery without a restart")
        assert await stores.intake.accept([firing(pod="after")]) == [Seen.NEW]
        assert stores.synced is not None
        assert stores.synced().failures == 1
    finally:
        await stores.close()


def store_of(redis: EmbeddedRedis) -> Stores:
    """Return stores over it, without the checks of a start."""
    return connect(Link(StoreOptions(mode="url", url=redis.url)), embedded=redis)
