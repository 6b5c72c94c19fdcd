"""What benchmarks share: processes are measured as they are, and nothing is a rate that was not counted."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import rig
import senders
import sink
from lacking import lacks

NOTHING = dict.fromkeys(sink.Counts.__dataclass_fields__, 0)
GOOD = sink.Counts(
    **NOTHING | {"transactions": 3, "recipients": 300, "tls": 1, "first_rcpt": 11.0, "last_message": 13.0}
)
USED = rig.Used(0, [], 5.0, 1.0, 50.0, 1)
JOB = senders.Job(scenario="shared", recipients=300)


@pytest.fixture
def _sink() -> None:
    try:
        sink.built("sink")
        sink.built("delay")
    except sink.CannotBuild as reason:
        lacks(str(reason))


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_is_measured_on_its_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, octets = tmp_path / "seen", rig.octets

    def looked(pid: int, file: str, what: str) -> int:
        found = octets(pid, file, what)
        if found > 400_000_000:
            seen.touch()
        return found

    monkeypatch.setattr(rig, "octets", looked)
    code = f"""import os, sys; x = b'x' * 400_000_000; print(os.sched_getaffinity(0)); print(2)
while not os.path.exists({str(seen)!r}): pass
sys.exit(3)"""
    used = rig.run(python(code), pinned=rig.sink_core())
    assert (used.code, used.lines, used.processes) == (3, [str(rig.sink_core()), "2"], 1)
    assert used.peak_mb > 400
    assert used.cpu_s > 0
    assert os.sched_getaffinity(0) == set(rig.cores())


def test_children_and_theirs_are_seen() -> None:
    """A process that starts one that starts one: each tells its id and then waits for its input to end."""
    last = "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"
    middle = f"import os, subprocess, sys; print(os.getpid(), flush=True); subprocess.run({python(last)!r})"
    first = f"import subprocess, sys; subprocess.run({python(middle)!r})"
    with subprocess.Popen(python(first), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        others = [int(process.stdout.readline()) for _ in range(2)]
        assert list(rig.descendants(process.pid)) == others
        for pid in (process.pid, *others):
            assert 1e6 < rig.octets(pid, "smaps_rollup", "Pss:") <= rig.octets(pid, "status", "VmHWM:")
        process.communicate()
    assert list(rig.descendants(process.pid)) == []
    assert rig.octets(process.pid, "status", "VmHWM:") == 0


def test_everybody_has_a_turn_in_each_round_after_small_ones_that_do_not_count() -> None:
    turns: list[str] = []
    contenders = {name: lambda name=name: turns.append(name) or len(turns) for name in "abc"}
    warm_ups = {name: lambda name=name: turns.append(name.upper()) for name in "ac"}
    results = rig.rounds(contenders, repeats=3, warm_ups=warm_ups, fewer={"b": 2})
    assert "".join(turns) == "AC" + "abc" + "bca" + "ac"
    assert results == {"a": [3, 8, 9], "b": [4, 6], "c": [5, 7, 10]}


def test_a_table_is_markdown_with_medians_between_their_ends() -> None:
    rows = [
        {"who": "ours", "rate": rig.spread([1234.5, 1300.0, 1100.0]), "share": 0.0456, "n": 5, "tls": True},
        {"who": "a peer", "rate": None, "share": 12.0, "n": 50_000, "tls": False},
    ]
    assert rig.table(rows).splitlines() == [
        "| who    |                rate |  share |      n | tls   |",
        "| ------ | ------------------: | -----: | -----: | ----- |",
        "| ours   | 1,234 (1,100–1,300) | 0.0456 |      5 | True  |",
        "| a peer |                     |     12 | 50,000 | False |",
    ]


def test_the_machine_is_told() -> None:
    told = rig.machine()
    assert {"date", "cpu", "cores", "kernel", "python", "openssl", "bulkmail", "trio"} <= told.keys()
    assert all(told.values())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"recipients": 299}, "299 recipients of 300"),
        ({"recipients": 301}, "301 recipients of 300"),
        ({"tls": 0}, "0 handshakes"),
        ({"refused": 1}, "1 refusals"),
        ({"early": 2}, "2 commands out of turn"),
        ({"first_rcpt": None}, "nothing"),
    ],
)
def test_what_the_sink_does_not_confirm_is_no_rate(wrong: dict[str, int], why: str) -> None:
    with pytest.raises(senders.Wrong, match=why):
        senders.judged("x", JOB, USED, 10.0, replace(GOOD, **wrong), {})


def test_rates_are_by_the_sinks_clock() -> None:
    sent = senders.judged("x", JOB, USED, 10.0, GOOD, {})
    assert (sent.first_rcpt_s, sent.recipients_per_s, sent.messages_per_s) == (1.0, 150.0, 1.5)
    assert sent.whole_per_s == 60.0


@pytest.mark.usefixtures("_sink")
@pytest.mark.parametrize(
    "job",
    [
        senders.Job(scenario="shared", recipients=300, per_transaction=20, connections=2),
        senders.Job(scenario="personal", recipients=40, tls=False, sink={"chunking": False, "unique": True}),
        senders.Job(scenario="signed", recipients=40, rtt_ms=10, connections=3, sink={"unique": True}),
    ],
    ids=lambda job: job.scenario,
)
def test_bulkmail_is_run_and_counted(job: senders.Job) -> None:
    sent = senders.ours(job, more={"safety": {"max_recipients": job.recipients}})
    assert sent.told["event"] == "finished"
    assert sent.counts.recipients == job.recipients
    assert 1 <= sent.counts.connections <= job.connections


@pytest.mark.usefixtures("_sink")
def test_what_bulkmail_refuses_is_no_rate() -> None:
    with pytest.raises(senders.Wrong, match="ended with 2"):
        senders.ours(JOB, more={"delivery": {"tls": "sometimes"}})
