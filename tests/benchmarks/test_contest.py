"""The scenarios run at a tiny size; who fails is named, and the others are measured; promises are judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import contest
import pytest
import rig
import sink
from contest import Contest, Given, Promise
from lacking import lacks
from peers.job import Missing
from rig import Spread

BENCHMARKS = Path(contest.__file__).parent
OURS = {  # those that need nothing that others wrote
    "shared": "bulkmail, clear, 10",
    "personal": "bulkmail, DATA only, STARTTLS, 10",
    "signed": "raw",
    "latency": "PIPELINING alone",
    "flat": "100",
    "journal": "shared, in memory",
    "connections": "bulkmail, shared",
    "resume": "next RCPT",
    "nowhere": "bulkmail",
    "tarpits": "beside the bad",
}

FOREIGN = {
    "foreign": ("bare, postfix, shared", "bulkmail, exim, shared"),
    "foreign_sink": ("bulkmail, shared",),
}


@pytest.fixture
def given() -> Given:
    return Given(rounds=2, quick=False, minutes=1.0, only=None, json=True, output=None)


@pytest.mark.parametrize("name", OURS)
def test_a_scenario_tells_what_it_has_seen_and_what_was_promised(name: str) -> None:
    try:
        sink.built("sink")
        sink.built("delay")
    except sink.CannotBuild as reason:
        lacks(str(reason))
    said = told(name, "--quick", "--only", OURS[name], *(["--rows", "4000"] if name == "resume" else []))
    assert (said["benchmark"], said["quick"], said["missing"]) == (name, True, {})
    assert said["results"]
    assert {"what", "holds"} <= said["promises"][0].keys()
    assert all(promise["holds"] is None for promise in said["promises"]), "tiny ones promise nothing"


@pytest.mark.parametrize("name", FOREIGN)
def test_what_others_wrote_has_what_was_sent_to_it(name: str) -> None:
    said = told(name, "--quick", *(f"--only={who}" for who in FOREIGN[name]))
    if said["missing"]:
        lacks("; ".join(said["missing"].values()))
    assert len(said["results"]) == len(FOREIGN[name])


def told(name: str, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), "--json", *options]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    said: dict[str, Any] = json.loads(ended.stdout)
    return said


def test_who_fails_is_named_and_the_others_have_their_turns(given: Given) -> None:
    turns: list[str] = []

    def missing() -> float:
        raise Missing("is not installed")

    def broken() -> float:
        turns.append("broken")
        raise ValueError("no such thing")

    held = Contest("x", given)
    held.add("a", lambda: turns.append("a") or 6.0)
    held.add("b", missing)
    held.add("c", broken)
    held.add("d", lambda: turns.append("d") or 3.0)
    held.hold()
    assert held.missing == {"b": "is not installed", "c": "ValueError: no such thing"}
    assert held.results == {"a": [6.0, 6.0], "d": [3.0, 3.0]}
    assert (turns.count("a"), turns.count("broken"), turns.count("d")) == (2, 1, 2)
    assert held.ratios("a", "d", float) == Spread(2, 2, 2)
    assert held.ratios("a", "c", float) is None
    assert held.why("a", "c") == "c: ValueError: no such thing"


def test_ratios_are_taken_within_a_round(given: Given) -> None:
    held = Contest("x", given)
    held.results = {"ours": [10, 40, 90], "theirs": [1, 2, 3]}
    assert held.ratios("ours", "theirs", float) == Spread(20, 10, 30)


@pytest.mark.parametrize(
    ("promise", "holds"),
    [
        (Promise("x", Spread(5, 1, 9), at_least=5), True),
        (Promise("x", Spread(4.9, 1, 9), at_least=5), False),
        (Promise("x", Spread(5, 1, 9), at_most=5), True),
        (Promise("x", Spread(5.1, 1, 9), at_most=5), False),
        (Promise("x", None, at_most=5), None),
        (Promise("x", Spread(5, 1, 9)), None),
    ],
)
def test_a_promise_holds_by_its_median(promise: Promise, holds: bool | None) -> None:
    assert promise.as_json()["holds"] is holds


def test_a_promise_is_told_with_what_was_reached() -> None:
    seen = Promise("shared: smtplib", Spread(16.04, 15.5, 17), at_least=15, over="smtplib")
    missed = Promise("memory", Spread(130, 130, 130), at_most=120, unit="MB", note="at the end")
    unseen = Promise("others", None, at_least=3, note="nobody: is not installed")
    assert rig.table([contest.promised(each.as_json()) for each in (seen, missed, unseen)]).splitlines() == [
        "| what            | promised | reached       |            | note                     |",
        "| --------------- | -------- | ------------- | ---------- | ------------------------ |",
        "| shared: smtplib | ≥ 15×    | 16 (15.5–17)× | holds      |                          |",
        "| memory          | ≤ 120 MB | 130 MB        | **missed** | at the end               |",
        "| others          | ≥ 3×     | not measured  |            | nobody: is not installed |",
    ]


def test_no_round_begins_that_would_end_too_late() -> None:
    assert rig.rounds({"a": lambda: 1}, repeats=5, within_s=-1.0) == {"a": [1]}
