"""What a provider allows: the arithmetic as tables, and the whole of it in virtual time over memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from sandbox_client import Client

from bulkmail.sandbox import World
from bulkmail.sandbox.indoors import Indoors, indoors
from bulkmail.sandbox.policy import Bucket, Greylist, Greylisted, Rate, Reputation, Standing, filled


@pytest.mark.parametrize(
    ("text", "per_second", "depth"),
    [("20/s", 20, 20), ("1200/min", 20, 1200), ("36/h", 0.01, 36), ("0.5/s", 0.5, 1), ("864/day", 0.01, 864)],
)
def test_a_rate_is_as_deep_as_what_it_allows_at_once(text: str, per_second: float, depth: float) -> None:
    rate = Rate.of(text)
    assert (rate.per_second, rate.depth) == (per_second, depth)


@pytest.mark.parametrize("text", ["20", "20/", "/s", "0/s", "-1/s", "20/fortnight", "x/s", "nan/s"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.of(text)


def test_a_bucket_lets_its_burst_pass_and_then_its_rate() -> None:
    bucket, rate = Bucket(), Rate.of("10/s", burst=5)
    taken = [now / 100 for now in range(300) if not bucket.take(rate, now / 100)]
    assert (taken[:6], len(taken)) == ([0.0, 0.01, 0.02, 0.03, 0.04, 0.1], 5 + 29)


def test_a_bucket_says_how_long_to_wait_and_keeps_its_word() -> None:
    bucket, rate = Bucket(), Rate.of("4/s", burst=1)
    waits = [bucket.take(rate, now) for now in (0.0, 0.05, 0.25, 0.25, 0.4, 0.5)]
    assert [round(wait, 3) for wait in waits] == [0, 0.2, 0, 0.25, 0.1, 0]


def test_what_was_used_up_is_not_given_back_by_a_higher_rate() -> None:
    bucket = Bucket()
    slow, fast = Rate.of("1/s", burst=3), Rate.of("10/s", burst=3)
    assert [bucket.take(slow, 0.0) for _ in range(3)] == [0, 0, 0]
    assert [bucket.take(rate, now) for rate, now in ((fast, 0.0), (fast, 0.1), (fast, 0.1))] == [0.1, 0, 0.1]


def test_a_greylist_counts_from_the_first_time_and_by_network() -> None:
    greylist, seen = Greylist(wait_s=300, expires_s=1000), Greylisted()

    def waits(*asked: tuple[float, str, str]) -> list[float]:
        return [seen.wait(greylist, client, sender, "bob@a.test", now) for now, client, sender in asked]

    assert waits(
        (0.0, "192.0.2.1", "news@x.test"),
        (100.0, "192.0.2.99", "news@x.test"),  # the same network
        (100.0, "198.51.100.1", "news@x.test"),
        (100.0, "192.0.2.1", "other@x.test"),
        (300.0, "192.0.2.1", "news@x.test"),
        (1200.0, "192.0.2.1", "news@x.test"),  # too late: begins anew
    ) == [300, 200, 300, 300, 0, 300]


def test_a_reputation_falls_with_what_is_bad_and_recovers_with_time() -> None:
    reputation, standing = Reputation(half_life_s=100, after=100), Standing(0.0)
    for n in range(100):
        standing.note(reputation, 0.0, bad=n % 2 == 0)
    shares = [standing.share(reputation, now) for now in (0.0, 100.0, 400.0, 10_000.0)]
    assert [round(share, 3) for share in shares] == [0.25, 0.167, 0.029, 0]


def test_the_words_of_a_reply_say_how_long_to_wait_and_never_too_little() -> None:
    words = filled(b"451 {client}: {seconds} seconds, {minutes} minutes", "192.0.2.1", 299.2)
    assert words == b"451 192.0.2.1: 300 seconds, 5 minutes"


# --- over memory, in virtual time ---------------------------------------------------------------------------


Connect = Callable[..., Awaitable[Client]]


@asynccontextmanager
async def reached(world: World) -> AsyncIterator[Connect]:
    """Clients that have said EHLO, or, where they were not let in, whose greeting is still to be heard."""
    with trio.fail_after(3600):  # of virtual time: who waits in vain is to fail
        async with indoors(world) as there:
            yield partial(_connect, there)


async def _connect(there: Indoors, host: str, *, source: str = "127.0.0.1") -> Client:
    client = Client(await there.connect(there.address(host), source=source))
    greeting = await client.said()
    if greeting.code == 220:
        assert await client.ask("EHLO out.test") == [250]
    else:
        client._replies.insert(0, greeting)
    return client


def big(world: World):  # type: ignore[no-untyped-def]
    return world.provider("big.test", hosts=["mx1.big.test", "mx2.big.test"], domains=["a.test", "b.test"])


async def test_a_rate_is_one_for_all_hosts_and_domains_of_a_provider(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    provider = big(world).message_rate("2/s", reply=b"451 4.7.1 in {seconds} seconds")
    async with reached(world) as connect:
        one, two = await connect("mx1.big.test"), await connect("mx2.big.test")
        codes = [(await client.ask("MAIL FROM:<x@y.test>"))[0] for client in (one, two)]
        await one.ask("RSET")
        await one.stream.send_all(b"MAIL FROM:<x@y.test>\r\n")
        refused = await one.said()
        await trio.sleep(0.5)
        codes += await one.ask("MAIL FROM:<x@y.test>")
    account = provider.account
    assert (codes, refused.code, refused.lines) == ([250, 250, 250], 451, (b"4.7.1 in 1 seconds",))
    assert (account.count("messages"), account.count("throttled")) == (3, 1)
    assert account.most_within("messages", 0.4) == 2


async def test_connections_at_once_are_counted_by_client_over_all_hosts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    provider = big(world).connections(2)
    async with reached(world) as connect:
        first = await connect("mx1.big.test")
        await connect("mx2.big.test")
        third = await (await connect("mx1.big.test")).said()
        other = await connect("mx1.big.test", source="127.0.0.2")
        assert await first.ask("QUIT") == [221]
        fourth = await connect("mx2.big.test")
        codes = [third.code, *(await other.ask("NOOP")), *(await fourth.ask("NOOP"))]
    assert (codes, provider.account.peak) == ([421, 250, 250], {"127.0.0.1": 2, "127.0.0.2": 1})


async def test_who_connects_too_fast_is_refused_and_the_next_second_let_in(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    provider = big(world).connection_rate("1/s")
    async with reached(world) as connect:
        await connect("mx1.big.test")
        refused = await (await connect("mx2.big.test")).said()
        await trio.sleep(1)
        again = await connect("mx2.big.test")
        assert [refused.code, *(await again.ask("NOOP"))] == [421, 250]
    assert provider.account.by_second("connections") == [1, 1]


async def test_a_421_of_a_policy_closes_the_connection(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    big(world).message_rate("1/h", reply=b"421 4.7.0 enough for now")
    async with reached(world) as connect:
        client = await connect("mx1.big.test")
        assert await client.ask("MAIL FROM:<>", "RSET", "MAIL FROM:<>") == [250, 250, 421]
        assert await client.rest() == b""


async def test_recipients_have_a_rate_of_their_own(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    big(world).recipient_rate("2/s")
    async with reached(world) as connect:
        client = await connect("mx1.big.test")
        assert await client.deliver("a@a.test", "b@a.test", "c@a.test") == [250, 250, 250, 452, 354, 250]


async def test_a_policy_changes_while_it_runs_and_by_the_time(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    provider = big(world).message_rate("10/s").after(10, lambda one: one.message_rate("5/s"))
    async with reached(world) as connect:
        client = await connect("mx1.big.test")
        for n in range(2_000):  # a hundred a second for twenty seconds
            if n == 1_500:
                provider.message_rate("20/s")
            await client.ask("MAIL FROM:<>", "RSET")
            await trio.sleep(0.01)
    seconds = provider.account.by_second("messages")
    assert [sum(seconds[first : first + 4]) for first in (1, 11, 16)] == pytest.approx([40, 20, 80], abs=2)
    assert provider.account.count("throttled") == 2_000 - sum(seconds)


async def test_a_greylisted_recipient_is_told_how_long_to_wait_and_let_in_then(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    big(world).greylisting(300, reply=b"451 4.7.1 try again in {minutes} minutes")
    async with reached(world) as connect:
        client = await connect("mx1.big.test")
        assert await client.deliver("bob@a.test") == [250, 451, 554]
        await trio.sleep(120)
        await client.ask("RSET", "MAIL FROM:<a@out.test>")
        await client.stream.send_all(b"RCPT TO:<bob@a.test>\r\n")
        words = (await client.said()).lines
        await trio.sleep(180)
        elsewhere = await connect("mx2.big.test")
        assert (words, await elsewhere.deliver("bob@a.test")) == (
            (b"4.7.1 try again in 3 minutes",),
            [250, 250, 354, 250],
        )


async def test_who_asks_for_unknown_users_is_slowed_then_blocked_and_forgiven(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World()
    provider = big(world).reputation(after=20, half_life_s=100, rate=Rate(1, 10))
    world.domain("a.test").refuse("nobody*")
    mail, good, bad = "MAIL FROM:<x@y.test>", "RCPT TO:<ann@a.test>", "RCPT TO:<nobody@a.test>"
    async with reached(world) as connect:
        client = await connect("mx1.big.test")
        assert await client.ask(mail, bad, bad, "RSET", mail, "RSET", mail) == [
            250,
            550,
            550,
            250,
            250,
            250,
            451,
        ]
        await trio.sleep(10)
        assert await client.ask(mail, *[bad] * 4, "RSET", mail) == [250, *[550] * 4, 250, 550]
        clean = await connect("mx1.big.test", source="127.0.0.2")
        assert await clean.ask(mail, good) == [250, 250]
        await trio.sleep(400)
        assert await client.ask(mail, good) == [250, 250]
    counts = [provider.account.count(kind) for kind in ("throttled", "blocked", "unknown")]  # type: ignore[arg-type]
    assert counts == [1, 1, 6]


async def test_one_client_is_blocked_and_another_is_not(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    provider = big(world).block("127.0.0.2")
    async with reached(world) as connect:
        clients = [await connect("mx1.big.test", source=f"127.0.0.{n}") for n in (1, 2)]
        before = [await client.ask("MAIL FROM:<>") for client in clients]
        provider.unblock("127.0.0.2")
        assert (before, await clients[1].ask("MAIL FROM:<>")) == ([[250], [550]], [250])


async def test_the_share_of_what_was_throttled_is_that_of_all_commands(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(keep="counts")
    provider = big(world).message_rate("2/s")
    async with reached(world) as connect:
        client = await connect("mx1.big.test")  # a connection and EHLO: two
        for _ in range(4):
            await client.ask("MAIL FROM:<>", "RSET")
    account = provider.account
    assert (account.count("commands"), account.share("throttled")) == (10, 0.2)
    with pytest.raises(ValueError, match="were not kept"):
        account.moments("messages")
    assert world.ledger.summary()["providers"] == {"big.test": account.summary()}
