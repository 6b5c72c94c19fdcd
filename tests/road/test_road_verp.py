"""A reverse-path for each recipient: on the wire, across attempts, and back to the one whom it names."""

from __future__ import annotations

from email import message_from_bytes

from road_rig import FIRST_PASS, people

from bulkmail.journal import Suppressions
from bulkmail.message import Tokens

SECRET = "a secret of at least sixteen characters"
PATH = "bounces+{{ token }}@acme.test"


def verp(road, **settings):
    """What makes a campaign one with a token: nothing in the message itself differs."""
    (road.folder / "secret").write_text(SECRET)
    return {"reverse_path": PATH, "unsubscribe": {"secret": {"file": "secret"}}, "connections": 1} | settings


def named_by(reverse_path: str) -> int | None:
    """The id of the recipient whom a bounce message to this address would speak of."""
    local, _, domain = reverse_path.partition("@")
    assert (local.startswith("bounces+"), domain) == (True, "acme.test")
    return Tokens(SECRET, "road").verify(local.removeprefix("bounces+"))


async def test_everybody_has_a_reverse_path_of_his_own_which_names_him_in_the_journal(world, road) -> None:
    world.domain("a.test")
    world.domain("b.test")
    addresses = [*people(20), *people(3, "b.test")]
    report = await road.send(*addresses, **verp(road))
    named = {to: named_by(one.reverse_path) for one in report.ledger.messages for to in one.recipients}
    assert named == {address: report.histories[address].id for address in addresses}


async def test_nobody_shares_a_transaction_though_the_message_is_the_same_for_all(world, road) -> None:
    """I9: one bounce address for several would speak of none of them."""
    world.domain("a.test")
    report = await road.send(*people(12), **verp(road))
    contents = {one.content for one in report.ledger.messages}
    assert ([len(one.recipients) for one in report.ledger.messages], len(contents)) == ([1] * 12, 12)


async def test_who_is_refused_was_offered_under_his_own_reverse_path(world, road) -> None:
    world.domain("a.test").refuse("p00001", b"550 5.1.1 unknown")
    report = await road.send(*people(4), **verp(road))
    said = report.commands("mx.a.test")
    offered = [(one, said[place + 1]) for place, one in enumerate(said) if one.startswith("MAIL ")]
    ids = {rcpt.removeprefix("RCPT "): named_by(mail.removeprefix("MAIL ")) for mail, rcpt in offered}
    assert ids == {address: report.histories[address].id for address in people(4)}
    assert report.kinds()["p00001@a.test"] == "bounced"


async def test_a_greylisted_recipient_comes_again_under_the_same_reverse_path(world, road) -> None:
    """X13."""
    world.domain("a.test").greylist("p00001")
    report = await road.send(*people(3), **verp(road))
    said = report.commands("mx.a.test")
    paths = {said[place - 1] for place, one in enumerate(said) if one == "RCPT p00001@a.test"}
    assert (said.count("RCPT p00001@a.test"), len(paths), report.totals["delivered"]) == (2, 1, 3)


async def test_the_way_out_in_the_message_and_the_way_back_name_the_same_person(world, road) -> None:
    """Item 3 of the design: the token of one is shown to nobody else."""
    world.domain("a.test")
    settings = verp(road)
    settings["unsubscribe"] |= {"url": "https://u.acme.test/"}
    report = await road.send(*people(5), **settings, kind="announcement")
    fields = [message_from_bytes(one.content)["List-Unsubscribe"] for one in report.ledger.messages]
    tokens = [one.reverse_path.removeprefix("bounces+").partition("@")[0] for one in report.ledger.messages]
    assert [token in field for token, field in zip(tokens, fields, strict=True)] == [True] * 5
    assert len(set(tokens)) == 5


async def test_who_opts_out_when_his_letter_is_written_already_is_not_mailed(world, road) -> None:
    """H3: letters are written some recipients ahead; nobody is mailed for having been among them."""
    world.domain("a.test")
    settings = verp(road)
    campaign = road.load(*people(24), **settings)
    accept = world.ledger.accept

    def accept_and_opt_out(received):
        accept(received)
        if received.recipients == ("p00001@a.test",):
            with Suppressions.open(campaign.project_state / "project.db") as suppressions:
                suppressions.add(["p00002@a.test", "p00006@a.test"], "asked us to stop")

    world.ledger.accept = accept_and_opt_out
    report = await road.send(*people(24), **settings)
    suppressed = [address for address, state in report.kinds().items() if state == "suppressed"]
    assert (suppressed, report.totals["delivered"]) == (["p00002@a.test", "p00006@a.test"], 22)


async def test_a_sender_whose_address_needs_smtputf8_is_delivered_where_it_is_offered(world, road) -> None:
    """X11."""
    world.domain("a.test").extensions(without=("SMTPUTF8",))
    world.domain("b.test")
    report = await road.send(
        "ann@a.test",
        "bob@b.test",
        from_="Jörg <jörg@acme.test>",
        reverse_path="bounces@acme.test",
        until=FIRST_PASS,
    )
    assert (report.kinds(), report.last("ann@a.test").enhanced) == (
        {"ann@a.test": "bounced", "bob@b.test": "delivered"},
        "5.6.7",
    )
