"""Providers in a sandbox file: what it can say of them, and how it complains."""

from __future__ import annotations

import pytest

from bulkmail.errors import ConfigError
from bulkmail.sandbox import World
from bulkmail.sandbox.policy import Greylist, Rate, Reputation

PROVIDERS = """\
unknown_domains: nxdomain
providers:
  big.test:
    hosts: [mx1.big.test, mx2.big.test]
    domains: [a.test, "*.b.test"]
    message-rate: { rate: 20/s, burst: 40, reply: "421 4.7.0 not so fast" }
    connections: 5
    rcpt-limit: 10
    greylisting: { wait: 5m, network: 32 }
    reputation: { throttle: 10%, rate: 6/min, half-life: 2h }
    blocks: { 127.0.0.2: "554 5.7.1 not you" }
    changes:
      60s: { message-rate: 10/s, greylisting: none }
      2m: { message-rate: none }
  own.test: throttling
domains:
  c.test: { message-rate: 2/s, hosts: [mx1.c.test, mx2.c.test] }
hosts:
  mx2.big.test: { close-after: 3 }
"""


def test_providers_are_read_with_their_hosts_domains_and_policies() -> None:
    world = World.from_yaml(PROVIDERS)
    found = world.find("x.b.test")
    assert found is not None
    assert found.mx == world.domain("a.test").mx == [(10, "mx1.big.test"), (10, "mx2.big.test")]
    big, own = world.providers["big.test"], world.providers["own.test"]
    assert found.provider is big
    assert big.policy.message_rate == Rate(20, 1, 40, b"421 4.7.0 not so fast\r\n")
    assert (big.policy.connections, big.policy.greylist) == (5, Greylist(300, network=32))
    assert big.policy.reputation == Reputation(throttle=0.1, rate=Rate(6, 60), half_life_s=7200)
    assert big.policy.blocks == {"127.0.0.2": b"554 5.7.1 not you\r\n"}
    manners = [host.manner for host in big.hosts]
    assert [(manner.rcpt_limit, manner.close_after) for manner in manners] == [(10, None), (10, 3)]
    assert ([host.name for host in own.hosts], own.policy.message_rate) == (["mx.own.test"], Rate(10))


def test_a_domain_with_a_policy_is_a_provider_of_its_own_with_all_its_hosts() -> None:
    world = World.from_yaml(PROVIDERS)
    assert [host.name for host in world.providers["c.test"].hosts] == ["mx1.c.test", "mx2.c.test"]
    domain = World().domain("d.test")
    domain.provider.connections(1)
    domain.host("mx3.d.test")
    assert domain.hosts[0].manner.provider is domain.provider


def test_what_changes_with_time_is_said_in_its_order() -> None:
    big = World.from_yaml(PROVIDERS).providers["big.test"]
    rates = []
    for now in (1000.0, 1059.0, 1060.0, 1120.0):
        big.mail("192.0.2.1", now)
        rates.append((big.policy.message_rate and big.policy.message_rate.count, bool(big.policy.greylist)))
    assert rates == [(20, True), (20, True), (10, False), (None, False)]


@pytest.mark.parametrize("name", ["throttling", "greylisting", "reputation", "message-rate: 1/s"])
def test_a_provider_like_those_of_the_catalogue_is_had_by_its_name(name: str) -> None:
    world = World.default()
    world.add(name)
    domains = [world.find(name) for name in ("a.test", "b.test")]
    assert all(domain is not None and domain.provider.policy for domain in domains)
    assert sorted(world.providers) == ["a.test", "b.test"]


def test_mistakes_of_a_provider_are_told_with_their_place() -> None:
    with pytest.raises(ConfigError) as caught:
        World.from_yaml(
            """\
providers:
  big.test:
    hosts: [mx.big.test, 5]
    message-rate: 20
    connections: many
    mesage-rate: 20/s
    greylisting: { wait: 5m, network: 33 }
    reputation: 5%
    no-mx: true
    changes: { 60s: { message_rate: fast } }
  other.test: { reputation: { half-life: 0s }, blocks: true, changes: { 1m: { tsl: none } } }
"""
        )
    assert str(caught.value).splitlines() == [
        "<sandbox>:3:12: providers.big.test.hosts: names are wanted, not 5",
        "<sandbox>:4:19: providers.big.test.message-rate: rate: a rate is written as 20/s, 1200/min or"
        " 50000/day, not '20'",
        "<sandbox>:5:18: providers.big.test.connections: most: a whole number is wanted, not 'many'",
        "<sandbox>:6:5: providers.big.test.mesage-rate: unknown behaviour, did you mean 'message-rate'?",
        "<sandbox>:7:18: providers.big.test.greylisting: network: bits of an IPv4 address, at most 32",
        "<sandbox>:8:17: providers.big.test.reputation: a mapping is wanted; keys: throttle, block, rate,"
        " half-life, after, throttle-reply, block-reply",
        "<sandbox>:9:5: providers.big.test.no-mx: stands only at a domain",
        "<sandbox>:10:14: providers.big.test.changes: message_rate: rate: a rate is written as 20/s, 1200/min"
        " or 50000/day, not 'fast'",
        "<sandbox>:11:29: providers.other.test.reputation: half-life: more than 0 seconds",
        "<sandbox>:11:56: providers.other.test.blocks: an address that connects, such as 127.0.0.2 is wanted",
        "<sandbox>:11:71: providers.other.test.changes: 'tsl' is nothing that can change,"
        " did you mean 'tls'?",
    ]
