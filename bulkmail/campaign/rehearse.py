"""`plan --rehearse`: a campaign's delivery against providers that hold the shipped limits, in virtual time.

Nothing is sent, and neither the campaign's journal nor its list is touched: the plan's domains are counted on
the way (`Census`), located, a sample of them delivered to, and what came of it scaled up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import trio

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.rehearse_census import Census, Counted
from bulkmail.campaign.rehearse_places import Located, by_mx, by_name, by_relay, sampled
from bulkmail.campaign.rehearse_result import Prediction, prediction
from bulkmail.campaign.rehearse_run import run
from bulkmail.campaign.rehearse_world import world_of
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.dns.resolver import Resolver, system_nameservers
from bulkmail.dns.routes import Routes

MOST_CPU_S = 30.0

Progress = Callable[[int, int], None]  # so many recipients, of so many


def rehearse(
    campaign: Campaign,
    census: Census,
    *,
    offline: bool = False,
    profiles: Mapping[str, Profile] | None = None,
    most_cpu_s: float = MOST_CPU_S,
    progress: Progress = lambda done, whole: None,
) -> Prediction:
    """What a run would come to. Runs event loops of its own.

    `offline`: no MX is looked up. `profiles`: what the providers allow, if not what is shipped.
    """
    if profiles is None:
        from bulkmail.campaign.profile import built_in

        profiles = built_in()
    counted = census.counted()
    located = _located(campaign, counted, Providers(profiles.values()), offline=offline)
    places = sampled(located.places)
    world = world_of(places, profiles)
    rehearsed = run(
        campaign,
        places,
        world,
        most_cpu_s=most_cpu_s,
        epoch=time.time(),
        progress=progress,
    )
    return prediction(located, rehearsed, profiles, recipients=census.recipients, domains=census.domains)


def _located(campaign: Campaign, counted: list[Counted], providers: Providers, *, offline: bool) -> Located:
    delivery = campaign.delivery
    most = 1 if delivery.transaction == "individual" else campaign.shaping.default.recipients_per_transaction
    if delivery.via.kind == "relay":
        return by_relay(counted, providers, most, delivery.via.host)
    if offline or delivery.via.kind == "sandbox":
        return by_name(counted, providers, most)
    return trio.run(_asked, campaign, counted, providers, most)


async def _asked(campaign: Campaign, counted: list[Counted], providers: Providers, most: int) -> Located:
    resolver = Resolver(campaign.delivery.resolvers or system_nameservers())
    try:
        routes = Routes(resolver, allow_private=campaign.delivery.allow_private)
        return await by_mx(counted, providers, most, routes)
    finally:
        await resolver.aclose()
