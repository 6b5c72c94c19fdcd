"""Where leases are kept to: what the sites of a run and its pool are told, with another campaign there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing

from bulkmail.campaign.ground import SendingGround
from bulkmail.delivery.limits import Limit, Origin, Shape
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.delivery.rules import Rules, plain
from bulkmail.delivery.seats import Seats
from bulkmail.delivery.sites import Sites
from bulkmail.journal import Leases, SiteFile

SITE, HOST = "mx1.a.test~1", "mx1.a.test"
KNOWN = Profile("everybody's", ("a.test", "b.test"))  # as the world knows two suffixes of one provider


def shape(**limits: float) -> Shape:
    return {kind: Limit(value, Origin("", "")) for kind, value in limits.items()}


DEFAULT = shape(connections=4, message_rate=20.0)
ACME = Profile("acme", ("a.test",), shape(connections=4))


class Unpooled:
    """A pool in which nothing is idle."""

    per_host = 4

    def __init__(self) -> None:
        self.most: Any = None

    async def relimit(self, unkept: Any) -> None:
        await trio.lowlevel.checkpoint()


class Run:
    """The sites of one campaign, and whom it sends to now."""

    def __init__(
        self,
        path: Path,
        name: str,
        nursery: trio.Nursery,
        *profiles: Profile,
        default: Shape = DEFAULT,
        domains: Mapping[str, Shape] = MappingProxyType({}),
    ) -> None:
        self.file = SiteFile.open(path)
        self.held = Leases(self.file, name, first=False)
        self.rules = rules = Rules(default, Providers(profiles, [KNOWN]), domains)
        whole = plain(default)
        self.sites = Sites(whole)
        self.sites.limits_of, self.sites.provider_of = rules.limits, rules.provider
        self.sites.domain_of = lambda site, domain: rules.domain(domain)
        self.sites.run_by = lambda site: rules.providers.of(site).name
        self.pool = Unpooled()
        self.destinations: dict[str, Any] = {}
        plant = cast(Any, SimpleNamespace(sites=self.sites, pool=self.pool, rules=rules, limits=whole))
        dispatcher = cast(Any, SimpleNamespace(destinations=self.destinations))
        self.leasing = SendingGround(plant, dispatcher, self.held, spawn=nursery.start_soon).leasing

    def sends(self, name: str = SITE, *, paused: bool = False) -> Any:
        site = self.sites.of(name, trio.current_time())
        seats = Seats(site, lambda: None)
        made = SimpleNamespace(site=site, level=site, seats=seats, paused=paused, limited=seats.reseat)
        made.connections_limit = site.connections_limit
        self.destinations[name] = made
        return made

    def close(self) -> None:
        self.held.close()
        self.file.close()

    def may(self) -> tuple[int, int, int | None, float]:
        """Connections: to the site, to a host of it, to the provider; and messages a second to the site."""
        now = trio.current_time()
        site, provider = self.sites.of(SITE, now), self.sites.provider("acme")
        assert provider is not None
        rate = 1 / site.messages.interval_s
        return site.connections_limit(now), self.pool.most(HOST), provider.most(now), rate


@pytest.fixture
async def two(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[tuple[Run, Run]]:
    runs = Run(tmp_path / "sites.db", "a", nursery, ACME), Run(tmp_path / "sites.db", "b", nursery, ACME)
    yield runs
    for run in runs:
        run.close()


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


@pytest.fixture
async def both(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Callable[..., tuple[Run, Run]]]:
    """Two campaigns, each with what its file says of providers and limits."""
    made: list[Run] = []

    def begin(*files: dict[str, Any]) -> tuple[Run, Run]:
        for number, file in enumerate(files):
            profiles = file.pop("profiles", ())
            made.append(Run(tmp_path / "sites.db", f"c{number}", nursery, *profiles, **file))
        a, b = made
        return a, b

    yield begin
    for run in made:
        run.close()


def connections(run: Run, name: str = SITE) -> tuple[int, int | None]:
    """That it may have to a site, and to all of the site's provider."""
    site = run.sites.of(name, trio.current_time())
    return site.connections_limit(0.0), None if site.outer is None else site.outer.most(0.0)


async def test_a_provider_is_the_same_whatever_the_campaigns_call_it(both: Any):
    """One has a profile of its own for it; the other one none, and knows no limit of all of it."""
    a, b = both({"profiles": [replace(ACME, name="ours")]}, {})
    for run in (a, b):
        run.sends()
    await looks(a, b)
    assert [connections(a), connections(b)] == [(2, 2), (2, 2)]


async def test_the_limit_of_a_provider_holds_also_for_who_takes_its_sites_for_several(both: Any):
    """What the other campaign says of all sites of it is kept to at all of them together."""
    whole = Profile("acme", ("a.test", "b.test"), shape(connections=4))
    a, b = both({"profiles": [whole]}, {})
    for run in (a, b):
        run.sends(), run.sends("mx1.b.test~1")
    await looks(a, b)
    for name in (SITE, "mx1.b.test~1"):
        assert [connections(a, name)[1], connections(b, name)[1]] == [2, 2]
    assert b.sites.of(SITE, 0.0).outer is b.sites.of("mx1.b.test~1", 0.0).outer
    a.close()
    await looks(b)
    assert connections(b) == (4, None)


async def test_where_two_campaigns_say_different_things_the_smaller_one_is_divided(both: Any):
    wide = {"default": shape(connections=10, message_rate=40.0)}
    narrow = {"default": shape(connections=6, message_rate=100.0, recipient_rate=8.0)}
    a, b = both(wide, narrow)
    for run in (a, b):
        run.sends()
    await looks(a, b)
    assert [connections(run)[0] for run in (a, b)] == [3, 3]
    for run in (a, b):
        site = run.sites.of(SITE, 0.0)
        assert (1 / site.messages.interval_s, site.sending.people and site.sending.people.interval_s) == (
            20,
            0.25,
        )
    b.close()
    await looks(a)
    assert (connections(a)[0], a.sites.of(SITE, 0.0).sending.people) == (10, None)


async def test_a_domain_that_both_have_limits_for_keeps_to_the_smaller_one(both: Any):
    a, b = both({"domains": {"x.test": shape(connections=6)}}, {"domains": {"x.test": shape(connections=2)}})
    for run in (a, b):
        run.sends()
    await looks(a, b)
    found = [run.sites.domain_of(SITE, "x.test") for run in (a, b)]
    assert [one and one.connections for one in found] == [1, 1]


async def test_a_limit_that_is_changed_in_one_file_while_both_run_binds_the_other_one_too(both: Any):
    a, b = both({}, {})
    for run in (a, b):
        run.sends()
    await looks(a, b)
    b.rules.take_over(Rules(shape(connections=2, message_rate=20.0), Providers([], [KNOWN])))
    await looks(a, b)
    lowered = connections(a)[0]
    b.rules.take_over(Rules(shape(connections=8, message_rate=20.0), Providers([], [KNOWN])))
    await looks(a, b)
    assert (lowered, connections(a)[0]) == (1, 2)


async def test_who_takes_several_providers_for_one_holds_all_of_them(both: Any):
    """Its limit is of all together, whichever of them it sends to."""
    group = Profile("group", ("a.test", "c.test"), shape(connections=4))
    a, b = both({"profiles": [group]}, {"profiles": [group]})
    a.sends(), b.sends("mx1.c.test~1")
    await looks(a, b)
    assert [connections(a)[1], connections(b, "mx1.c.test~1")[1]] == [2, 2]
