"""Which provider the domains of a plan belong to, and what a rehearsal takes of each.

By their MX, asked for as a run would, for at most LOOKING_S. Without asking, a domain is known by its name,
or is one that nobody knows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import trio

from bulkmail.campaign.rehearse_census import Counted
from bulkmail.campaign.rehearse_post import Place
from bulkmail.delivery.plant import Routing
from bulkmail.delivery.provider import Providers
from bulkmail.dns.routes import NoRoute, Route, site_name
from bulkmail.errors import LocalResourceError

LOOKING_S = 30.0
LOOKERS = 64
MOST_MESSAGES = 12_000  # of all places together; half a millisecond of a processor each
PER_RECIPIENT = 0.2  # what one more of a shared message costs, measured in messages

# Domains whose name does not say whose they are, by the name of the profile.
KNOWN: Mapping[str, tuple[str, ...]] = {
    "google": ("gmail.com", "googlemail.com"),
    "microsoft": ("outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.co.uk", "hotmail.fr"),
    "yahoo": ("yahoo.com", "ymail.com", "aol.com", "rocketmail.com", "yahoo.co.uk", "yahoo.fr"),
    "apple": ("me.com", "mac.com"),
    "gmx": ("gmx.de", "gmx.at", "gmx.ch", "gmx.com"),
    "mailru": ("bk.ru", "inbox.ru", "list.ru"),
}


@dataclass(frozen=True, slots=True)
class Located:
    """Places, each as large as in the plan. `nowhere`: recipients of domains that take no mail; `unasked`:
    domains whose MX could not be looked up in time."""

    places: list[Place]
    nowhere: int = 0
    unasked: int = 0
    asked: int = 0


def by_name(counted: Iterable[Counted], providers: Providers, most: int) -> Located:
    """Without a question to anybody."""
    known = {domain: name for name, domains in KNOWN.items() for domain in domains}
    places = []
    for one in counted:
        profile = providers.profiles.get(known.get(one.domain, ""))
        host = f"mx.{profile.suffixes[0] if profile is not None else one.domain}"
        places.append(_place(one, providers, ((10, host),), most))
    return Located(places)


def by_relay(counted: Iterable[Counted], providers: Providers, most: int, relay: str) -> Located:
    """All of it goes to one host."""
    return Located([_place(one, providers, ((0, relay),), most) for one in counted])


async def by_mx(counted: Sequence[Counted], providers: Providers, most: int, routing: Routing) -> Located:
    """As their MX say, the largest domains first."""
    found: dict[str, Route | NoRoute] = {}
    waiting = list(counted)[::-1]

    async def look() -> None:
        while waiting:
            one = waiting.pop()
            try:
                found[one.domain] = await routing.route(one.domain)
            except LocalResourceError:  # of this machine: it is as if there had been no time
                await trio.sleep(1.0)

    with trio.move_on_after(LOOKING_S):
        async with trio.open_nursery() as nursery:
            for _ in range(LOOKERS):
                nursery.start_soon(look)
    places, nowhere, unasked = [], 0.0, 0
    for one in counted:
        route = found.get(one.domain)
        if isinstance(route, NoRoute) and route.permanent:
            nowhere += one.recipients * one.weight
            continue
        unasked += not isinstance(route, Route)
        hosts = (
            tuple((host.preference, host.name) for host in route.hosts)
            if isinstance(route, Route)
            else ((10, f"mx.{one.domain}"),)
        )
        places.append(_place(one, providers, hosts, most))
    return Located(places, round(nowhere), unasked, len(counted))


def _place(one: Counted, providers: Providers, hosts: tuple[tuple[int, str], ...], most: int) -> Place:
    """`most`: recipients of a transaction, as planned."""
    together = one.recipients / one.transactions if one.transactions else 1.0
    together = math.ceil(together) if together > 1.5 else 1
    if together > 1 and one.transactions <= -(-one.recipients // most):
        together = one.recipients  # all of them get the same
    provider = providers.of(site_name(hosts)).name
    return Place(one.domain, provider, hosts, one.recipients, together, one.weight)


def sampled(places: Sequence[Place], most: float = MOST_MESSAGES) -> list[Place]:
    """As much as can be rehearsed: all providers have the same share, and who needs less leaves the rest."""
    costs: dict[str, float] = {}
    for place in places:
        costs[place.provider] = costs.get(place.provider, 0.0) + cost(place)
    share = _share(sorted(costs.values()), most)
    rng = random.Random(0)
    found = []
    for place in places:
        part = min(1.0, share / costs[place.provider])
        recipients = place.recipients * part
        if place.together > 1:  # whole transactions, as far as may be
            least = min(place.together, place.recipients, 100)
            recipients = max(recipients, least) if recipients * 2 > least else recipients
        count = int(recipients) + (rng.random() < recipients % 1)
        if count:
            found.append(replace(place, recipients=min(count, place.recipients)))
    return found


def cost(place: Place) -> float:
    """In messages."""
    return -(-place.recipients // min(place.together, 100)) + place.recipients * PER_RECIPIENT


def _share(costs: Sequence[float], most: float) -> float:
    """So much for each that all together take no more than `most`; costs ascend."""
    left = most
    for number, one in enumerate(costs):
        share = left / (len(costs) - number)
        if one > share:
            return share
        left -= one
    return math.inf
