"""The route to a relay: looked up by its address alone, and allowed to be private."""

from __future__ import annotations

import pytest
from dns_responder import Responder

from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import Host, NoRoute, Route, Routes


@pytest.fixture
def routes(resolver: Resolver) -> Routes:
    return Routes(resolver, allow_private=False)


def verdict(route: Route | NoRoute) -> tuple[bool, str]:
    assert isinstance(route, NoRoute)
    return route.permanent, route.enhanced


async def test_a_relay_is_looked_up_by_address_only_and_may_be_private(
    names: Responder, routes: Routes
) -> None:
    names.add("relay.test", "MX 10 elsewhere.test.", "A 10.0.0.1")
    route = await routes.relay("Relay.test")
    assert (route, names.count("relay.test", "MX")) == (
        Route("Relay.test", (Host(0, "relay.test", ("10.0.0.1",)),), "relay.test"),
        0,
    )


async def test_a_relay_given_as_an_address_is_itself(routes: Routes) -> None:
    route = await routes.relay("127.0.0.1")
    assert route == Route("127.0.0.1", (Host(0, "127.0.0.1", ("127.0.0.1",)),), "127.0.0.1")


async def test_a_relay_that_cannot_be_looked_up_is_waited_for(names: Responder, routes: Routes) -> None:
    """D1."""
    names.servfail |= {("relay.test", "A"), ("relay.test", "AAAA")}
    assert [verdict(await routes.relay(name)) for name in ("relay.test", "none.test")] == [
        (False, "4.4.3"),
        (True, "5.4.4"),
    ]
