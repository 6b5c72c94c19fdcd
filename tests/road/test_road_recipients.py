"""What a host says of single recipients, and of the transaction around them."""

from __future__ import annotations

from road_rig import FIRST_PASS, people


async def test_an_unknown_user_bounces_alone(world, send):
    world.domain("a.test").refuse("bob", b"550 5.1.1 unknown")
    report = await send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "bounced"}


async def test_three_answers_to_rcpt_are_three_verdicts_and_one_data(world, send):
    """X1."""
    world.domain("a.test").refuse("bob", b"550 5.1.1 unknown").refuse("cat", b"451 4.3.0 later")
    report = await send("ann@a.test", "bob@a.test", "cat@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.commands("mx.a.test").count("DATA")) == (
        {"ann@a.test": "delivered", "bob@a.test": "bounced", "cat@a.test": "deferred"},
        1,
    )


async def test_one_connection_takes_a_hundred_recipients_in_one_transaction_and_one_flight(world, send):
    """Item 5 of the issue."""
    world.domain("a.test").withhold(100)
    report = await send(*people(100), connections=1)
    (session,) = report.ledger.sessions
    assert (report.totals["delivered"], report.ledger.transactions, session.flight_sizes("RCPT")) == (
        100,
        1,
        [100],
    )
