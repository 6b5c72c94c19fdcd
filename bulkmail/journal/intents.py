"""Intents: the transactions whose end of data may be on its way, as of what is taken in.

Most are opened and closed within one batch of a log, and never come into the store.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import apsw

from bulkmail.errors import StoreError
from bulkmail.journal.files import rows
from bulkmail.journal.ranges import demand_cover, find_open, merged, touching
from bulkmail.journal.records import Entry, Intent, Record

_OPEN_KEYS = "SELECT intent.key FROM json_each(?) asked JOIN intent ON log = ? AND intent.key = asked.value"


class Condensed(NamedTuple):
    """What entries amount to: intents to close first, then the records, and the intents that stay open."""

    closed: list[int]
    records: list[Record]
    opened: list[tuple[int, Intent]]  # each with how many of the records were said before it

    def turns(self) -> Iterator[tuple[list[Record], list[Intent]]]:
        """Records, and the intents to be opened after them: all at once, unless a record speaks of who is in
        an intent that was opened before it and stays open.
        """
        if not self._is_spoken_of():
            yield self.records, [intent for _, intent in self.opened]
            return
        done = 0
        for before, group in groupby(self.opened, key=lambda one: one[0]):
            yield self.records[done:before], [intent for _, intent in group]
            done = before
        yield self.records[done:], []

    def _is_spoken_of(self) -> bool:
        spans = sorted((first, last) for _, intent in self.opened for first, last in intent.ids)
        begin = self.opened[0][0] if self.opened else len(self.records)
        for record in self.records[begin:]:
            at = bisect_left(spans, (record.last + 1,)) - 1
            if at >= 0 and spans[at][1] >= record.first:
                return True
        return False


def condense(entries: Iterable[Entry]) -> Condensed:
    """Raises StoreError where a key is opened twice."""
    closed: list[int] = []
    records: list[Record] = []
    opened: dict[int, tuple[int, Intent]] = {}
    for said, intents, ended in entries:
        if ended:
            closed += [key for key in ended if opened.pop(key, None) is None]
        if said:
            records += said
        for intent in intents:
            if intent.key in opened:
                raise _open_already(intent)
            opened[intent.key] = len(records), intent
    return Condensed(closed, records, list(opened.values()))


def close(db: apsw.Connection, keys: Iterable[int], log: int) -> None:
    """Forget these intents; one never written is no error: its caller may have been cancelled."""
    db.executemany("DELETE FROM intent WHERE log = ? AND key = ?", [(log, key) for key in keys])


def open_all(db: apsw.Connection, intents: Sequence[Intent], log: int) -> None:
    """Write intents. Raises StoreError where a recipient is settled, in doubt or in another intent."""
    by_key = {intent.key: intent for intent in intents}
    for (key,) in rows(db, _OPEN_KEYS, (json.dumps(list(by_key)), log)):
        raise _open_already(by_key[key])
    spans = sorted((span, intent.key) for intent in intents for span in intent.ids)
    for ((_, last), key), ((first, _), _) in pairwise(spans):
        if first <= last:
            raise _in_two(first, key)
    for first, last in merged(span for span, _ in spans):
        demand_cover(find_open(db, first, last), first, last)
        for other, key in rows(
            db, f"SELECT first, key FROM intent WHERE {touching('intent')} LIMIT 1", (first, last, first)
        ):
            raise _in_two(max(first, other), key)
    db.executemany(
        "INSERT INTO intent VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (first, last, log, intent.key, intent.host, intent.address, intent.at)
            for intent in intents
            for first, last in intent.ids
        ],
    )


def _open_already(intent: Intent) -> StoreError:
    return StoreError(f"intent {intent.key} is open already: a bug, nothing was written")


def _in_two(recipient: int, key: int) -> StoreError:
    return StoreError(
        f"recipient {recipient} is in the open transaction {key} already: a bug, nothing was written"
    )
