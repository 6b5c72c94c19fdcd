"""The sites of many domains, by their MX alone, as far as name servers answer in time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import cast

import trio

from bulkmail.dns.resolver import Resolver, Status
from bulkmail.dns.routes import site_name
from bulkmail.errors import LocalResourceError

ASKED = 64  # look-ups side by side


async def sites_of(domains: Iterable[str], resolver: Resolver, within_s: float) -> dict[str, str]:
    """The site of each domain; who is not in it has none, or none that was told within so many seconds."""
    left, found = deque(domains), dict[str, str]()

    async def ask() -> None:
        while left:
            domain = left.popleft()
            try:
                site = await _site(domain, resolver)
            except LocalResourceError:
                return
            if site:
                found[domain] = site

    with trio.move_on_after(within_s):
        async with trio.open_nursery() as nursery:
            for _ in range(ASKED):
                nursery.start_soon(ask)
    return found


async def _site(domain: str, resolver: Resolver) -> str:
    answer = await resolver.mx(domain)
    if answer.status is Status.NODATA:
        return domain  # implicit MX
    exchangers = cast("list[tuple[int, str]]", answer.records) if answer.status is Status.FOUND else []
    named = [(preference, host) for preference, host in exchangers if host]
    return site_name(named) if named else ""
