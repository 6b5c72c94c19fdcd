"""What a worker reads of the store: opened once, read one at a time, and let go of with the notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from bulkmail.campaign.workers.notebook import Notebook
from bulkmail.errors import StoreError
from bulkmail.journal import Store

READS = 20


async def test_many_first_reads_at_once_open_the_store_once_and_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_now: list[Store] = []
    opened, at_once, most = 0, 0, 0
    really_open, really_close = Store.open, Store.close

    def counted(*args: Any, **kwargs: Any) -> Store:
        nonlocal opened
        opened += 1
        open_now.append(really_open(*args, **kwargs))
        return open_now[-1]

    def closed(store: Store) -> None:
        if store in open_now:
            open_now.remove(store)
        really_close(store)

    def totals(store: Store) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        found = store.totals()["source"]
        at_once -= 1
        return found

    found: list[int] = []
    with Store.create(tmp_path / "c.journal", {"campaign": "c"}) as store:
        name = store.new_log()
        monkeypatch.setattr(Store, "open", counted)
        monkeypatch.setattr(Store, "close", closed)
        with Notebook(name) as notebook:

            async def read() -> None:
                found.append(await notebook.read(totals))

            async with trio.open_nursery() as nursery:
                for _ in range(READS):
                    nursery.start_soon(read)
        with pytest.raises(StoreError):
            await notebook.read(totals)
    assert (found, opened, open_now, most) == ([0] * READS, 1, [], 1)


async def test_a_store_that_is_not_there_is_said_so_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "c.journal"
    with Store.create(path, {"campaign": "c"}) as store:
        name = store.new_log()
    path.unlink()
    with pytest.raises(StoreError, match=r"c\.journal"):
        Notebook(name)
