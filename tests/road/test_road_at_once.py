"""Two campaigns at once on one machine keep to the limits of one, as the server sees it.

The first has all connections, each with a message that the host does not answer, when the second one begins;
from then on the test moves nothing. The law is the server's: never more connections than the site allows one
campaign; and in any second no more messages than the rate allows, with what may be made up for after an idle
moment, one for each who counts, and one that was on its way on each connection, however late we or the server
came to look at it.
"""

from __future__ import annotations

import json
import signal
from bisect import bisect_right
from contextlib import AsyncExitStack

import pytest
import trio
from road_child import Held, running
from road_rig import people

from bulkmail.delivery.shaping import BURST_S
from bulkmail.journal import SiteFile
from bulkmail.sandbox import World

CONNECTIONS, RATE = 4, 40
LIMITS = {
    "transaction": "individual",
    "connections": CONNECTIONS,
    "message_rate": f"{RATE}/s",
    "messages_in_flight": 1,
}
BEGUN = ("--yes",)


class Watched:
    """When messages were accepted, by the server's clock, and whose they were."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at: list[float] = []
        self.senders: list[str] = []
        accept = world.ledger.accept

        def accepted(received) -> None:
            self.at.append(trio.current_time())
            self.senders.append(received.recipients[0].partition("-")[0])
            accept(received)

        monkeypatch.setattr(world.ledger, "accept", accepted)

    def most_in_a_second(self) -> int:
        return max(bisect_right(self.at, at + 1.0) - number for number, at in enumerate(self.at))


@pytest.fixture
def watched(world: World, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(world, monkeypatch)


def named(name: str, count: int) -> list[str]:
    return [f"{name}-{one}" for one in people(count)]


def law(processes: int) -> float:
    return RATE * (1 + BURST_S) + processes + CONNECTIONS


async def all_connections(world: World, held: Held) -> None:
    while held.messages < CONNECTIONS:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("workers", [1, 2])
async def test_together_they_never_have_more_connections_or_a_higher_rate_than_one(
    world: World, road, held: Held, watched: Watched, workers: int
):
    world.domain("a.test")
    flags = ("--workers", str(workers))
    a, b = named("a", 70), named("b", 40)
    async with AsyncExitStack() as both:
        first = await both.enter_async_context(
            running(road, *a, flags=("--yes", "--new", *flags), campaign="first", **LIMITS)
        )
        await all_connections(world, held)
        second = await both.enter_async_context(
            running(road, *b, flags=(*BEGUN, *flags), campaign="second", **LIMITS)
        )
        await second.event("started")
        held.release.set()
        await first.event("finished")
        await second.event("finished")
    last_of_first = max(number for number, name in enumerate(watched.senders) if name == "a")
    assert world.ledger.copies == dict.fromkeys([*a, *b], 1)
    assert "b" in watched.senders[:last_of_first]
    assert world.ledger.peak_by_host["mx.a.test"] == CONNECTIONS
    assert watched.most_in_a_second() <= law(2 * workers)


async def test_two_that_name_a_provider_differently_keep_to_its_limits_together(
    world: World, road, held: Held, watched: Watched
):
    """The one has a profile of its own for it, the other one none, and wider limits."""
    world.domain("a.test")
    ours = {"mx": ["a.test"], "connections": CONNECTIONS, "message_rate": f"{RATE}/s"}
    (road.folder / "profile.yaml").write_text(json.dumps({"providers": {"ours": ours}}))
    wide = {"connections": 10, "message_rate": "1000/s", "messages_in_flight": 1}
    a, b = named("a", 40), named("b", 30)
    async with AsyncExitStack() as both:
        shaping = {"profile": "profile.yaml", "default": wide}
        first = await both.enter_async_context(
            running(road, *a, campaign="first", transaction="individual", shaping=shaping)
        )
        await all_connections(world, held)
        shaping = {"profile": "none", "default": wide}
        second = await both.enter_async_context(
            running(road, *b, flags=BEGUN, campaign="second", transaction="individual", shaping=shaping)
        )
        await senders(road, ([1, 1], True))
        held.release.set()
        await first.event("finished")
        await second.event("finished")
    last_of_first = max(number for number, name in enumerate(watched.senders) if name == "a")
    assert world.ledger.copies == dict.fromkeys([*a, *b], 1)
    assert "b" in watched.senders[:last_of_first]
    assert world.ledger.peak_by_host["mx.a.test"] == CONNECTIONS


async def test_what_a_campaign_held_that_was_killed_is_the_others(
    world: World, road, held: Held, watched: Watched
):
    world.domain("a.test")
    b = named("b", 40)
    async with running(road, *named("a", 100), campaign="first", **LIMITS) as first:
        await all_connections(world, held)
        async with running(road, *b, flags=BEGUN, campaign="second", **LIMITS) as second:
            await second.event("started")
            first.process.send_signal(signal.SIGKILL)
            held.release.set()
            await second.event("finished")
    assert {name: world.ledger.copies[name] for name in b} == dict.fromkeys(b, 1)
    assert world.ledger.peak_by_host["mx.a.test"] == CONNECTIONS
    assert watched.most_in_a_second() <= law(2)


async def senders(road, wanted) -> None:
    """Until those who send are so: whether each shares, and how many leases there are."""
    with SiteFile.look(road.folder / ".bulkmail" / "sites.db") as file:
        found = None
        while found != wanted:
            await trio.lowlevel.checkpoint()
            with file.reading() as db:
                sharing = [one for (one,) in db.execute("SELECT sharing FROM sender ORDER BY id")]
                found = sharing, next(db.execute("SELECT count(*) FROM lease"))[0] > 0


async def test_workers_whose_campaign_is_alone_again_share_no_more(world: World, road, held: Held):
    """Each has what it has alone, without a look at what the other does; together it is the whole."""
    world.domain("a.test")
    a, limits = named("a", 70), LIMITS | {"message_rate": "400/s"}
    flags = ("--yes", "--new", "--workers", "2")
    async with running(road, *a, flags=flags, campaign="first", **limits) as first:
        await all_connections(world, held)
        async with running(road, *named("b", 9), flags=BEGUN, campaign="second", **limits) as second:
            await senders(road, ([1, 1, 1], True))
            second.process.send_signal(signal.SIGKILL)
        await senders(road, ([0, 0], False))
        held.release.set()
        await first.event("finished")
    assert world.ledger.copies == dict.fromkeys(a, 1)
    assert world.ledger.peak_by_host["mx.a.test"] == CONNECTIONS


async def test_a_transactional_campaign_overtakes_a_bulk_one_that_has_everything(
    world: World, road, held: Held, watched: Watched
):
    """It has all but a tenth where they meet; in equal parts as much of the bulk would go meanwhile."""
    world.domain("a.test")
    letters = named("letter", 60)
    async with running(road, *named("bulk", 600), campaign="first", **LIMITS) as first:
        await all_connections(world, held)
        urgent = {**LIMITS, "kind": "transactional"}
        async with running(road, *letters, flags=BEGUN, campaign="second", **urgent) as second:
            await second.event("started")
            held.release.set()
            await second.event("finished")
        first.process.send_signal(signal.SIGKILL)
    began, ended = (
        watched.senders.index("letter"),
        len(watched.senders) - watched.senders[::-1].index("letter"),
    )
    meanwhile = watched.senders[began:ended]
    assert (meanwhile.count("letter"), meanwhile.count("bulk") < 30) == (60, True)
    assert world.ledger.peak_by_host["mx.a.test"] == CONNECTIONS
