"""The sandbox of a rehearsal: providers that hold us to the limits of the profile, whatever ours are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bulkmail.campaign.rehearse_post import Place
from bulkmail.delivery.limits import Limit
from bulkmail.delivery.provider import Profile
from bulkmail.sandbox.policy import Rate
from bulkmail.sandbox.provider import Provider
from bulkmail.sandbox.world import World


def world_of(places: Iterable[Place], profiles: Mapping[str, Profile]) -> World:
    """One provider for each that the places name; who is not in the profile allows everything."""
    world = World(keep="counts")
    hosts: dict[str, dict[str, None]] = {}
    for place in places:
        hosts.setdefault(place.provider, {}).update(dict.fromkeys(host for _, host in place.hosts))
    for name, names in hosts.items():
        provider = world.provider(name, hosts=names)
        if name in profiles:
            hold(provider, profiles[name].shape)
    return world


def hold(provider: Provider, shape: Mapping[str, Limit]) -> None:
    """The provider enforces these limits."""
    for kind, limit in shape.items():
        if kind in ("message_rate", "recipient_rate", "connection_rate"):
            # A second's worth at once, as who counts by the second would allow.
            rate = Rate(limit.number, burst=max(1.0, limit.number))
            provider.allow(**{kind: rate})
        elif kind == "connections":
            provider.connections(int(limit.number))
        elif kind == "messages_per_connection":
            provider.close_after(int(limit.number))
        elif kind == "recipients_per_transaction":
            provider.rcpt_limit(int(limit.number))
