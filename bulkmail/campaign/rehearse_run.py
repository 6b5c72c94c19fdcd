"""The rehearsal itself: places are delivered to by the real delivery, over memory and in virtual time.

What is real: dispatching, sessions, pooling, limits, feedback, what is said, classification, retries. What is
not: the network (every octet takes half of ROUND_TRIP_S), the hosts (a sandbox; the end of data takes
ANSWER_S), the letters (all alike, so rendering and signing take no time), the disk, DNS and TLS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.planting import planted
from bulkmail.campaign.rehearse_clock import JumpingClock
from bulkmail.campaign.rehearse_post import Place, Post
from bulkmail.campaign.rehearse_road import IndoorRouting, memory_pool
from bulkmail.delivery.dispatch import Dispatcher
from bulkmail.delivery.plant import Tally
from bulkmail.delivery.sources import Sources
from bulkmail.errors import ConfigError
from bulkmail.sandbox.indoors import indoors
from bulkmail.sandbox.world import World
from bulkmail.transport.approach import Approach, TlsPolicy

ROUND_TRIP_S = 0.05
ANSWER_S = 0.1  # to the end of data


@dataclass(slots=True)
class Rehearsed:
    """`whole`: everybody came to an end before the time was over. `seconds`: virtual; `cpu_s`: real."""

    post: Post
    world: World
    whole: bool = False
    seconds: float = 0.0
    cpu_s: float = 0.0
    tally: Tally = field(default_factory=Tally)


def run(
    campaign: Campaign,
    places: Sequence[Place],
    world: World,
    *,
    most_cpu_s: float,
    epoch: float,
    progress: Callable[[int, int], None] = lambda done, whole: None,
) -> Rehearsed:
    """Deliver to `places`, for at most so many seconds of a processor. Runs an event loop of its own."""
    for place in places:
        domain = world.domain(place.domain)
        for preference, host in place.hosts:
            domain.host(host, preference)
            if not world.host(host).manner.said:
                world.host(host).delay("END_OF_DATA", ANSWER_S)
    return trio.run(
        _run,
        campaign,
        Rehearsed(Post(places, epoch), world),
        most_cpu_s,
        progress,
        clock=JumpingClock(),
        restrict_keyboard_interrupt_to_checkpoints=True,
    )


async def _run(
    campaign: Campaign, rehearsed: Rehearsed, most_cpu_s: float, progress: Callable[[int, int], None]
) -> Rehearsed:
    began, post = time.process_time(), rehearsed.post
    limits = campaign.shaping.default
    approach = Approach(port=25, ehlo="rehearsal.invalid", tls=TlsPolicy.NONE)
    with trio.CancelScope() as patience:
        async with (
            indoors(rehearsed.world, latency_s=ROUND_TRIP_S / 2) as there,
            memory_pool(
                there, approach, per_host=limits.connections, messages=limits.messages_per_connection
            ) as pool,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_watch, post, began + most_cpu_s, patience, progress)
            plant = planted(
                campaign,
                work=post,
                pool=pool,
                routes=IndoorRouting(there),
                tally=rehearsed.tally,
                unwritable=_raise,
                on_hold=lambda site, why, held_s: None,
                rehearsing=True,
            )
            plant = replace(plant, now=post.now, sources=_stand_ins(plant.sources))
            pool.dialer.manner = lambda host, apart: None  # no host of memory can show a certificate
            await Dispatcher(plant).run(post.next)
            rehearsed.whole, rehearsed.seconds = True, trio.current_time()
            nursery.cancel_scope.cancel()
    if not rehearsed.whole:
        rehearsed.seconds = trio.current_time()
    rehearsed.cpu_s = time.process_time() - began
    return rehearsed


def _stand_ins(sources: Sources | None) -> Sources | None:
    """As many, with the same weights, of addresses that the hosts of memory can be reached from."""
    if sources is None:
        return None
    return Sources([replace(one, address=f"127.0.1.{n}") for n, one in enumerate(sources.all, 1)])


async def _watch(
    post: Post, until: float, patience: trio.CancelScope, progress: Callable[[int, int], None]
) -> None:
    """Also sees to it that somebody always waits for a time."""
    while True:
        await trio.sleep(1.0)
        progress(post.people - post.open, post.people)
        if time.process_time() > until:
            patience.cancel()


def _raise(error: ConfigError) -> None:
    raise error
