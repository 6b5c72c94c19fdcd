"""`bulkmail sandbox` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bulkmail.cli.sandbox import command
from bulkmail.errors import ConfigError
from bulkmail.sandbox.catalogue import CATALOGUE

RUN = [sys.executable, "-c", "from bulkmail.cli.sandbox import command; command()"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_says_when_it_is_ready_and_stops_cleanly(stop: signal.Signals, tmp_path: Path) -> None:
    world = tmp_path / "world.yaml"
    world.write_text("unknown_domains: nxdomain\ndomains: { a.test: accept }\n")
    arguments = [str(world), "--port=0", "--dns-port=0", f"--directory={tmp_path}", "--keep=ledger", "--json"]
    with subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            with smtplib.SMTP("127.0.0.1", ready["port"], "out.test", timeout=30) as client:
                client.sendmail("a@out.test", "x@a.test", "Subject: x\r\n\r\nhello\r\n")
            process.send_signal(stop)
            stopped = json.loads(process.stdout.readline())
            code = process.wait(30)
        finally:
            process.kill()
    kept = [json.loads(line)["event"] for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert (ready["event"], stopped["event"], stopped["recipients"], code) == ("ready", "stopped", 1, 0)
    assert kept == ["accepted", "summary"]
    assert Path(ready["ca"]).is_file()


def test_behaviours_are_listed() -> None:
    listed = CliRunner().invoke(command, ["--list"]).output.splitlines()
    assert [line.split()[0] for line in listed] == list(CATALOGUE)
    assert all(row.help in line for row, line in zip(CATALOGUE.values(), listed, strict=True))
    assert "[X8]" in "".join(listed)


def test_an_unknown_behaviour_is_told_its_neighbour() -> None:
    with pytest.raises(ConfigError, match="did you mean 'greylist'"):
        CliRunner().invoke(command, ["--behaviour", "greylst"], catch_exceptions=False)


def test_a_behaviour_given_on_the_command_line_is_that_of_the_hosts(tmp_path: Path) -> None:
    arguments = [
        "-b",
        "unknown",
        "--port=0",
        "--dns-port=0",
        f"--directory={tmp_path}",
        "--keep=counts",
        "--json",
    ]
    with subprocess.Popen([*RUN, *arguments], stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        try:
            ready = json.loads(process.stdout.readline())
            with (
                smtplib.SMTP("127.0.0.1", ready["port"], "out.test", timeout=30) as client,
                pytest.raises(smtplib.SMTPRecipientsRefused, match="No such user"),
            ):
                client.sendmail("a@out.test", "x@any.test", "Subject: x\r\n\r\nhello\r\n")
        finally:
            process.kill()


def test_a_wrong_world_is_refused(tmp_path: Path) -> None:
    world = tmp_path / "world.yaml"
    world.write_text("domains: { a.test: greylst }\n")
    with pytest.raises(ConfigError, match="did you mean 'greylist'"):
        CliRunner().invoke(command, [str(world)], catch_exceptions=False)


def test_a_taken_port_is_said(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        arguments = ["--dns-port=0", f"--port={taken.getsockname()[1]}", f"--directory={tmp_path}"]
        with pytest.raises(ConfigError, match=f"port {taken.getsockname()[1]} .*is taken"):
            CliRunner().invoke(command, arguments, catch_exceptions=False)
