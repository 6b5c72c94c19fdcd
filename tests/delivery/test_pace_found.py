"""Proof 1 of issue 6, in virtual time: what a provider allows, and tells nobody, is found, held and followed.

The whole of delivery against the hosts of a sandbox over memory; what was let in and what was refused is the
provider's own account. `benchmarks/throttle.py` is the same over sockets and with a journal.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import trio
from post_office import Post, letter_of

from bulkmail import sandbox
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.paced import UNKNOWN, Allowed
from bulkmail.delivery.plant import Plant
from bulkmail.delivery.retry import Retry
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.site import Site
from bulkmail.delivery.slots import Slots
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import Host, Route
from bulkmail.sandbox.indoors import Indoors, indoors
from bulkmail.sandbox.provider import Provider
from bulkmail.transport.approach import Approach, TlsPolicy
from bulkmail.transport.dead import DeadAddresses
from bulkmail.transport.dial import Dialer
from bulkmail.transport.pool import Pool

FOUND_S = 30.0  # how long it may take, of the 120 that are promised
LATENCY_S = 0.005


@dataclass
class Run:
    """A campaign to one domain, or several, whose provider has limits."""

    world: sandbox.World
    provider: Provider
    post: Post
    known: Allowed = UNKNOWN  # what an earlier campaign has found
    found: Allowed = UNKNOWN
    dispatcher: Dispatcher | None = None

    def _found(self, site: str, found: Allowed) -> None:
        self.found = Allowed(*[new or old for new, old in zip(found, self.found, strict=True)])

    @property
    def site(self) -> Site:
        assert self.dispatcher is not None
        return self.dispatcher.plant.sites.of("mx.big.test", trio.current_time())

    async def last(
        self,
        seconds: float,
        *,
        people: int = 1_000_000,
        connections: int = 10,
        latency_s: float = LATENCY_S,
    ) -> None:
        """Send for so long, or until everybody has a fate."""
        async with indoors(self.world, latency_s=latency_s) as there:
            approach = Approach(port=25, ehlo="out.test", tls=TlsPolicy.NONE)
            dialer = Dialer(approach, dead=DeadAddresses(), connect=there.connect)
            pool = Pool(dialer, per_host=connections, messages=1_000)
            self.dispatcher = Dispatcher(
                Plant(
                    work=self.post,
                    pool=pool,
                    routes=_Routing(there),
                    limits=Limits(connections, 1e6, 1e6),
                    retry=Retry(),
                    slots=Slots(100),
                    now=trio.current_time,
                    rng=random.Random(1),
                )
            )
            sites = self.dispatcher.plant.sites
            sites.on_allowed, sites.recall_pace = self._found, lambda site: self.known
            names = [*self.world.domains]
            self.post.domain_of = lambda number: names[(number - 1) // people]
            parcels = [
                Parcel(name, [(1 + at * people, people * (at + 1))], shared=False)
                for at, name in enumerate(names)
            ]

            async def source() -> Parcel | None:
                await trio.lowlevel.checkpoint()
                return parcels.pop() if parcels else None

            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._stop, self.dispatcher, seconds)
                await self.dispatcher.run(source)
                nursery.cancel_scope.cancel()
            await pool.aclose()

    async def _stop(self, dispatcher: Dispatcher, seconds: float) -> None:
        await trio.sleep(seconds)
        dispatcher.stop()

    def rate(self, since: float, until: float) -> float:
        return self.provider.account.count("accepted", since=since, until=until) / (until - since)

    def throttled(self, since: float, until: float) -> float:
        """Of all commands."""
        return self.provider.account.share("throttled", since=since, until=until)


@dataclass
class _Routing:
    there: Indoors

    async def route(self, domain: str) -> Route:
        await trio.lowlevel.checkpoint()
        found = self.there.exchangers(domain)
        assert found is not None
        hosts = tuple([Host(preference, name, (address,)) for preference, name, address in found])
        return Route(domain, hosts, hosts[0].name)


@pytest.fixture
def run() -> Run:
    world = sandbox.World(keep="counts")
    return Run(world, world.provider("big.test", domains=["a.test"]), Post(letter_of))


@pytest.mark.parametrize(
    ("rate", "connections", "reply"),
    [(5, 1, None), (15, 3, b"421 4.7.0 Too many messages, slow down"), (15, 20, None)],
)
async def test_a_rate_that_nobody_told_is_found_held_and_followed(
    run, autojump_clock, rate, connections, reply
):
    """The connections, too: of ten no more stand than are allowed, and few are tried in vain."""
    run.provider.message_rate(f"{rate}/s", reply=reply).connections(connections)
    run.provider.after(90, lambda one: one.message_rate(f"{rate / 2}/s", reply=reply))
    run.provider.after(150, lambda one: one.message_rate(f"{rate}/s", reply=reply))
    await run.last(260)
    reached = [
        run.rate(FOUND_S, 90) / rate,
        run.rate(90 + FOUND_S, 150) / (rate / 2),
        run.rate(150 + 70, 259) / rate,
    ]
    throttled = [run.throttled(FOUND_S, 90), run.throttled(90 + FOUND_S, 150), run.throttled(150, 259)]
    assert min(reached) >= 0.9, (reached, throttled)
    assert max(throttled) < 0.02, (reached, throttled)
    assert set(run.post.verdicts.values()) == {"delivered"}  # nobody was deferred for it


def farm(run: Run, *names: str) -> None:
    """Other domains at the provider, each with a host, and so a site, of its own."""
    for name in names:
        host = run.world.host(f"{name.partition('.')[0]}.big.test")
        run.provider.add(host)
        run.world.domain(name).host(host.name)


@pytest.mark.parametrize(("rate", "connections"), [(20, 4), (20, 40)])
async def test_all_sites_of_a_provider_find_its_rate_and_its_connections_together(
    run, autojump_clock, rate, connections
):
    """Three sites, one finder: none is throttled, or refused a connection, for what the others use."""
    farm(run, "b.test", "c.test")
    run.provider.message_rate(f"{rate}/s").connections(connections)
    run.provider.after(90, lambda one: one.message_rate(f"{rate / 2}/s"))
    await run.last(180)
    reached = [run.rate(FOUND_S, 90) / rate, run.rate(90 + FOUND_S, 179) / (rate / 2)]
    throttled = [run.throttled(FOUND_S, 90), run.throttled(90 + FOUND_S, 179)]
    assert min(reached) >= 0.9, (reached, throttled)
    assert max(throttled) < 0.02, (reached, throttled)
    assert set(run.post.verdicts.values()) == {"delivered"}
    assert len({one.pacing for one in run.dispatcher.plant.sites.all()}) == 1


async def test_a_message_every_five_seconds_is_a_pace_too(run, autojump_clock):
    """Nobody is left alone for being sent to over more connections than such a rate has use for. So few
    messages are counted badly: more of them are throttled than of a rate above one a second.
    """
    run.provider.message_rate("12/min").connections(3)
    await run.last(600)
    told = run.rate(150, 599) / 0.2, run.throttled(150, 599)
    assert (told[0] >= 0.85, told[1] < 0.06) == (True, True), told
    assert set(run.post.verdicts.values()) == {"delivered"}


async def test_a_found_rate_is_reached_from_afar_over_a_single_connection(run, autojump_clock):
    """A round trip of 200 ms, in which four messages are due: turns that fell due meanwhile are not lost."""
    run.provider.message_rate("20/s").connections(1)
    await run.last(90, latency_s=0.1)
    told = run.rate(FOUND_S, 89) / 20, run.throttled(FOUND_S, 89)
    assert (told[0] >= 0.9, told[1] < 0.02) == (True, True), told


async def test_where_a_provider_takes_fewer_connections_than_it_has_sites_none_is_left_alone(
    run, autojump_clock
):
    """A site that is refused while others of its provider have all there are waits for its turn."""
    farm(run, "b.test", "c.test")
    run.provider.connections(1)
    await run.last(60, people=150)
    assert (set(run.post.verdicts.values()), len(run.post.verdicts)) == ({"delivered"}, 450)


async def test_tomorrows_campaign_begins_with_what_todays_has_found(run, autojump_clock):
    """Near to the limit from the first second on; and where that was raised meanwhile, it is found again."""
    run.provider.message_rate("20/s").connections(3)
    await run.last(60)
    assert (18 < (run.found.message_rate or 0) < 22, run.found.connections) == (True, 3)
    world = sandbox.World(keep="counts")
    provider = world.provider("big.test", domains=["a.test"]).message_rate("20/s").connections(3)
    tomorrow = Run(world, provider, Post(letter_of), known=run.found)
    provider.after(30, lambda one: one.message_rate("40/s"))
    await tomorrow.last(150)
    told = tomorrow.rate(1, 30), tomorrow.throttled(0, 30), tomorrow.rate(100, 149)
    assert (told[0] > 18, told[1] < 0.005, told[2] > 36) == (True, True, True), told


async def test_nobody_is_charged_for_the_sites_pace_and_a_short_list_is_delivered_at_once(
    run, autojump_clock
):
    """G2: who was throttled goes again at the rate that was found, not after the first retry's wait."""
    run.provider.message_rate("10/s", burst=5)
    began = trio.current_time()
    await run.last(200, people=300)
    assert (set(run.post.verdicts.values()), len(run.post.verdicts)) == ({"delivered"}, 300)
    assert trio.current_time() - began < 60
    assert run.post.open == {}


async def test_one_who_is_throttled_while_others_are_not_waits_alone(run, autojump_clock):
    """Whatever the host calls it: he is tried a few times, then deferred, and the site goes on."""
    run.world.domain("a.test").refuse("p7", b"451 4.7.1 Too many messages, slow down")
    await run.last(60, people=500)
    late = [number for number, fate in run.post.verdicts.items() if fate != "delivered"]
    assert (late, run.post.verdicts[7], len(run.post.verdicts)) == ([7], "deferred", 500)


async def test_a_site_that_lets_nothing_in_any_more_is_left_alone_in_the_end(run, autojump_clock):
    """One message goes first, after ever longer pauses; then all wait in the store, uncharged."""
    run.provider.message_rate("20/s")
    run.provider.after(20, lambda one: one.message_rate("1/day", burst=1))
    await run.last(400, people=5_000)
    refused = run.provider.account.count("throttled", since=25, until=400)
    assert (refused <= 10, set(run.post.verdicts.values())) == (True, {"delivered", "deferred"})
    assert len(run.post.verdicts) == 5_000


async def test_what_a_site_is_held_back_by_is_told(run, autojump_clock):
    run.provider.message_rate("10/s").connections(2)
    await run.last(40)
    finder, room = run.site.finder, run.site.room
    assert finder is not None
    assert room is not None
    assert (8 < finder.rate < 11, room.size, "Too many" in finder.why) == (True, 2, True)


async def test_of_a_site_that_never_complains_nothing_is_made(run, autojump_clock):
    await run.last(60, people=2_000)
    assert len(run.post.verdicts) == 2_000
    assert (run.site.finder, run.site.room) == (None, None)
