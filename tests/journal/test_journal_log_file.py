"""What stands in a log, and what is read where its end was cut off or its middle damaged."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_logs import IDENTITY, delivered, flat, read, written

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, LogName, Record, log, log_file
from bulkmail.journal.log_file import decode, encode_lines
from bulkmail.journal.records import Entry

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
    lines = [line.removesuffix(b"\n") for line in encode_lines(entries)]
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
    lines = [line.removesuffix(b"\n") for line in encode_lines(entries)]
    assert [len(flat(decode(line) or [])) for line in lines] == [10, 10, 5]
    assert flat(one for line in lines for one in decode(line) or []) == flat(entries)


FORMAT_1 = b"""bulkmail log 1 0123456789abcdef 0 1
%s [[["end_of_data","mx.a.test","192.0.2.1","","TLSv1.3"],["mx.a.test","192.0.2.1"]],""" + (
    b"""7,[1,2,"delivered",1.5,250,"2.0.0","ok",0,null,true],[3,3,"deferred",1.5,451,null,"later",0,9.0,false],"""
    b"""[8,[[4,5],[7,7]],1,2.5]]
"""
)


def test_what_the_first_format_said_is_read(name: LogName) -> None:
    header, line = FORMAT_1.splitlines(keepends=True)
    name.path(1).write_bytes(header + line % b"%08x" % crc32(line[3:-1]))
    where = ("end_of_data", "mx.a.test", "192.0.2.1", "", "TLSv1.3")
    assert read(name) == [
        7,
        Record(1, 2, "delivered", 1.5, 250, "2.0.0", "ok", *where),
        Record(3, 3, "deferred", 1.5, 451, None, "later", *where, due=9.0, attempted=False),
        Intent(8, ((4, 5), (7, 7)), "mx.a.test", "192.0.2.1", 2.5),
    ]


def test_what_neighbours_have_in_common_is_written_once() -> None:
    intents = [Intent(n, ((n, n),), "mx.a.test", "192.0.2.1", 1.5) for n in (1, 2)]
    [line] = encode_lines([([delivered(1), delivered(2)], intents, [8, 9])])
    assert line[9:] == (
        b'[[["","","","",""],["mx.a.test","192.0.2.1"]],8,9,'
        b'["delivered",1.0,250,"2.0.0",0,null,true,[1,1,"ok",2,2,"ok"]],[1,1.5,[1,1,1,2,2,2]]]\n'
    )


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


@pytest.mark.parametrize("behind", [1, 5000])
async def test_what_was_reserved_and_not_written_is_the_end(name: LogName, behind: int) -> None:
    """J1: the process was killed; J2: or the power went while a line was written."""
    path = await written(name, [delivered(1)], [delivered(2)])
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(behind))
    killed = read(name), read(name, rest=False)
    path.write_bytes(whole[:-30] + bytes(30 + behind))
    assert (killed, read(name)) == (([delivered(1), delivered(2)],) * 2, [delivered(1)])


async def test_something_whole_behind_what_was_reserved_is_damage(name: LogName) -> None:
    """J6."""
    path = await written(name, [delivered(1)], [delivered(2)])
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(9) + b"\n" + whole.splitlines()[-1] + b"\n")
    with pytest.raises(StoreError, match="is damaged at octet"):
        read(name)


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
        (f"bulkmail log 3 {IDENTITY} 0 1", r"newer bulkmail \(format 3, this one knows 2\)"),
        ("bulkmail log 2 fedcba9876543210 0 1", "is the log of another journal"),
        (f"bulkmail log 2 {IDENTITY} 0 2", "is the log of another journal"),
        ("Nov 22 03:00:00 host daemon: hello", "is not a log of bulkmail"),
    ],
)
async def test_what_is_not_our_log_is_refused(name: LogName, header: str, told: str) -> None:
    """J6."""
    name.path(1).write_text(header + "\n")
    with pytest.raises(StoreError, match=told):
        read(name)
