"""A store of the project, read as nobody's process left it: from a copy, so that looking changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from tests.kill.audit import demand


@contextmanager
def copied(file: Path, scratch: Path) -> Iterator[apsw.Connection | None]:
    """None where there is no such file. Raises Broken where it is damaged."""
    copy = scratch / file.name
    for suffix in ("", "-wal", "-shm", "-journal"):
        copy.with_name(file.name + suffix).unlink(missing_ok=True)
        original = file.with_name(file.name + suffix)
        if suffix != "-shm" and original.exists():
            shutil.copyfile(original, copy.with_name(file.name + suffix))
    if not copy.exists():
        yield None
        return
    db = apsw.Connection(str(copy))
    try:
        problems = [row[0] for row in db.execute("PRAGMA integrity_check")]
        demand(problems == ["ok"], f"{file.name} is damaged: {problems[:3]}")
        yield db
    finally:
        db.close()
