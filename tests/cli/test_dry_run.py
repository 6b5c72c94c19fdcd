"""`run --dry-run`: everything but the connections, and nothing is left of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from newsletter_case import newsletter, plain

from bulkmail.campaign import config
from bulkmail.campaign.compose import compose
from bulkmail.campaign.rehearsal import Rehearsed, Sizes, rehearse
from bulkmail.campaign.schema import events_schema
from bulkmail.cli import exit_code

SCHEMA = events_schema()
DATE = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def told(file: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    code = exit_code(["run", str(file), "--dry-run", "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    event: dict[str, Any] = json.loads(line)
    assert event["exit"] == code
    (form,) = (one for one in SCHEMA["oneOf"] if one["properties"]["event"]["const"] == "dry_run")
    assert (list(event), sorted(event["totals"])) == (
        list(form["properties"]),
        sorted(SCHEMA["$defs"]["totals"]["required"]),
    )
    return event


def rehearsed(file: Path, **options: Any) -> Rehearsed:
    campaign = config.load(file, environ=os.environ)
    return rehearse(campaign, partial(compose, campaign, date=DATE), **options)


def people(count: int) -> str:
    return "email,first_name,city\n" + "".join(f"p{n}@d{n % 7}.test,{'P' * n},Rome\n" for n in range(count))


def test_every_message_is_rendered_and_signed_and_its_octets_counted(tmp_path: Path) -> None:
    file = newsletter(tmp_path, people=people(150))
    found = rehearsed(file)
    composer = compose(config.load(file, environ=os.environ), date=DATE)
    sizes = sorted(
        len(
            composer.letter(
                f"p{n}@d{n % 7}.test", {"email": "", "first_name": "P" * n, "city": "Rome"}, id=1
            ).content
        )
        for n in range(150)
    )
    assert (found.messages, found.transactions, found.signed) == (150, 150, True)
    assert (found.octets, found.sizes.median, found.sizes.largest) == (sum(sizes), sizes[74], sizes[-1])
    assert found.sizes.largest_for.startswith("p14")


def test_who_shares_a_transaction_is_rendered_once(tmp_path: Path) -> None:
    rows = "".join(f"p{n}@a.test,Ann\n" for n in range(250)) + "bob@a.test,Bob\n"
    found = rehearsed(plain(tmp_path, "Dear {{ name }}\n", people="email,name\n" + rows))
    assert (found.recipients, found.messages, found.transactions) == (251, 2, 4)
    assert sum(found.sizes.counts.values()) == 251


def test_one_message_for_everybody_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = told(plain(tmp_path, "Hello\n", people=people(30)), capsys)
    assert (event["messages"], event["recipients"], event["transactions"], event["signed"]) == (
        1,
        30,
        7,
        False,
    )


def test_with_individual_transactions_each_has_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    way = {"via": "sandbox", "transaction": "individual"}
    event = told(plain(tmp_path, "Hello\n", people=people(30), delivery=way), capsys)
    assert (event["transactions"], event["octets"]["total"]) == (30, 30 * event["octets"]["largest"])


def test_a_row_without_a_message_is_named_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = "email,name\nann@a.test,Ann\nbob@a.test\ncleo@a.test\n"
    file = plain(tmp_path, "Dear {{ name }}\n", people=listed)
    code = exit_code(["run", str(file), "--dry-run"])
    captured = capsys.readouterr()
    assert (code, [line[:13] for line in captured.err.splitlines()]) == (
        2,
        ["people.csv:3:", "people.csv:4:"],
    )
    assert "No problems" not in captured.out


def test_a_template_that_is_none_is_a_problem_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = told(plain(tmp_path, "Dear {{ name \n"), capsys)
    assert (event["exit"], event["problem_count"], "hello.txt:1" in event["problems"][0]) == (2, 1, True)


def test_a_plan_that_is_too_large_is_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    event = told(plain(tmp_path, "Hello\n", people=people(30), safety={"max_recipients": 20}), capsys)
    assert (event["exit"], event["recipients"]) == (2, 30)
    assert "the plan has 30 recipients, more than 20" in event["problems"][0]


def test_no_name_is_looked_up_and_no_connection_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver,
        socket.create_server(("127.0.0.1", 0)) as exchanger,
    ):
        resolver.bind(("127.0.0.1", 0))
        resolver.setblocking(False)
        exchanger.setblocking(False)
        way = {
            "via": "mx",
            "ehlo": "out.test",
            "resolvers": [f"127.0.0.1:{resolver.getsockname()[1]}"],
            "port": exchanger.getsockname()[1],
            "allow_private": True,
        }
        event = told(plain(tmp_path, "Hello\n", people="email\nann@[127.0.0.1]\n", delivery=way), capsys)
        with pytest.raises(BlockingIOError):
            resolver.recv(512)
        with pytest.raises(BlockingIOError):
            exchanger.accept()
    assert (event["exit"], event["recipients"]) == (0, 1)


def test_a_machine_without_a_name_is_a_problem_where_a_run_would_be_refused_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the rest is told all the same. No DNS is asked for the name."""
    monkeypatch.setattr(socket, "gethostname", lambda: "build-7")
    monkeypatch.setattr(socket, "getfqdn", lambda: pytest.fail("that may ask DNS"))
    event = told(plain(tmp_path, "Dear {{ name }}\n", delivery={"via": "mx"}), capsys)
    ehlo, *rows = event["problems"]
    assert (event["exit"], "such as ehlo: out1.acme.example" in ehlo, len(rows)) == (2, True, 3)


def test_nothing_is_kept(tmp_path: Path, temporary: Path) -> None:
    file = newsletter(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert exit_code(["run", str(file), "--dry-run"]) == 0
    assert (sorted(tmp_path.rglob("*")), list(temporary.iterdir())) == (before, [])


@pytest.mark.parametrize("step", ["read", "placed", "rendered"])
def test_a_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path, temporary: Path, step: str) -> None:
    def interrupt(at: str, done: int, whole: int) -> None:
        if at == step:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        rehearsed(newsletter(tmp_path, people=people(300)), progress=interrupt)
    assert list(temporary.iterdir()) == []


def test_progress_comes_to_the_end_of_the_list(tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    rehearsed(newsletter(tmp_path, people=people(200)), progress=lambda *step: steps.append(step))
    assert steps[-1] == ("rendered", 200, 200)


def test_an_earlier_journal_is_not_touched(tmp_path: Path) -> None:
    file = plain(tmp_path, "Hello\n")
    assert exit_code(["run", str(file)]) == 0
    (journal,) = (tmp_path / ".bulkmail").glob("*.journal")
    before = journal.read_bytes()
    (tmp_path / "people.csv").write_text("email\nzoe@z.test\n")
    assert exit_code(["run", str(file), "--dry-run"]) == 0
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    "option", [["--until", "first-pass"], ["--limit", "3"], ["--accept-changes", "content"]]
)
def test_what_means_nothing_in_a_dry_run_is_refused(
    tmp_path: Path, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["run", str(plain(tmp_path, "Hello\n")), "--dry-run", *option])
    assert (code, "mean nothing with --dry-run" in capsys.readouterr().err) == (2, True)


def test_people_are_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["run", str(newsletter(tmp_path)), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "news: a dry run, no connection was opened and nothing is kept\n3 rows in the list\n" in out
    assert "3 different messages, signed\n3 transactions, " in out


@pytest.mark.parametrize(
    ("sizes", "median"), [([], 0), ([(5, 1)], 5), ([(5, 1), (9, 1)], 5), ([(5, 1), (9, 2), (1, 1)], 5)]
)
def test_the_median_is_that_of_the_recipients(sizes: list[tuple[int, int]], median: int) -> None:
    found = Sizes()
    for octets, times in sizes:
        found.add(octets, times, "a@a.test")
    assert found.median == median
