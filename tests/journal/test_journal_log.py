"""The log alone: shared syncs, whole lines, nothing after a failure; and reading what is left of one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from journal_plans import HeldDisk
from trio.testing import wait_all_tasks_blocked

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, Log, LogName, Mark, Record, log, log_file
from bulkmail.journal.log_file import decode, encode_all, segments
from bulkmail.journal.records import Entry
from bulkmail.journal.tail import Tail

IDENTITY = "0123456789abcdef"


@pytest.fixture
def name(tmp_path: Path) -> LogName:
    return LogName(tmp_path / "c.journal", IDENTITY, 0, 1)


def delivered(number: int) -> Record:
    return Record(number, number, "delivered", 1.0, 250, "2.0.0", "ok")


def flat(entries: Iterable[Entry]) -> list[object]:
    """What is said, in order: closed keys, records, intents."""
    return [one for records, intents, closed in entries for one in (*closed, *records, *intents)]


def read(name: LogName, *, rest: bool = True, mark: Mark | None = None) -> list[object]:
    tail = Tail(name.journal, name.identity, mark or Mark(name.log, name.segment, 0))
    found = [one for entries, _ in (tail.read_rest() if rest else tail.read()) for one in flat(entries)]
    tail.close()
    return found


async def written(name: LogName, *groups: Sequence[Record]) -> Path:
    """A log with a line for each group; the path of its first segment."""
    one = Log(name)
    for records in groups:
        one.append(records)
        await one.sync()
    one.close()
    return name.path(name.segment)


# --- writing ------------------------------------------------------------------------------------------


async def test_callers_share_the_sync_that_is_next(name: LogName, autojump_clock: object) -> None:
    disk = HeldDisk()
    one = Log(name, disk=disk)

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        await one.sync()

    async with trio.open_nursery() as callers:
        callers.start_soon(caller, 1)
        await wait_all_tasks_blocked()
        for number in range(2, 21):  # while the disk is busy with the first
            callers.start_soon(caller, number)
        await wait_all_tasks_blocked()
        disk.let(2)
    one.close()
    assert (one.writes, len(read(name))) == (2, 20)


async def test_callers_of_one_moment_share_one_sync(name: LogName) -> None:
    one = Log(name)

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        await one.sync()

    async with trio.open_nursery() as callers:
        for number in range(1, 51):
            callers.start_soon(caller, number)
    one.close()
    assert (one.writes, len(read(name))) == (1, 50)


async def test_what_is_synced_can_be_read_and_marks_say_where(name: LogName) -> None:
    one = Log(name)
    one.append([delivered(1)])
    first = await one.sync()
    one.append([delivered(2)], [Intent(7, ((3, 4),), "mx.a.test", "192.0.2.1", 1.5)], [6])
    second = await one.sync()
    found = read(name, mark=first)
    assert (found, read(name, mark=second)) == (
        [6, delivered(2), Intent(7, ((3, 4),), "mx.a.test", "192.0.2.1", 1.5)],
        [],
    )
    one.close()


async def test_a_cancelled_caller_takes_nothing_back_and_holds_nobody_up(
    name: LogName, autojump_clock: object
) -> None:
    disk = HeldDisk()
    one = Log(name, disk=disk)
    one.append([delivered(1)])
    with trio.move_on_after(1) as first:
        await one.sync()
    one.append([delivered(2)])
    with trio.move_on_after(1) as second:
        await one.sync()
    one.append([delivered(3)])
    async with trio.open_nursery() as callers:
        callers.start_soon(one.sync)
        await wait_all_tasks_blocked()
        disk.let(2)
    assert (first.cancelled_caught, second.cancelled_caught) == (True, True)
    assert read(name) == [delivered(1), delivered(2), delivered(3)]
    one.close()


@pytest.mark.parametrize("seed", range(20))
async def test_whenever_callers_are_cancelled_nothing_is_lost_and_nobody_hangs(
    name: LogName, seed: int
) -> None:
    """Real threads; each caller is cancelled at some point of the way, or not."""
    one = Log(name)

    async def caller(number: int) -> None:
        with trio.CancelScope() as scope:
            for _ in range((number * seed) % 4):
                await trio.lowlevel.cancel_shielded_checkpoint()
            one.append([delivered(number)])
            if (number * 7 + seed) % 3 == 0:
                scope.cancel()
            if (number * 5 + seed) % 4 == 0:
                callers.start_soon(cancel_soon, scope, (number + seed) % 6)
            await one.sync()

    async def cancel_soon(scope: trio.CancelScope, rounds: int) -> None:
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with trio.open_nursery() as callers:
        for number in range(1, 31):
            callers.start_soon(caller, number)
    one.close()
    assert {record.first for record in read(name)} == set(range(1, 31))  # type: ignore[attr-defined]


async def test_what_was_appended_is_written_when_it_is_closed(name: LogName) -> None:
    one = Log(name)
    one.append([delivered(1)])
    one.close()
    one.close()
    assert read(name) == [delivered(1)]


async def test_without_anything_to_say_there_is_no_file(name: LogName) -> None:
    one = Log(name)
    await one.sync()
    one.close()
    assert segments(name.journal) == {}


async def test_nobody_can_write_where_somebody_writes(name: LogName) -> None:
    await written(name, [delivered(1)])
    one = Log(name)
    one.append([delivered(2)])
    with pytest.raises(StoreError, match=r"c\.journal\.0\.1\.log: cannot be written: File exists"):
        await one.sync()
    one.close()
    assert read(name) == [delivered(1)]


@pytest.mark.parametrize(
    ("instead", "told"), [("/dev/full", "the disk is full. Make room"), ("pipe", "cannot be written")]
)
async def test_a_disk_that_refuses_is_told_and_stops_everything(
    name: LogName, instead: str, told: str
) -> None:
    """J3: one that is full, and one that takes what is written and cannot sync it."""
    one = Log(name)
    one.append([delivered(1)])
    await one.sync()
    assert one._file is not None
    ends = os.pipe() if instead == "pipe" else (os.open(instead, os.O_WRONLY),)
    os.dup2(ends[-1], one._file)
    one.append([delivered(2)])
    with pytest.raises(StoreError, match=told):
        await one.sync()
    with pytest.raises(StoreError, match=told):
        one.append([delivered(3)])
    with pytest.raises(StoreError, match=told):
        await one.sync()
    one.close()
    for end in ends:
        os.close(end)
    assert read(name) == [delivered(1)]


async def test_all_who_wait_are_told_of_a_failure(name: LogName, autojump_clock: object) -> None:
    """J3."""
    name.path(1).write_text("somebody's")
    disk, failed = HeldDisk(), []
    one = Log(name, disk=disk)

    async def caller(number: int) -> None:
        one.append([delivered(number)])
        try:
            await one.sync()
        except StoreError:
            failed.append(number)

    async with trio.open_nursery() as callers:
        callers.start_soon(caller, 1)
        await wait_all_tasks_blocked()
        callers.start_soon(caller, 2)
        await wait_all_tasks_blocked()
        disk.let()
    one.close()
    assert sorted(failed) == [1, 2]


async def test_a_full_segment_is_followed_by_the_next(name: LogName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 300)
    await written(name, *([delivered(number)] for number in range(1, 11)))
    assert len(segments(name.journal)[0]) > 2
    assert read(name) == [delivered(number) for number in range(1, 11)]


async def test_a_reader_beside_the_writer_sees_every_segment_once(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 300)
    one, tail = Log(name), Tail(name.journal, name.identity, Mark(0, 1, 0))
    found: list[object] = []
    for number in range(1, 31):
        one.append([delivered(number)])
        await one.sync()
        if number % 3 == 0:
            found += [said for entries, _ in tail.read() for said in flat(entries)]
    one.close()
    tail.close()
    assert found == [delivered(number) for number in range(1, 31)]


# --- what is written ----------------------------------------------------------------------------------

number = st.integers(1, 1 << 40)
text = st.text(max_size=20)
at = st.floats(0, 4e9)
records = st.builds(
    Record, number, number, text, at, st.none() | st.integers(200, 599), st.none() | text, text, text, text,
    text, text, text, st.none() | at, st.booleans(),
)  # fmt: skip
intents = st.builds(
    Intent, number, st.lists(st.tuples(number, number), max_size=3).map(tuple), text, text, at
)
said = st.lists(
    st.tuples(st.lists(records, max_size=3), st.lists(intents, max_size=2), st.lists(number, max_size=2)),
    min_size=1, max_size=5,
)  # fmt: skip


@given(said)
def test_what_is_read_amounts_to_what_was_written(entries: list[Entry]) -> None:
    lines = encode_all(entries).splitlines()
    assert amount(one for line in lines for one in decode(line) or []) == amount(entries)


def amount(entries: Iterable[Entry]) -> tuple[list[int], list[Record], list[tuple[Intent, int, int]]]:
    """Which intents are closed, what is recorded, and how much of both stands before each intent."""
    closed: list[int] = []
    recorded: list[Record] = []
    opened: list[tuple[Intent, int, int]] = []
    for records, intents, ended in entries:
        closed += ended
        recorded += records
        opened += [(intent, len(closed), len(recorded)) for intent in intents]
    return closed, recorded, opened


def test_no_line_is_longer_than_a_reader_wants_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_file, "AT_ONCE", 10)
    entries: list[Entry] = [([delivered(n)], (), ()) for n in range(1, 26)]
    lines = encode_all(entries).splitlines()
    assert [len(flat(decode(line) or [])) for line in lines] == [10, 10, 5]
    assert flat(one for line in lines for one in decode(line) or []) == flat(entries)


# --- what is left -------------------------------------------------------------------------------------


async def test_wherever_a_write_was_cut_all_lines_before_are_read(name: LogName) -> None:
    """J2: a torn write was never acknowledged."""
    path = await written(name, *([delivered(number)] for number in (1, 2, 3)))
    whole = path.read_bytes()
    ends = [n + 1 for n, octet in enumerate(whole) if octet == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        lines = max(0, sum(end <= cut for end in ends) - 1)  # the first is the header
        assert read(name) == [delivered(n) for n in range(1, lines + 1)]


async def test_a_page_of_the_last_write_that_did_not_reach_the_disk_is_a_torn_write(name: LogName) -> None:
    """J2: its pages are written in any order."""
    path = await written(name, [delivered(1)], [delivered(2)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30] + bytes(20) + whole[-10:])
    assert read(name) == [delivered(1)]


@pytest.mark.parametrize("rest", [True, False])
async def test_damage_before_what_was_synced_is_refused_with_what_to_do(name: LogName, rest: bool) -> None:
    """J6."""
    path = await written(name, [delivered(1)], [delivered(2)], [delivered(3)])
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b"delivered", b"deferred.")
    path.write_bytes(b"\n".join(lines))
    if rest:
        with pytest.raises(StoreError, match=r"is damaged at octet \d+\. Do not delete it"):
            read(name)
    else:
        assert read(name, rest=False) == [delivered(1)]


async def test_a_damaged_segment_before_another_is_refused(
    name: LogName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J6."""
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 100)
    path = await written(name, [delivered(1)], [delivered(2)], [delivered(3)])
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="is damaged at octet"):
        read(name, rest=False)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (f"bulkmail log 2 {IDENTITY} 0 1", r"newer bulkmail \(format 2, this one knows 1\)"),
        ("bulkmail log 1 fedcba9876543210 0 1", "is the log of another journal"),
        (f"bulkmail log 1 {IDENTITY} 0 2", "is the log of another journal"),
        ("Nov 22 03:00:00 host daemon: hello", "is not a log of bulkmail"),
    ],
)
async def test_what_is_not_our_log_is_refused(name: LogName, header: str, told: str) -> None:
    """J6."""
    name.path(1).write_text(header + "\n")
    with pytest.raises(StoreError, match=told):
        read(name)
