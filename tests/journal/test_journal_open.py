"""What is said, and what is left untouched, where a file is not a journal that we can use."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest
from journal_plans import NewStore

from bulkmail.errors import StoreError
from bulkmail.journal import Store, Suppressions


def test_a_missing_journal_is_named(path: Path) -> None:
    with pytest.raises(StoreError, match=r"c\.journal: there is no campaign journal here"):
        Store.open(path)


@pytest.mark.parametrize("size", [0, 1, 100, 5000])
def test_garbage_is_refused_with_what_to_do(tmp_path: Path, size: int) -> None:
    """J6."""
    path = tmp_path / "c.journal"
    path.write_bytes(garbage := random.Random(size).randbytes(size))
    with pytest.raises(StoreError, match=r"Do not delete it"):
        Store.open(path)
    assert path.read_bytes() == garbage


def test_a_damaged_journal_is_refused_with_what_to_do(planned: NewStore, path: Path) -> None:
    """J6."""
    planned([("a.test", 1000)]).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xa5" * 8000 + whole[8100:])
    with pytest.raises(StoreError, match=r"is damaged.*Do not delete it"):
        Store.open(path)


def test_a_damaged_page_is_told_when_it_is_met(planned: NewStore, path: Path) -> None:
    """J6."""
    planned([("a.test", 20_000)]).close()
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    path.write_bytes(whole[:middle] + b"\xa5" * 8192 + whole[middle + 8192 :])
    with Store.open(path) as store, pytest.raises(StoreError, match=r"is damaged.*Do not delete it"):
        store.fetch([(1, 20_000)])


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """J6."""
    path = tmp_path / "c.journal"
    with apsw.Connection(str(path)) as other:
        other.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="is not a campaign journal of bulkmail"):
        Store.open(path)
    assert path.read_bytes() == before


def test_the_project_store_is_not_a_journal(tmp_path: Path) -> None:
    Suppressions.open(tmp_path / "project.db").close()
    with pytest.raises(StoreError, match="is not a campaign journal of bulkmail"):
        Store.open(tmp_path / "project.db")


def test_a_newer_journal_asks_for_an_upgrade_and_is_left_alone(planned: NewStore, path: Path) -> None:
    """J6."""
    planned([("a.test", 1)]).close()
    db = apsw.Connection(str(path))
    db.pragma("user_version", 99)
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer bulkmail \(format 99, this one knows 1\). Upgrade bulkmail"):
        Store.open(path)
    assert path.read_bytes() == before


def test_totals_that_do_not_add_up_are_refused(planned: NewStore, path: Path) -> None:
    """J6."""
    planned([("a.test", 3)]).close()
    db = apsw.Connection(str(path))
    db.execute("UPDATE total SET value = 2 WHERE name = 'pending'")
    db.close()
    with pytest.raises(StoreError, match="its totals do not add up"):
        Store.open(path)


def test_a_reader_looks_while_the_writer_has_it_open(planned: NewStore, path: Path) -> None:
    store = planned([("a.test", 3)])
    with Store.open(path, read_only=True) as reader:
        store.set_meta("key", "value")
        assert (reader.meta("key"), reader.totals()["pending"]) == ("value", 3)


def test_a_reader_cannot_write(planned: NewStore, path: Path) -> None:
    planned([("a.test", 3)])
    with Store.open(path, read_only=True) as reader, pytest.raises(StoreError):
        reader.set_meta("key", "value")


def test_a_leftover_wal_of_a_deleted_journal_does_not_spoil_the_new_one(path: Path) -> None:
    Store.create(path, {"campaign": "old"})
    (path.parent / "c.journal-wal").write_bytes(b"stale")
    path.unlink()
    with Store.create(path, {"campaign": "new"}) as store:
        assert store.meta("campaign") == "new"
