"""The sandbox file: what it can say, and how it complains."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulkmail.errors import ConfigError
from bulkmail.sandbox import World
from bulkmail.sandbox.catalogue import CATALOGUE, HOST
from bulkmail.sandbox.values import MISSING

WORLD = """\
unknown_domains: nxdomain
domains:
  a.test: greylist
  b.test:
    hosts: { mx1.b.test: 10, mx2.b.test: 20 }
    recipients:
      { bob: unknown, "full*": full, carol: "550 5.7.1 not you", dora: { reply: 421 bye, close: true } }
    rcpt_limit: 5
    reply: { MAIL: { reply: 451 later, times: 2 } }
  c.test: [no-tls, no-pipelining]
  "*.slow.test": { slow: 200ms }
hosts:
  mx2.b.test: { tls: broken, drop: { stage: end of data, accepted: true } }
"""


def test_a_world_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(WORLD)
    world = World.from_yaml(path)
    b = world.domain("b.test")
    first, second = b.hosts
    assert b.mx == [(10, "mx1.b.test"), (20, "mx2.b.test")]
    verdicts = [b.verdict(local) for local in ("bob", "Full17", "carol", "dora", "ann")]
    assert [said.code if said else 250 for said in verdicts] == [550, 452, 550, 421, 250]
    assert first.manner.rcpt_limit == second.manner.rcpt_limit == 5
    assert first.manner.said["MAIL"].times == 2
    assert (first.manner.tls, second.manner.tls) == ("offered", "broken")
    assert second.manner.said["END_OF_DATA"].accepted
    assert "PIPELINING" not in world.domain("c.test").hosts[0].manner.announces(encrypted=False)
    found = world.find("x.slow.test")
    assert found is not None
    assert found.hosts[0].manner.seconds_per_byte == 0.2
    assert world.find("elsewhere.test") is None


def test_every_mistake_is_told_at_once_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        World.from_yaml(
            """\
domain: {}
domains:
  a.test: greylst
  b.test:
    rcpt-limt: 5
    tls: brokn
    recipients: { bob: unknwn }
    drop: { stage: RCTP }
    relay: true
  a.test: full
  "*.c.test": { slow: soon }
hosts:
  mx.b.test: { quota: 10, users: none }
"""
        )
    assert str(caught.value).splitlines() == [
        "<sandbox>:1:1: domain: unknown key, did you mean 'domains'?",
        "<sandbox>:3:11: domains.a.test.greylst: unknown behaviour, did you mean 'greylist'?",
        "<sandbox>:5:5: domains.b.test.rcpt-limt: unknown behaviour, did you mean 'rcpt-limit'?",
        "<sandbox>:6:10: domains.b.test.tls: 'brokn' is none of them, did you mean 'broken'?",
        "<sandbox>:7:24: domains.b.test.recipients.bob: 'unknwn' is no behaviour of a recipient,"
        " did you mean 'unknown'?",
        "<sandbox>:8:11: domains.b.test.drop: stage: no stage 'RCTP', did you mean RCPT?",
        "<sandbox>:9:5: domains.b.test.relay: stands only at a host",
        "<sandbox>:10:3: domains.a.test: stands here twice",
        "<sandbox>:11:23: domains.*.c.test.slow: a duration is wanted (10s, 200ms), not 'soon'",
        "<sandbox>:13:34: hosts.mx.b.test.users: a mapping of names to passwords is wanted",
    ]


def test_what_is_not_yaml_is_told_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"<sandbox>:2:1: not YAML"):
        World.from_yaml("domains: {a: [")


def test_a_domain_of_which_nothing_is_said_takes_mail() -> None:
    world = World.from_yaml("unknown_domains: nxdomain\ndomains:\n  a.test:\n  b.test: {}\n")
    assert [world.find(name) is not None for name in ("a.test", "b.test", "c.test")] == [True, True, False]


def test_an_empty_file_is_the_default_world() -> None:
    assert World.from_yaml("").find("anything.org") is not None


@pytest.mark.parametrize("name", [n for n, row in CATALOGUE.items() if row.default is not MISSING])
def test_every_behaviour_with_a_default_can_be_named_alone(name: str) -> None:
    place = "hosts" if CATALOGUE[name].where == HOST else "domains"
    World.from_yaml(f"{place}: {{ a.test: {name} }}")
    World.from_yaml(f"{place}: {{ a.test: {{ {name}: true }} }}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cname", "b.test"),
        ("addresses", "[192.0.2.1, 2001:db8::1]"),
        ("greeting", "HTTP/1.1 400 no"),
        ("tls", "expired"),
        ("reply", "{ RCPT: 2200 ok, DATA: { reply: 451 later, after: 1 } }"),
        ("without", "[chunking, size]"),
        ("users", "{ ann: secret }"),
        ("quota", "{ messages: 5, refusals: 2 }"),
    ],
)
def test_every_behaviour_that_needs_a_value_takes_one_and_not_none(name: str, value: str) -> None:
    World.from_yaml(f"hosts: {{ a.test: {{ {name}: {value} }} }}")
    with pytest.raises(ConfigError):
        World.from_yaml(f"hosts: {{ a.test: {name} }}")
    assert CATALOGUE[name].default is MISSING


@pytest.mark.parametrize(
    ("behaviours", "manners"),
    [
        (["no-pipelining"], {"a.test": {"PIPELINING"}, "b.test": {"PIPELINING"}}),
        (["a.test: no-pipelining"], {"a.test": {"PIPELINING"}, "b.test": set()}),
        (
            ["a.test: { without: [SIZE, DSN] }", "b*: no-tls"],
            {"a.test": {"SIZE", "DSN"}, "b.test": {"STARTTLS"}},
        ),
        (["without: DSN"], {"a.test": {"DSN"}, "b.test": {"DSN"}}),
        (
            ["[no-tls, no-pipelining]"],
            {"a.test": {"STARTTLS", "PIPELINING"}, "b.test": {"STARTTLS", "PIPELINING"}},
        ),
    ],
)
def test_behaviours_can_be_given_one_by_one(behaviours: list[str], manners: dict[str, set[str]]) -> None:
    world = World.default()
    usual = World.default().domain("c.test").hosts[0].manner.announces(encrypted=False)
    for behaviour in behaviours:
        world.add(behaviour)
    for name, missing in manners.items():
        found = world.find(name)
        assert found is not None
        manner = found.hosts[0].manner
        assert {line.split(" ")[0] for line in {*usual} - {*manner.announces(encrypted=False)}} == missing


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [
        ("greylst", ":1:1: greylst: unknown behaviour, did you mean 'greylist'?"),
        ("a.test: greylst", ":1:9: domains.a.test.greylst: unknown behaviour, did you mean 'greylist'?"),
        ("slo: 10s", ":1:1: slo: unknown behaviour, did you mean 'slow'?"),
        ("slow: soon", ":1:7: slow: a duration is wanted (10s, 200ms), not 'soon'"),
        ("relay", ":1:1: relay: stands only at a host"),
        ("limits:", ":1:8: limits: text is wanted, not None"),
        ("cname", ":1:1: cname needs a value: the name is an alias of this one"),
        ("", ":1:1: the name of a behaviour is wanted"),
        ("{a", ":2:1: not YAML: did not find expected ',' or '}'"),
    ],
)
def test_a_mistake_in_a_behaviour_is_told_with_its_place(behaviour: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        World.default().add(behaviour)
    assert str(caught.value) == f"--behaviour {behaviour!r}{problem}"
