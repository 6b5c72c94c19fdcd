"""`test`: one real message to named addresses, by the real road, and nothing is recorded."""

from __future__ import annotations

import email
import json
import os
import re
from pathlib import Path

import pytest
import trio
from newsletter_case import SECRET, newsletter, plain

from bulkmail import sandbox
from bulkmail.campaign import config, trial
from bulkmail.campaign.trial import Tried
from bulkmail.cli import exit_code
from bulkmail.cli.sampling import composed
from bulkmail.journal import Suppressions
from bulkmail.message import Letter, Tokens
from bulkmail.smtp import Mailbox


def arrived(folder: Path) -> list[bytes]:
    """What a rehearsal kept, in the order in which it came."""
    return [path.read_bytes() for path in sorted(folder.glob(".bulkmail/*.sandbox.mail/maildir/new/*"))]


def test_each_address_gets_the_message_and_its_servers_answer_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["test", str(newsletter(tmp_path)), "me@x.test", "unknown@y.test", "--via", "sandbox"])
    captured = capsys.readouterr()
    mine, refused = captured.out.splitlines()
    assert (code, mine.startswith("me@x.test: delivered: 250 "), refused) == (
        4,
        True,
        "unknown@y.test: bounced: 550 5.1.1 No such user here",
    )
    assert "The message for ann@a.test, people.csv:2, via sandbox" in captured.err


def test_all_delivered_is_exit_code_0_and_no_journal_is_left(tmp_path: Path) -> None:
    code = exit_code(["test", str(newsletter(tmp_path)), "me@x.test", "--as", "cleo@b.test"])
    (message,) = (email.message_from_bytes(content) for content in arrived(tmp_path))
    assert (code, message["To"], message["Subject"]) == (0, "Cleo <cleo@b.test>", "Cleo, the news")
    assert message["DKIM-Signature"] is not None
    assert list(tmp_path.glob(".bulkmail/*.journal")) == []


def test_the_token_of_a_test_is_nobodys(tmp_path: Path) -> None:
    assert exit_code(["test", str(newsletter(tmp_path)), "me@x.test"]) == 0
    (content,) = arrived(tmp_path)
    token = re.search(rb"List-Unsubscribe: <https://u\.acme\.test/([a-z2-7]+)", content)
    assert token is not None
    assert Tokens(SECRET, "news").verify(token[1].decode()) == 0


def test_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code(["test", str(plain(tmp_path, "Hello\n")), "me@x.test", "blocked@y.test", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [(one["to"], one["disposition"], one["code"], one["status"]) for one in told["results"]] == [
        ("me@x.test", "delivered", 250, "2.0.0"),
        ("blocked@y.test", "bounced", 550, "5.7.1"),
    ]
    assert (code, told["exit"], told["as"], told["campaign"]) == (4, 4, "ann@a.test", "hello")


def test_who_is_suppressed_gets_no_test_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = plain(tmp_path, "Hello\n")
    with Suppressions.open(tmp_path / ".bulkmail" / "project.db") as suppressions:
        suppressions.add(["me@x.test"], "asked")
    code = exit_code(["test", str(file), "Me@x.test"])
    assert (code, capsys.readouterr().out, arrived(tmp_path)) == (
        4,
        "Me@x.test: suppressed: on the suppression list: not sent\n",
        [],
    )


def test_an_address_that_is_none_is_told_before_anything_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["test", str(plain(tmp_path, "Hello\n")), "me@x.test", "you", "@x.test"])
    told = capsys.readouterr().err
    assert (code, "'you' is no address" in told, "'@x.test' is no address" in told) == (2, True, True)
    assert arrived(tmp_path) == []


def test_more_than_a_few_addresses_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, many = plain(tmp_path, "Hello\n"), [f"p{n}@x.test" for n in range(11)]
    refused = exit_code(["test", str(file), *many])
    assert (refused, "--yes" in capsys.readouterr().err, arrived(tmp_path)) == (2, True, [])
    assert (exit_code(["test", str(file), *many, "--yes"]), len(arrived(tmp_path))) == (0, 11)


def test_an_address_named_twice_gets_one_copy(tmp_path: Path) -> None:
    code = exit_code(["test", str(plain(tmp_path, "Hello\n")), "me@x.test", "me@X.test"])
    assert (code, len(arrived(tmp_path))) == (0, 1)


async def sent_as(
    world: sandbox.World, folder: Path, as_address: str, *to: str
) -> tuple[Letter, list[Tried]]:
    """The letter of somebody called Ann, and what became of its copies, by the road of `via: mx`."""
    tried: list[Tried] = []
    async with sandbox.serve(world) as running:
        host, port = running.dns
        way = {
            "via": "mx",
            "ehlo": "out.test",
            "port": running.smtp_port,
            "resolvers": [f"{host}:{port}"],
            "allow_private": True,
            "reverse_path": "bounces+{{ token }}@acme.test",
        }
        campaign = config.load(newsletter(folder, delivery=way), environ=os.environ)
        composer = composed(campaign, sealed=True)
        letter = composer.letter(as_address, {"email": as_address, "first_name": "Ann", "city": "Lagos"})
        with trio.fail_after(300):
            await trial.send(campaign, letter, [Mailbox.parse(one) for one in to], tried.append)
    return letter, tried


async def test_the_reverse_path_is_that_of_the_campaign_with_the_token_of_nobody(tmp_path: Path) -> None:
    world = sandbox.World()
    world.domain("x.test")
    letter, tried = await sent_as(world, tmp_path, "ann@a.test", "me@x.test")
    (received,) = world.ledger.messages
    token = received.reverse_path.removeprefix("bounces+").removesuffix("@acme.test")
    assert ([one.disposition for one in tried], received.recipients) == (["delivered"], ("me@x.test",))
    assert Tokens(SECRET, "news").verify(token) == 0
    assert received.content == letter.content


async def test_a_message_to_somebody_whose_address_needs_smtputf8_needs_it_for_whoever_gets_the_copy(
    tmp_path: Path,
) -> None:
    """X11: his address is in To."""
    world = sandbox.World()
    world.domain("x.test").extensions(without=("SMTPUTF8",))
    world.domain("y.test")
    letter, tried = await sent_as(world, tmp_path, "jürgen@a.test", "me@x.test", "me@y.test")
    assert [(one.to, one.disposition, one.status) for one in tried] == [
        ("me@x.test", "bounced", "5.6.7"),
        ("me@y.test", "delivered", "2.0.0"),
    ]
    assert [one.content for one in world.ledger.messages] == [letter.content]
