"""Addresses that their hosts call dead are left out by the project's next campaign; all others are not."""

from __future__ import annotations

import pytest
from road_child import running
from road_rig import FIRST_PASS, people

from bulkmail.campaign.dead_addresses import DONE, DeadAddresses, becauses
from bulkmail.journal import Store, Suppressions


def suppressed(road, campaign="road"):
    with Suppressions.look(road.folder / ".bulkmail" / "project.db") as store:
        return {one.address: one.reason for one in store}


async def test_who_is_unknown_or_disabled_for_good_is_suppressed_and_nobody_else(world, road):
    host = world.domain("a.test")
    host.refuse("bob", b"550 5.1.1 No such user").refuse("dan", b"550 5.2.1 This account is disabled")
    host.refuse("eve", b"552 5.2.2 Mailbox full").refuse("fay", b"550 5.7.1 Blocked by our policy")
    host.refuse("gus", b"450 4.1.1 User unknown").refuse("hal", b"554 5.7.1 spam")
    names = ("ann", "bob", "dan", "eve", "fay", "gus", "hal")
    report = await road.send(*(f"{name}@a.test" for name in names), until=FIRST_PASS)
    assert {line["recipient"][:3]: line["class"] for line in report.lines} == {
        "ann": None,
        "bob": "unknown user",
        "dan": "mailbox disabled",
        "eve": "mailbox full",
        "fay": "blocked",
        "gus": "unknown user",
        "hal": "content refused",
    }
    assert suppressed(road) == {
        "bob@a.test": "unknown user in road: 550 5.1.1 No such user",
        "dan@a.test": "mailbox disabled in road: 550 5.2.1 This account is disabled",
    }
    with Suppressions.open(road.folder / ".bulkmail" / "project.db") as store:
        taken_back = {one.address for one in store.take_back(becauses("road"))}
    assert (taken_back, suppressed(road)) == ({"bob@a.test", "dan@a.test"}, {})


async def test_the_next_campaign_leaves_them_out_and_says_why(world, road):
    world.domain("a.test").refuse("bob", b"550 5.1.1 No such user")
    await road.send("ann@a.test", "bob@a.test")
    report = await road.send("bob@a.test", "cat@a.test", campaign="next")
    assert [(one.address, one.reason) for one in report.left_out] == [
        ("bob@a.test", "on the suppression list: unknown user in road")
    ]


@pytest.mark.parametrize(("personal", "who"), [(True, ["bob@a.test"]), (False, [])])
async def test_at_the_end_of_data_only_who_was_alone_can_have_been_meant(world, road, personal, who):
    world.domain("a.test").reply("END_OF_DATA", b"554 5.1.1 No such user")
    to = {"to": "{{ email }}"} if personal else {}
    await road.send("bob@a.test", **to)
    assert list(suppressed(road)) == who


async def test_who_was_taken_off_the_suppressions_stays_off_when_the_campaign_goes_on(world, road):
    world.domain("a.test").refuse("bob", b"550 5.1.1 No such user").refuse("cat", b"451 4.3.0 later")
    addresses = ["bob@a.test", "cat@a.test"]
    await road.send(*addresses, until=FIRST_PASS)
    with Suppressions.open(road.folder / ".bulkmail" / "project.db") as store:
        store.remove(["bob@a.test"])
    await road.send(*addresses, until=FIRST_PASS)
    assert suppressed(road) == {}


async def test_after_a_crash_it_is_done_by_the_next_run(world, road):
    """As if the mark had not been written; what was suppressed already is so still, with its first reason."""
    world.domain("a.test").refuse("bob", b"550 5.1.1 No such user").refuse("cat", b"451 4.3.0 later")
    addresses = ["bob@a.test", "cat@a.test"]
    first = await road.send(*addresses, until=FIRST_PASS)
    before = suppressed(road)
    with Store.open(first.journal) as store:
        store.set_meta(DONE, "0")
    await road.send(*addresses, until=FIRST_PASS)
    assert suppressed(road) == before == {"bob@a.test": "unknown user in road: 550 5.1.1 No such user"}


async def test_what_workers_were_told_suppresses_too(world, road):
    domain = world.domain("a.test")
    domain.refuse("p00007", b"550 5.1.1 No such user")
    flags = ("--yes", "--new", "--workers", "2")
    async with running(road, *people(200), flags=flags, transaction="individual", connections=2) as child:
        await child.last()
    assert list(suppressed(road)) == ["p00007@a.test"]


async def test_it_can_be_switched_off(world, road):
    world.domain("a.test").refuse("bob", b"550 5.1.1 No such user")
    await road.send("ann@a.test", "bob@a.test", safety={"suppress_unknown": False})
    assert suppressed(road) == {}


async def test_a_rehearsal_suppresses_nobody(road):
    """Nothing of it is even read: the journal is none."""
    campaign = road.load("bob@a.test", via="sandbox")
    await DeadAddresses(campaign, None, None, print).keep()


MANY_AT_ONE = people(100)  # p00000@a.test …


async def test_where_a_host_calls_everybody_unknown_nobody_is_suppressed_and_the_run_warns(world, road):
    """A broken directory says 5.1.1 of all; who is unknown elsewhere is suppressed as ever."""
    world.domain("a.test").host("mx.one.test").refuse(reply=b"550 5.1.1 No such user")
    world.domain("b.test").host("mx.two.test").refuse("bob", b"550 5.1.1 No such user")
    report = await road.send(*MANY_AT_ONE, "bob@b.test", "cat@b.test")
    assert report.totals["bounced"] == 101
    assert list(suppressed(road)) == ["bob@b.test"]
    (warned,) = (one["text"] for one in report.events if one["event"] == "warning")
    assert str(warned).startswith("100 of 100 recipients at a.test (100%) were called unknown or disabled")


async def test_an_outage_of_a_provider_with_few_at_each_of_many_domains_suppresses_nobody(world, road):
    domains = [f"d{number}.test" for number in range(30)]
    for number, name in enumerate(domains):
        world.domain(name).host(f"mx{number}.big.test").refuse(reply=b"550 5.1.1 No such user")
    report = await road.send(*(f"{who}@{name}" for name in domains for who in ("ann", "bob")))
    assert suppressed(road) == {}
    (warned,) = (one["text"] for one in report.events if one["event"] == "warning")
    assert "60 of 60 recipients at hosts of big.test (100%)" in str(warned)


@pytest.mark.parametrize(("unknown", "of", "kept"), [(50, 250, 50), (50, 249, 0), (49, 49, 49)])
async def test_a_fifth_may_have_gone_and_of_few_all_may(world, road, unknown, of, kept):
    host = world.domain("a.test")
    addresses = people(of)
    for address in addresses[:unknown]:
        host.refuse(address.partition("@")[0], b"550 5.1.1 No such user")
    await road.send(*addresses)
    assert len(suppressed(road)) == kept


async def test_it_is_judged_over_the_whole_campaign_though_it_is_read_in_parts(world, road):
    """As if the first eighty had been looked at by an earlier run."""
    host = world.domain("a.test")
    for number in range(99):
        host.refuse(f"p{number:05}", b"550 5.1.1 No such user: number %d" % number)
    host.refuse("p00099", b"451 4.3.0 later")
    first = await road.send(*MANY_AT_ONE, until=FIRST_PASS)
    with Store.open(first.journal) as store:
        store.set_meta(DONE, "80")
    report = await road.send(*MANY_AT_ONE, until=FIRST_PASS)
    assert suppressed(road) == {}
    assert "99 of 99 recipients at a.test" in str([one for one in report.events if one["event"] == "warning"])


@pytest.mark.parametrize(
    ("reply", "dead"),
    [
        (b"550 5.1.1 No such user", True),
        (b"550 5.2.1 This account is disabled", False),
        (b"550 No such user here", False),
    ],
)
async def test_through_a_relay_only_5_1_1_suppresses(world, road, monkeypatch, reply, dead):
    """What a relay says of an account may be said of ours."""
    monkeypatch.setenv("SSL_CERT_FILE", str(road.running.ca_pem_path))
    monkeypatch.setenv("RELAY_PASSWORD", "right")
    relay = world.host("relay.test").set(relay=True).users({"user": "right"})
    relay.reply("RCPT", reply)
    via = f"smtp://user@relay.test:{road.running.smtp_port}"
    report = await road.send("bob@a.test", via=via, password={"env": "RELAY_PASSWORD"})
    assert report.totals["bounced"] == 1
    assert bool(suppressed(road)) == dead
