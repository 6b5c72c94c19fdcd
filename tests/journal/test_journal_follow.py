"""Logs of other processes: taken in beside the run's own, and what a kill leaves of them."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from journal_plans import NewStore

from bulkmail.errors import StoreError
from bulkmail.journal import Intent, Journal, Log, LogName, Record, Store, log
from bulkmail.journal.log_file import segments

# A worker: no store, a log of its own. Says what it was promised to be on disk: "open" or "done", a first id.
WORKER = """
import sys
from pathlib import Path
import trio
from bulkmail.journal import Intent, Log, LogName, Record, log

path, identity, number, segment, begin, end = sys.argv[1:]
log.SEGMENT_OCTETS = 20_000

async def main():
    mine = Log(LogName(Path(path), identity, int(number), int(segment)))
    for first in range(int(begin), int(end), 10):
        mine.append(intents=[Intent(first, ((first, first + 9),), "mx.test", "192.0.2.1", 1.0)])
        await mine.sync()
        print("open", first, flush=True)
        state, due = ("deferred", 60.0) if first % 30 == 1 else ("delivered", None)
        mine.append([Record(first, first + 9, state, 2.0, 250, None, f"ok {first}", due=due)], closed=[first])
        await mine.sync()
        print("done", first, flush=True)
    sys.stdin.read()

trio.run(main)
"""


@contextmanager
def worker(name: LogName, begin: int, end: int) -> Iterator[subprocess.Popen[str]]:
    words = [name.journal, name.identity, name.log, name.segment, begin, end]
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, *map(str, words)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def heard(process: subprocess.Popen[str], lines: int) -> list[list[str]]:
    assert process.stdout is not None
    return [process.stdout.readline().split() for _ in range(lines)]


def killed(process: subprocess.Popen[str], lines: int) -> tuple[int, int]:
    """Kill it when it has said so much; how many recipients it said to be open, and done, until then."""
    said = heard(process, lines)
    process.kill()
    assert process.stdout is not None
    said += [line.split() for line in process.stdout]
    return sum(10 for word, *_ in said if word == "open"), sum(10 for word, *_ in said if word == "done")


@pytest.mark.parametrize("seed", range(6))
def test_a_killed_process_has_logged_all_that_it_was_promised(
    planned: NewStore, path: Path, seed: int
) -> None:
    """J1."""
    store = planned([("a.test", 10_000)])
    with worker(store.new_log(3), 1, 10_001) as process:
        opened, done = killed(process, random.Random(seed).choice([0, 1, 2, 3, 50, 333, 1500]))
    doubted = store.recover("hold", 100.0)
    totals = store.totals()
    assert doubted in (0, 10)
    # What was said was on disk; what was not yet said may be there too, one transaction at most.
    assert totals["delivered"] + totals["deferred"] in (done, done + 10)
    assert 10_000 - totals["pending"] in (opened, opened + 10)
    assert (segments(path), store.in_flight) == ({}, False)


async def test_of_a_killed_worker_only_the_open_intents_are_doubted_and_the_others_go_on(
    planned: NewStore, path: Path
) -> None:
    """P5."""
    store = planned([("a.test", 100_000)])
    journal = Journal(store)
    names = store.new_log(1), store.new_log(2)
    for name in names:
        journal.follow(name)
    await journal.commit((), [Intent(1, ((99_991, 100_000),), "mx.test", "192.0.2.1", 1.0)])
    with worker(names[0], 1, 10_001) as victim, worker(names[1], 10_001, 10_101) as other:
        await trio.to_thread.run_sync(heard, other, 20)  # it has done all that it was to do
        opened, done = await trio.to_thread.run_sync(killed, victim, 501)
        count = await journal.unfollow(1, "hold", 100.0)
        totals = await journal.call(Store.totals)
        assert count in (0, 10)
        assert totals["in_doubt"] == count
        assert totals["delivered"] + totals["deferred"] - 100 in (done, done + 10)
        assert opened - done - 10 <= count
    assert await journal.unfollow(2, "hold", 101.0) == 0
    journal.append(closed=[1])
    journal.close()
    assert (segments(path), store.recover("hold", 102.0)) == ({}, 0)


async def test_what_a_worker_logs_is_taken_in_while_it_runs(planned: NewStore) -> None:
    store = planned([("a.test", 10_000)])
    journal = Journal(store)
    journal.follow(name := store.new_log(1))
    async with trio.open_nursery() as watchers:
        watchers.start_soon(journal.keep_up)
        with worker(name, 1, 1_001) as process:
            await trio.to_thread.run_sync(heard, process, 200)
            journal.told()
            with trio.fail_after(60):
                while (await journal.read(Store.totals))["pending"] > 9_000:
                    await trio.lowlevel.checkpoint()
        watchers.cancel_scope.cancel()
    await journal.unfollow(1, "hold", 1.0)
    journal.close()


async def test_keys_of_two_logs_do_not_clash(planned: NewStore) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    journal.follow(name := store.new_log(1))
    other = Log(name)
    other.append(intents=[Intent(7, ((1, 1),), "mx.a.test", "192.0.2.1", 1.0)])
    await other.sync()
    journal.append(intents=[Intent(7, ((2, 2),), "mx.a.test", "192.0.2.1", 1.0)])
    await journal.call(Store.totals)
    journal.append(closed=[7])
    await journal.call(Store.totals)
    other.close()
    assert await journal.unfollow(1, "resend", 5.0) == 1
    journal.close()
    assert [row.address for row in store.export("deferred")] == ["user1@a.test"]


async def test_a_log_taken_in_long_ago_leaves_no_files(
    planned: NewStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SEGMENT_OCTETS", 1_000)
    store = planned([("a.test", 300)])
    journal = Journal(store)
    for number in range(1, 301):
        await journal.commit([Record(number, number, "delivered", 1.0)])
        if number % 10 == 0:
            await journal.call(Store.totals)
            assert len(segments(path)[0]) <= 2
    journal.close()
    assert (segments(path), store.totals()["delivered"]) == ({}, 300)


async def test_a_log_is_never_taken_in_twice(planned: NewStore, path: Path) -> None:
    """The process dies after taking in, before the file is removed; the next one's log follows it."""
    store = planned([("a.test", 9)])
    first = Journal(store)
    await first.commit([Record(1, 1, "delivered", 1.0)])
    await first.call(Store.totals)
    again = Journal(store)
    await again.commit([Record(2, 2, "delivered", 1.0)])
    store.recover("hold", 2.0)
    assert (store.totals()["delivered"], len(segments(path)[0])) == (2, 2)
    first.close()


async def test_a_log_that_somebody_writes_is_not_removed(planned: NewStore, path: Path) -> None:
    store = planned([("a.test", 9)])
    journal = Journal(store)
    await journal.commit([Record(1, 1, "delivered", 1.0)])
    await journal.call(Store.recover, "hold", 2.0)
    await journal.commit([Record(2, 2, "delivered", 1.0)])
    with Store.open(path) as other:
        other.recover("hold", 3.0)
        assert other.totals()["delivered"] == 2


def test_the_log_of_a_lost_journal_stands_in_the_way_of_the_next(path: Path) -> None:
    """J6: it may be the only one to know who has been mailed."""
    path.parent.mkdir(parents=True)
    (log := path.parent / "c.journal.3.1.log").write_text("bulkmail log 1 0000 3 1\n")
    with pytest.raises(StoreError, match=r"c\.journal\.3\.1\.log: is the log of a journal that is not here"):
        Store.create(path, {})
    assert (path.exists(), log.exists()) == (False, True)


def test_who_begins_anew_has_the_log_of_a_lost_journal_removed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    (path.parent / "c.journal.0.1.log").write_text("bulkmail log 1 0000 0 1\n")
    Store.create(path, {}, anew=True).close()
    assert segments(path) == {}


def test_the_log_of_another_journal_is_refused(planned: NewStore, path: Path) -> None:
    """J6: the journal was put back from a copy of another campaign."""
    store = planned([("a.test", 9)])
    (path.parent / "c.journal.0.1.log").write_text("bulkmail log 1 0000 0 1\n")
    with pytest.raises(StoreError, match="is the log of another journal"):
        store.recover("hold", 1.0)
