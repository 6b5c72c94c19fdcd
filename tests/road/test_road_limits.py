"""X10, X14: the limits that a host announces or shows, and the waits that it states."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people


def due_in(road, report, address):
    """Seconds between the attempt and the next one, as the journal has it."""
    last = report.last(address)
    return last.due - last.at


@pytest.mark.parametrize(
    ("words", "least", "most"),
    [
        (b"451 4.7.1 Try again in 300 seconds", 300, 330),
        (b"450 4.2.0 Greylisted, please retry in 5 minutes", 300, 330),
        (b"451 4.3.2 try again in 1 second", 60, 66),  # not sooner than we would by ourselves
        (b"451 4.3.2 Come back after 48 hours", 1800, 1980),  # nor later than ever
        (b"451 4.3.2 try again in 0 seconds", 60, 66),
    ],
)
@pytest.mark.parametrize("stage", ["RCPT", "END_OF_DATA"])
async def test_a_stated_wait_is_kept_within_the_bounds_of_the_campaign(
    world, send, road, stage, words, least, most
):
    """X14."""
    world.domain("a.test").reply(stage, words)
    retry = {"first": "1m", "factor": 2, "max": "30m", "give_up": "1d"}
    report = await send("ann@a.test", until=FIRST_PASS, retry=retry)
    assert (report.kinds(), least <= due_in(road, report, "ann@a.test") <= most) == (
        {"ann@a.test": "deferred"},
        True,
    )


async def test_a_stated_wait_is_not_longer_than_the_message_is_kept(world, send, road):
    """X14."""
    world.domain("a.test").reply("RCPT", b"451 4.3.2 try again in 20 minutes")
    retry = {"first": "1m", "factor": 2, "max": "30m", "give_up": "10m"}
    report = await send("ann@a.test", until=FIRST_PASS, retry=retry)
    assert due_in(road, report, "ann@a.test") <= 660


async def test_an_announced_limit_of_domains_in_a_transaction_is_kept(world, send):
    """X10."""
    for name in ("a.test", "b.test", "c.test"):
        world.domain(name).host("mx.shared.test")
    world.host("mx.shared.test").extensions(with_=("LIMITS RCPTDOMAINMAX=1",))
    everybody = [f"{name}@{domain}.test" for name in ("ann", "bob") for domain in "abc"]
    report = await send(*everybody, connections=1)
    domains = [{one.partition("@")[2] for one in message.recipients} for message in report.ledger.messages]
    assert {tuple(report.dispositions(one)) for one in everybody} == {("delivered",)}
    assert [len(found) for found in domains] == [1, 1, 1]


async def test_all_announced_limits_hold_together(world, send):
    """X10."""
    world.domain("a.test").extensions(with_=("LIMITS MAILMAX=2 RCPTMAX=3 RCPTDOMAINMAX=1",))
    report = await send(*people(13), connections=1)
    mails = [
        sum(command.startswith("MAIL") for command in session.commands) for session in report.ledger.sessions
    ]
    sizes = [len(message.recipients) for message in report.ledger.messages]
    assert ({tuple(report.dispositions(one)) for one in report.states}, mails, sizes) == (
        {("delivered",)},
        [2, 2, 1],
        [3, 3, 3, 3, 1],
    )


@pytest.mark.parametrize("announced", ["SIZE", "SIZE 0"])
async def test_a_size_without_a_number_is_no_limit(world, send, announced):
    """X10."""
    world.domain("a.test").extensions(without=("SIZE",), with_=(announced,))
    report = await send("ann@a.test", text_of_message="word " * 5000)
    assert report.kinds() == {"ann@a.test": "delivered"}


async def test_a_size_that_was_not_announced_is_a_refusal_like_any_other(world, send):
    """X10."""
    world.domain("a.test").reply("MAIL", b"552 5.3.4 Message too big for system")
    report = await send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "bounced"}
