"""What sites taught us, kept until the next campaign: one row for each site and kind, with an expiry.

Only what makes us more careful is in here, so nothing is lost where it is; and what is wrong costs a little
speed until it is forgotten. Each kind is believed for as long as the thing behind it usually stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    # What depends on its load, and on what it thought of us that day.
    "connections": DAY,
    # A certificate or a library is mended as soon as somebody notices; mail in clear text is not to last.
    "clear_text": DAY,
}
MOST = 20_000  # sites and kinds; those met longest ago are forgotten first


class Fact(NamedTuple):
    """`value` of a kind that is only true, such as lockstep, is 1."""

    site: str
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
        """What is to be believed of a site."""
        query = "SELECT site, kind, value, at, until FROM learned WHERE site = ? AND until > ?"
        with self._file.reading() as db:
            return [Remembered(*row) for row in rows(db, query, (site, now))]

    def note(self, facts: Iterable[Fact], now: float) -> None:
        """These were just met: what was known of the same kind is replaced. Unknown kinds are not kept."""
        met = [(*fact, now, now + EXPIRY[fact.kind]) for fact in facts if fact.kind in EXPIRY]
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
