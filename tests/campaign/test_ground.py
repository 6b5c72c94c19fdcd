"""Where leases are kept to: what the sites of a run and its pool are told, with another campaign there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from bulkmail.campaign.ground import SendingGround
from bulkmail.delivery.provider import Provider
from bulkmail.delivery.seats import Seats
from bulkmail.delivery.shaping import Bounds, Limits
from bulkmail.delivery.sites import Sites
from bulkmail.journal import Leases, SiteFile

SITE, HOST = "mx1.a.test~1", "mx1.a.test"


class Unpooled:
    """A pool in which nothing is idle."""

    per_host = 4

    def __init__(self) -> None:
        self.most: Any = None

    async def relimit(self, unkept: Any) -> None:
        await trio.lowlevel.checkpoint()


class Run:
    """The sites of one campaign, and whom it sends to now."""

    def __init__(self, path: Path, name: str, nursery: trio.Nursery) -> None:
        self.file = SiteFile.open(path)
        self.held = Leases(self.file, name, first=False)
        whole = Limits(connections=4, message_rate=20.0)
        self.sites = Sites(whole)
        self.sites.provider_of = lambda site: ("acme", Bounds(connections=4))
        rules = SimpleNamespace(
            limits=self.sites.limits_of,
            provider=self.sites.provider_of,
            domain=lambda domain: None,
            domains={},
            providers=SimpleNamespace(of=lambda name: Provider("acme", {})),
        )
        self.pool = Unpooled()
        self.destinations: dict[str, Any] = {}
        plant = cast(Any, SimpleNamespace(sites=self.sites, pool=self.pool, rules=rules, limits=whole))
        dispatcher = cast(Any, SimpleNamespace(destinations=self.destinations))
        self.leasing = SendingGround(plant, dispatcher, self.held, spawn=nursery.start_soon).leasing

    def sends(self, *, paused: bool = False) -> Any:
        site = self.sites.of(SITE, trio.current_time())
        seats = Seats(site, lambda: None)
        made = SimpleNamespace(site=site, level=site, seats=seats, paused=paused, limited=seats.reseat)
        made.connections_limit = site.connections_limit
        self.destinations[SITE] = made
        return made

    def may(self) -> tuple[int, int, int | None, float]:
        """Connections: to the site, to a host of it, to the provider; and messages a second to the site."""
        now = trio.current_time()
        site, provider = self.sites.of(SITE, now), self.sites.provider("acme")
        assert provider is not None
        rate = 1 / site.messages.interval_s
        return site.connections_limit(now), self.pool.most(HOST), provider.most(now), rate


@pytest.fixture
async def two(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[tuple[Run, Run]]:
    runs = Run(tmp_path / "sites.db", "a", nursery), Run(tmp_path / "sites.db", "b", nursery)
    yield runs
    for run in runs:
        run.held.close()
        run.file.close()


async def looks(*runs: Run) -> None:
    for _ in range(6):
        for run in runs:
            run.leasing.look()
        await trio.testing.wait_all_tasks_blocked()


async def test_everything_at_a_provider_is_divided(two: tuple[Run, Run]):
    for run in two:
        run.sends()
    await looks(*two)
    assert [run.may() for run in two] == [(2, 2, 2, 10.0)] * 2


async def test_a_site_where_nobody_waits_any_more_may_not_be_sent_to_again_without_a_word(
    two: tuple[Run, Run],
):
    """It outlives its destination, and the other campaign has all of it by then."""
    a, b = two
    for run in two:
        run.sends()
    await looks(*two)
    a.destinations.clear()
    await looks(*two)
    assert (a.may()[:3], b.may()[:3]) == ((0, 0, 0), (4, 4, 4))


async def test_who_is_paused_gives_back_what_he_has_once_his_last_message_is_through(two: tuple[Run, Run]):
    a, b = two
    ours = a.sends()
    b.sends()
    await looks(*two)
    ours.paused = ours.seats.take(trio.current_time())
    await looks(*two)
    before = b.may()[:3]
    ours.seats.free()
    await looks(*two)
    assert (before, b.may()[:3]) == ((2, 2, 2), (4, 4, 4))


async def test_a_part_is_given_up_only_when_the_sessions_are_gone_that_had_it(two: tuple[Run, Run]):
    a, b = two
    ours = a.sends()
    for _ in range(4):
        ours.seats.take_anyhow()
    b.sends()
    await looks(*two)
    before = a.may()[0], b.may()[0]
    for _ in range(2):
        ours.seats.free()
    await looks(*two)
    assert (before, (a.may()[0], b.may()[0])) == ((2, 0), (2, 2))
