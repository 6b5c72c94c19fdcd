"""Taking in many at once comes to the same as one after the other, in whatever order they are said."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from journal_plans import plan

from bulkmail.journal import Intent, Mark, Record, Store, outcomes
from bulkmail.journal.records import Entry

TABLES = ("pending", "deferral", "doubt", "interval", "total")
TOLD = """
SELECT a.first, a.last, a.state, a.at, r.code, r.enhanced, r.text, p.stage, p.host, a.due, a.attempted
FROM attempt a JOIN reply r ON r.id = a.reply JOIN place p ON p.id = a.place ORDER BY a.first, a.seq"""


def said(seed: int) -> list[Entry]:
    """What ten sessions say, interleaved: intents, then single recipients with all sorts of fates."""
    chance = random.Random(seed)
    slices = [list(range(first, first + 60)) for first in range(1000, 1600, 60)]
    key, entries = 0, list[Entry]()
    while any(slices):
        mine = chance.choice([one for one in slices if one])
        ids = [mine.pop(0) for _ in range(min(len(mine), chance.choice([1, 8])))]
        entries.append(([], [Intent(key + n, ((n, n),), "mx.test", "192.0.2.1", 1.0) for n in ids], []))
        odd = chance.random() < 0.15
        for n in ids:
            state = chance.choice(["deferred", "bounced", "in_doubt"]) if odd else "delivered"
            text = "250 ok" if chance.random() < 0.02 else f"250 queued as {n}"
            at, due = chance.uniform(1.6e9, 1.8e9), 2e9 if state == "deferred" else None
            record = Record(n, n, state, at, 250, "2.0.0", text, "end_of_data", "mx.test", due=due)
            entries.append(([record], [], [key + n]))
        key += 10_000
    return entries


def told(path: Path, entries: list[Entry], at_once: int) -> list[list[tuple[object, ...]]]:
    with Store.create(path, {}) as store:
        plan(store, [("a.test", 1100), ("b.test", 700), ("c.test", 50)])
        for start in range(0, len(entries), at_once):
            store.take_in([(entries[start : start + at_once], Mark(0, 1, start + 1))])
        assert store.recover("hold", 2e9) == 0
        queries = [TOLD, *(f"SELECT * FROM {table} ORDER BY 1" for table in TABLES)]
        found = [store._db.execute(query).fetchall() for query in queries]
        for row, text in enumerate(found[2]):  # the number of its reply is of no importance
            [(reply,)] = store._db.execute("SELECT text FROM reply WHERE id = ?", (text[5],))
            found[2][row] = (*text[:5], reply, *text[6:])
        found[3] = [row[:4] for row in found[3]]
        return found


@pytest.mark.parametrize("seed", range(5))
def test_many_at_once_come_to_the_same_as_one_by_one(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = said(seed)
    at_once = told(tmp_path / "a.journal", entries, len(entries))
    monkeypatch.setattr(outcomes, "WORTH", 1 << 40)
    assert at_once == told(tmp_path / "b.journal", entries, 1)
