"""What sites taught us, kept until the next campaign: one row for each site and kind, with an expiry. What a
provider takes of one sender, at all of its sites together, stands under the name of the provider.

Only what makes us more careful is in here, so nothing is lost where it is; and what is wrong costs a little
speed until it is forgotten. Each kind is believed for as long as the thing behind it usually stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bulkmail.journal.files import rows
from bulkmail.journal.sites import SiteFile

DAY = 86_400.0
EXPIRY = {
    # How a server is configured: that stays for months, and to be wrong for a week costs little.
    "recipients": 7 * DAY,
    "messages": 7 * DAY,
    "size": 7 * DAY,
    "lockstep": 7 * DAY,
    "no_chunking": 7 * DAY,
    # What depends on its load, and on what it thought of us that day: of the provider. To be wrong costs a
    # minute until it is found again; who sends once a week is to begin with it.
    "message_rate": 7 * DAY,
    "connections": 2 * DAY,
    # A certificate or a library is mended as soon as somebody notices; mail in clear text is not to last.
    "clear_text": DAY,
    # It may be the name of our address that is missing, and that is given tomorrow.
    "ipv4": DAY,
}
BLOCKED = "blocked"  # with the address of ours that it was: for as many seconds as the value says
MOST = 20_000  # sites and kinds; those met longest ago are forgotten first


class Fact(NamedTuple):
    """`value` of a kind that is only true, such as lockstep, is 1; `blocked 192.0.2.10` has seconds."""

    site: str  # or provider
    kind: str
    value: float


class Remembered(NamedTuple):
    """One row, as people are told of it. Times are UTC epoch seconds."""

    site: str
    kind: str
    value: float
    at: float
    until: float


class LearnedSites:
    """The table. Methods raise StoreError."""

    def __init__(self, file: SiteFile) -> None:
        self._file = file

    def any(self) -> bool:
        """Whether anything is in it: of an empty one nobody need ask."""
        with self._file.reading() as db:
            return bool(rows(db, "SELECT 1 FROM learned LIMIT 1"))

    def of(self, site: str, now: float) -> list[Remembered]:
        """What is to be believed of a site, or a provider."""
        query = "SELECT site, kind, value, at, until FROM learned WHERE site = ? AND until > ?"
        with self._file.reading() as db:
            return _whole(rows(db, query, (site, now)))

    def paces(self, now: float, most: int, names: Iterable[str] = ()) -> list[Remembered]:
        """What providers were found to take, of all or of those; who was found out last comes first."""
        wanted = list(names)
        chosen = f"AND site IN ({', '.join('?' * len(wanted))})" if wanted else ""
        query = f"""SELECT site, kind, value, at, until FROM learned
            WHERE kind IN ('message_rate', 'connections') AND until > ? {chosen}
            ORDER BY at DESC, site LIMIT ?"""
        with self._file.reading() as db:
            return _whole(rows(db, query, (now, *wanted, most)))

    def blocked(self, now: float) -> list[Remembered]:
        """Of all sites those that refuse one of our addresses, who was told so last behind the others."""
        query = "SELECT site, kind, value, at, until FROM learned WHERE kind LIKE ? AND until > ? ORDER BY at"
        with self._file.reading() as db:
            return _whole(rows(db, query, (f"{BLOCKED} %", now)))

    def note(self, facts: Iterable[Fact], now: float) -> None:
        """These were just met: what was known of the same kind is replaced. Unknown kinds are not kept."""
        met = [(*fact, now, now + lasts) for fact in facts if (lasts := _lasts(fact)) is not None]
        if not met:
            return
        with self._file.writing() as db:
            db.executemany("INSERT OR REPLACE INTO learned VALUES (?, ?, ?, ?, ?)", met)
            db.execute("DELETE FROM learned WHERE until <= ?", (now,))
            surplus = rows(db, "SELECT count(*) FROM learned")[0][0] - MOST
            if surplus > 0:
                db.execute(
                    """DELETE FROM learned WHERE (site, kind) IN
                    (SELECT site, kind FROM learned ORDER BY at LIMIT ?)""",
                    (surplus,),
                )

    def forget(self, site: str) -> int:
        """How many kinds were known of it."""
        with self._file.writing() as db:
            before = db.total_changes()
            db.execute("DELETE FROM learned WHERE site = ?", (site,))
            return db.total_changes() - before


def _whole(found: Iterable[Sequence[object]]) -> list[Remembered]:
    """Without rows that are damaged: SQLite looks at types when it writes, and not when it reads."""
    return [
        Remembered(*row)  # type: ignore[arg-type]
        for row in found
        if all(map(isinstance, row, (str, str, float, float, float)))
    ]


def _lasts(fact: Fact) -> float | None:
    """Seconds for which it is believed; None: it is of no kind that we know."""
    return fact.value if fact.kind.startswith(f"{BLOCKED} ") else EXPIRY.get(fact.kind)
