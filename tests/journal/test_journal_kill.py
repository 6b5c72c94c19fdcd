"""A kill at any moment leaves a journal that opens, adds up, and knows whom to doubt."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from bulkmail.journal import Store

# Says what it has been promised to be on disk, line by line: "planned", then "open"/"done" and a first id.
RUN = """
import sys
from pathlib import Path
from bulkmail.journal import Intent, Planned, Record, Store

path = Path(sys.argv[1])
with Store.create(path, {"campaign": "c"}) as store:
    print("made", flush=True)
    with store.write_plan() as writer:
        for domain in range(200):
            rows = (Planned(f"user{n}@d{domain}.test", "{}") for n in range(50))
            writer.interval(f"d{domain}.test", True, False, rows)
    print("planned", flush=True)
    for first in range(1, 10_001, 10):
        intent = Intent(first, ((first, first + 9),), "mx.test", "192.0.2.1", 1.0)
        store.commit([], [intent], [])
        print("open", first, flush=True)
        state, due = ("deferred", 60.0) if first % 30 == 1 else ("delivered", None)
        store.commit([Record(first, first + 9, state, 2.0, 250, None, f"ok {first}", due=due)], [], [first])
        print("done", first, flush=True)
"""


@pytest.mark.parametrize("seed", range(8))
def test_a_kill_at_any_moment_loses_nobody_and_doubts_only_who_was_open(path: Path, seed: int) -> None:
    """J1."""
    lines = random.Random(seed).choice([0, 1, 1, 2, 3, 10, 51, 120, 333])
    process = subprocess.Popen([sys.executable, "-c", RUN, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    heard = [process.stdout.readline().split() for _ in range(lines)]
    process.kill()
    rest, _ = process.communicate()
    heard += [line.split() for line in rest.splitlines()]
    if not path.exists():
        assert heard == []
        return
    with Store.open(path) as store:
        if not store.planned:
            assert ["planned"] not in heard
            return
        doubted = store.recover("hold", 100.0)
        totals = store.totals()
        done = sum(10 for word, *_ in heard if word == "done")
        opened = sum(10 for word, *_ in heard if word == "open")
        assert totals.pop("source") == sum(totals.values()) == 10_000
        assert doubted in (0, 10)
        # What was said was on disk; what was not yet said may be there too, one transaction at most.
        assert totals["delivered"] + totals["deferred"] in (done, done + 10)
        assert 10_000 - totals["pending"] in (opened, opened + 10)


def test_killed_while_planning_there_is_nobody_to_recover_resolve_or_cancel(path: Path) -> None:
    """J1."""
    with Store.create(path, {"campaign": "c"}) as store:
        counts = (store.recover("hold", 1.0), store.resolve_doubt("resend", 1.0), store.cancel_open(1.0))
        assert (*counts, store.planned) == (0, 0, 0, False)
