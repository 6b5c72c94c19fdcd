"""The name of this machine: what it knows of itself, and DNS only where that is allowed."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from bulkmail.campaign import host_name as module
from bulkmail.campaign.host_name import default_ehlo, own_name

HOSTS = """\
127.0.0.1   localhost.localdomain localhost
# 192.0.2.1 old.acme.example out1
127.0.1.1   Out1.Acme.example out1   # by the installer
192.0.2.7   out17.acme.example out17
::1         localhost6.localdomain6 solo
"""


@pytest.mark.parametrize(
    ("host_name", "name"),
    [
        ("out9.acme.example", "out9.acme.example"),
        ("OUT9.acme.example", "out9.acme.example"),
        ("out1", "out1.acme.example"),
        ("out17", "out17.acme.example"),
        ("out", None),
        ("localhost", None),
        ("localhost.localdomain", None),
        ("solo", None),
    ],
)
def test_a_machine_knows_its_full_name_or_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host_name: str, name: str | None
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS)
    monkeypatch.setattr(socket, "gethostname", lambda: host_name)
    assert own_name(hosts) == name


def test_without_a_file_of_hosts_there_is_only_the_host_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "out1")
    assert own_name(tmp_path / "none") is None


def test_dns_may_know_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a-machine-of-the-tests")
    monkeypatch.setattr(socket, "getfqdn", lambda: "Out1.acme.example")
    assert default_ehlo() == "out1.acme.example"


def test_nobody_waits_long_for_a_name_server_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def asked() -> str:
        answered.wait(60)
        return "out1.acme.example"

    monkeypatch.setattr(module, "ASKED_S", 0.01)
    monkeypatch.setattr(socket, "gethostname", lambda: "a-machine-of-the-tests")
    monkeypatch.setattr(socket, "getfqdn", asked)
    assert default_ehlo() is None
    answered.set()
