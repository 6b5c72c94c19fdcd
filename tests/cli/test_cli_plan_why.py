"""`plan` says why there are so many transactions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from newsletter_case import newsletter, plain

from bulkmail.cli import exit_code

LIST = "email,name\n" + "".join(f"p{n}@a.test,{'AB'[n % 2]}\n" for n in range(10)) + "q@b.test,A\n"


def why(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    assert exit_code(["plan", str(file), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return found["transactions"], found["why"]


def test_the_same_for_everybody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert why(plain(tmp_path, "Hello\n", people=LIST), capsys) == (
        2,
        [
            "everybody gets the same octets: the message uses no field of the list",
            "up to 100 of one domain share a transaction (shaping.default.recipients_per_transaction)",
        ],
    )


def test_who_agrees_in_the_fields_that_are_used_shares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert why(plain(tmp_path, "Dear {{ name }}\n", people=LIST), capsys) == (
        3,
        [
            "the message uses name: who agrees in that, in one domain, gets the same octets",
            "10 recipients share them with others, 1 with nobody",
            "up to 100 of one domain share a transaction (shaping.default.recipients_per_transaction)",
            "the same octets for everybody would take 2",
        ],
    )


def test_individual_transactions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    way = {"via": "sandbox", "transaction": "individual"}
    assert why(plain(tmp_path, "Hello\n", people=LIST, delivery=way), capsys) == (
        11,
        [
            "everybody gets the same octets: the message uses no field of the list",
            "none is shared: delivery.transaction is individual; the same octets for everybody would take 2",
        ],
    )


def test_what_makes_each_message_unique_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transactions, (alone, fewer) = why(newsletter(tmp_path), capsys)
    assert transactions == 3
    assert alone.startswith("everybody gets a message of their own: ")
    assert ("recipient's address" in alone, "token" in alone, "reverse-path" in alone) == (True, True, True)
    assert (str(tmp_path) in alone, fewer) == (False, "the same octets for everybody would take 2")


def test_people_read_it_below_the_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["plan", str(plain(tmp_path, "Hello\n", people="email\nann@a.test\n"))]) == 0
    out = capsys.readouterr().out
    assert "1 transaction\n  everybody gets the same octets: the message uses no field of the list\n" in out


def test_a_plan_needs_no_secret(tmp_path: Path) -> None:
    file = newsletter(tmp_path)
    (tmp_path / "secret").unlink()
    (tmp_path / "key").unlink()
    assert exit_code(["plan", str(file)]) == 0
