"""The examples in campaigns/: they load without complaint and render for everybody in their lists."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from bulkmail.campaign.compose import compose
from bulkmail.campaign.config import load
from bulkmail.message import Composer
from bulkmail.smtp.address import AddressError, Mailbox

CAMPAIGNS = sorted((Path(__file__).resolve().parent.parent / "campaigns").glob("*/campaign.yaml"))
DATE = datetime(2026, 11, 21, tzinfo=UTC)


def rows(file: Path) -> list[dict[str, str]]:
    renamed = {"address": "email", "full_name": "name"}  # the relay example's `columns`
    with (file.parent / "people.csv").open(encoding="utf-8", newline="") as lines:
        return [
            {renamed.get(name, name): cell for name, cell in row.items()} for row in csv.DictReader(lines)
        ]


def composer(file: Path) -> Composer:
    campaign = load(file, environ={"RELAY_PASSWORD": "x"})
    assert campaign.warnings == ()
    return compose(campaign, date=DATE)


@pytest.mark.parametrize("file", CAMPAIGNS, ids=lambda file: file.parent.name)
def test_an_example_has_a_whole_message_for_everybody_in_its_list(file: Path) -> None:
    c = composer(file)
    unaddressed = []
    for row in rows(file):
        assert c.check(row) is None
        try:
            data = c.render(row["email"], row)
        except AddressError:
            unaddressed.append(row["email"])
            continue
        message = message_from_bytes(data, policy=policy.default)
        assert b"{{" not in data
        if c.personal:
            assert [a.addr_spec for a in message["to"].addresses] == [
                Mailbox.parse(row["email"]).wire.decode()
            ]
    assert unaddressed == (["not-an-address"] if file.parent.name == "welcome" else [])


def test_a_seed_of_the_welcome_campaign_needs_no_name() -> None:
    c = composer(next(file for file in CAMPAIGNS if file.parent.name == "welcome"))
    assert c.check({"email": "qa@acme.example"}) is None
    assert b"Subject: Hello, welcome to Acme Gardens\r\n" in c.render("qa@acme.example", {})


def test_there_are_the_three_examples_that_the_readme_names() -> None:
    assert [file.parent.name for file in CAMPAIGNS] == ["hello", "relay", "welcome"]
