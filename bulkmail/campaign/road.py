"""The road that a campaign's mail takes: resolver, routes and the pool of connections, built for one run.

With `via: sandbox` the internet at its other end is built as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.egress import sources_of
from bulkmail.campaign.host_name import default_ehlo
from bulkmail.campaign.way import Way, connections
from bulkmail.delivery.plant import Routing
from bulkmail.dns.addresses import is_public, reaches_ipv6
from bulkmail.dns.resolver import Resolver, system_nameservers
from bulkmail.dns.routes import NoRoute, Route, Routes
from bulkmail.errors import ConfigError
from bulkmail.transport.pool import Pool

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

REHEARSED = 1_000  # messages that a rehearsal keeps to be looked at


class RelayRouting:
    """Every domain is routed to the relay: the only site there is."""

    def __init__(self, routes: Routes, host: str) -> None:
        self._routes = routes
        self._host = host

    async def route(self, domain: str) -> Route | NoRoute:
        found = await self._routes.relay(self._host)
        if isinstance(found, NoRoute):  # the relay's trouble is no recipient's: never a bounce
            return NoRoute(domain, False, found.enhanced, f"the relay {self._host}: {found.reason}")
        return found


@dataclass(frozen=True, slots=True)
class Road:
    """How recipients are reached: routes, and the pool of connections. `warnings` are for people."""

    routing: Routing
    pool: Pool
    way: Way
    warnings: tuple[str, ...] = ()


async def _check_relay(campaign: Campaign, routes: Routes) -> None:
    """A relay on a private address is a slip as often as it is meant. Raises ConfigError."""
    if campaign.delivery.allow_private:
        return
    found = await routes.relay(campaign.delivery.via.host)
    if isinstance(found, Route):
        private = [address for address in found.hosts[0].addresses if not is_public(address)]
        if private:
            text = f"the relay is at {private[0]}, a loopback or private address; if that is meant, write "
            raise ConfigError(campaign.problem("delivery.via", f"{text}allow_private: true"))


def rehearsed_mail(campaign: Campaign) -> Path:
    """Where a rehearsal keeps what arrived: the first REHEARSED messages, in `maildir/new`."""
    return campaign.state / f"{campaign.campaign}.sandbox.mail"


@asynccontextmanager
async def road(campaign: Campaign, keys: Sequence[SigningKey]) -> AsyncIterator[Road]:
    """The resolver, routes and pool for a campaign; with `via: sandbox`, an internet of its own as well.

    `keys` that sign are compared with what DNS says of them, unless nobody outside will. Raises ConfigError.
    """
    delivery = campaign.delivery
    async with AsyncExitStack() as stack:
        nameservers = delivery.resolvers or system_nameservers()
        port, allow_private, cafile = delivery.port, delivery.allow_private, None
        if delivery.via.kind == "sandbox":
            from bulkmail import sandbox  # only who rehearses pays for the import

            world = sandbox.World.default(keep="maildir")
            world.ledger.most_files = REHEARSED
            running = await stack.enter_async_context(
                sandbox.serve(world, directory=rehearsed_mail(campaign))
            )
            nameservers, port, allow_private = (running.dns,), running.smtp_port, True
            cafile = str(running.ca_pem_path)
        resolver = Resolver(nameservers)
        stack.push_async_callback(resolver.aclose)
        ehlo = delivery.ehlo or default_ehlo() or "[127.0.0.1]"
        routes = Routes(
            resolver,
            allow_private=allow_private,
            own_names={ehlo, *(source.ehlo for source in sources_of(campaign, ehlo))},
            ipv6=reaches_ipv6(private=allow_private),
        )
        routing: Routing = routes
        via = delivery.via
        if via.kind == "relay":
            port = via.port
            await _check_relay(campaign, routes)
            routing = RelayRouting(routes, via.host)
        warnings: list[str] = []
        if keys and via.kind != "sandbox":
            from bulkmail.campaign.signing import check_records  # only who signs pays for the import

            warnings = await check_records(keys, resolver, strict=via.kind == "mx")
        way = Way(ehlo, port, cafile)
        per_host = campaign.shaping.default.connections
        pool = await stack.enter_async_context(connections(campaign, way, per_host=per_host))
        yield Road(routing, pool, way, tuple(warnings))
