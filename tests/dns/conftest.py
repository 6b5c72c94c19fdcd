"""A DNS server of our own and a resolver that asks it; time is a number that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from dns_responder import Clock, Responder

from bulkmail.dns.resolver import Resolver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def names(nursery: trio.Nursery) -> Responder:
    return await nursery.start(Responder().serve)


@pytest.fixture
async def resolver(names: Responder, clock: Clock) -> AsyncIterator[Resolver]:
    resolver = Resolver([names.address], tries=(10, 10, 10), now=clock)
    yield resolver
    await resolver.aclose()
