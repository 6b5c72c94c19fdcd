"""`bulkmail bench`: real runs against a real sandbox; no rate is asserted, only what it is made of."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bulkmail.bench.bench import WARM_UP, parse_sink
from bulkmail.bench.measure import Sample
from bulkmail.bench.plot import svg
from bulkmail.bench.result import Result, Spread, result
from bulkmail.bench.sandbox import Sandbox
from bulkmail.bench.scenario import SCENARIOS, Way, letter, write
from bulkmail.campaign import config
from bulkmail.cli import exit_code
from bulkmail.cli.bench import SCENARIOS as OFFERED
from bulkmail.errors import ConfigError

BENCH = ["bench", "--recipients", "40", "--repeats", "1", "--connections", "2"]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert exit_code([*BENCH, *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_what_shares_a_transaction_and_what_is_personal(
    tmp_path: Path, temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is left behind but the picture."""
    picture = tmp_path / "bench.svg"
    found = told(capsys, "--scenario", "shared", "--scenario", "personal", "--plot", str(picture))
    shared, personal = found["results"]
    assert (shared["recipients_per_message"], personal["recipients_per_message"]) == (40, 1)
    assert (found["sink"], shared["undelivered"], shared["sandbox_share"] > 0) == ("sandbox", 0, True)
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert list(temporary.iterdir()) == []


def test_a_sink_of_ones_own_gets_every_signed_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Sandbox() as sink:
        found = told(
            capsys,
            *("--scenario", "signed", "--sink", f"localhost:{sink.smtp}", "--no-tls"),
            *("--directory", str(tmp_path)),
        )
        counted = sink.counted()
    assert (found["sink"], found["tls"], found["results"][0]["sandbox_share"]) == (
        f"localhost:{sink.smtp}",
        False,
        None,
    )
    assert (counted.recipients, counted.messages, counted.copies) == (80, 80, 40)  # the warm-up is one too


def test_people_get_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code([*BENCH, "--scenario", "shared"]) == 0
    captured = capsys.readouterr()
    header, row, *_ = captured.out.splitlines()
    assert (header.split()[:3], row.split()[0]) == (["scenario", "recipients/s", "messages/s"], "shared")
    assert captured.err.startswith("shared 1/1: ")


def test_strangers_are_not_tested(capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code([*BENCH, "--sink", "192.0.2.1:25"])
    assert (code, "--yes" in capsys.readouterr().err) == (2, True)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--sink", "localhost"],
        ["--sink", "localhost:0"],
        ["--plot", "picture.png"],
        ["--scenario", "all"],
        ["--connections", "100000"],
        ["--directory", "/nowhere"],
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(wrong: list[str], temporary: Path) -> None:
    assert (exit_code([*BENCH, *wrong]), list(temporary.iterdir())) == (2, [])


def test_a_sink_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as deaf:  # its port is taken, and nobody listens
        deaf.bind(("127.0.0.1", 0))
        code = exit_code([*BENCH, "--scenario", "shared", "--sink", f"127.0.0.1:{deaf.getsockname()[1]}"])
    assert (code, "nobody was delivered to" in capsys.readouterr().err) == (2, True)


def test_who_is_asked_to_end_leaves_nothing(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # a run that waits for its greeting is under way
        sink = f"127.0.0.1:{mute.getsockname()[1]}"
        command = [sys.executable, "-m", "bulkmail", *BENCH, "--sink", sink, "--directory", str(temporary)]
        with subprocess.Popen(command) as bench:
            waiting, _ = mute.accept()
            bench.send_signal(signal.SIGTERM)
            code = bench.wait()
        waiting.close()
    assert (code, list(temporary.iterdir())) == (130, [])


@pytest.mark.parametrize(
    ("text", "local"),
    [("localhost:25", True), ("[::1]:25", True), ("127.9.9.9:1", True), ("192.0.2.1:25", False)],
)
def test_what_is_on_this_machine(text: str, local: bool) -> None:
    sink = parse_sink(text)
    assert (sink.local, str(sink)) == (local, text)


@pytest.mark.parametrize("text", ["", "25", ":25", "host:", "host:x", "host:65536", "nowhere.invalid:25"])
def test_what_is_no_sink(text: str) -> None:
    with pytest.raises(ConfigError, match="--sink"):
        parse_sink(text)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_is_written_is_a_campaign(tmp_path: Path, name: str, host: str) -> None:
    way = Way(host, 2525, ("127.0.0.1", 5300), 7, tls=True)
    campaign = config.load(write(SCENARIOS[name], 5, way, tmp_path), environ={})
    assert (str(campaign.delivery.via), campaign.shaping.default.connections) == (way.via, 7)
    assert (len(campaign.delivery.dkim), campaign.warnings) == (int(name == "signed"), ())


def test_the_verb_offers_what_there_is() -> None:
    assert (OFFERED, WARM_UP >= 1) == (tuple(SCENARIOS), True)


def test_only_a_personal_letter_has_fields() -> None:
    assert ("{{" in letter(personal=True), "{{" in letter(personal=False)) == (True, False)


def sample(recipients: int, seconds: float, **other: Any) -> Sample:
    common: dict[str, Any] = {
        "undelivered": 0,
        "messages": 10,
        "start_s": 0.5,
        "cpu_s": 0.1,
    }
    common |= {"peak_mb": 80.0, "latency_ms": None, "sandbox_share": None}
    return Sample(recipients=recipients, seconds=seconds, **common | other)


def test_the_median_counts_and_the_extremes_are_told() -> None:
    found = result("shared", 100, [sample(100, 1.0), sample(100, 4.0), sample(100, 2.0, undelivered=3)])
    assert found.recipients_per_s == Spread(50, 25, 100)
    assert (found.recipients_per_message, found.cpu_s_per_1000_messages, found.undelivered) == (10, 10, 3)
    assert (found.latency_ms, found.sandbox_share) == (None, None)


def test_latencies_are_told_where_the_runs_told_them() -> None:
    one, two = {"p50": 1.0, "p95": 2.0, "p99": 9.0}, {"p50": 3.0, "p95": 4.0, "p99": 9.0}
    found = result("shared", 100, [sample(100, 1.0, latency_ms=one), sample(100, 1.0, latency_ms=two)])
    assert found.latency_ms == {"p50": 2, "p95": 3, "p99": 9}


@pytest.mark.parametrize(
    "latency", [None, {"p50": 0.0, "p95": 0.0, "p99": 0.1}, {"p50": 0.2, "p95": 1, "p99": 30}]
)
@pytest.mark.parametrize("rate", [0, 1, 999, 1_000_000])
def test_a_picture_is_well_formed_whatever_was_measured(
    rate: float, latency: dict[str, float] | None
) -> None:
    spread = Spread(rate, rate / 2, rate)
    one = Result("a<b", 1, 1, spread, spread, 100.0, latency, 0.1, 0.5, 80.0, None, 0)
    root = ET.fromstring(svg([one, one], 'the "title"', "1 < 2 & 3"))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert (texts[:2], "a<b, recipients" in texts) == (['the "title"', "1 < 2 & 3"], True)
