"""all.py ends what takes too long, keeps what it has, and writes it for people and as a picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import contest
import others
import plot
import pytest
import rig
from contest import Promise
from rig import Spread

sys.modules.pop("all", None)
everything = __import__("all")
MACHINE = {"date": "2026-11-24 09:00 UTC", "cpu": "a processor", "cores": "2 (who sends on 0)"}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """It starts somebody who ignores what he is told: the pipe that both hold open is closed at the end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); time.sleep(600)"
    code = (
        "import subprocess, sys, time\n"
        f"with open({str(pipe)!r}, 'wb') as held:\n"
        f"    child = subprocess.Popen([sys.executable, '-uc', {stubborn!r}], stderr=held, stdout=-1)\n"
        "    child.stdout.readline(), held.write(b'.'), held.flush(), time.sleep(600)"
    )
    with pytest.raises(everything.Failed, match="was not done"):
        everything.output(python(code), 2.0)
    os.set_blocking(reading, True)
    assert os.read(reading, 10) in (b".", b"")
    assert os.read(reading, 10) == b""
    os.close(reading)


def test_a_benchmark_that_fails_has_no_result() -> None:
    with pytest.raises(everything.Failed, match="ended with 3"):
        everything.output(python("import sys; sys.exit(3)"), 60)
    with pytest.raises(everything.Failed, match="said nothing"):
        everything.output(python("print('hello')"), 60)


def test_what_is_not_measured_anew_is_kept(tmp_path: Path) -> None:
    kept = {"failed": "the power went out", "took_s": 1.0, "machine": MACHINE}
    (tmp_path / "results.json").write_text(json.dumps({"scenarios": {"shared": kept}, "machine": MACHINE}))
    command = [sys.executable, everything.__file__, "--quick", "--only", "list", "--output", str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == 0
    seen = json.loads((tmp_path / "results.json").read_text())["scenarios"]
    assert list(seen) == ["list", "shared"]
    assert seen["shared"] == kept
    assert len(seen["list"]["promises"]) == 4
    assert "Not measured: the power went out." in (tmp_path / "results.md").read_text()


def test_where_there_is_no_time_left_that_is_told(tmp_path: Path) -> None:
    command = [sys.executable, everything.__file__, "--minutes", "0", "--output", str(tmp_path)]
    assert subprocess.run(command, capture_output=True).returncode == 1
    seen = json.loads((tmp_path / "results.json").read_text())["scenarios"]
    assert list(seen) == list(everything.SCENARIOS)
    assert {one["failed"] for one in seen.values()} == {"there was no time left"}


def results(*promises: Promise) -> dict[str, object]:
    one = {
        "machine": MACHINE,
        "quick": False,
        "rounds": 5,
        "took_s": 61.2,
        "results": [{"who": "bulkmail", "recipients/s": Spread(2e5, 1e5, 3e5)._asdict()}],
        "promises": [promise.as_json() for promise in promises],
        "missing": {"exim": "is not unpacked"},
    }
    return {"machine": MACHINE, "scenarios": {"shared": one}}


def test_the_table_has_promises_first_and_then_what_was_seen() -> None:
    text = everything.markdown(
        results(
            Promise("shared: smtplib", Spread(16, 15, 17), at_least=15, over="smtplib"),
            Promise("shared: nodemailer", Spread(5, 4, 6), at_least=6, over="nodemailer"),
            Promise("shared: smtpproto", Spread(30, 29, 31), over="smtpproto"),
        )
    )
    assert "Of 2 promises 1 hold and 1 do not" in text
    assert text.index("shared: nodemailer") < text.index("## shared") < text.index("shared: smtpproto")
    assert "| bulkmail | 200,000 (100,000–300,000) |" in text
    assert "- exim: is not unpacked" in text


def test_the_picture_has_a_dot_for_each_peer_and_a_stroke_for_each_promise() -> None:
    drawn = ElementTree.fromstring(
        plot.svg(
            results(
                Promise("shared, clear text: smtplib", Spread(16, 15, 17), at_least=15, over="smtplib"),
                Promise("shared, clear text: <&>", Spread(5, 4, 6), over="<&>"),
                Promise("shared: memory", Spread(5, 4, 6), at_most=6, unit="MB"),
                Promise("shared: exim", None, at_least=2, over="exim"),
            )
        )
    )
    svg = "{http://www.w3.org/2000/svg}"
    assert len(drawn.findall(f"{svg}circle")) == 2
    assert [line for line in drawn.findall(f"{svg}line") if line.get("stroke-width") == "2"]
    assert "clear text: <&>" in {text.text for text in drawn.findall(f"{svg}text")}


def test_what_other_benchmarks_say_is_held_to_the_promises() -> None:
    rate = {"median": 300.0, "low": 290.0, "high": 310.0}
    said = {"results": [{"who": "bulkmail", "domains/s": rate}]}
    said["results"] += [
        {"who": who, "domains/s": {name: n / 2 for name, n in rate.items()}} for who in ("smtplib", "tls")
    ]
    assert [promise.holds for promise in others.longtail(said)] == [False, True]
    start = {"median_ms": 400.0, "spread_ms": [390.0, 510.0]}
    said = {"results": {"--version": start, "first RCPT, by MX": start}, "version_over_click_ms": 61.0}
    assert [promise.holds for promise in others.start(said)] == [False, True]
    assert contest.promised(others.start(said)[0].as_json())["reached"] == "61 ms"
    assert rig.table(others.start_rows(said)).count("\n") == 3
