"""J2: what a power cut may leave of a log, page by page, of which only what was synced is sure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from journal_logs import delivered, flat, read

from bulkmail.journal import Log, LogName, log, log_file
from bulkmail.journal.log_file import decode

PAGE = 4096


async def test_what_is_many_lines_reaches_the_disk_in_order(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J2: nothing whole stands behind what did not reach the disk."""
    monkeypatch.setattr(log_file, "AT_ONCE", 1)
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        synced.append(name.path(1).read_bytes().count(b"\n"))

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    one = Log(name)
    for number in (1, 2, 3):
        one.append([delivered(number)])
    await one.sync()
    one.close()
    assert (synced, one.writes) == ([1, 2, 3, 4], 1)  # the header is a line


async def test_whatever_pages_of_a_write_are_missing_after_a_power_cut_what_was_synced_is_read(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J2: of what was not synced, any page may have reached the disk and any not. None of it is damage."""
    monkeypatch.setattr(log_file, "AT_ONCE", 60)  # 1 to 3 pages a line, lines in the midst of pages
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 60_000)
    whole, real, found = {}, os.fdatasync, []

    def fdatasync(file: int) -> None:
        """The power goes here, in every way."""
        path = Path(os.readlink(f"/proc/self/fd/{file}"))
        before, now = whole.get(path, b""), path.read_bytes()
        pages = [at for at in range(0, len(now), PAGE) if now[at : at + PAGE] != before[at : at + PAGE]]
        end = len(now.rstrip(b"\0"))
        torn = [at for at in pages if at < end]  # behind are only NULs: there is no telling
        acknowledged = sum(
            len(flat(decode(line) or [])) for text in whole.values() for line in text.split(b"\n")
        )
        for lost in range(1 << len(torn)):
            cut = bytearray(now)
            for bit, at in enumerate(torn):
                if lost >> bit & 1:
                    page = before[at : at + PAGE]
                    cut[at : at + PAGE] = page + bytes(min(PAGE, len(now) - at) - len(page))
            path.write_bytes(cut)
            found.append(len(read(name)) - acknowledged)
        path.write_bytes(now)
        real(file)
        whole[path] = now

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    one = Log(name)
    for group in range(4):
        for number in range(1 + 1_000 * group, 300 + 1_000 * group):
            one.append([delivered(number)._replace(reply=f"queued as {number:050}")])
        await one.sync()
    one.close()
    assert (len(found) > 50, min(found)) == (True, 0)
