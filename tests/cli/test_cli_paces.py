"""What `status` and `explain` tell of the pace that a provider was found to take."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_case import CAMPAIGN, told

from bulkmail.campaign.control import reachable, socket_path
from bulkmail.journal import Fact, LearnedSites, Planned, Record, SiteFile, Store

DAY = 86_400.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ann waits for a.test, of which the project remembers something, as it does of others."""
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    with Store.create(tmp_path / ".bulkmail" / "hello.journal", {"campaign": "hello"}) as journal:
        with journal.write_plan() as writer:
            writer.interval("a.test", False, False, [Planned("ann@a.test", "{}")])
        said = Record(
            1, 1, "deferred", 1.0, 451, "4.7.1", "451 4.7.1 Slow down", "rcpt", "mx.a.test", due=9e9
        )
        journal.commit([said], [], [])
    with SiteFile.open(tmp_path / ".bulkmail" / "sites.db") as sites:
        now = time.time()
        LearnedSites(sites).note(
            [Fact("b.test", "message_rate", 2.5), Fact("b.test", "lockstep", 1.0)], now - 9
        )
        LearnedSites(sites).note(
            [Fact("a.test", "message_rate", 13.0), Fact("a.test", "connections", 4.0)], now
        )
        LearnedSites(sites).note([Fact("old.test", "message_rate", 1.0)], now - 8 * DAY)
    return path


@contextmanager
def running(file: Path, row: Mapping[str, Any]) -> Iterator[None]:
    """A run of this campaign that is asked how it does, once."""
    path = socket_path(file.parent / ".bulkmail" / "hello.journal")
    with socket.socket(socket.AF_UNIX) as listener:
        with reachable(path) as address:
            listener.bind(address)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                assert json.loads(connection.recv(4096)) == {"do": "top"}
                connection.sendall(json.dumps({"done": False, "rows": [row]}).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield
        thread.join()
    path.unlink()


FOUND = {
    "rate": 9.5,
    "takes": 10.0,
    "connections": None,
    "how": "found",
    "since": "2026-11-22T14:03:00+00:00",
}
GOING = {"provider": "a.test", "pace": {**FOUND, "why": "it said 451 4.7.1 Slow down"}}


def known(capfd: pytest.CaptureFixture[str], *args: str | Path) -> list[dict[str, Any]]:
    code, out, _ = told(capfd, *args, "--json")
    assert code == 0
    paces: list[dict[str, Any]] = json.loads(out)["paces"]
    return paces


def test_status_tells_what_the_project_remembers_the_latest_first(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = known(capfd, "status", file)
    assert (a["provider"], a["takes"], a["connections"], a["how"]) == ("a.test", 13.0, 4, "remembered")
    assert (b["provider"], b["takes"], b["rate"], b["why"]) == ("b.test", 2.5, None, "")
    out = told(capfd, "status", file)[1]
    assert f"b.test takes about 2.5 messages a second (remembered {b['since']}, until {b['until']})\n" in out
    assert "a.test takes about 13 messages a second over 4 connections at once (remembered " in out


def test_what_a_run_has_found_goes_before_what_is_remembered(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(file, GOING):
        a, b = known(capfd, "status", file)
    assert (a["takes"], a["rate"], a["how"], a["since"], b["how"]) == (
        10.0,
        9.5,
        "found",
        "2026-11-22T14:03:00+00:00",
        "remembered",
    )
    with running(file, GOING):
        out = told(capfd, "explain", file, "ann@a.test")[1]
    words = f"found 2026-11-22T14:03:00+00:00; remembered until {a['until']}; held to 9.5 now"
    assert f"a.test takes about 10 messages a second ({words})\n" in out
    assert "b.test" not in out


def test_of_a_rehearsal_nothing_is_remembered_and_who_is_settled_waits_for_no_pace(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (path,) = (file.parent / ".bulkmail").glob("hello.journal")
    path.rename(path.with_name("hello.sandbox.journal"))
    assert known(capfd, "status", file, "--via", "sandbox") == []
    for verb in ("status", "pause"):
        assert (
            "has not been run via mx yet: only rehearsed (--via sandbox), in " in told(capfd, verb, file)[2]
        )
    path.with_name("hello.sandbox.journal").rename(path)
    with Store.open(path) as store:
        store.commit([Record(1, 1, "delivered", 2.0, 250, None, "250 ok")], [], [])
    assert known(capfd, "explain", file, "ann@a.test") == []
