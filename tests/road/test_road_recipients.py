"""What a host says of single recipients, and of the transaction around them."""

from __future__ import annotations

import pytest
from road_rig import FIRST_PASS, people


async def test_an_unknown_user_bounces_alone(world, send):
    world.domain("a.test").refuse("bob", b"550 5.1.1 unknown")
    report = await send("ann@a.test", "bob@a.test")
    assert report.kinds() == {"ann@a.test": "delivered", "bob@a.test": "bounced"}


async def test_three_answers_to_rcpt_are_three_verdicts_and_one_data(world, send):
    """X1."""
    world.domain("a.test").refuse("bob", b"550 5.1.1 unknown").refuse("cat", b"451 4.3.0 later")
    report = await send("ann@a.test", "bob@a.test", "cat@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.commands("mx.a.test").count("DATA")) == (
        {"ann@a.test": "delivered", "bob@a.test": "bounced", "cat@a.test": "deferred"},
        1,
    )


async def test_one_connection_takes_a_hundred_recipients_in_one_transaction_and_one_flight(world, send):
    """Item 5 of the issue."""
    world.domain("a.test").withhold(100)
    report = await send(*people(100), connections=1)
    (session,) = report.ledger.sessions
    assert (report.totals["delivered"], report.ledger.transactions, session.flight_sizes("RCPT")) == (
        100,
        1,
        [100],
    )


async def test_a_lone_dot_answers_the_354_that_nobody_was_accepted_for(world, send):
    """X2."""
    world.domain("a.test").set(always_354=True).refuse()
    report = await send("ann@a.test", "bob@a.test")
    commands = report.commands("mx.a.test")
    assert (report.kinds(), commands.count("END_OF_DATA"), report.ledger.transactions) == (
        {"ann@a.test": "bounced", "bob@a.test": "bounced"},
        1,
        0,
    )


async def test_mail_refused_is_the_verdict_of_all_whatever_the_rest_is_answered(world, send):
    """X3."""
    world.domain("a.test").reply("MAIL", b"550 5.7.1 not from you")
    report = await send("ann@a.test", "bob@a.test")
    assert (report.kinds(), report.last("bob@a.test").code) == (
        {"ann@a.test": "bounced", "bob@a.test": "bounced"},
        550,
    )


async def test_mail_refused_and_all_the_rest_accepted_sends_nothing_to_anybody(world, send):
    """X3."""
    world.domain("a.test").pretend("MAIL", b"550 5.7.1 not from you")
    report = await send("ann@a.test", "bob@a.test")
    assert (report.kinds(), report.ledger.transactions) == (
        {"ann@a.test": "bounced", "bob@a.test": "bounced"},
        0,
    )


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "END_OF_DATA"])
async def test_a_550_and_then_a_closed_connection_is_a_550(world, send, stage):
    """X4."""
    world.domain("a.test").reply(stage, b"550 5.7.1 refused", close=True)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.last("ann@a.test").code) == ({"ann@a.test": "bounced"}, 550)


@pytest.mark.parametrize("reply", [b"452 4.5.3 Too many recipients", b"552 too many recipients"])
async def test_recipients_beyond_the_limit_of_a_site_follow_at_once_and_the_limit_is_learned(
    world, send, reply
):
    """X5."""
    world.domain("a.test").rcpt_limit(5, reply)
    report = await send(*people(20), connections=1)
    sizes = [len(message.recipients) for message in report.ledger.messages]
    asked = report.ledger.sessions[0].flight_sizes("RCPT")
    assert (
        report.totals["delivered"],
        sizes,
        asked,
        {len(h.attempts) for h in report.histories.values()},
    ) == (
        20,
        [5, 5, 5, 5],
        [20, 5, 5, 5],  # refused once, then one by one until two were answered
        {1},
    )


async def test_too_many_recipients_said_of_a_single_one_is_a_deferral_like_any_other(world, send):
    """X5."""
    world.domain("a.test").refuse("ann", b"452 4.5.3 Too many recipients", times=1)
    report = await send("ann@a.test")
    assert report.dispositions("ann@a.test") == ["deferred", "delivered"]


@pytest.mark.parametrize(
    ("reply", "state"), [(b"451 4.3.0 not now", "deferred"), (b"554 5.7.0 no", "bounced")]
)
async def test_data_refused_concerns_those_who_were_accepted_until_then(world, send, reply, state):
    """X6."""
    other = b"451 4.1.1 bob is away" if state == "bounced" else b"550 5.1.1 unknown"
    world.domain("a.test").reply("DATA", reply).refuse("bob", other)
    report = await send("ann@a.test", "bob@a.test", until=FIRST_PASS)
    assert report.kinds() == {
        "ann@a.test": state,
        "bob@a.test": "deferred" if state == "bounced" else "bounced",
    }


async def test_an_error_in_mid_body_is_heard_although_the_connection_drops(world, send):
    """X7."""
    world.domain("a.test").drop("BODY", reply=b"552 5.3.4 too big for us")
    report = await send("ann@a.test", text_of_message="x" * 70 + "\n" + "y" * 70 + "\n" * 200_000)
    assert (report.kinds(), report.last("ann@a.test").code) == ({"ann@a.test": "bounced"}, 552)


async def test_a_connection_that_drops_in_mid_body_delivered_to_nobody(world, send):
    """X7."""
    world.domain("a.test").drop("BODY", times=1, reset=True)
    report = await send("ann@a.test", text_of_message=("x" * 900 + "\n") * 20_000)
    assert report.dispositions("ann@a.test") == ["deferred", "delivered"]


@pytest.mark.parametrize("taken", [True, False])
async def test_a_connection_lost_after_the_dot_leaves_them_in_doubt(world, send, taken):
    """X8."""
    world.domain("a.test").drop("END_OF_DATA", accepted=taken)
    report = await send("ann@a.test", "bob@a.test")
    assert (report.kinds(), report.exit, report.ledger.copies["ann@a.test"]) == (
        {"ann@a.test": "in_doubt", "bob@a.test": "in_doubt"},
        4,
        int(taken),
    )


@pytest.mark.parametrize("taken", [True, False])
async def test_who_is_in_doubt_is_sent_to_again_where_the_campaign_says_so(world, send, taken):
    """X8."""
    world.domain("a.test").drop("END_OF_DATA", accepted=taken, times=1)
    report = await send("ann@a.test", on_doubt="resend", copies={"ann@a.test": 1 + taken})
    states = [attempt.state for attempt in report.histories["ann@a.test"].attempts]
    assert (states, report.exit) == (["in_doubt", "delivered"], 0)


async def test_a_reply_to_the_dot_that_comes_too_late_leaves_them_in_doubt(world, send):
    """X8."""
    world.domain("a.test").stall("END_OF_DATA")
    report = await send("ann@a.test", time_limits={"end_of_data": "300ms"})
    assert report.kinds() == {"ann@a.test": "in_doubt"}


async def test_announced_recipient_limits_are_kept(world, send):
    """X10."""
    world.domain("a.test").extensions(with_=("LIMITS RCPTMAX=7",))
    report = await send(*people(20), connections=1)
    assert (report.totals["delivered"], report.ledger.sessions[0].flight_sizes("RCPT")) == (20, [7, 7, 6])


async def test_announced_message_limits_are_kept(world, send):
    """X10."""
    world.domain("a.test").extensions(with_=("LIMITS MAILMAX=2",)).refuse("p00000")
    report = await send(*people(6), connections=1, transaction="individual")
    mails = [sum(c.startswith("MAIL") for c in session.commands) for session in report.ledger.sessions]
    assert (report.totals["delivered"], mails) == (5, [2, 2, 2])


async def test_a_message_larger_than_announced_is_not_offered(world, send):
    """X10."""
    world.domain("a.test").extensions(with_=("SIZE 1000",))
    report = await send("ann@a.test", text_of_message="x" * 60 + "\n" + "word " * 500)
    assert (report.kinds(), report.last("ann@a.test").enhanced, "MAIL" in str(report.ledger.sessions)) == (
        {"ann@a.test": "bounced"},
        "5.3.4",
        False,
    )


async def test_a_limit_of_messages_per_connection_is_learned_when_it_is_hit(world, send):
    """X10."""
    world.domain("a.test").close_after(2)
    report = await send(*people(9), connections=1, transaction="individual")
    attempts = [len(history.attempts) for history in report.histories.values()]
    mails = [sum(c.startswith("MAIL") for c in session.commands) for session in report.ledger.sessions]
    assert (report.totals["delivered"], set(attempts), mails[0], set(mails[1:])) == (9, {1}, 3, {1, 2})


@pytest.mark.parametrize("most", [1, 3])
async def test_a_limit_of_connections_is_learned_when_it_is_hit(world, send, most):
    """X10."""
    world.domain("a.test").max_connections(most)
    report = await send(*people(60), connections=8, transaction="individual")
    deferred = [address for address in report.states if len(report.histories[address].attempts) > 1]
    assert (report.totals["delivered"], len(deferred) < 10) == (60, True)


async def test_without_8bitmime_the_content_is_seven_bit(world, send):
    """X11."""
    world.domain("a.test").extensions(without=("8BITMIME", "SMTPUTF8"))
    report = await send("ann@a.test", subject="Grüße", text_of_message="Schöne Grüße aus Köln\n")
    assert (report.kinds(), report.content().isascii()) == ({"ann@a.test": "delivered"}, True)


async def test_without_smtputf8_only_those_who_need_it_fail(world, send):
    """X11."""
    world.domain("a.test").extensions(without=("SMTPUTF8",))
    world.domain("b.test")
    report = await send("ann@a.test", "jörg@a.test", "jörg@b.test")
    assert (report.kinds(), report.last("jörg@a.test").enhanced) == (
        {"ann@a.test": "delivered", "jörg@a.test": "bounced", "jörg@b.test": "delivered"},
        "5.6.7",
    )


@pytest.mark.parametrize("reply", [b"199 hm", b"600 well", b"999 yes", b"2 5 0 fine", b"25 ok", b"OK"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
async def test_a_reply_that_is_none_is_never_success(world, send, stage, reply):
    """X15."""
    world.domain("a.test").reply(stage, reply, times=1)
    report = await send("ann@a.test")
    assert report.dispositions("ann@a.test") == ["deferred", "delivered"]


@pytest.mark.parametrize("reply", [b"199 hm", b"600 well", b"999 yes", b"OK"])
async def test_a_reply_to_the_dot_that_is_none_leaves_them_in_doubt(world, send, reply):
    """X15."""
    world.domain("a.test").reply("END_OF_DATA", reply)
    report = await send("ann@a.test")
    assert report.kinds() == {"ann@a.test": "in_doubt"}


async def test_a_refused_rset_harms_nobody(world, send):
    """X16."""
    world.domain("a.test").reply("RSET", b"500 5.5.1 what?").refuse("p00001")
    report = await send(*people(4), connections=1, transaction="individual")
    bounced = [address for address, state in report.kinds().items() if state == "bounced"]
    assert (report.totals["delivered"], bounced, len(report.ledger.sessions)) == (3, ["p00001@a.test"], 2)


async def test_a_greylisted_recipient_comes_again_from_the_same_sender_and_is_taken(world, send):
    """X13."""
    world.domain("a.test").greylist("bob")
    report = await send("ann@a.test", "bob@a.test")
    paths = {message.reverse_path for message in report.ledger.messages}
    assert (report.dispositions("bob@a.test"), report.dispositions("ann@a.test"), paths) == (
        ["deferred", "delivered"],
        ["delivered"],
        {"news@acme.test"},
    )


async def test_control_characters_in_a_reply_are_escaped_wherever_they_are_kept(world, send):
    """G6."""
    world.domain("a.test").refuse("ann", b"550 5.1.1 \x1b[2J\x07 \xff no")
    report = await send("ann@a.test")
    told = [report.reply("ann@a.test"), report.lines[0]["reply"]]
    assert (report.kinds(), [text.isprintable() and text.isascii() for text in told]) == (
        {"ann@a.test": "bounced"},
        [True, True],
    )


@pytest.mark.parametrize(
    ("reply", "state"), [(b"550 4.2.2 which is it", "bounced"), (b"450 5.1.1 which is it", "deferred")]
)
async def test_the_class_of_the_reply_code_wins_over_the_enhanced_code(world, send, reply, state):
    """G7."""
    world.domain("a.test").refuse("ann", reply)
    report = await send("ann@a.test", until=FIRST_PASS)
    assert (report.kinds(), report.last("ann@a.test").enhanced) == ({"ann@a.test": state}, None)


async def test_a_host_that_throws_away_what_was_sent_ahead_is_spoken_to_in_lock_step(world, send):
    """X9."""
    world.domain("a.test").set(flushes_input=True)
    report = await send("ann@a.test", "bob@a.test", time_limits={"rcpt": "300ms", "data": "300ms"})
    assert (report.kinds(), report.dispositions("ann@a.test")) == (
        {"ann@a.test": "delivered", "bob@a.test": "delivered"},
        ["deferred", "delivered"],
    )
