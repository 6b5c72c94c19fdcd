"""Runners killed at every instant, and disks that refuse: nobody lost, nobody sent to twice unawares.

Each test is a process of its own, because the harness forks and pytest's workers have threads. What is tried
is said by the names of the cases (cases.py); one that fails is told with the command that tries it again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kill.shim import possible

SEEDS = range(1, 6)
pytestmark = pytest.mark.skipif(not possible(), reason="the shim needs Linux and a C compiler")


def law_holds(capfd: pytest.CaptureFixture[str], *words: str) -> None:
    command = [sys.executable, "-m", "tests.kill.harness", "--jobs", "1", *words]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    with capfd.disabled():  # how many were in doubt and had arrived is worth reading each time
        print(f"\n{done.stdout}", end="", file=sys.stderr, flush=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("seed", SEEDS)
def test_whenever_the_runner_is_killed_nobody_is_lost_and_only_who_was_in_doubt_gets_two(
    seed: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """J1, P5: ten kills at random moments in each of two campaigns of hundreds."""
    law_holds(capfd, f"moments/{seed}/0", f"moments/{seed}/1")


@pytest.mark.parametrize("way", ["plain", "breath", "riding", "workers-shared"])
def test_killed_at_whatever_write_or_sync_of_the_journal_it_goes_on_where_it_was(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """J1, P5: each way begins at another call, so that together they leave out none."""
    first = ["plain", "breath", "riding", "workers-shared"].index(way) + 1
    law_holds(capfd, "--every", f"calls/{way}/0", "--part", f"{first}/9")


@pytest.mark.parametrize("way", ["resend", "workers"])
def test_a_power_cut_at_whatever_write_or_sync_takes_nothing_that_was_acknowledged(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """J2."""
    law_holds(capfd, "--every", f"power/{way}/0", "--part", f"{len(way) % 3 + 1}/9")


@pytest.mark.parametrize("way", ["plain", "shared", "workers"])
def test_killed_or_warned_before_and_after_whatever_step_of_the_protocol_it_goes_on_where_it_was(
    way: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """J1, P1, P2, P5."""
    law_holds(capfd, "--every", f"steps/{way}/0", "--part", f"{len(way) % 4 + 1}/7")


@pytest.mark.parametrize(("way", "error"), [("plain", "ENOSPCs"), ("breath", "EIO"), ("workers", "ENOSPCs")])
def test_whatever_write_or_sync_the_disk_refuses_the_run_stops_and_goes_on_when_it_is_well(
    way: str, error: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """J3."""
    law_holds(capfd, "--every", f"disk/{way}/{error}", "--part", f"{len(way) % 4 + 1}/9")


def test_a_disk_that_refuses_the_recovery_stops_it_and_it_goes_on_when_the_disk_is_well(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """J1, J3."""
    law_holds(capfd, "--every", "again/workers/ENOSPCs", "--part", "3/11", "--most", "120")


def test_a_disk_that_fails_and_then_loses_what_it_had_not_synced_takes_nothing_that_was_acknowledged(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """J2, J3: after a sync that failed, what it was to write is gone for good."""
    law_holds(capfd, "--every", "lost/shared/EIO", "--part", "241/9")


def test_a_disk_that_may_not_be_written_is_told_with_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    """J3: at the start, and when the system makes it read-only in the midst of a run."""
    law_holds(capfd, *(f"disk/plain/{error}/{at}" for error, at in zip(
        ["EACCES", "EROFSs", "EROFSs", "EACCESs", "EROFSs"], [1, 2, 60, 150, 300], strict=True
    )))  # fmt: skip


def test_killed_while_a_warm_up_counts_the_quota_of_the_day_is_kept_and_nobody_waits_for_tomorrow(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """J1, J2: what is sent is counted first, and what was counted too much is given back."""
    law_holds(capfd, "--every", "calls/warming/0", "--part", "301/16")
    law_holds(capfd, "--every", "power/warming/0", "--part", "305/32")


def test_killed_with_a_worker_while_several_sources_warm_up_no_quota_is_exceeded(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """J1, P5: each process has counted some beforehand; at the end the counts are what was sent."""
    law_holds(capfd, *(f"steps/workers-warming/0/{step}" for step in (2, 9, 17, 31, 44)))
    law_holds(capfd, "--every", "calls/workers-warming/0", "--part", "331/48")


@pytest.mark.parametrize(("word", "first"), [("pause", 272), ("cancel", 280), ("suppress", 285)])
def test_killed_while_an_order_is_carried_out_what_was_answered_stands(
    word: str, first: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """J1, H3: to a run that sends, and to the journal, or the project, of one that was killed."""
    law_holds(capfd, "--every", f"told/plain/{word}", "--part", f"{first}/16")
    law_holds(capfd, "--every", f"verb/breath/{word}", "--part", f"{len(word)}/7", "--most", "60")


def test_killed_while_a_campaign_is_resumed_it_is_paused_or_goes_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """J1."""
    law_holds(capfd, "--every", "verb/workers/resume", "--part", "2/6")


def test_short_writes_are_gone_on_with(capfd: pytest.CaptureFixture[str]) -> None:
    """J3."""
    law_holds(capfd, "--every", "short/breath/0", "--part", "7/25")


def test_of_two_runs_one_is_refused_and_told_of_the_other(capfd: pytest.CaptureFixture[str]) -> None:
    """J4."""
    law_holds(capfd, *(f"two/{way}/{delay}/{delay}" for way in ("plain", "workers") for delay in (0, 1, 20)))
