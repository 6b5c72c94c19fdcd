"""J2, J3, J4: a disk that refuses at the start, and names that a power cut must not take away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from journal_logs import delivered

from bulkmail.errors import DiskRefused, StoreError
from bulkmail.journal import CampaignLock, Log, LogName, lock
from bulkmail.journal.disk import Done, Work, attempt


def test_a_directory_that_is_made_is_on_disk_with_its_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J2: what is synced in it could else be gone with it."""
    synced: list[str] = []
    real = os.fsync

    def fsync(file: int) -> None:
        real(file)
        synced.append(os.readlink(f"/proc/self/fd/{file}"))

    monkeypatch.setattr(os, "fsync", fsync)
    with CampaignLock(path.parent / "deep" / "c.journal"):
        assert synced == [str(path.parent.parent), str(path.parent)]


def test_a_lock_that_cannot_be_written_is_told_and_not_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J3."""

    def pwrite(file: int, data: bytes, at: int) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", pwrite)
        with pytest.raises(DiskRefused, match="cannot be locked: the disk fails"):
            CampaignLock(path).acquire()
    with CampaignLock(path) as again:
        assert again.held


def test_who_has_just_taken_the_lock_is_waited_for_to_say_who_he_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J4."""
    with CampaignLock(path) as first:
        said = first.path.read_bytes()
        first.path.write_bytes(b"")
        monkeypatch.setattr(lock.time, "sleep", lambda _: first.path.write_bytes(said))
        with pytest.raises(StoreError, match=rf"pid {os.getpid()} on "):
            CampaignLock(path).acquire()


async def test_who_is_woken_when_something_later_has_failed_goes_no_further(name: LogName) -> None:
    """J3: what he said is on disk, and yet he must not send."""

    class Failing:
        works = 0

        def submit(self, work: Work, done: Done) -> None:
            self.works += 1
            done(attempt(work) if self.works == 1 else OSError(5, "Input/output error"))
            if self.works == 1:
                one.append([delivered(2)])
                one._write_next()

        def close(self) -> None:
            pass

    one = Log(name, disk=Failing())
    one.append([delivered(1)])
    with pytest.raises(StoreError, match="Input/output error"):
        await one.sync()
    one.close()
