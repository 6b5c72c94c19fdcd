"""Two hundred runners killed by SIGKILL at seeded moments: nobody lost, nobody sent to twice unawares.

Each case is a process of its own, because the harness forks and pytest's workers have threads.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

KILLS = 25  # in each case; together 200
SEEDS = range(1, 9)


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_the_runner_is_killed_nobody_is_lost_and_only_who_was_in_doubt_gets_two(
    seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """J1."""
    command = [sys.executable, "-m", "tests.kill.harness", "--seed", str(seed), "--kills", str(KILLS)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    with capfd.disabled():  # how many were in doubt and had arrived is worth reading each time
        print(f"\n{done.stdout}", end="", file=sys.stderr, flush=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
