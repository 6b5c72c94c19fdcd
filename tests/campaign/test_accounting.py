"""The accounting log follows the journal: it never says what a kill could take back."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
import trio
from campaign_file import load

from bulkmail.campaign.accounting import AccountingLog
from bulkmail.campaign.compose import compose
from bulkmail.campaign.ledger import CampaignLedger
from bulkmail.campaign.workers.notebook import Notebook
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.work import Verdict, Where
from bulkmail.errors import StoreError
from bulkmail.journal import Journal, Planned, Store, Suppressions
from bulkmail.transport.stage import Stage

DELIVERED = Disposition(Fate.DELIVERED, Scope.MESSAGE, Stage.END_OF_DATA)


class Case:
    """A plan of two and the ledger of a run, or of a worker."""

    def __init__(self, folder: Path, book: Journal | Notebook, suppressions: Suppressions) -> None:
        self.book = book
        self.path = folder / "accounting.jsonl"
        self.log = AccountingLog(self.path, "c")
        composer = compose(load(folder), date=datetime(2026, 11, 21, tzinfo=UTC))
        self.ledger = CampaignLedger(book, composer, suppressions, self.log, now=time.time)

    async def deliver(self, number: int) -> None:
        [roll] = await self.ledger.fetch([[(number, number)]])
        where = Where("mx.a.test", "192.0.2.1")
        self.ledger.note([Verdict(number, number, DELIVERED, 1.0, where)], people=[roll])

    @property
    def told(self) -> list[str]:
        return [json.loads(line)["recipient"] for line in self.path.read_text().splitlines()]


@pytest.fixture(params=["run", "worker"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    (tmp_path / "people.csv").write_text("email\nann@a.test\n")
    (tmp_path / "hello.md").write_text("Hello\n")
    with (
        Store.create(tmp_path / "c.journal", {}) as store,
        Suppressions.open(tmp_path / "project.db") as suppressions,
    ):
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned(f"{one}@a.test", "{}") for one in ("ann", "bob")])
        book = Journal(store) if request.param == "run" else Notebook(store.new_log(1))
        yield Case(tmp_path, book, suppressions)


async def test_nothing_is_accounted_for_before_it_is_on_disk(case: Case) -> None:
    """J1: a kill at this moment leaves the journal without it, too."""
    await case.deliver(1)
    before = case.told
    await case.ledger.synced()
    assert (before, case.told) == ([], ["ann@a.test"])
    case.book.close()
    case.log.close()


async def test_whatever_is_left_is_accounted_for_at_the_end(case: Case) -> None:
    await case.deliver(1)
    await case.deliver(2)
    case.book.close()
    case.log.close()
    assert case.told == ["ann@a.test", "bob@a.test"]


async def test_what_did_not_reach_the_disk_is_not_accounted_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J3."""

    def fdatasync(file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    await case.deliver(1)
    with pytest.raises(StoreError, match="Input/output error"):
        await case.ledger.synced()
    case.book.close()
    case.log.close()
    assert case.told == []


async def test_an_accounting_log_that_cannot_be_written_is_told_and_what_happened_is_kept(case: Case) -> None:
    """J3: to whoever waits for the disk, before he says MAIL; and to the next who notes something."""
    full = os.open("/dev/full", os.O_WRONLY)
    assert case.log._descriptor is not None
    os.dup2(full, case.log._descriptor)
    os.close(full)
    await case.deliver(1)
    with pytest.raises(StoreError, match=r"accounting\.jsonl cannot be written: the disk is full"):
        await case.ledger.synced()
    with pytest.raises(StoreError, match=r"accounting\.jsonl cannot be written: the disk is full"):
        await case.deliver(2)
    case.book.close()
    case.log.close()
    with Store.open(case.path.with_name("c.journal")) as store:
        store.recover("hold", 2.0)
        assert store.totals()["delivered"] == 2


async def test_one_that_fails_last_is_told_at_the_end(case: Case) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    assert case.log._descriptor is not None
    os.dup2(full, case.log._descriptor)
    os.close(full)
    await case.deliver(1)
    case.book.close()
    with pytest.raises(StoreError, match="cannot be written: the disk is full"):
        case.log.close()


async def test_nobody_is_sent_to_any_more_when_the_disk_has_failed(case: Case) -> None:
    """J3: asked before each MAIL."""
    case.book._log.fail(StoreError("the disk failed"))
    with pytest.raises(StoreError, match="the disk failed"):
        case.ledger.withheld([])
    case.book.close()
    case.log.close()


def test_a_line_that_a_crash_has_cut_short_is_taken_back(tmp_path: Path) -> None:
    """J1: else the next one would stand behind it, and neither could be read."""
    path = tmp_path / "accounting.jsonl"
    path.write_bytes(b'{"whole": 1}\n{"cut sh')
    log = AccountingLog(path, "c")
    log.write(b'{"next": 1}\n')
    log.close()
    assert path.read_text() == '{"whole": 1}\n{"next": 1}\n'


def test_half_a_line_that_another_process_has_left_is_taken_back_in_the_midst_of_a_run(
    tmp_path: Path,
) -> None:
    """J1, P5: a worker dies, the others go on."""
    path = tmp_path / "accounting.jsonl"
    log = AccountingLog(path, "c")
    log.write(b'{"whole": 1}\n')
    with path.open("ab") as dying:
        dying.write(b'{"cut sh')
    log.write(b'{"next": 1}\n')
    log.close()
    assert path.read_text() == '{"whole": 1}\n{"next": 1}\n'


WRITER = """
import fcntl, sys
with open(sys.argv[1], "ab", buffering=0) as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    file.write(b'{"slow": ')
    print(flush=True)
    sys.stdin.readline()
    file.write(b'1}' + bytes([10]))
"""


def test_a_line_that_another_process_is_writing_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "accounting.jsonl"
    log = AccountingLog(path, "c")
    words = [sys.executable, "-c", WRITER, str(path)]
    with Popen(words, stdin=PIPE, stdout=PIPE, text=True) as other, ThreadPoolExecutor(1) as thread:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        ours = thread.submit(log.write, b'{"next": 1}\n')
        other.stdin.write("\n")
        other.stdin.close()
        ours.result(timeout=60)
    log.close()
    assert path.read_text() == '{"slow": 1}\n{"next": 1}\n'


@pytest.mark.parametrize("case", ["run"], indirect=True)
async def test_while_a_run_only_waits_it_is_accounted_for_all_the_same(case: Case) -> None:
    assert isinstance(case.book, Journal)
    written = trio.Event()
    await case.deliver(1)
    case.book.append(then=written.set)
    async with trio.open_nursery() as watchers:
        watchers.start_soon(case.book.keep_up)
        with trio.fail_after(60):
            await written.wait()
        told = case.told
        watchers.cancel_scope.cancel()
    case.book.close()
    case.log.close()
    assert told == ["ann@a.test"]
