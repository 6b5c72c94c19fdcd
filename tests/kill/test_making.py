"""Whatever the disk refuses while a journal is made, there is a whole one afterwards, or none.

SQLite folds the WAL into a file when it closes it, and says nothing where that fails; without its WAL, which
keeps the name under which it was made, the file would be an empty shell that says that it is damaged.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bulkmail.errors import StoreError
from bulkmail.journal import Store
from tests.kill.shim import Control, How, Strike, built, possible


@pytest.mark.skipif(not possible(), reason="the shim needs Linux and a C compiler")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_whatever_call_fails_a_journal_is_made_whole_or_not_at_all(tmp_path: Path, error: str) -> None:
    """J3: every call that changes a file, one after the other, in a process that has the shim."""
    environment = {**os.environ, "LD_PRELOAD": str(built())}
    command = [sys.executable, "-m", "tests.kill.test_making", str(tmp_path), error]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True
    )
    refused, made, broken = done.stdout.split() if done.returncode == 0 else ("0", "0", done.stderr)
    assert (broken, int(refused) > 20, int(made) > 0) == ("0", True, True)


def main(folder: Path, error: str) -> None:
    """Print how often it was refused, made all the same, and neither."""
    refused = made = broken = 0
    at, struck = 0, True
    while struck:
        at += 1
        state = folder / str(at)
        state.mkdir()
        control = Control(state, Strike(at, How.FAIL, getattr(errno, error)))
        control.arm()
        path = state / "c.journal"
        try:
            Store.create(path, {"campaign": "c"}).close()
        except StoreError:
            refused += 1
        struck = control.struck
        if path.exists():
            try:
                with Store.open(path) as store:
                    made += store.meta("campaign") == "c"
            except StoreError:
                broken += 1
    print(refused, made, broken)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
