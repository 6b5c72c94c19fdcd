"""What one campaign met, the next one knows: over the whole road, with the project's store between them."""

from __future__ import annotations

from typing import Any

import pytest
from road_child import running
from road_rig import people

from bulkmail.campaign.learning import KINDS
from bulkmail.journal import LearnedSites, SiteFile
from bulkmail.journal.learned import EXPIRY


def remembered(road, site: str) -> dict[str, float]:
    with SiteFile.look(road.folder / ".bulkmail" / "sites.db") as file:
        return {one.kind: one.value for one in LearnedSites(file).of(site, 0.0)}


def mails_and_rcpts(sessions) -> list[list[int]]:
    """RCPT commands in each transaction of each session."""
    found: list[list[int]] = []
    for session in sessions:
        counts: list[int] = []
        for command in session.commands:
            if command.startswith("MAIL"):
                counts.append(0)
            elif command.startswith("RCPT"):
                counts[-1] += 1
        found.append(counts)
    return found


async def two_campaigns(world, send, addresses, **settings: Any):
    """The sessions of the second, which is another campaign of the same project."""
    await send(*addresses, **settings)
    before = len(world.ledger.sessions)
    world.ledger.copies.clear()
    await send(*addresses, campaign="tomorrow", **settings)
    return world.ledger.sessions[before:]


async def test_how_many_recipients_a_site_takes_is_known_tomorrow(world, send):
    """X5."""
    world.domain("a.test").rcpt_limit(3, b"452 4.5.3 Too many recipients")
    sessions = await two_campaigns(world, send, people(12), connections=1)
    assert mails_and_rcpts(sessions) == [[3, 3, 3, 3]]


async def test_how_many_messages_a_connection_carries_is_known_tomorrow(world, send):
    """X10: each connection is left before it is taken away."""
    world.domain("a.test").close_after(4)
    sessions = await two_campaigns(world, send, people(8), connections=1, transaction="individual")
    assert [
        [command.split()[0] for command in one.commands if command != "RSET"].count("MAIL")
        for one in sessions
    ] == [4, 4]


async def test_announced_limits_are_known_before_anybody_is_connected_to(world, send, road):
    """X10."""
    domain = world.domain("a.test").extensions(with_=("LIMITS MAILMAX=2 RCPTMAX=3", "SIZE 5000"))
    await send(*people(6))
    assert remembered(road, domain.site) == {"messages": 2.0, "recipients": 3.0, "size": 5000.0}


async def test_pipelining_that_does_not_work_is_not_tried_again_tomorrow(world, send, road):
    """X9: who throws away what was sent ahead is spoken to in lock step from the first connection on."""
    domain = world.domain("a.test").set(flushes_input=True)
    limits = {"rcpt": "300ms", "data": "300ms"}
    sessions = await two_campaigns(world, send, people(3), connections=1, time_limits=limits)
    assert "lockstep" in remembered(road, domain.site)
    assert {len(flight) for session in sessions for flight in session.flights} == {1}


async def test_chunking_that_does_not_work_is_not_tried_again_tomorrow(world, send, road):
    """X12."""
    domain = world.domain("a.test").reply("BDAT", b"502 5.5.1 command not implemented")
    sessions = await two_campaigns(world, send, people(60), connections=1, transaction="individual")
    assert remembered(road, domain.site) == {"no_chunking": 1.0}
    assert not [command for one in sessions for command in one.commands if command.startswith("BDAT")]


async def test_how_many_connections_a_provider_takes_is_known_tomorrow(world, send, road):
    """At all of its sites together: it stands under its name, and nobody is refused one again."""
    provider = world.provider("big.test", domains=["a.test"]).connections(2)
    addresses = people(120)
    await send(*addresses, connections=5, transaction="individual")
    refused = provider.account.count("throttled")
    world.ledger.copies.clear()
    await send(*addresses, campaign="tomorrow", connections=5, transaction="individual")
    assert (remembered(road, "big.test"), refused > 0) == ({"connections": 2.0}, True)
    assert provider.account.count("throttled") == refused


async def test_a_handshake_that_fails_is_not_tried_again_tomorrow(world, send):
    """S4."""
    world.domain("a.test").tls("broken")
    sessions = await two_campaigns(world, send, ["ann@a.test"])
    assert [session.commands.count("STARTTLS") for session in sessions] == [0]


async def test_a_rehearsal_leaves_nothing_behind(world, send, road):
    await send("ann@a.test", via="sandbox", copies={"ann@a.test": 0})  # here, for it has a world of its own
    assert not (road.folder / ".bulkmail" / "sites.db").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_site_can_teach_has_its_time(kind: str):
    assert kind in EXPIRY


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_source_that_a_site_has_blocked_is_left_out_there_tomorrow(world, road, workers):
    provider = world.domain("a.test").host("mx.a.test").provider.block("127.0.0.2")
    flags = ("--yes", "--new", "--workers", str(workers))
    settings = {"sources": ["127.0.0.2", "127.0.0.3"], "transaction": "individual"}
    for campaign in ("road", "tomorrow"):
        refused = provider.account.count("blocked")
        world.ledger.copies.clear()
        async with running(road, *people(130), flags=flags, campaign=campaign, **settings) as child:
            totals = (await child.event("finished"))["totals"]
        assert (totals["delivered"], totals["bounced"]) == (130, 0)
    assert (refused > 0, provider.account.count("blocked")) == (True, refused)
    assert remembered(road, "mx.a.test").keys() == {"blocked 127.0.0.2"}
