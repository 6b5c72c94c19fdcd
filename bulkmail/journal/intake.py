"""Taking logs into the store while they grow: the run's own from memory, others' from files.

All of it runs where the store may be waited for, one call at a time.

How far another's log is behind has no bound of its own, as ours has (writer.MOST), and needs none: ours waits
in memory, another's on disk, 90 octets for a recipient, and is read and committed in parts. Behind by 400,000
recipients it took 2 s and 20 MB to catch up, 5 us each, a tenth of what it takes to send to one; and no more
parcels are handed out than can be open until those before are seen in the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from bulkmail.journal.leftovers import Said, in_parts
from bulkmail.journal.log_file import LogName, remove
from bulkmail.journal.records import Mark
from bulkmail.journal.store import Store
from bulkmail.journal.tail import Tail


class Intake:
    """Every method but `follow` may raise StoreError."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tails: dict[int, Tail] = {}
        self._segment: dict[int, int] = {}  # of each log, where it was last taken in

    @property
    def following(self) -> bool:
        return bool(self._tails)

    def follow(self, name: LogName) -> None:
        """Take in this log, too, from its beginning."""
        self._tails[name.log] = Tail(name.journal, name.identity, Mark(name.log, name.segment, 0))

    def take_in(self, own: Iterable[Said]) -> None:
        """Our own, synced and not taken in yet, and what there is of the others."""
        self._commit(chain(own, *(tail.read() for tail in self._tails.values())))

    def unfollow(self, log: int, on_doubt: str, now: float) -> int:
        """See Journal.unfollow."""
        tail = self._tails.pop(log)
        try:
            self._commit(tail.read_rest())
        finally:
            tail.close()
        count = self._store.doubt_log(log, on_doubt, now)
        self.forget(log)
        return count

    def forget(self, log: int) -> None:
        """All of this log is taken in, and nobody writes to it any more."""
        remove(self._store.path, log)

    def close(self) -> None:
        for tail in self._tails.values():
            tail.close()

    def _commit(self, said: Iterable[Said]) -> None:
        for part in in_parts(said):
            self._store.take_in(part)
            for log, segment, _ in {mark.log: mark for _, mark in part}.values():
                if self._segment.get(log) != segment:
                    remove(self._store.path, log, before=segment)
                    self._segment[log] = segment
