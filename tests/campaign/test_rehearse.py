"""Rehearsals: who is rehearsed, how a sample is scaled up, and that it agrees with the whole."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from bulkmail.campaign import config
from bulkmail.campaign.config import Campaign
from bulkmail.campaign.plan_summary import DomainCount
from bulkmail.campaign.rehearse import rehearse
from bulkmail.campaign.rehearse_census import Census
from bulkmail.campaign.rehearse_clock import JumpingClock
from bulkmail.campaign.rehearse_places import KNOWN, by_mx, by_name, sampled
from bulkmail.campaign.rehearse_post import Place
from bulkmail.campaign.rehearse_result import OTHERS, extrapolated
from bulkmail.campaign.rehearse_run import run
from bulkmail.campaign.rehearse_world import world_of
from bulkmail.cli.plan import command
from bulkmail.delivery.limits import Limit, Origin
from bulkmail.delivery.provider import Profile, Providers
from bulkmail.dns.routes import Host, NoRoute, Route

EPOCH = 1_800_000_000.0


def profile(name: str, *suffixes: str, **limits: float) -> Profile:
    said = Origin(f"provider {name}", "built-in")
    return Profile(name, suffixes, {kind: Limit(value, said) for kind, value in limits.items()})


GOOGLE = profile("google", "google.com", connections=5, messages_per_connection=20)
SLOW = profile("slow", "slow.test", connections=2, message_rate=10.0)
PROFILES = {one.name: one for one in (GOOGLE, SLOW)}
FILE = """\
campaign: x
from: "A <a@acme.example>"
to: "Readers <a@acme.example>"
subject: x
recipients: people.csv
content: x.txt
delivery: { via: mx, ehlo: out.acme.example, retry: { first: 1m, max: 1m } }
"""


@pytest.fixture
def campaign(tmp_path: Path) -> Campaign:
    return written(tmp_path, "")


def written(tmp_path: Path, more: str) -> Campaign:
    (tmp_path / "campaign.yaml").write_text(FILE + more)
    (tmp_path / "x.txt").write_text("Hello.\n")
    return config.load(tmp_path / "campaign.yaml", environ={})


def census(*domains: tuple[str, int], together: int = 1) -> Census:
    found = Census()
    for name, recipients in domains:
        found.add(DomainCount(name, recipients, -(-recipients // together)))
    return found


def place(provider: str, recipients: int, **fields: float) -> Place:
    hosts = ((10, f"mx.{provider}.test"),)
    return Place(f"{provider}.test", provider, hosts, recipients, **fields)  # type: ignore[arg-type]


# --- who ----------------------------------------------------------------------------------------------------


def test_the_largest_are_all_counted_and_a_few_stand_for_the_rest() -> None:
    found = Census(largest=2, sampled=10)
    for n in range(1, 101):
        found.add(DomainCount(f"d{n}.test", n, n))
    counted = found.counted()
    assert [(one.domain, one.weight) for one in counted[:2]] == [("d100.test", 1), ("d99.test", 1)]
    assert len({one.domain for one in counted}) == 12
    assert sum(one.recipients * one.weight for one in counted) == pytest.approx(5050)


def test_without_a_look_up_a_domain_is_known_by_its_name_or_is_on_its_own() -> None:
    domains = census(("gmail.com", 3), ("google.com", 2), ("a.test", 1)).counted()
    located = by_name(domains, Providers(PROFILES.values()), 100)
    assert [(one.domain, one.provider) for one in located.places] == [
        ("gmail.com", "google"),
        ("google.com", "google"),
        ("a.test", "a.test"),
    ]


def test_no_domain_is_known_for_two_providers() -> None:
    domains = [domain for several in KNOWN.values() for domain in several]
    assert len(domains) == len(set(domains))


class Answers:
    """Everything is at google but what does not exist; who is slow is not answered for in time."""

    async def route(self, domain: str) -> Route | NoRoute:
        if domain == "gone.test":
            return NoRoute(domain, True, "5.1.2", "the domain does not exist")
        await trio.sleep(1e6 if domain == "late.test" else 0.1)
        return Route(domain, (Host(5, "aspmx.l.google.com", ("192.0.2.1",)),), "aspmx.l.google.com")


def test_by_mx_domains_are_at_their_provider_nowhere_or_not_answered_for() -> None:
    domains = census(("a.test", 7), ("gone.test", 5), ("late.test", 3)).counted()
    located = trio.run(by_mx, domains, Providers(PROFILES.values()), 100, Answers(), clock=JumpingClock())
    assert ([(one.domain, one.provider) for one in located.places], located.nowhere, located.unasked) == (
        [("a.test", "google"), ("late.test", "late.test")],
        5,
        1,
    )


@pytest.mark.parametrize(
    ("recipients", "transactions", "together"),
    [(1000, 1000, 1), (1000, 10, 1000), (1000, 100, 10), (7, 1, 7), (1, 1, 1)],
)
def test_who_shares_a_transaction_in_the_plan_does_so_in_a_rehearsal(
    recipients: int, transactions: int, together: int
) -> None:
    found = Census()
    found.add(DomainCount("a.test", recipients, transactions))
    (one,) = by_name(found.counted(), Providers(), 100).places
    assert one.together == together


def test_providers_share_what_can_be_rehearsed_and_small_ones_are_whole() -> None:
    places = [place("big", 100_000), place("middle", 2_000), place("small", 10)]
    found = {one.provider: one.recipients for one in sampled(places, most=1_200)}
    assert (found["small"], found["big"]) == (10, found["middle"])
    assert sum(found.values()) == pytest.approx(1_000, abs=5)


# --- how it is scaled up ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "whole", "seconds"),
    [
        ([0.1 * n for n in range(1, 101)], 100, 10.0),  # all of it
        ([0.1 * n for n in range(1, 101)], 1000, 100.0),
        ([5 + 0.1 * n for n in range(1, 101)], 1000, 105.0),  # what passes before the pace is found is once
        ([0.1 * n for n in range(1, 100)] + [310.0], 1000, 400.0),  # and so is who comes back later
        ([2.0] * 10, 100, 20.0),
        ([], 0, 0.0),
        ([], 5, math.inf),
    ],
)
def test_what_is_beyond_the_sample_goes_on_at_its_pace(
    times: list[float], whole: int, seconds: float
) -> None:
    assert extrapolated(times, whole) == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    "shaping",
    [
        "{ default: { message_rate: 10/s, connections: 2 } }",
        "{ default: { message_rate: 5/s, connections: 2 } }",
        "{ profile: none }",  # the ten a second that it takes are found on the way
    ],
)
def test_a_sample_tells_what_the_whole_would_take(tmp_path: Path, shaping: str) -> None:
    campaign = written(tmp_path, f"shaping: {shaping}\n")
    found = []
    for most in (math.inf, 300):
        places = sampled([place("slow", 1_000)], most=most)
        done = run(campaign, places, world_of(places, PROFILES), most_cpu_s=60, epoch=EPOCH)
        found.append(extrapolated(sorted(done.post.fared["slow"].tried), 1_000))
    assert found[1] == pytest.approx(found[0], rel=0.05)


# --- the rehearsal ------------------------------------------------------------------------------------------


def test_a_provider_holds_the_limits_of_its_profile_and_the_longest_says_how_long(campaign: Campaign) -> None:
    crowd = census(("gmail.com", 600), ("slow.test", 300), *((f"d{n}.test", 1) for n in range(100)))
    found = rehearse(campaign, crowd, offline=True, profiles=PROFILES)
    rows = {row.provider: row for row in found.rows}
    assert list(rows) == ["google", "slow", OTHERS]
    assert {name: row.recipients for name, row in rows.items()} == {"google": 600, "slow": 300, OTHERS: 100}
    assert (rows["google"].connections, rows["slow"].connections) == (5, 2)
    assert found.seconds == rows["slow"].seconds >= 29  # ten a second, but for what may come at once
    assert found.seconds > rows[OTHERS].seconds
    assert (found.whole, found.recipients, found.rehearsed) == (True, 1000, 1000)


def test_every_source_is_a_client_of_its_own_whatever_its_address(tmp_path: Path) -> None:
    written(tmp_path, "")
    text = (tmp_path / "campaign.yaml").read_text()
    more = 'via: mx, sources: ["2001:db8::1", 192.0.2.7]'
    (tmp_path / "campaign.yaml").write_text(text.replace("via: mx", more))
    campaign = config.load(tmp_path / "campaign.yaml", environ={})
    places = [place("slow", 200)]
    done = run(campaign, places, world_of(places, PROFILES), most_cpu_s=60, epoch=EPOCH)
    assert done.post.fared["slow"].states == {"delivered": 200}
    assert done.world.providers["slow"].account.peak.keys() == {"127.0.1.1", "127.0.1.2"}


def test_a_rehearsal_counts_nothing_for_a_warm_up(tmp_path: Path) -> None:
    campaign = written(tmp_path, "shaping: { warmup: { start: 5/day, until: 500/day } }\n")
    places = [place("slow", 20)]
    done = run(campaign, places, world_of(places, PROFILES), most_cpu_s=60, epoch=EPOCH)
    assert done.post.fared["slow"].states == {"delivered": 20}
    assert not list(tmp_path.rglob("warmup.db*"))


def test_a_rehearsal_that_takes_too_long_is_ended_and_says_so(campaign: Campaign) -> None:
    found = rehearse(campaign, census(("slow.test", 1000)), offline=True, profiles=PROFILES, most_cpu_s=0.0)
    assert (found.whole, found.rehearsed < 1000) == (False, True)


def test_whoever_waits_under_the_clock_of_rehearsals_is_woken_a_moment_late_and_at_once() -> None:
    async def wait() -> float:
        await trio.sleep(3600.0)
        return trio.current_time()

    assert 3600.0 < trio.run(wait, clock=JumpingClock()) < 3600.001


@pytest.mark.parametrize("as_json", [False, True])
def test_a_plan_tells_what_its_rehearsal_found_and_leaves_nothing_behind(
    campaign: Campaign, tmp_path: Path, as_json: bool
) -> None:
    (tmp_path / "people.csv").write_text("email\n" + "".join(f"p{n}@gmail.com\n" for n in range(50)))
    before = sorted(tmp_path.rglob("*"))
    result = CliRunner().invoke(
        command,
        [str(campaign.file), "--rehearse", "--offline", *(["--json"] if as_json else [])],
        catch_exceptions=False,
    )
    if as_json:
        (row,) = json.loads(result.output)["rehearsal"]["rows"]
        assert (row["provider"], row["recipients"], row["deferred"]) == ("google", 50, 0.0)
    else:
        assert "rehearsed in virtual time" in result.output
        assert "google" in result.output
        assert "no MX was looked up" in result.output
    assert sorted(tmp_path.rglob("*")) == before


def test_offline_alone_is_a_plan_that_looks_nothing_up(campaign: Campaign, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("email\nann@gmail.com\n")
    result = CliRunner().invoke(command, [str(campaign.file), "--offline", "--json"])
    assert [one["provider"] for one in json.loads(result.output)["providers"]] == ["not looked up"]


def test_who_asks_for_more_than_a_provider_allows_sees_what_comes_of_it(tmp_path: Path) -> None:
    greedy = "shaping: { providers: { qq: { message_rate: 100/s, connections: 2 } } }\n"
    campaign = written(tmp_path, greedy)
    (tmp_path / "people.csv").write_text("email\n" + "".join(f"p{n}@qq.com\n" for n in range(60)))
    personal = campaign.file.read_text().replace("Readers <a@acme.example>", "{{ email }}")
    campaign.file.write_text(personal)
    rehearsing = [str(campaign.file), "--rehearse", "--offline"]
    result = CliRunner().invoke(command, rehearsing, catch_exceptions=False)
    # nobody is deferred for a provider's pace: it is found, and 60 at 2/s take half a minute at least
    told = re.search(r"^qq +60 +(\d+) s +2 +([\d.]+)% +0\.0%$", result.output, re.MULTILINE)
    assert told is not None, result.output
    assert (int(told[1]) >= 29, float(told[2]) > 0) == (True, True)


def test_a_certificate_that_a_provider_must_show_is_taken_to_be_there(tmp_path: Path):
    """The hosts of memory have none that the world believes."""
    strict = written(tmp_path, "shaping: { providers: { google: { tls: verified } } }\n")
    found = rehearse(strict, census(("gmail.com", 200)), offline=True)
    assert [(row.provider, row.deferred) for row in found.rows] == [("google", 0)]
