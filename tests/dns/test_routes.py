"""Rows D1 to D8 of the fault catalogue, each against a real server on loopback."""

from __future__ import annotations

import random

import pytest
from dns_responder import Responder, with_raw_answers

from bulkmail.dns.resolver import Resolver
from bulkmail.dns.routes import Host, NoRoute, Route, Routes

PUBLIC = "9.9.9.{}"  # nobody connects in these tests


@pytest.fixture
async def routes(resolver: Resolver) -> Routes:
    """As on the internet: private networks are refused."""
    return Routes(resolver, allow_private=False, rng=random.Random(1))


def names_of(route: Route | NoRoute) -> list[str]:
    assert isinstance(route, Route), route
    return [host.name for host in route.hosts]


def verdict(route: Route | NoRoute) -> tuple[bool, str]:
    assert isinstance(route, NoRoute), route
    return route.permanent, route.enhanced


async def test_servfail_on_mx_defers_and_never_falls_back_to_a(names: Responder, routes: Routes) -> None:
    """D1."""
    names.servfail.add(("a.test", "MX"))
    names.add("a.test", "A 9.9.9.9")
    assert (verdict(await routes.route("a.test")), names.count("a.test", "A")) == ((False, "4.4.3"), 0)


async def test_a_time_out_on_mx_defers(names: Responder) -> None:
    """D1."""
    names.silent.add(("a.test", "MX"))
    names.add("a.test", "A 9.9.9.9")
    routes = Routes(Resolver([names.address], tries=(0.01, 0.01)), allow_private=False)
    assert verdict(await routes.route("a.test")) == (False, "4.4.3")


async def test_a_domain_that_does_not_exist_fails_at_once(routes: Routes) -> None:
    """D2."""
    assert verdict(await routes.route("nobody.test")) == (True, "5.1.2")


async def test_without_mx_the_domain_itself_is_the_exchanger(names: Responder, routes: Routes) -> None:
    """D3."""
    names.add("a.test", "A 9.9.9.9", "AAAA 2620:fe::9")
    assert await routes.route("a.test") == Route(
        "a.test", (Host(0, "a.test", ("2620:fe::9", "9.9.9.9")),), "a.test"
    )


async def test_without_mx_and_address_the_domain_fails(names: Responder, routes: Routes) -> None:
    """D3."""
    names.add("a.test", "TXT nothing")
    assert verdict(await routes.route("a.test")) == (True, "5.1.2")


async def test_mx_that_do_not_exist_fail_and_the_domains_own_address_is_not_used(
    names: Responder, routes: Routes
) -> None:
    """D4."""
    names.add("a.test", "MX 10 gone.a.test.", "MX 20 went.a.test.", "A 9.9.9.9")
    assert verdict(await routes.route("a.test")) == (True, "5.4.4")


async def test_mx_of_which_one_cannot_be_looked_up_defer(names: Responder, routes: Routes) -> None:
    """D4."""
    names.add("a.test", "MX 10 gone.a.test.", "MX 20 dim.a.test.", "A 9.9.9.9")
    names.servfail |= {("dim.a.test", "A"), ("dim.a.test", "AAAA")}
    assert verdict(await routes.route("a.test")) == (False, "4.4.3")


@pytest.mark.parametrize(
    ("records", "addresses", "asked"),
    [
        (["A 9.9.9.9", "AAAA 2620:fe::9"], ("9.9.9.9",), 0),
        (["AAAA 2620:fe::9"], ("2620:fe::9",), 1),  # that it cannot be reached is not that it does not exist
    ],
)
async def test_without_a_way_to_ipv6_its_addresses_are_asked_for_only_where_there_are_no_others(
    names: Responder, resolver: Resolver, records: list[str], addresses: tuple[str, ...], asked: int
) -> None:
    names.add("a.test", "MX 10 mx.a.test.")
    names.add("mx.a.test", *records)
    route = await Routes(resolver, allow_private=False, ipv6=False).route("a.test")
    assert isinstance(route, Route)
    assert (route.hosts[0].addresses, names.count("mx.a.test", "AAAA")) == (addresses, asked)


async def test_mx_of_which_one_resolves_are_enough(names: Responder, routes: Routes) -> None:
    """D4."""
    names.add("a.test", "MX 10 gone.a.test.", "MX 15 dim.a.test.", "MX 20 mx.a.test.")
    names.add("mx.a.test", "A 9.9.9.9")
    names.servfail |= {("dim.a.test", "A"), ("dim.a.test", "AAAA")}
    assert names_of(await routes.route("a.test")) == ["mx.a.test"]


async def test_one_family_that_cannot_be_looked_up_leaves_the_other(names: Responder, routes: Routes) -> None:
    """D4."""
    names.add("a.test", "A 9.9.9.9")
    names.servfail.add(("a.test", "AAAA"))
    assert names_of(await routes.route("a.test")) == ["a.test"]


async def test_a_null_mx_fails_without_looking_for_addresses(names: Responder, routes: Routes) -> None:
    """D5."""
    names.add("a.test", "MX 0 .", "A 9.9.9.9")
    assert (verdict(await routes.route("a.test")), len(names.asked)) == ((True, "5.1.10"), 1)


async def test_a_null_mx_beside_others_means_nothing(names: Responder, routes: Routes) -> None:
    """D5; RFC 7505 section 3."""
    names.add("a.test", "MX 0 .", "MX 10 mx.a.test.")
    names.add("mx.a.test", "A 9.9.9.9")
    assert names_of(await routes.route("a.test")) == ["mx.a.test"]


async def test_an_mx_that_is_an_alias_is_tolerated(names: Responder, routes: Routes) -> None:
    """D6."""
    names.add("a.test", "MX 10 alias.a.test.")
    names.add("alias.a.test", "CNAME mx.b.test.")
    names.add("mx.b.test", "A 9.9.9.9")
    assert names_of(await routes.route("a.test")) == ["alias.a.test"]


LOCAL = {
    "an IP literal": ("9.9.9.9.", None),
    "localhost": ("localhost.", None),
    "below localhost": ("mx.localhost.", None),
    "loopback": ("mx.a.test.", "A 127.0.0.1"),
    "loopback, IPv6": ("mx.a.test.", "AAAA ::1"),
    "private": ("mx.a.test.", "A 10.1.2.3"),
    "link-local": ("mx.a.test.", "A 169.254.1.1"),
    "unspecified": ("mx.a.test.", "A 0.0.0.0"),
    "unique local": ("mx.a.test.", "AAAA fd00::1"),
    "loopback wrapped in IPv6": ("mx.a.test.", "AAAA ::ffff:127.0.0.1"),
}


@pytest.mark.parametrize("case", LOCAL)
async def test_an_mx_on_a_private_network_is_refused(names: Responder, routes: Routes, case: str) -> None:
    """D6."""
    exchanger, address = LOCAL[case]
    names.add("a.test", f"MX 10 {exchanger}")
    if address is not None:
        names.add("mx.a.test", address)
    assert verdict(await routes.route("a.test")) == (True, "5.4.4")


@pytest.mark.parametrize(
    ("exchanger", "address"), [("mx.a.test.", "A 127.0.0.1"), ("localhost.", ""), ("127.0.0.1.", "")]
)
async def test_an_mx_on_a_private_network_is_used_where_that_is_allowed(
    names: Responder, resolver: Resolver, exchanger: str, address: str
) -> None:
    """D6."""
    names.add("a.test", f"MX 10 {exchanger}")
    names.add(exchanger[:-1], address or "A 127.0.0.1")
    route = await Routes(resolver, allow_private=True).route("a.test")
    assert (names_of(route), route.hosts[0].addresses) == ([exchanger[:-1]], ("127.0.0.1",))


async def test_private_addresses_are_dropped_and_public_ones_used(names: Responder, routes: Routes) -> None:
    """D6."""
    names.add("a.test", "A 10.1.2.3", "A 9.9.9.9")
    route = await routes.route("a.test")
    assert isinstance(route, Route)
    assert route.hosts[0].addresses == ("9.9.9.9",)


def rank(names: Responder) -> None:
    for number, preference in enumerate((10, 20, 20, 30)):
        names.add("a.test", f"MX {preference} mx{number}.test.")
        names.add(f"mx{number}.test", f"A 9.9.9.{number + 1}")


@pytest.mark.parametrize("own", [{"own_names": ["MX1.test."]}, {"own_addresses": ["9.9.9.2"]}])
async def test_this_host_and_every_equal_or_worse_one_are_dropped(
    names: Responder, resolver: Resolver, own: dict[str, list[str]]
) -> None:
    """D7: whichever of the equal ones happens to be looked at first."""
    rank(names)
    many = [Routes(resolver, allow_private=False, rng=random.Random(seed), **own) for seed in range(5)]
    assert [names_of(await routes.route("a.test")) for routes in many] == [["mx0.test"]] * 5


@pytest.mark.parametrize("own", [{"own_names": ["mx0.test"]}, {"own_addresses": ["9.9.9.1"]}])
async def test_this_host_as_the_best_exchanger_fails_as_a_loop(
    names: Responder, resolver: Resolver, own: dict[str, list[str]]
) -> None:
    """D7."""
    rank(names)
    assert verdict(await Routes(resolver, allow_private=False, **own).route("a.test")) == (True, "5.4.6")


async def test_hundreds_of_mx_and_addresses_are_capped(names: Responder, resolver: Resolver) -> None:
    """D8."""
    for number in range(200):
        names.add("a.test", f"MX {number} mx{number}.test.")
        names.add(f"mx{number}.test", *(f"A 9.9.{number}.{low}" for low in range(1, 40)))
    routes = Routes(resolver, allow_private=False, max_hosts=3, max_addresses=4)
    route = await routes.route("a.test")
    assert isinstance(route, Route)
    assert (
        [(host.name, len(host.addresses)) for host in route.hosts],
        sum(a[2] == "udp" for a in names.asked),
    ) == (
        [("mx0.test", 4), ("mx1.test", 4), ("mx2.test", 4)],
        7,
    )


async def test_hundreds_of_mx_that_do_not_resolve_are_given_up_for_now(
    names: Responder, resolver: Resolver
) -> None:
    """D8."""
    names.add("a.test", *(f"MX {number} mx{number}.test." for number in range(200)))
    route = await Routes(resolver, allow_private=False, max_hosts=2).route("a.test")
    assert (verdict(route), sum(name != "a.test" for name, _, _ in names.asked)) == ((False, "4.4.4"), 8)


async def test_mx_of_which_all_are_malformed_defer(names: Responder, routes: Routes) -> None:
    """D9."""
    names.raw["a.test", "MX"] = lambda query: with_raw_answers(query, "MX", b"\x00")
    names.add("a.test", "A 9.9.9.9")
    assert verdict(await routes.route("a.test")) == (False, "4.4.4")


async def test_a_route_that_is_known_is_not_asked_for_again(names: Responder, routes: Routes) -> None:
    """D10."""
    names.add("a.test", "MX 10 mx.a.test.")
    names.add("mx.a.test", "A 9.9.9.9")
    first, second = await routes.route("a.test"), await routes.route("A.test")
    assert (names_of(first), names_of(second), len(names.asked)) == (["mx.a.test"], ["mx.a.test"], 3)


async def test_equal_exchangers_are_shuffled_within_the_order_of_preference(
    names: Responder, resolver: Resolver
) -> None:
    for number in range(6):
        names.add("a.test", f"MX {10 + 10 * (number // 3)} mx{number}.test.")
        names.add(f"mx{number}.test", "A 9.9.9.9")
    routes = Routes(resolver, allow_private=False, max_hosts=6, rng=random.Random(3))
    orders = [names_of(await routes.route("a.test")) for _ in range(30)]
    assert {frozenset(order[:3]) for order in orders} == {frozenset(("mx0.test", "mx1.test", "mx2.test"))}
    assert len({tuple(order) for order in orders}) > 10


async def test_domains_with_the_same_hosts_are_one_site(names: Responder, routes: Routes) -> None:
    names.add("mx1.test", "A 9.9.9.1")
    names.add("mx2.test", "A 9.9.9.2")
    names.add("a.test", "MX 10 mx1.test.", "MX 20 mx2.test.")
    names.add("b.test", "MX 5 mx1.test.", "MX 7 MX2.test.")
    names.add("c.test", "MX 20 mx1.test.", "MX 10 mx2.test.")
    sites = [route.site for name in "abc" if isinstance(route := await routes.route(f"{name}.test"), Route)]
    assert (sites[0] == sites[1], sites[0] == sites[2], sites[0].split("~")[0]) == (True, False, "mx1.test")


@pytest.mark.parametrize(
    ("literal", "address"), [("[9.9.9.9]", "9.9.9.9"), ("[IPv6:2620:FE:0::9]", "2620:fe::9")]
)
async def test_an_address_literal_needs_no_look_up(routes: Routes, literal: str, address: str) -> None:
    assert await routes.route(literal) == Route(literal, (Host(0, address, (address,)),), address)


@pytest.mark.parametrize(
    ("literal", "enhanced"), [("[127.0.0.1]", "5.4.4"), ("[IPv6:::1]", "5.4.4"), ("[x]", "5.1.2")]
)
async def test_a_private_or_broken_address_literal_fails(routes: Routes, literal: str, enhanced: str) -> None:
    """D6."""
    assert verdict(await routes.route(literal)) == (True, enhanced)
