"""What the logs of dead processes still hold, taken in when the campaign is opened again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.log_file import LogName, remove, segment_path, segments
from bulkmail.journal.records import Entry, Mark, size
from bulkmail.journal.tail import Tail

SAID_PER_TRANSACTION = 20_000  # records and intents
Said = tuple[Sequence[Entry], Mark]


def take_in(
    journal: Path,
    identity: str,
    taken: Callable[[int], Mark | None],
    commit: Callable[[list[Said]], None],
) -> None:
    """`commit` what stands behind `taken` in every log of `journal`, in parts, and remove the logs."""
    for log, numbers in segments(journal).items():
        with closing(Tail(journal, identity, taken(log) or Mark(log, numbers[0], 0))) as tail:
            for part in in_parts(tail.read_rest()):
                commit(part)
        remove(journal, log)


def clear(journal: Path, *, anew: bool) -> None:
    """Where the journal was lost, its logs are the last to know who was mailed. StoreError unless `anew`."""
    for log, numbers in segments(journal).items():
        if not anew:
            raise StoreError(
                f"{segment_path(journal, log, numbers[0])}: is the log of a journal that is not here any "
                "more, and may be the only one to know who was mailed. Put back that journal, or a copy. "
                "With --new this log is removed, and everybody is sent to, whoever was mailed before."
            )
        remove(journal, log)


def in_parts(said: Iterable[Said]) -> Iterator[list[Said]]:
    """As much of what was said as goes well into one transaction."""
    part: list[Said] = []
    count = 0
    for group in said:
        part.append(group)
        count += size(group[0])
        if count >= SAID_PER_TRANSACTION:
            yield part
            part, count = [], 0
    if part:
        yield part


def mark(db: apsw.Connection, log: int) -> Mark | None:
    """See Store.mark."""
    for row in db.execute("SELECT number, segment, offset FROM log WHERE number = ?", (log,)):
        return Mark(*row)
    return None


def next_log(journal: Path, identity: str, log: int, taken: Mark | None) -> LogName:
    """The log with this number, beginning behind every segment that it ever had."""
    had = [taken.segment if taken is not None else 0, *segments(journal).get(log, [])]
    return LogName(journal, identity, log, max(had) + 1)
