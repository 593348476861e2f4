"""What the disk keeps of the private Redis's files, and what is said when it doesn't."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import StoreUnavailable
from bridge.stores.sync import BOUND, REWRITE, Syncer


class Disk:
    """Files that Redis appends to, and what of them a power loss leaves. A byte stands for an alert."""

    def __init__(self, folder: Path, version: int) -> None:
        self.folder = folder
        self.version = version
        self.now = 100.0
        self.kept: dict[int, int] = {}
        """How many bytes, by inode."""
        self.lost: set[int] = set()
        """Inodes of which pages were dropped by a failed write: they are clean now, and never written."""
        self.fails = False
        self.takes = 0.0
        self.syncs = 0
        self.asked = 0
        self._number = itertools.count(1)
        (folder / "appendonlydir").mkdir(exist_ok=True)
        self.written: list[tuple[float, Path]] = []
        self.file = self._new()
        self.syncer = Syncer(folder, rewrite=self._ask, now=lambda: self.now, flush=self._flush)

    def _ask(self) -> None:
        self.asked += 1

    def _flush(self, descriptor: int) -> None:
        self.syncs += 1
        about = os.fstat(descriptor)
        self.now += self.takes
        if self.fails:
            self.lost.add(about.st_ino)
            raise OSError(errno.EIO, "Input/output error")
        if about.st_ino not in self.lost:
            self.kept[about.st_ino] = about.st_size

    def _new(self) -> Path:
        name = (
            f"appendonlydir/appendonly.aof.{next(self._number)}.incr.aof" if self.version == 7 else "appendonly.aof"
        )
        made = self.folder / "temp"
        made.touch()
        self.kept[made.stat().st_ino] = 0
        self.lost.discard(made.stat().st_ino)
        return made.rename(self.folder / name)

    def write(self) -> None:
        with self.file.open("ab") as stream:
            stream.write(b"x")
        self.written.append((self.now, self.file))

    def rewrite(self) -> None:
        """Everything so far is in a base that was synced; what is to come goes into a new file."""
        old, self.file = self.file, self._new()
        if old != self.file:
            old.unlink()
        self.written.clear()

    def at_risk(self) -> list[float]:
        """Return when that was written which a power loss would cost now."""
        kept = self.kept[self.file.stat().st_ino]
        return [at for at, _ in self.written[kept:]]

    def takes_alerts(self) -> bool:
        try:
            self.syncer.check()
        except StoreUnavailable:
            return False
        return True


@pytest.fixture(params=[6, 7])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return Disk(tmp_path, request.param)


def test_nothing_is_promised_before_the_first_sync(disk: Disk) -> None:
    """What an adopted Redis wrote last may not be kept: nobody synced since its owner died."""
    assert not disk.takes_alerts()
    disk.syncer.sync()
    assert disk.takes_alerts()


def test_two_seconds_behind_is_the_end_of_promises_until_a_sync_is_through(disk: Disk) -> None:
    disk.syncer.sync()
    disk.now += BOUND
    assert disk.takes_alerts()
    disk.now += 0.01
    with pytest.raises(StoreUnavailable, match=r"has kept nothing for 2\.0 s: a sync takes so long"):
        disk.syncer.check()
    disk.syncer.sync()
    assert disk.takes_alerts()


def test_a_sync_vouches_for_what_was_written_before_it_began(disk: Disk) -> None:
    disk.takes = BOUND + 0.5
    disk.write()
    disk.syncer.sync()
    assert not disk.takes_alerts(), "what was written while it ran is older than the bound by now"
    assert disk.syncer.figures().took == disk.takes
    assert disk.syncer.figures().behind == disk.takes


def test_what_did_not_change_is_not_synced_again(disk: Disk) -> None:
    disk.write()
    disk.syncer.sync()
    before = disk.syncs
    for _ in range(5):
        disk.now += 1.5
        disk.syncer.sync()
        assert disk.takes_alerts()
    assert disk.syncs == before
    disk.write()
    disk.syncer.sync()
    assert disk.syncs == before + 1


def test_a_file_that_the_disk_failed_to_keep_is_trusted_no_more_and_written_anew(disk: Disk) -> None:
    """Linux reports a failed write once; the next fdatasync of the same file succeeds, and has kept nothing."""
    disk.syncer.sync()
    disk.write()
    disk.fails = True
    disk.syncer.sync()
    disk.fails = False
    assert disk.asked == 1
    disk.now += BOUND + 0.1
    with pytest.raises(StoreUnavailable, match="Input/output error"):
        disk.syncer.check()
    disk.syncer.sync()
    assert not disk.takes_alerts()
    assert disk.asked == 1, "asked again at once"
    disk.now += REWRITE
    disk.syncer.sync()
    assert disk.asked == 2
    disk.rewrite()
    disk.syncer.sync()
    assert disk.takes_alerts()
    assert disk.syncer.figures().failures == 1


def test_a_data_directory_that_is_gone_is_a_failure_and_no_crash(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_folder: Path) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("bridge.stores.sync._files", gone)
    disk.syncer.sync()
    assert not disk.takes_alerts()
    assert disk.syncer.figures().failures == 1


OPS = st.lists(
    st.one_of(
        st.sampled_from(["write", "write", "sync", "fail", "rewrite"]),
        st.floats(0.05, 1.5).map(lambda seconds: f"wait {seconds}"),
        st.floats(0.0, 3.0).map(lambda seconds: f"takes {seconds}"),
    ),
    max_size=40,
)


@given(st.sampled_from([6, 7]), OPS)
def test_as_long_as_alerts_are_taken_no_more_than_two_seconds_of_them_are_at_risk(
    version: int, ops: list[str]
) -> None:
    """Fault 7, whatever the disk does, and Redis with its files."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder), version)
        for op in ops:
            word, _, value = op.partition(" ")
            if word == "wait":
                disk.now += float(value)
            elif word == "takes":
                disk.takes = float(value)
            elif word == "rewrite":
                disk.rewrite()
            elif word == "write":
                # An alert that would be refused is not written.
                if disk.takes_alerts():
                    disk.write()
            else:
                disk.fails = word == "fail"
                disk.syncer.sync()
            risk = disk.at_risk()
            assert not risk or max(risk) - min(risk) <= BOUND
            if disk.takes_alerts():
                assert not risk or disk.now - min(risk) <= BOUND
