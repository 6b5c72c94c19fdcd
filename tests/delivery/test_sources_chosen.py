"""Which source a recipient leaves from: by weight, always the same, and who stands in for it. Values only."""

from __future__ import annotations

import pytest

from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.sources import BLOCK, BLOCKED_S, LOST_S, Sources, cycle
from bulkmail.delivery.work import Parcel
from bulkmail.dns.routes import Host, Route
from bulkmail.transport.approach import Source
from bulkmail.transport.stage import Stage

ONE, TWO, TEN = (Source(f"192.0.2.{n}", f"out{n}.acme.test", w) for n, w in ((1, 3), (2, 1), (10, 2)))
SIX = Source("2001:db8::6", "out6.acme.test")
WAY = Route("a.test", (Host(10, "mx.a.test", ("198.51.100.1",)),), "mx.a.test")
REFUSED = Disposition(Fate.BOUNCED, Scope.MESSAGE, Stage.MAIL, note="blocked", meaning=Meaning.BLOCKED)


def dealt(sources: Sources, spans: list[tuple[int, int]], now: float = 0.0) -> dict[str, int]:
    """Recipients by source."""
    parts = sources.deal(Parcel("a.test", spans, shared=False), WAY, now)
    return {
        str(to) if isinstance(to, Source) else to.text: sum(last - first + 1 for first, last in part)
        for to, part in parts
    }


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [((1,), "0"), ((1, 1), "01"), ((3, 1), "0010"), ((200, 100), "010"), ((2, 1, 1), "0120")],
)
def test_each_stands_in_the_cycle_as_often_as_its_weight_says_and_evenly(weights, wanted):
    sources = [Source(f"192.0.2.{n}", "x", weight) for n, weight in enumerate(weights)]
    assert "".join(str(sources.index(one)) for one in cycle(sources)) == wanted


def test_a_large_domain_is_dealt_out_by_weight_to_the_block():
    assert dealt(Sources([ONE, TWO, TEN]), [(BLOCK, 7 * BLOCK - 1)]) == {
        str(ONE): 3 * BLOCK,
        str(TWO): BLOCK,
        str(TEN): 2 * BLOCK,
    }


def test_whoever_comes_again_comes_from_where_he_came_from_however_he_is_cut_out():
    sources, again = Sources([ONE, TWO, TEN]), Sources([ONE, TWO, TEN])
    parts = sources.deal(Parcel("a.test", [(1, 5_000)], shared=True), WAY, 0.0)
    by_number = {n: to for to, spans in parts for first, last in spans for n in range(first, last + 1)}
    assert len(by_number) == 5_000
    for number in (1, 63, 64, 999, 1_000, 4_999, 5_000):
        [(to, spans)] = again.deal(Parcel("a.test", [(number, number)], shared=True), WAY, 9e9)
        assert (to, spans) == (by_number[number], [(number, number)])


def test_one_of_each_place_in_the_cycle_begins_some_domain():
    sources = Sources([ONE, TWO, TEN])
    assert {next(sources.in_turn(f"d{n}.test", 1)) for n in range(50)} == {ONE, TWO, TEN}


def test_only_what_was_dealt_to_the_one_that_is_left_out_goes_elsewhere_and_for_a_bounded_time():
    sources, spans = Sources([ONE, TWO, TEN]), [(BLOCK, 7 * BLOCK - 1)]
    before = dealt(sources, spans)
    assert sources.block(ONE, WAY, REFUSED, 100.0) == BLOCKED_S
    after = dealt(sources, spans, 101.0)
    assert after.keys() == {str(TWO), str(TEN)}
    assert all(after[name] >= before[name] for name in after)
    assert sources.held(ONE, "mx.other.test", 101.0) is None
    assert dealt(sources, spans, 100.0 + BLOCKED_S) == before


def test_the_last_one_that_reaches_a_site_is_never_left_out_there():
    sources = Sources([ONE, TWO, SIX])
    assert sources.block(ONE, WAY, REFUSED, 0.0) == BLOCKED_S
    assert (sources.block(TWO, WAY, REFUSED, 0.0), sources.held(TWO, "mx.a.test", 0.0)) == (None, None)


def test_a_site_that_says_for_how_long_is_believed():
    """But not for longer than a day, whatever it says."""
    for stated, left_out in ((7200.0, 7200.0), (90 * 86_400.0, 86_400.0)):
        assert Sources([ONE, TWO]).block(ONE, WAY, REFUSED._replace(wait_s=stated), 0.0) == left_out


def test_the_sources_are_not_burnt_one_after_the_other():
    """A site that has blocked one of them within the hour, and now another, wants nothing of us."""
    sources = Sources([ONE, TWO, TEN])
    assert sources.block(ONE, WAY, REFUSED, 0.0) == BLOCKED_S
    assert sources.block(TWO, WAY, REFUSED, BLOCKED_S - 1) is None
    assert sources.held(TWO, WAY.site, BLOCKED_S - 1) is None
    assert sources.block(TWO, WAY, REFUSED, BLOCKED_S) == BLOCKED_S


def test_an_address_that_is_gone_is_left_out_everywhere_and_charges_nobody():
    """T6."""
    sources = Sources([ONE])
    why = sources.lose(ONE, 0.0, 1_000.0)
    assert why is not None
    assert (why.fate, why.until, sources.lose(ONE, 1.0, 1_001.0)) == (Fate.POSTPONED, 1_000.0, None)
    [(to, _)] = sources.deal(Parcel("a.test", [(1, 5)], shared=False), WAY, 1.0)
    assert to == why
    assert sources.held(ONE, "mx.a.test", LOST_S) is None


def test_where_none_is_of_the_family_that_is_wanted_the_reason_says_so():
    assert dealt(Sources([SIX]), [(1, 5)]) == {
        "mx.a.test has IPv4 addresses only, and no source of this machine is of IPv4": 5
    }
    assert dealt(Sources([SIX, ONE]), [(1, 5)]) == {str(ONE): 5}


def test_a_block_that_an_earlier_run_has_met_holds_for_the_rest_of_its_time():
    told: list[tuple[str, Source, float]] = []
    sources, spans = Sources([ONE, TWO]), [(BLOCK, 5 * BLOCK - 1)]
    sources.on_block = lambda *one: told.append(one)
    assert sources.block(ONE, WAY, REFUSED, 100.0) == BLOCKED_S
    assert told == [(WAY.site, ONE, BLOCKED_S)]
    later = Sources([ONE, TWO])
    later.leave_out(WAY.site, {ONE.address: 60.0, "192.0.2.99": 60.0}, 0.0)
    assert dealt(later, spans, 59.0) == {str(TWO): 4 * BLOCK}
    assert dealt(later, spans, 60.0) == {str(ONE): 3 * BLOCK, str(TWO): BLOCK}


def test_where_all_that_are_left_have_been_blocked_one_of_them_has_to_see():
    sources = Sources([ONE])
    sources.leave_out(WAY.site, {ONE.address: 60.0, TWO.address: 60.0}, 0.0)
    assert dealt(sources, [(1, 10)]) == {str(ONE): 10}
