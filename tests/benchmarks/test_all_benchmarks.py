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
import readme
import rig
from contest import Promise
from rig import Spread

sys.modules.pop("all", None)
everything = __import__("all")
MACHINE = {
    "date": "2026-11-24 09:00 UTC",
    "cpu": "a processor",
    "cores": "2 (who sends on 0)",
    "kernel": "Linux 6",
    "python": "3",
    "openssl": "3",
    "bulkmail": "1",
}


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


def test_the_picture_has_a_bar_for_each_peer_and_a_stroke_for_each_promise() -> None:
    drawn = ElementTree.fromstring(
        plot.svg(
            results(
                Promise("shared, clear text: smtplib", Spread(16, 15, 17), at_least=15, over="smtplib"),
                Promise("shared, clear text: <&>", Spread(0.5, 0.4, 0.6), over="<&>"),
                Promise("shared: memory", Spread(5, 4, 6), at_most=6, unit="MB"),
                Promise("shared: exim", None, at_least=2, over="exim"),
            )
        )
    )
    svg = "{http://www.w3.org/2000/svg}"
    texts = [text.text for text in drawn.iter(f"{svg}text")]
    bars = [one for one in drawn.iter(f"{svg}rect") if one.get("height") == str(plot.ROW - 6)]
    strokes = [one for one in drawn.iter(f"{svg}line") if one.get("stroke-width") == "2.5"]
    legend = [colour for colour, _ in plot.LEGEND]
    assert [bar.get("fill") for bar in bars] == [*legend, plot.HELD, plot.OPEN]
    assert len(strokes) == 1 + 1, "of the promise, and in the legend"
    assert {"shared, clear text", "smtplib", "16×", "<&>", "0.5×"} < set(texts)


def test_columns_of_the_picture_are_of_about_the_same_length() -> None:
    bar = plot.Bar("smtplib", 1, 2, 3, plot.OPEN, None)
    for sizes in ([1], [7, 1, 6, 1, 6, 6, 4, 3, 1, 2, 2], [20, 1, 1], [1, 1, 20]):
        columns = plot.packed({str(number): [bar] * size for number, size in enumerate(sizes)})
        assert [len(listed) for column in columns for _, listed in column] == sizes
        longest = max(map(plot.down, columns))
        assert longest <= max(plot.down([("", [bar] * max(sizes))]), sum(map(plot.down, columns)) * 0.7)


def test_the_readme_has_what_was_promised_and_says_what_was_missed() -> None:
    seen = results(
        Promise("shared, clear text: smtplib", Spread(16.04, 15, 17), at_least=15, over="smtplib"),
        Promise("shared, clear text: nodemailer", Spread(5, 4, 6), at_least=6, over="nodemailer", note="why"),
        Promise("shared, clear text: smtpproto", Spread(30, 29, 31), over="smtpproto"),
        Promise("memory", Spread(100, 90, 110), at_most=120, unit="MB"),
        Promise("shared: exim", None, at_least=2, over="exim"),
    )
    seen["scenarios"]["list"] = {"failed": "the power went out", "machine": MACHINE}  # type: ignore[index]
    text = readme.written(f"# x\n{readme.BEGIN}\nold\n{readme.END}\nmore\n", seen)
    assert text.startswith(f"# x\n{readme.BEGIN}\n|")
    assert text.endswith(f"\n{readme.END}\nmore\n")
    assert "old" not in text
    assert "| shared, clear text | smtplib: 16 × (≥ 15); **nodemailer: 5 × (≥ 6; why)** |" in text
    assert "| memory | 100 MB (≤ 120) |" in text
    assert "2 of 4 promises held, **1 missed**, 1 not measured (list: not at all)." in text
    assert (
        "5 rounds, 2026-11-24: 2 cores of an a processor, Linux 6, Python 3, OpenSSL 3, bulkmail 1." in text
    )
    with pytest.raises(ValueError, match="markers"):
        readme.written("# x\n", seen)


def test_what_is_in_the_repository_is_what_the_results_say() -> None:
    """Not edited by hand: `benchmarks/all.py` measures, and `benchmarks/readme.py` writes README.md."""
    seen = json.loads((readme.RESULTS / "results.json").read_text("utf-8"))
    shown = readme.README.read_text("utf-8")
    assert readme.written(shown, seen) == shown
    assert everything.markdown(seen) == (readme.RESULTS / "results.md").read_text("utf-8")
    assert plot.svg(seen) == (readme.RESULTS / "ratios.svg").read_text("utf-8")
    assert not [name for name, one in seen["scenarios"].items() if one.get("quick")], "tiny runs say nothing"


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
