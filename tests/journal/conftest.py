"""A journal at a fresh path, planned; a log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from journal_logs import IDENTITY
from journal_plans import Domains, NewStore, plan

from bulkmail.journal import LogName, Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "c.journal"


@pytest.fixture
def name(tmp_path: Path) -> LogName:
    """A log that nobody has written."""
    return LogName(tmp_path / "c.journal", IDENTITY, 0, 1)


@pytest.fixture
def planned(path: Path) -> Iterator[NewStore]:
    """Makes the store at `path` with these domains planned."""
    made: list[Store] = []

    def new(domains: Domains) -> Store:
        made.append(Store.create(path, {"campaign": "c"}))
        plan(made[-1], domains)
        return made[-1]

    yield new
    for store in made:
        store.close()
