"""`bulkmail mx`: what DNS says of a domain, and what a campaign would make of it."""

from __future__ import annotations

import time

import pytest
from lookup_rig import Bulkmail, say

from bulkmail import sandbox
from bulkmail.cli.remembered import WORDS
from bulkmail.journal import Fact, LearnedSites, SiteFile
from bulkmail.journal.learned import EXPIRY


async def test_exchangers_are_shown_by_preference_with_their_addresses_and_site():
    world = sandbox.World()
    world.domain("a.test").host("mx2.a.test", 20).host("mx1.a.test", 10)
    world.host("mx1.a.test").at("2001:db8::1", "192.0.2.1")
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test")
        second = running.address("mx2.a.test")
    assert told.code == 0
    assert [line.split() for line in told.out.splitlines()[2:-2]] == [
        ["preference", "mail", "exchanger", "address"],
        ["10", "mx1.a.test", "2001:db8::1"],
        ["192.0.2.1"],
        ["20", "mx2.a.test", second],
    ]
    assert told.row("site").startswith("site  mx1.a.test~")


async def test_a_script_gets_the_same_as_one_json_object():
    world = sandbox.World()
    world.domain("a.test")
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test", "--json")
        address = running.address("mx.a.test")
    assert (told.code, told.json) == (
        0,
        {
            "domain": "a.test",
            "resolvers": ["{}:{}".format(*running.dns)],
            "records": 1,
            "implicit": False,
            "null_mx": False,
            "exchangers": [
                {
                    "preference": 10,
                    "host": "mx.a.test",
                    "addresses": [address],
                    "usable": True,
                    "problem": None,
                }
            ],
            "site": "mx.a.test",
            "no_route": None,
            "findings": [],
            "learned": [],
        },
    )


async def test_what_was_learned_of_the_site_is_shown_until_it_is_forgotten(tmp_path):
    with SiteFile.open(tmp_path / ".bulkmail" / "sites.db") as file:
        met = [Fact("mx.a.test", kind, 20.0) for kind in WORDS]
        LearnedSites(file).note([*met, Fact("mx.b.test", "recipients", 3.0)], time.time())
    world = sandbox.World()
    world.domain("a.test")
    async with sandbox.serve(world) as running:
        bulkmail, project = Bulkmail(running), f"--project={tmp_path}"
        told = (await bulkmail.mx("a.test", project)).out
        known = (await bulkmail.mx("a.test", project, "--json")).json["learned"]
        after = await bulkmail.mx("a.test", project, "--forget")
    with SiteFile.look(tmp_path / ".bulkmail" / "sites.db") as file:
        others = [one.value for one in LearnedSites(file).of("mx.b.test", 0.0)]
    assert [line for line in told.splitlines() if "20 recipients in a transaction, met 20" in line]
    assert ({one["kind"] for one in known}, "learned" in after.out, others) == (set(WORDS), False, [3.0])


def test_there_are_words_for_all_that_is_remembered():
    assert set(WORDS) == set(EXPIRY)


async def test_domains_of_the_same_hosts_are_shown_as_one_site():
    world = sandbox.World()
    for name in ("a.test", "b.test"):
        world.domain(name).host("mx1.farm.test", 10).host("mx2.farm.test", 20)
    async with sandbox.serve(world) as running:
        bulkmail = Bulkmail(running)
        sites = {(await bulkmail.mx(name, "--json")).json["site"] for name in ("a.test", "b.test")}
    assert len(sites) == 1


@pytest.mark.parametrize(
    "typed", ["bücher.test", "BÜCHER.test.", "Ann@bücher.test", "<ann@xn--bcher-kva.test>", " bücher.test "]
)
async def test_a_domain_is_understood_as_people_type_it(typed):
    world = sandbox.World()
    world.domain("xn--bcher-kva.test")
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx(typed)
    assert (told.code, told.out.splitlines()[0].partition(",")[0]) == (0, "bücher.test (xn--bcher-kva.test)")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "a domain is wanted"),
        ("ann@", "a domain is wanted"),
        ("192.0.2.1", "`bulkmail probe` takes one"),
        ("two words.test", "a space in the domain"),
        ("a..test", "dots in the domain"),
    ],
)
def test_what_is_no_domain_is_wrong_usage(typed, told):
    found = say("mx", typed)
    assert (found.code, found.out, told in found.err) == (2, "", True)


def test_a_resolver_that_is_no_address_is_wrong_usage():
    found = say("mx", "a.test", "--resolver", "dns.example")
    assert (found.code, "127.0.0.1:5300" in found.err) == (2, True)


NO_ROUTE = {
    "D1": (lambda d: d.servfail("MX"), False, "4.4.3", "the MX look-up failed: SERVFAIL"),
    "D2": (lambda d: d.nxdomain(), True, "5.1.2", "does not exist"),
    "D4": (lambda d: [host.nxdomain() for host in d.hosts], True, "5.4.4", "none of the MX hosts resolves"),
    "D4 later": (lambda d: [host.servfail() for host in d.hosts], False, "4.4.3", "could not be looked up"),
    "D5": (lambda d: d.null_mx(), True, "5.1.10", "null MX"),
    "D7": (lambda d: d.host("out.test"), True, "5.4.6", "would loop"),
}


@pytest.mark.parametrize("row", NO_ROUTE)
async def test_why_there_is_no_route_is_said(row):
    """D1 D2 D4 D5 D7."""
    say_so, permanent, enhanced, reason = NO_ROUTE[row]
    world = sandbox.World()
    say_so(world.domain("a.test"))
    async with sandbox.serve(world) as running:
        bulkmail = Bulkmail(running)
        told, plain = await bulkmail.mx("a.test", "--json"), await bulkmail.mx("a.test")
    found = told.json["no_route"]
    assert (told.code, plain.code, found["permanent"], found["enhanced"]) == (3, 3, permanent, enhanced)
    assert reason in found["reason"]
    assert reason in plain.row("wrong")


async def test_a_domain_without_mx_takes_its_mail_itself():
    """D3."""
    world = sandbox.World()
    world.domain("a.test").no_mx()
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test")
    assert (told.code, "implicit MX" in told.out, told.row("         0").split()[1]) == (0, True, "a.test")


async def test_private_addresses_are_shown_and_not_used():
    """D6."""
    world = sandbox.World()
    world.domain("a.test")
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test", private=False)
        address = running.address("mx.a.test")
    assert (told.code, f"{address}  not usable" in told.out, "--allow-private" in told.err) == (3, True, True)


async def test_one_bad_host_among_good_ones_is_a_finding():
    world = sandbox.World()
    world.domain("a.test").host("mx1.a.test", 10).host("gone.a.test", 20)
    world.host("gone.a.test").nxdomain()
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test", "--json")
    assert (told.code, told.json["site"] is not None, told.json["findings"]) == (
        3,
        True,
        ["gone.a.test: does not resolve"],
    )


async def test_addresses_of_one_kind_that_cannot_be_looked_up_are_a_finding():
    world = sandbox.World()
    world.domain("a.test")
    world.host("mx.a.test").servfail("AAAA")
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test", "--json")
    (one,) = told.json["exchangers"]
    assert (told.code, one["usable"], "SERVFAIL" in one["problem"]) == (3, True, True)


async def test_of_hundreds_of_records_some_are_looked_at():
    """D8."""
    world = sandbox.World()
    world.domain("a.test").many_hosts(300)
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test")
    assert (told.code, "and 250 more MX records" in told.out) == (0, True)


async def test_a_null_mx_beside_others_is_a_finding():
    world = sandbox.World()
    world.domain("a.test").host("mx.a.test").host("", 0)
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("a.test", "--json")
    assert (told.code, told.json["site"], "RFC 7505" in told.json["findings"][0]) == (3, "mx.a.test", True)


async def test_an_address_literal_needs_no_name_server():
    world = sandbox.World()
    async with sandbox.serve(world) as running:
        told = await Bulkmail(running).mx("ann@[192.0.2.1]", "--json")
    assert (told.code, told.json["site"], running.world.ledger.queried) == (0, "192.0.2.1", 0)
