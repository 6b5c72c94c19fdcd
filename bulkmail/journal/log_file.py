"""The files of a log: what they are called, and how what was said is written in them.

A log is a series of segments, `<journal>.<log>.<segment>.log`; a full one is followed by the next, and a
segment that is taken in is removed. Its first line says what it is; each further line is one write:

    bulkmail log 2 <the journal's identity> <log> <segment>
    <crc32, hex> [[<place>, ...], <item>, ...]        JSON, one line

An item is one of these, and a place is a number in the list in front: [stage, host, address, source, tls], or
[host, address] of an intent.

    key                                               an intent is closed
    [state, at, code, enhanced, place, due, attempted, [first, last, reply, first, last, reply, ...]]
                                                      records that say the same but for whom and the reply
    [place, at, [key, first, last, key, first, last, ...]]
                                                      intents of one range each
    [key, [[first, last], ...], place, at]            an intent

In format 1 a record was [first, last, state, at, code, enhanced, reply, place, due, attempted]. A last line
that is cut short or does not match its checksum was never acknowledged to anybody. Where the process was
killed, NULs may stand behind it: see AHEAD_OCTETS in log.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from bulkmail.errors import refusal
from bulkmail.journal.records import Entry, Intent, Record

FORMAT = 2
AT_ONCE = 4_000  # entries of one line: so that whoever reads needs no more memory than for these

_json = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class LogName(NamedTuple):
    """Which log: of which journal, which of its logs, and the segment that it begins with. A plain value."""

    journal: Path
    identity: str
    log: int
    segment: int

    def header(self, segment: int) -> bytes:
        return f"bulkmail log {FORMAT} {self.identity} {self.log} {segment}\n".encode()

    def path(self, segment: int) -> Path:
        return segment_path(self.journal, self.log, segment)


def segment_path(journal: Path, log: int, segment: int) -> Path:
    return journal.with_name(f"{journal.name}.{log}.{segment}.log")


def segments(journal: Path) -> dict[int, list[int]]:
    """The segments that there are, ascending, of each log of `journal`. Raises StoreError."""
    pattern = re.compile(re.escape(journal.name) + r"\.(\d+)\.(\d+)\.log")
    found: dict[int, list[int]] = {}
    with told(journal.parent, "read"), contextlib.suppress(FileNotFoundError):
        for name in os.listdir(journal.parent):
            if match := pattern.fullmatch(name):
                found.setdefault(int(match[1]), []).append(int(match[2]))
    return {log: sorted(numbers) for log, numbers in sorted(found.items())}


def remove(journal: Path, log: int, before: int | None = None) -> None:
    """Remove the segments of `log`, or those before `before`; one that somebody still writes is left."""
    for segment in segments(journal).get(log, []):
        if before is None or segment < before:
            path = segment_path(journal, log, segment)
            with (
                told(path, "removed"),
                contextlib.suppress(FileNotFoundError, BlockingIOError),
                open(path, "rb") as file,
            ):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def encode(entries: Sequence[Entry]) -> bytes:
    """One line of the log, a write."""
    places: dict[tuple[str, ...], int] = {}
    items: list[object] = [None]  # the places, when all are known
    for records, intents, closed in entries:
        items += closed
        said: tuple[object, ...] = ()
        whom: list[object] = []
        for record in records:
            if (says := record[2:6] + record[7:]) != said:
                said, whom = says, []
                place = places.setdefault(record[7:12], len(places))
                items.append((*record[2:6], place, *record[12:], whom))
            whom += record[0], record[1], record[6]
        for key, ids, host, address, at in intents:
            place = places.setdefault((host, address), len(places))
            if len(ids) != 1:
                items.append((key, ids, place, at))
                continue
            if (place, at) != said:
                said, whom = (place, at), []
                items.append((place, at, whom))
            whom += (key, *ids[0])
    items[0] = list(places)
    text = _json(items).encode("ascii")
    return b"%08x %b\n" % (crc32(text), text)


def encode_lines(entries: Sequence[Entry]) -> list[bytes]:
    """Lines of no more than AT_ONCE entries."""
    return [encode(entries[start : start + AT_ONCE]) for start in range(0, len(entries), AT_ONCE)]


def decode(line: bytes) -> list[Entry] | None:
    """The entries of a line without its newline; None where it is not what was written.

    Raises ValueError where the checksum fits and this program never wrote such a line. The entries amount to
    the same as what was said, in fewer entries: a new one begins behind an intent.
    """
    try:
        if int(line[:8], 16) != crc32(line[9:]) or line[8:9] != b" ":
            return None
    except ValueError:
        return None
    try:
        return _entries(*json.loads(line[9:]))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"a line that cannot be understood: {error!r}") from error


def _entries(places: list[list[str]], *items: Any) -> list[Entry]:
    entries: list[Entry] = []
    records: list[Record] = []
    intents: list[Intent] = []
    closed: list[int] = []
    for item in items:
        length = 0 if item.__class__ is int else len(item) or -1
        if length in (3, 4):
            intents += _intents(item, places)
            continue
        if intents:
            entries.append((records, intents, closed))
            records, intents, closed = [], [], []
        if not length:
            closed.append(item)
        elif length == 10:  # format 1
            records.append(Record(*item[:7], *places[item[7]], *item[8:]))
        else:
            state, at, code, enhanced, place, due, attempted, whom = item
            where = (*places[place], due, attempted)
            records += (
                Record(first, last, state, at, code, enhanced, reply, *where)
                for first, last, reply in _triples(whom)
            )
    entries.append((records, intents, closed))
    return entries


def _intents(item: list[Any], places: list[list[str]]) -> Iterator[Intent]:
    if len(item) == 4:
        key, ids, place, at = item
        host, address = places[place]
        yield Intent(key, tuple((first, last) for first, last in ids), host, address, at)
        return
    place, at, whom = item
    host, address = places[place]
    for key, first, last in _triples(whom):
        yield Intent(key, ((first, last),), host, address, at)


def _triples(flat: list[Any]) -> Iterator[tuple[Any, Any, Any]]:
    ahead = iter(flat)
    return zip(ahead, ahead, ahead, strict=True)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def told(path: Path, what: str) -> Iterator[None]:
    """Whatever the system refuses becomes a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        raise refusal(error, f"{path}: cannot be {what}") from error
