"""Providers that say "later" and "not now": who waits for what, and how `explain` tells it.

In virtual time over memory: five minutes of a greylist are over at once, and the journal has their times.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from road_rig import FIRST_PASS, people
from still_road import StillRoad
from ways import WAYS, only

from bulkmail.sandbox.behaviour import Said

RETRY = {"first": "1m", "factor": 2, "max": "4h", "give_up": "2d"}
FULL_TWICE = Said(raw=b"452 4.2.2 Mailbox full\r\n", times=2)


@pytest.fixture
def still(world, tmp_path):
    return StillRoad(world, tmp_path, retry=RETRY)


def waits(report, address):
    """Seconds from each attempt to the next; the retry policy adds up to a tenth."""
    times = [attempt.at for attempt in report.histories[address].attempts]
    return [after - before for before, after in pairwise(times)]


async def test_a_greylist_is_come_back_to_when_it_says_and_everybody_is_delivered(
    world, still, autojump_clock
):
    provider = world.provider("big.test", domains=["a.test"])
    provider.greylisting(300, reply=b"451 4.7.1 Greylisted, come back in {minutes} minutes")
    report = await still.send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "delivered"}
    assert all(300 <= wait <= 331 for one in report.states for wait in waits(report, one))
    assert (provider.account.count("greylisted"), provider.account.count("accepted")) == (2, 2)
    refused, delivered = still.attempts_told("ann@a.test")
    assert "451 4.7.1 Greylisted, come back in 5 minutes" in refused
    assert "greylisted: the host wants to see us come back" in refused
    assert "from the same address at 2027-01-15T08:05:" in refused
    assert delivered.startswith("2027-01-15T08:05:")


async def test_who_comes_back_sooner_than_a_greylist_wants_is_told_the_rest_and_waits_for_it(
    world, still, autojump_clock
):
    """The reply states no time: our own schedule is too early at first."""
    provider = world.provider("big.test", domains=["a.test"])
    provider.greylisting(300, reply=b"450 4.2.0 Greylisted, see you later")
    report = await still.send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "delivered"}
    assert [round(wait / 66) for wait in waits(report, "ann@a.test")] in ([1, 2, 4], [1, 2, 3])
    assert provider.account.count("greylisted") == 3


async def test_come_back_in_five_minutes_is_done_as_told(world, still, autojump_clock):
    world.domain("a.test").reply("MAIL", b"451 4.3.2 Please come back in 5 minutes", times=1)
    report = await still.send("ann@a.test")
    (wait,) = waits(report, "ann@a.test")
    refused, _ = still.attempts_told("ann@a.test")
    assert (report.kinds(), 300 <= wait <= 331) == ({"ann@a.test": "delivered"}, True)
    assert "come back in 5 minutes" in refused
    assert "tried again at 2027-01-15T08:05:" in refused


async def test_a_full_mailbox_is_tried_less_and_less_often_and_holds_up_nobody(world, still, autojump_clock):
    world.domain("a.test").mailbox_full("ann")
    report = await still.send("ann@a.test", "bob@a.test", retry={**RETRY, "max": "30m", "give_up": "2h"})
    times = waits(report, "ann@a.test")
    assert report.kinds() == {"ann@a.test": "expired", "bob@a.test": "delivered"}
    assert len(report.histories["bob@a.test"].attempts) == 1
    assert (times[0] < 67, max(times) <= 33 * 60, 2 * 3600 <= sum(times) < 3 * 3600) == (True, True, True)
    first, *_, last = still.attempts_told("ann@a.test")
    assert "mailbox full: there is no room in the mailbox; tried again" in first
    assert "expired at rcpt" in last
    assert "mailbox full: there is no room in the mailbox; tried for as long as" in last


async def test_a_full_mailbox_that_is_emptied_gets_its_message(world, still, autojump_clock):
    world.domain("a.test").recipient("ann", FULL_TWICE)
    report = await still.send("ann@a.test")
    assert (report.kinds(), len(waits(report, "ann@a.test"))) == ({"ann@a.test": "delivered"}, 2)


async def test_a_refused_content_bounces_whom_it_was_for_and_suppresses_nobody(world, still, autojump_clock):
    world.domain("a.test").reply("END_OF_DATA", b"554 5.7.1 Message rejected as spam by content filtering")
    world.domain("b.test")
    report = await still.send(*people(2), *people(2, "b.test"))
    assert report.totals["delivered"] == 2
    assert report.states["p00000@b.test"] == "delivered"
    (told,) = still.attempts_told("p00000@a.test")
    assert "bounced at end_of_data" in told
    assert "content refused: the host takes this message for spam or a virus" in told
    assert "suppressed" not in still.explained("p00000@a.test")


@pytest.mark.parametrize(
    ("way", "stage"),
    [(way, stage) for way in WAYS for stage in ("MAIL", "RCPT", "DATA", "END_OF_DATA")],
)
async def test_a_row_of_ones_own_decides_what_a_reply_means_whichever_way_a_letter_goes(
    world, still, autojump_clock, way, stage
):
    """By our table it would say nothing, and be the end of the recipient."""
    (still.folder / "own.toml").write_text('[[reply]]\nsays = "house rule 7"\nclass = "blocked"\n')
    own = {"default": {"recipients_per_transaction": 1}, "replies": "own.toml"}
    world.domain("a.test").reply(stage, b"550 House rule 7", times=1)
    with only(way, 4):
        report = await still.send("ann@a.test", shaping=own)
    assert report.kinds() == {"ann@a.test": "delivered"}
    if way == "whole" and stage == "DATA":  # it is not said there
        return
    refused, _ = still.attempts_told("ann@a.test")
    assert "blocked: the host takes nothing from this source for now" in refused
    assert "read so by the row at" in refused


async def test_another_table_speaks_from_the_next_run_on_and_reopens_nobody(world, still, autojump_clock):
    world.domain("a.test").recipient("ann", Said(raw=b"550 House rule 7\r\n"))
    world.domain("a.test").recipient("bob", Said(raw=b"450 House rule 8\r\n", times=1))
    before = await still.send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    (still.folder / "own.toml").write_text('[[reply]]\nsays = "house rule *"\nclass = "blocked"\n')
    after = await still.send("ann@a.test", "bob@a.test", shaping={"replies": "own.toml"})
    assert before.kinds() == {"ann@a.test": "bounced", "bob@a.test": "deferred"}
    assert after.kinds() == {"ann@a.test": "bounced", "bob@a.test": "delivered"}
    assert "blocked: the host takes nothing from this source or sender" in still.explained("ann@a.test")


SOURCES = ["127.0.0.2", "127.0.0.3"]


def sources(report, address):
    return [attempt.source for attempt in report.histories[address].attempts]


@pytest.mark.parametrize(
    "reply",
    [
        b"451 4.7.1 Mail from {client} is blocked for now, it is on our block list",
        b"550 5.7.1 Service unavailable, {client} is blocked",
    ],
)
async def test_where_one_source_is_blocked_the_others_take_its_mail_and_nobody_is_lost(
    world, still, autojump_clock, reply
):
    """Whatever the first digit of the reply is: it says nothing of whom it was told about."""
    provider = world.provider("big.test", domains=["a.test"]).block("127.0.0.2", reply)
    report = await still.send(
        *people(130), sources=SOURCES, transaction="individual", connections=2, messages_in_flight=1
    )
    first = {one: report.histories[one].attempts[0] for one in report.states}
    told = [one for one, attempt in first.items() if attempt.source == "127.0.0.2"]
    assert 1 <= len(told) <= 2
    assert {first[one].state for one in told} == {"deferred"}
    assert (report.totals["delivered"], report.totals["bounced"]) == (130, 0)
    assert provider.account.count("accepted", client="127.0.0.3") == 130
    held = [event["site"] for event in report.events if event["event"] == "site"]
    assert set(held) == {"mx.big.test from 127.0.0.2"}
    refused = still.attempts_told(told[0])[0]
    assert "from 127.0.0.2, clear text" in refused
    assert "blocked: the host takes nothing from this source" in refused


@pytest.mark.parametrize(
    "words", [b"451 4.7.1 {client} is on our block list", b"550 5.7.1 {client} is on our block list"]
)
async def test_the_only_source_that_a_site_blocks_is_tried_again_and_serves_when_it_is_unblocked(
    world, still, autojump_clock, words
):
    provider = world.provider("big.test", domains=["a.test"]).block("127.0.0.2", words)
    provider.after(2000, lambda one: one.unblock("127.0.0.2"))
    report = await still.send(*people(3), sources=SOURCES[:1])
    assert set(report.kinds().values()) == {"delivered"}
    assert sum(waits(report, "p00000@a.test")) > 2000


async def test_blocked_for_as_long_as_there_is_time_a_recipient_expires_and_does_not_bounce(
    world, still, autojump_clock
):
    provider = world.provider("big.test", domains=["a.test"])
    provider.block("127.0.0.2", b"550 5.7.1 {client} is on our block list")
    report = await still.send(*people(3), sources=SOURCES[:1])
    assert (set(report.kinds().values()), report.exit) == ({"expired"}, 4)
    assert provider.account.count("blocked") < 40  # in two days: it is not hammered


async def test_whoever_is_greylisted_comes_back_from_the_same_source(world, still, autojump_clock):
    """A greylist that tells single addresses apart would begin anew for another one."""
    provider = world.provider("big.test", domains=["a.test"]).greylisting(300, network=32)
    report = await still.send(*people(200), sources=SOURCES)
    assert set(report.kinds().values()) == {"delivered"}
    came = [sources(report, one) for one in report.states]
    assert all(len(one) == 2 and one[0] == one[1] for one in came)
    assert {one[0] for one in came} == {*SOURCES}
    assert provider.account.count("greylisted") == 200
