"""Sites of one provider, and domains with limits of their own: as the provider sees us, none is ever passed.

Whole deliveries over memory streams on a virtual clock, against hosts that refuse what is too much. Domain
`n` has the people 1000n, 1000n + 1, …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
import trio
from post_office import Person, Post

from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.limits import Limit, Origin, Shape
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.rules import Rules, plain
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.work import Listed, Parcel, Roll, Span
from bulkmail.dns.routes import Host, NoRoute, Route
from bulkmail.sandbox import World
from bulkmail.sandbox.indoors import Indoors, indoors
from bulkmail.transport.approach import Approach, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

EVERYBODY = 1000
FAST = {"connections": 10, "message_rate": 1e6, "connection_rate": 1e6, "messages_per_connection": 20}


def shape(**limits: float) -> Shape:
    return {kind: Limit(value, Origin("here", "a test")) for kind, value in limits.items()}


class Town(Post):
    async def fetch(self, parts: Sequence[Sequence[Span]]) -> list[Roll]:
        return [
            Listed([Person(n, f"p{n}@d{n // EVERYBODY}.test") for a, b in spans for n in range(a, b + 1)])
            for spans in parts
        ]


class Ways:
    """Each domain to the exchangers that the world gives it, all of its own."""

    def __init__(self, inside: Indoors) -> None:
        self._inside = inside

    async def route(self, domain: str) -> Route | NoRoute:
        await trio.lowlevel.checkpoint()
        hosts = tuple(Host(rank, name, (at,)) for rank, name, at in self._inside.exchangers(domain) or ())
        return Route(domain, hosts, hosts[0].name)


def big(world: World, domains: int, *, one_site: bool = False):
    """A provider with so many domains: each is a site of its own, or all are one."""
    provider = world.provider("big.test", hosts=["mx0.big.test"])
    for number in range(domains):
        name = "mx0.big.test" if one_site else f"mx{number}.big.test"
        world.domain(f"d{number}.test").host(name)
        provider.add(world.host(name))
    return provider


async def deliver(
    world: World,
    people: Mapping[int, int],
    *,
    shared: bool = False,
    provider: Shape | None = None,
    domains: Mapping[str, Shape] | None = None,
    default: Mapping[str, float] = {},
    stop_after_s: float | None = None,
    latency_s: float = 0.01,
    sessions: list[int] | None = None,
) -> tuple[Town, Dispatcher]:
    """To so many people of each domain. `sessions`: gets how many the provider has, now and then."""
    rules = Rules(
        shape(**(FAST | default)), Providers([Profile("big", ("big.test",), provider or {})]), domains or {}
    )
    post = Town()
    async with indoors(world, latency_s=latency_s) as inside:
        approach = Approach(port=25, ehlo="out.test", tls=TlsPolicy.NONE)
        pool = Pool(Dialer(approach, dead=DeadAddresses(), connect=inside.connect), per_host=100)
        plant = Plant(
            work=post,
            pool=pool,
            routes=Ways(inside),
            limits=plain(rules.default),
            rules=rules,
            retry=Retry(1.0, 1.0, 1.0, 3600.0),
            slots=Slots(1000),
            now=trio.current_time,
        )
        dispatcher = Dispatcher(plant)
        parcels = [
            Parcel(f"d{number}.test", [(number * EVERYBODY, number * EVERYBODY + count - 1)], shared=shared)
            for number, count in people.items()
        ]

        async def source() -> Parcel | None:
            await trio.lowlevel.checkpoint()
            return parcels.pop(0) if parcels else None

        async with trio.open_nursery() as nursery:
            if stop_after_s is not None:

                async def stop() -> None:
                    await trio.sleep(stop_after_s)
                    dispatcher.stop()

                nursery.start_soon(stop)
            if sessions is not None:

                async def look() -> None:
                    while True:
                        await trio.sleep(0.1)
                        level = plant.sites.provider("big")
                        sessions.append(level.sessions if level is not None else 0)

                nursery.start_soon(look)
            await dispatcher.run(source)
            nursery.cancel_scope.cancel()
        await pool.aclose()
    return post, dispatcher


def all_delivered(post: Town, people: Mapping[int, int]) -> bool:
    wanted = {number * EVERYBODY + n for number, count in people.items() for n in range(count)}
    return post.verdicts == dict.fromkeys(wanted, "delivered") and post.open == {}


async def test_connections_to_all_sites_of_a_provider_are_never_more_than_it_allows(autojump_clock):
    world, people = World(), dict.fromkeys(range(12), 30)
    provider = big(world, 12).connections(3)
    post, _ = await deliver(world, people, provider=shape(connections=3))
    assert all_delivered(post, people)
    assert (provider.account.peak_together, provider.account.count("throttled")) == (3, 0)


async def test_without_that_limit_the_same_provider_refuses_connections(autojump_clock):
    world = World()
    provider = big(world, 12).connections(3)
    await deliver(world, dict.fromkeys(range(12), 30))
    assert provider.account.count("throttled") > 0


@pytest.mark.parametrize("kind", ["message_rate", "recipient_rate", "connection_rate"])
async def test_rates_of_a_provider_hold_for_all_of_its_sites_together(autojump_clock, kind):
    world, people = World(), dict.fromkeys(range(6), 40)
    provider = getattr(big(world, 6), kind)("20/s", burst=3 if kind != "recipient_rate" else 45)
    post, _ = await deliver(
        world,
        people,
        shared=kind == "recipient_rate",
        provider=shape(**{kind: 20.0}),
        default={"messages_per_connection": 2} if kind == "connection_rate" else {},
    )
    account = provider.account
    assert all_delivered(post, people)
    assert account.count("throttled") == 0
    counted = {"message_rate": "messages", "recipient_rate": "recipients", "connection_rate": "connections"}
    seconds = account.by_second(counted[kind])
    assert sum(seconds[:5]) >= 0.9 * 100  # and no slower than it may be


async def test_a_large_site_of_a_provider_gives_way_to_the_small_ones(autojump_clock):
    world, people = World(), {0: 600} | dict.fromkeys(range(1, 9), 3)
    provider = big(world, 9).connections(2)
    post, _ = await deliver(world, people, provider=shape(connections=2))
    arrived = [int(one.recipients[0][1:].partition("@")[0]) // EVERYBODY for one in world.ledger.messages]
    last_small = max(at for at, site in enumerate(arrived) if site)
    assert all_delivered(post, people)
    assert provider.account.count("throttled") == 0
    assert last_small < 400  # of 624: a place is given away after each twenty messages


async def test_a_provider_with_a_rate_alone_has_no_more_sessions_than_use_it(autojump_clock):
    world, people = World(), dict.fromkeys(range(200), 2)
    provider = big(world, 200).message_rate("10/s", burst=3)
    sessions: list[int] = []
    post, _ = await deliver(world, people, provider=shape(message_rate=10.0), sessions=sessions)
    assert all_delivered(post, people)
    assert provider.account.count("throttled") == 0
    assert 1 < max(sessions) <= 100  # of 200 that wait


async def test_a_domain_with_limits_of_its_own_keeps_them_beside_those_of_its_site(autojump_clock):
    """One connection and two messages a second for d1; the site's four connections for all together."""
    world, people = World(), {0: 200, 1: 20}
    provider = big(world, 2, one_site=True).connections(4)
    post, _ = await deliver(
        world,
        people,
        default={"connections": 4},
        domains={"d1.test": shape(connections=1, message_rate=2.0, messages_per_connection=5)},
    )
    slow = [one for one in world.ledger.messages if one.recipients[0].endswith("@d1.test")]
    assert all_delivered(post, people)
    assert (provider.account.peak_together, provider.account.count("throttled")) == (4, 0)
    sessions = [
        sum(command.endswith("@d1.test>") for command in session.commands)
        for session in world.ledger.sessions
    ]
    assert max(sessions) <= 5
    assert len(slow) == 20


async def test_a_domain_may_be_told_how_many_share_a_transaction(autojump_clock):
    world, people = World(), {0: 20, 1: 20}
    big(world, 2, one_site=True)
    post, _ = await deliver(
        world, people, shared=True, domains={"d1.test": shape(recipients_per_transaction=4)}
    )
    sizes = {one.recipients[0].rpartition("@")[2]: len(one.recipients) for one in world.ledger.messages}
    assert (all_delivered(post, people), sizes) == (True, {"d0.test": 20, "d1.test": 4})


async def test_when_a_site_is_left_alone_so_are_its_domains_that_wait_for_a_seat(autojump_clock):
    """Whoever finds out, nobody is forgotten in a queue."""
    world, people = World(), {0: 50, 1: 50}
    big(world, 2, one_site=True)
    world.host("mx0.big.test").reply("MAIL", b"421 4.3.2 going down")
    post, dispatcher = await deliver(
        world, people, default={"connections": 1}, domains={"d1.test": shape(connections=1)}
    )
    assert set(post.verdicts.values()) == {"deferred"}
    assert (len(post.verdicts), dispatcher.open_parcels, dispatcher.destinations) == (100, 0, {})


async def test_who_waits_for_a_seat_does_not_keep_a_run_from_stopping(autojump_clock):
    world, people = World(), dict.fromkeys(range(8), 100)
    provider = big(world, 8)
    post, dispatcher = await deliver(
        world, people, provider=shape(connections=1, message_rate=5.0), stop_after_s=4.0
    )
    assert dispatcher.destinations == {}
    assert len(post.verdicts) == provider.account.count("accepted") < 40


async def test_a_limit_that_is_lowered_holds_soon_and_one_that_is_raised_at_once(autojump_clock):
    world, people = World(), dict.fromkeys(range(4), 300)
    provider = big(world, 4)
    said = {"connections": 4}

    class Told(Rules):
        def provider(self, site: str):
            name, bounds = super().provider(site)
            return name, type(bounds)(connections=said["connections"])

    rules = Told(shape(**FAST), Providers([Profile("big", ("big.test",), shape(connections=4))]), {})
    post = Town()
    async with indoors(world, latency_s=0.05) as inside:
        approach = Approach(port=25, ehlo="out.test", tls=TlsPolicy.NONE)
        pool = Pool(Dialer(approach, dead=DeadAddresses(), connect=inside.connect), per_host=100)
        plant = Plant(
            work=post, pool=pool, routes=Ways(inside), limits=plain(rules.default), rules=rules,
            retry=Retry(1.0, 1.0, 1.0, 3600.0), slots=Slots(1000), now=trio.current_time,
        )  # fmt: skip
        parcels = [
            Parcel(f"d{number}.test", [(number * EVERYBODY, number * EVERYBODY + count - 1)], shared=False)
            for number, count in people.items()
        ]

        async def source() -> Parcel | None:
            await trio.lowlevel.checkpoint()
            return parcels.pop(0) if parcels else None

        level = None
        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Dispatcher(plant).run, source)
            for at, most in ((2.0, 1), (12.0, 3), (18.0, 3)):
                await trio.sleep_until(at)
                level = plant.sites.provider("big")
                assert level is not None
                seen.append(level.sessions)
                said["connections"] = most
                plant.sites.limit_again()
        await pool.aclose()
    assert seen == [4, 1, 3]
    assert all_delivered(post, people)
    assert provider.account.peak_together == 4
