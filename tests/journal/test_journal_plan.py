"""The plan: written once, whole or not at all, adding up, in flat memory, private to its user."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_plans import NewStore, plan

from bulkmail.errors import StoreError
from bulkmail.journal import Interval, LeftOut, Planned, Store


def rows(*addresses: str) -> list[Planned]:
    return [Planned(address, "{}") for address in addresses]


def claim(store: Store, source: int) -> None:
    with store.write_plan() as writer:
        writer.interval("a.test", True, False, rows("x@a.test"))
        writer.count("source", source)


def plan_from_a_broken_list(store: Store) -> None:
    def broken() -> Iterator[Planned]:
        yield from rows("x@b.test")
        raise OSError("the list cannot be read")

    with store.write_plan() as writer:
        writer.interval("a.test", True, False, rows("x@a.test", "y@a.test"))
        writer.left_out(LeftOut("invalid", "list.csv", 1, "", "empty"))
        writer.interval("b.test", True, False, broken())


def test_ids_are_dense_from_one_in_the_order_of_the_plan(path: Path) -> None:
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("b.test", True, False, rows("x@b.test", "y@b.test"))
            second = writer.interval("a.test", False, False, rows("z@a.test"))
        assert second == Interval(3, "a.test", 3, 3, shared=False, seeds=False)
        assert [(r.id, r.address) for r in store.fetch([(1, 3)])] == [
            (1, "x@b.test"),
            (2, "y@b.test"),
            (3, "z@a.test"),
        ]


def test_source_is_the_sum_of_everybody_written_listed_or_counted(path: Path) -> None:
    with Store.create(path, {}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, rows("x@a.test", "y@a.test"))
            writer.left_out(LeftOut("invalid", "list.csv", 4, "no at", "no @ in the address"))
            writer.count("filtered", 5)
            writer.count("source", 8)
        totals = store.totals()
    assert {name: n for name, n in totals.items() if n} == {
        "source": 8, "pending": 2, "invalid": 1, "filtered": 5,
    }  # fmt: skip


def test_a_plan_that_lost_somebody_is_refused_and_is_no_plan(path: Path) -> None:
    with Store.create(path, {}) as store:
        with pytest.raises(StoreError, match="9 rows were read and 1 have a state"):
            claim(store, 9)
        assert (store.planned, store.totals()["source"]) == (False, 0)


def test_a_half_written_plan_is_discarded_and_planned_again(path: Path) -> None:
    with Store.create(path, {}) as store, pytest.raises(OSError, match="the list cannot be read"):
        plan_from_a_broken_list(store)
    with Store.open(path) as store:
        assert not store.planned
        plan(store, [("c.test", 1)])
        assert [r.address for r in store.fetch([(1, 9)])] == ["user1@c.test"]
        assert list(store.export("invalid")) == []
        assert store.totals()["source"] == 1


def test_a_plan_is_never_written_twice(planned: NewStore) -> None:
    store = planned([("a.test", 1)])
    with pytest.raises(StoreError, match="planned already"), store.write_plan():
        pass
    assert store.totals()["pending"] == 1


def test_an_interval_has_at_least_one_recipient(path: Path) -> None:
    with (
        Store.create(path, {}) as store,
        pytest.raises(ValueError, match="without recipients"),
        store.write_plan() as writer,
    ):
        writer.interval("a.test", True, False, [])


def test_a_plan_without_anybody_is_a_plan(planned: NewStore) -> None:
    store = planned([])
    assert (store.planned, store.open_intervals(None, 10), store.totals()["source"]) == (True, [], 0)


def test_the_journal_is_private_to_its_user(planned: NewStore, path: Path) -> None:
    planned([("a.test", 1)]).set_meta("key", "value")
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in (path.parent, *path.parent.iterdir())}
    assert modes == {
        "state": "0o700", "c.journal": "0o600", "c.journal-wal": "0o600", "c.journal-shm": "0o600",
    }  # fmt: skip


def test_identity_is_there_from_the_first_moment(path: Path) -> None:
    Store.create(path, {"campaign": "weekly", "via": "sandbox"}).close()
    with Store.open(path) as store:
        assert (store.meta("campaign"), store.meta("via"), store.meta("list")) == ("weekly", "sandbox", None)


def test_a_journal_is_never_created_over_another(path: Path) -> None:
    Store.create(path, {"campaign": "first"}).close()
    with pytest.raises(StoreError, match="exists already"):
        Store.create(path, {"campaign": "second"})
    with Store.open(path) as store:
        assert store.meta("campaign") == "first"


PLAN_MANY = """
import resource, sys
from pathlib import Path
from bulkmail.journal import Planned, Store

def rows(size):
    return (Planned(f"user{n}@big.test", '{"first_name": "Ann", "city": "Springfield"}') for n in range(size))

size = int(sys.argv[2])
with Store.create(Path(sys.argv[1]), {}) as store, store.write_plan() as writer:
    writer.interval("big.test", False, False, rows(size // 2))
    for domain in range(size // 4):
        writer.interval(f"d{domain}.test", False, False, rows(2))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_plan(tmp_path: Path) -> None:
    """I10."""

    def peak_mb(size: int) -> int:
        command = [sys.executable, "-c", PLAN_MANY, str(tmp_path / f"{size}.journal"), str(size)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak_mb(400_000) - peak_mb(40_000) < 16  # the rows of the larger alone are 30 MB on disk
