"""Who sends where now: the campaigns of a project that run at once, and how each learns of the others.

A sender is one process that delivers. It holds a lock file of its own for as long as it lives, so that no
clock decides who is dead: the kernel does, whatever killed it. What it holds is written by scope, a provider:

    lease   scope   sender  place  changed  seen
            google  3       1      2        2      has taken note of the second division, and keeps to it
            google  7       2      2        0      not yet

Whoever comes or goes makes another division, with the next number; a part of it that is larger than what
one had is taken only when all have said that they keep to it. So the parts are never more than the whole.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import apsw

from bulkmail.errors import refusal
from bulkmail.journal.files import rows
from bulkmail.journal.sites import SiteFile


class Sender(NamedTuple):
    """One process. `sharing`: what it holds is written; else it may be sending anywhere."""

    id: int
    campaign: str
    sharing: bool


class Holder(NamedTuple):
    """Who sends at a scope. `seen`: it keeps to the division `changed`; `starved`: that leaves it nothing;
    `terms`: its own limits there, as it has written them."""

    sender: int
    campaign: str
    first: bool
    changed: int
    seen: int
    starved: bool
    terms: str = ""


class Leases:
    """Those of one sender. Methods raise StoreError, and then nothing was changed."""

    def __init__(self, file: SiteFile, campaign: str, *, first: bool) -> None:
        """`campaign`: the same for all processes of one; `first`: its mail goes before that of others."""
        self._file = file
        self._campaign = campaign
        self._descriptor: int | None = None
        self.id = 0
        self.bury(self.senders())  # else we would wait for who is not there
        try:
            with file.writing() as db:
                query = """INSERT INTO sender (campaign, first, sharing)
                    VALUES (?1, ?2, EXISTS(SELECT 1 FROM sender WHERE campaign <> ?1 OR sharing))"""
                db.execute(query, (campaign, first))
                self.id = db.last_insert_rowid()
                self._descriptor = _locked(self._lock(self.id))  # before anybody can look whether we live
        except BaseException:
            if self._descriptor is not None:
                os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Give back all of it."""
        if self._descriptor is not None:
            try:
                with self._file.writing() as db:
                    _bury(db, [self.id])
            finally:
                self._unlock(self.id)
                os.close(self._descriptor)
                self._descriptor = None

    def changed(self) -> bool:
        """Whether anything may be different since the last call; see SiteFile."""
        return self._file.changed()

    # --- looking ---------------------------------------------------------------------------------------

    def senders(self) -> list[Sender]:
        """All that there are, ourselves included."""
        with self._file.reading() as db:
            found = rows(db, "SELECT id, campaign, sharing FROM sender ORDER BY id")
        return [Sender(number, campaign, bool(sharing)) for number, campaign, sharing in found]

    def bury(self, senders: Collection[Sender]) -> bool:
        """Forget those of them that have died; whether there were any."""
        dead = [one.id for one in senders if one.id != self.id and self._is_dead(one.id)]
        if dead:
            with self._file.writing() as db:
                _bury(db, dead)
            for sender in dead:
                self._unlock(sender)
        return bool(dead)

    def held(self) -> dict[str, list[Holder]]:
        """By scope, who holds those that we hold, in the order of their places."""
        query = """SELECT scope, sender, campaign, first, changed, seen, starved, terms
            FROM lease JOIN sender ON sender.id = lease.sender
            WHERE scope IN (SELECT scope FROM lease WHERE sender = ?) ORDER BY scope, place"""
        with self._file.reading() as db:
            found = rows(db, query, (self.id,))
        held: dict[str, list[Holder]] = {}
        for scope, sender, campaign, first, changed, seen, starved, terms in found:
            held.setdefault(scope, []).append(
                Holder(sender, campaign, bool(first), changed, seen, bool(starved), terms)
            )
        return held

    # --- changing --------------------------------------------------------------------------------------

    def share(self, using: Mapping[str, str]) -> None:
        """Somebody else is there: write down where we send, with our terms, each held as it was until we say
        otherwise."""
        with self._file.writing() as db:
            db.execute("UPDATE sender SET sharing = 1 WHERE id = ?", (self.id,))
            for scope, terms in using.items():
                self._join(db, scope, terms, holding=True)

    def be_alone(self) -> bool:
        """No other campaign is there: hold what a process of this one does alone, without a word. False where
        there is one, or where somebody still holds more than that: who has not said that he keeps to the
        division that holds now."""
        query = """SELECT EXISTS(SELECT 1 FROM sender WHERE campaign <> ?)
            OR EXISTS(SELECT 1 FROM lease WHERE seen <> changed)"""
        with self._file.reading() as db:
            if rows(db, query, (self._campaign,)) != [(0,)]:  # as mostly, and nobody need wait for that
                return False
        with self._file.writing() as db:
            if rows(db, query, (self._campaign,)) != [(0,)]:
                return False
            db.execute("DELETE FROM lease WHERE sender = ?", (self.id,))
            db.execute("UPDATE sender SET sharing = 0 WHERE id = ?", (self.id,))
            return True

    def change(
        self,
        *,
        join: Mapping[str, str] = MappingProxyType({}),
        leave: Collection[str] = (),
        terms: Mapping[str, str] = MappingProxyType({}),
        seen: Mapping[str, tuple[int, bool]] = MappingProxyType({}),
        last: Collection[str] = (),
    ) -> None:
        """Begin to send at scopes on our terms, or end it; `terms`: they are others now; `seen`: the division
        that we keep to, and whether it leaves us nothing; `last`: go to the end of the line."""
        with self._file.writing() as db:
            for scope in leave:
                db.execute("DELETE FROM lease WHERE scope = ? AND sender = ?", (scope, self.id))
                _divide_again(db, scope)
            for scope, text in join.items():
                self._join(db, scope, text, holding=False)
            for scope, text in terms.items():
                db.execute(
                    "UPDATE lease SET terms = ? WHERE scope = ? AND sender = ?", (text, scope, self.id)
                )
                _divide_again(db, scope)
            for scope in last:
                query = """UPDATE lease SET place = (SELECT max(place) + 1 FROM lease WHERE scope = ?1)
                    WHERE scope = ?1 AND sender = ?2"""
                db.execute(query, (scope, self.id))
                _divide_again(db, scope)
            db.executemany(
                "UPDATE lease SET seen = ?, starved = ? WHERE scope = ? AND sender = ?",
                [(number, starved, scope, self.id) for scope, (number, starved) in seen.items()],
            )

    def _join(self, db: apsw.Connection, scope: str, terms: str, *, holding: bool) -> None:
        """Whoever holds nothing yet keeps to any division."""
        _divide_again(db, scope)
        query = """INSERT INTO lease (scope, sender, place, changed, seen, terms)
            SELECT ?1, ?2, coalesce(max(place), 0) + 1, coalesce(max(changed), 1),
                CASE WHEN ?3 THEN 0 ELSE coalesce(max(changed), 1) END, ?4 FROM lease WHERE scope = ?1"""
        db.execute(query, (scope, self.id, holding, terms))

    # --- who lives -------------------------------------------------------------------------------------

    def _lock(self, sender: int) -> Path:
        return self._file.path.with_name(f"{self._file.path.name}.{sender}.lock")

    def _unlock(self, sender: int) -> None:
        with suppress(OSError):  # one that stays is in nobody's way: no number is given twice
            self._lock(sender).unlink()

    def _is_dead(self, sender: int) -> bool:
        try:
            descriptor = os.open(self._lock(sender), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:  # too many open files, say: nobody is dead for that
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise refusal(error, f"{path}: cannot be locked") from error
    return descriptor


def _divide_again(db: apsw.Connection, scope: str) -> None:
    db.execute("UPDATE lease SET changed = changed + 1 WHERE scope = ?", (scope,))


def _bury(db: apsw.Connection, senders: Collection[int]) -> None:
    for sender in senders:
        scopes = rows(db, "SELECT scope FROM lease WHERE sender = ?", (sender,))
        db.execute("DELETE FROM lease WHERE sender = ?", (sender,))
        for (scope,) in scopes:
            _divide_again(db, scope)
        db.execute("DELETE FROM sender WHERE id = ?", (sender,))
