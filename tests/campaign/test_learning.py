"""What was found of a provider: kept under its name, whole, and given back in the parts that there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkmail.campaign.learning import Learning
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.feedback import HELD
from bulkmail.delivery.paced import UNKNOWN, Allowed
from bulkmail.delivery.shaping import Limits
from bulkmail.delivery.site import Site
from bulkmail.delivery.sites import Sites
from bulkmail.journal import LearnedSites, Leases, SiteFile
from bulkmail.smtp import Reply
from bulkmail.transport.stage import Stage

NOW = 1_000_000.0
FULL = Disposition(Fate.DEFERRED, Scope.SITE, Stage.GREETING, Reply.of(421, "Too many connections"))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[SiteFile]:
    with SiteFile.open(tmp_path / "sites.db") as opened:
        yield opened


def learning(file: SiteFile, parts: int = 1) -> Learning:
    made = Learning(file, now=lambda: NOW)
    made.run_by = lambda site: site.partition(".")[2]
    made.sharers = lambda site: parts
    return made


def sites_of(learned: Learning) -> Sites:
    sites = Sites(Limits(connections=20))
    sites.recall_pace, sites.on_allowed, sites.parts_of = learned.recall_pace, learned.allowed, learned.among
    return sites


def interval_s(site: Site) -> float:
    return (site.pacing.together or site).sending.each.interval_s


def test_what_was_found_at_one_site_is_known_at_all_sites_of_the_provider(file: SiteFile) -> None:
    today = learning(file)
    today.allowed("mx1.big.test", Allowed(message_rate=12.5))
    today.allowed("mx1.big.test", Allowed(connections=4))
    today.write()
    told = {one.kind: one.value for one in LearnedSites(file).of("big.test", NOW)}
    known = learning(file)
    found = [known.recall_pace(site) for site in ("mx1.big.test", "mx2.big.test", "mx.other.test")]
    assert told == {"message_rate": 12.5, "connections": 4.0}
    assert found == [Allowed(12.5, 4), Allowed(12.5, 4), UNKNOWN]


def test_of_several_who_share_it_each_finds_its_part_and_begins_with_its_part(file: SiteFile) -> None:
    today = learning(file, parts=3)
    today.allowed("mx.big.test", Allowed(message_rate=10.0, connections=2))
    today.write()
    found = [learning(file, parts).recall_pace("mx.big.test") for parts in (1, 2, 3)]
    assert found == [Allowed(30.0, 6), Allowed(15.0, 3), Allowed(10.0, 2)]


def test_what_is_known_tightens_our_own_limits_and_never_widens_them(file: SiteFile) -> None:
    today = learning(file)
    today.allowed("mx.big.test", Allowed(message_rate=10.0, connections=50))
    today.write()
    sites = sites_of(learning(file))
    site = sites.of("mx.big.test", 0.0)
    slowed = interval_s(site)
    site.limit(Limits(connections=20, message_rate=2.0))
    assert (slowed, interval_s(site), site.connections_limit(0.0)) == (
        pytest.approx(1 / (HELD * 10)),
        0.5,
        20,
    )


def test_who_comes_to_share_a_provider_halves_what_was_found_and_who_goes_gives_it_back(
    file: SiteFile,
) -> None:
    """Another campaign begins and ends: the rates and connections of both are what one had alone."""
    learned = learning(file)
    sites, rates, connections = sites_of(learned), [], []
    site = sites.of("mx.big.test", 0.0)
    for _ in range(6):
        site.stands()
    assert site.is_full(FULL, 0.0)
    slower = Disposition(Fate.DEFERRED, Scope.SITE, Stage.MAIL, Reply.of(451, "Too many messages"))
    site.pacing.answered = 400
    assert site.pacing.slow(slower, 1, 2, 10.0, 270.0)
    for campaigns in (1, 2, 1):
        learned.campaigns = lambda site, campaigns=campaigns: campaigns  # type: ignore[misc]
        sites.limit_again()
        rates.append(1 / interval_s(site))
        connections.append(site.connections_limit(0.0))
    assert (rates, connections) == (pytest.approx([20.0, 10.0, 20.0]), [6, 3, 6])


def test_a_store_from_before_campaigns_told_each_other_their_limits_is_completed(tmp_path: Path) -> None:
    with SiteFile.open(tmp_path / "old.db") as old, old.writing() as db:
        db.execute("ALTER TABLE lease DROP COLUMN terms")
    with SiteFile.open(tmp_path / "old.db") as again:
        held = Leases(again, "a", first=False)
        held.change(join={"google": "terms"})
        assert [one.terms for one in held.held()["google"]] == ["terms"]
        held.close()


def test_a_part_among_campaigns_is_told_as_what_it_is_a_part_of(file: SiteFile) -> None:
    """Of two workers, with another campaign there: theirs are quarters, and nothing is multiplied twice."""
    learned = learning(file, 2)
    alone = learned.among("mx.big.test")
    learned.campaigns = lambda site: 4
    assert (alone, learned.among("mx.big.test")) == (2, 4)


def test_a_second_site_of_a_provider_that_complains_is_held_to_the_same_pace(file: SiteFile) -> None:
    sites = sites_of(learning(file))
    one = sites.of("mx1.big.test", 0.0)
    one.pacing.answered = 100
    slower = Disposition(Fate.DEFERRED, Scope.SITE, Stage.MAIL, Reply.of(451, "Too many messages"))
    assert one.pacing.slow(slower, 1, 2, 10.0, 270.0)
    other, stranger = sites.of("mx2.big.test", 11.0), sites.of("mx.other.test", 11.0)
    assert (one.outer, interval_s(one), one.sending.each.interval_s) == (other.outer, 0.2, 0.0)
    assert (stranger.outer, interval_s(stranger)) == (None, 0.0)
