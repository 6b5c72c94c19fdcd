"""Logs of a few lines, written and read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from bulkmail.journal import Log, LogName, Mark, Record
from bulkmail.journal.records import Entry
from bulkmail.journal.tail import Tail

IDENTITY = "0123456789abcdef"


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
