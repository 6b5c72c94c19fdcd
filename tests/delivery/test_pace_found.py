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
    """A campaign to one domain, whose provider has limits."""

    world: sandbox.World
    provider: Provider
    post: Post
    dispatcher: Dispatcher | None = None

    @property
    def site(self) -> Site:
        assert self.dispatcher is not None
        return self.dispatcher.plant.sites.of("mx.big.test", trio.current_time())

    async def last(self, seconds: float, *, people: int = 1_000_000, connections: int = 10) -> None:
        """Send for so long, or until everybody has a fate."""
        async with indoors(self.world, latency_s=LATENCY_S) as there:
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
            parcels = [Parcel("a.test", [(1, people)], shared=False)]

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
    told = run.site.told(trio.current_time())
    assert told is not None
    assert (8 < (told.rate or 0) < 11, told.connections, "Too many" in told.why) == (True, 2, True)


async def test_of_a_site_that_never_complains_nothing_is_made(run, autojump_clock):
    await run.last(60, people=2_000)
    assert len(run.post.verdicts) == 2_000
    assert (run.site.finder, run.site.room, run.site.told(trio.current_time())) == (None, None, None)
