"""`warmup.db`: how much each source has sent to each provider, day by day, in all campaigns of a project.

Before anything is sent it is counted here, on disk, in blocks: so no crash can make a day's sum too small.
What a process had counted and not sent is found out afterwards: of each campaign the journal knows the truth,
and that replaces its count (`settle`). Days are UTC, as numbers since 1970.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import apsw

from bulkmail.journal import files, store
from bulkmail.journal.files import rows
from bulkmail.journal.history import streamed

NAME = "warmup.db"
KEPT_DAYS = 60

SCHEMA = """
CREATE TABLE begun (
    source   TEXT NOT NULL,     -- its address; "" is whatever the kernel chooses
    provider TEXT NOT NULL,
    day      INTEGER NOT NULL,  -- the first on which it sent there
    PRIMARY KEY (source, provider)
) STRICT, WITHOUT ROWID;
CREATE TABLE counted (
    source   TEXT NOT NULL,
    provider TEXT NOT NULL,
    day      INTEGER NOT NULL,
    campaign TEXT NOT NULL,     -- the path of its journal
    count    INTEGER NOT NULL,  -- recipients
    PRIMARY KEY (source, provider, day, campaign)
) STRICT, WITHOUT ROWID;
"""

KIND = files.Kind(
    name="store of warm-ups",
    application_id=int.from_bytes(b"bkmw", "big"),
    version=1,
    schema=SCHEMA,
    advice="Put back a copy of it, or move it away: then each source begins its warm-up anew.",
)


SENT = """
SELECT p.host, p.source, sum(a.last - a.first + 1) FROM attempt a JOIN place p ON p.id = a.place
WHERE a.at >= ?1 AND a.at < ?2 AND a.attempted = 1 AND p.host <> ''
    AND a.state NOT IN ('suppressed', 'cancelled', 'pending')
GROUP BY p.host, p.source
UNION ALL SELECT host, '', sum(last - first + 1) FROM intent WHERE at >= ?1 AND at < ?2 GROUP BY host"""


def sent_between(journal: Path, since: float, until: float) -> Iterator[tuple[str, str, int]]:
    """Recipients whom attempts on the wire were of, then: (host, source, how many). Reads all attempts.

    Also those of messages that are on their way yet, or were when the run was broken off; from which source
    is not known of them.
    """
    return streamed(journal, store.KIND, lambda db: db.execute(SENT, (since, until)))


class Granted(NamedTuple):
    """`people` may be sent to; `most` is the quota of the day, None where there is none any more."""

    people: int
    most: int | None


class Counted(NamedTuple):
    source: str
    provider: str
    day: int
    people: int


class Quotas:
    """The store of a project, for one campaign. To be used by one thread. Methods raise StoreError."""

    def __init__(self, path: Path, db: apsw.Connection, campaign: str) -> None:
        self.path = path
        self._db = db
        self._campaign = campaign

    @classmethod
    def open(cls, path: Path, campaign: str) -> Self:
        """Made where there is none (0600, in a 0700 directory)."""
        return cls(path, files.open_or_make(path, KIND), campaign)

    @classmethod
    def look(cls, path: Path, campaign: str) -> Self:
        """To read only; where there is none, as an empty one, and none is made."""
        return cls(path, files.look(path, KIND), campaign)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def day(self, source: str, provider: str, today: int) -> int:
        """Which day of its warm-up today is, from 1."""
        with files.told(self.path, KIND):
            query = "SELECT day FROM begun WHERE source = ? AND provider = ?"
            found = rows(self._db, query, (source, provider))
        return max(1, today - found[0][0] + 1) if found else 1

    def used(self, source: str, provider: str, today: int) -> int:
        """Recipients that are counted for today, of all campaigns."""
        with files.told(self.path, KIND):
            return self._used(source, provider, today)

    def reserve(
        self,
        source: str,
        provider: str,
        today: int,
        wanted: int,
        quota: Callable[[int], int | None],
        *,
        give_back: Sequence[Counted] = (),
    ) -> Granted:
        """Count up to `wanted` recipients, on disk when it returns; `quota` is asked for that of a day.

        `give_back`: who were counted by this campaign, and will not be sent to after all.
        """
        with files.told(self.path, KIND), files.transaction(self._db):
            for one in give_back:
                self._add(one.source, one.provider, one.day, -one.people)
            most = quota(self.day(source, provider, today))
            if most is None:
                return Granted(wanted, None)
            count = max(0, min(wanted, most - self._used(source, provider, today)))
            if count:
                self._add(source, provider, today, count)
        return Granted(count, most)

    def settle(self, source: str, provider: str, today: int, count: int) -> None:
        """This campaign has sent to `count` of them today: the truth, from its journal."""
        with files.told(self.path, KIND), files.transaction(self._db):
            key = (source, provider, today, self._campaign)
            query = "DELETE FROM counted WHERE source = ? AND provider = ? AND day = ? AND campaign = ?"
            self._db.execute(query, key)
            if count:
                self._add(source, provider, today, count)
            self._db.execute("DELETE FROM counted WHERE day < ?", (today - KEPT_DAYS,))

    def mine(self, today: int) -> list[tuple[str, str]]:
        """(source, provider) that this campaign has counted somebody for today."""
        with files.told(self.path, KIND):
            query = "SELECT source, provider FROM counted WHERE day = ? AND campaign = ?"
            return [(source, provider) for source, provider in rows(self._db, query, (today, self._campaign))]

    def _used(self, source: str, provider: str, today: int) -> int:
        query = "SELECT sum(count) FROM counted WHERE source = ? AND provider = ? AND day = ?"
        return int(rows(self._db, query, (source, provider, today))[0][0] or 0)

    def _add(self, source: str, provider: str, today: int, count: int) -> None:
        begun = "INSERT INTO begun VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        self._db.execute(begun, (source, provider, today))
        self._db.execute(
            """INSERT INTO counted VALUES (?, ?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET count = count + excluded.count""",
            (source, provider, today, self._campaign, count),
        )
