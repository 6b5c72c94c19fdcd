"""Each letter on the wire: under its own reverse-path, to whom it was written, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from post_office import Post, letter_of, office

from bulkmail import sandbox
from bulkmail.delivery.work import Letter, Recipient
from bulkmail.errors import ConfigError


@pytest.fixture
def world() -> sandbox.World:
    world = sandbox.World()
    world.domain("a.test")
    return world


async def test_everybody_gets_his_own_letter_under_his_own_reverse_path(world: sandbox.World) -> None:
    """I9."""
    async with office(world, Post()) as there:
        await there.deliver(60, there.dispatcher(connections=3))
    assert sorted(there.envelopes) == sorted(
        (f"bounces+{n}@acme.test", (f"p{n}@a.test",), f"To: p{n}@a.test".encode()) for n in range(1, 61)
    )


async def test_those_who_share_a_transaction_cost_one_letter(world: sandbox.World) -> None:
    post = Post()
    async with office(world, post) as there:
        await there.deliver(250, there.dispatcher(recipients_per_transaction=100), shared=True)
    assert (post.asked, [len(to) for _, to, _ in there.envelopes]) == ([[1], [101], [201]], [100, 100, 50])


async def test_a_letter_that_names_somebody_is_not_shared_though_the_plan_says_so(
    world: sandbox.World,
) -> None:
    """I9."""
    async with office(world, Post(lambda one: replace(letter_of(one), alone=True))) as there:
        await there.deliver(5, shared=True)
    assert sorted((path, to) for path, to, _ in there.envelopes) == [
        (f"bounces+{n}@acme.test", (f"p{n}@a.test",)) for n in range(1, 6)
    ]


async def test_who_asks_for_no_more_mail_when_his_letter_was_written_gets_none(world: sandbox.World) -> None:
    """H3: honoured before the next MAIL."""
    post = Post()

    async def opt_out() -> None:
        if len(post.asked) == 2:
            post.suppressed |= {2, 5}
        await trio.lowlevel.checkpoint()

    post.until = opt_out
    async with office(world, post) as there:
        await there.deliver(24)  # in slices of 12
    assert {2, 5} <= set(post.asked[1])
    assert {number for number, fate in post.verdicts.items() if fate == "suppressed"} == {2, 5}
    assert [n for n in range(1, 25) if not world.ledger.copies[f"p{n}@a.test"]] == [2, 5]


async def test_who_has_no_letter_is_skipped_alone_and_told_why(world: sandbox.World) -> None:
    """I8."""
    post = Post(lambda one: "first_name is missing" if one.id == 4 else letter_of(one))
    async with office(world, post) as there:
        await there.deliver(12)
    fates = {number: fate for number, fate in post.verdicts.items() if fate != "delivered"}
    assert (fates, post.notes[4], len(there.envelopes)) == ({4: "skipped"}, "first_name is missing", 11)


async def test_a_letter_that_cannot_be_written_for_no_rows_fault_is_nobodys_fate(
    world: sandbox.World,
) -> None:
    def write(one: Recipient) -> Letter:
        if one.id > 3:
            raise ConfigError("a file went away")
        return letter_of(one)

    post = Post(write)
    async with office(world, post) as there:
        with pytest.RaisesGroup(pytest.RaisesExc(ConfigError, match="went away"), flatten_subgroups=True):
            await there.deliver(12)
    assert set(post.verdicts) <= {1, 2, 3}


async def test_a_letter_that_needs_smtputf8_is_not_offered_where_there_is_none(world: sandbox.World) -> None:
    """X11: for whomever it is; the letters of others go out."""
    world.domain("a.test").extensions(without=("SMTPUTF8",))
    post = Post(lambda one: letter_of(one, smtputf8=one.id == 2))
    async with office(world, post) as there:
        await there.deliver(3)
    assert post.verdicts == {1: "delivered", 2: "bounced", 3: "delivered"}
    assert "an address in the message (reverse-path, From, To) needs SMTPUTF8" in post.notes[2]


async def test_no_mail_follows_when_the_run_is_stopped_while_letters_are_written(
    world: sandbox.World,
) -> None:
    """P1."""
    post = Post()
    async with office(world, post) as there:
        dispatcher = there.dispatcher()

        async def stop() -> None:
            dispatcher.stop()
            await trio.lowlevel.checkpoint()

        post.until = stop
        await there.deliver(5, dispatcher)
    commands = [line for session in world.ledger.sessions for line in session.commands]
    assert (len(post.asked), post.verdicts, [c for c in commands if c.startswith("MAIL")]) == (1, {}, [])


async def test_a_run_that_is_broken_off_while_letters_are_written_leaves_nobody_half_sent_to(
    world: sandbox.World,
) -> None:
    """P2: nothing is on disk of it, and the next run delivers to everybody once."""
    post = Post()
    async with office(world, post) as there:
        with trio.CancelScope() as scope:

            async def break_off() -> None:
                scope.cancel()
                await trio.lowlevel.checkpoint()

            post.until = break_off
            await there.deliver(20)
        assert (scope.cancelled_caught, post.verdicts, post.opened) == (True, {}, [])
        post.until = trio.lowlevel.checkpoint
        await there.deliver(20)
    assert set(world.ledger.copies.values()) == {1}
    assert set(post.verdicts.values()) == {"delivered"}


async def test_a_letter_that_the_peer_did_not_hear_goes_again_as_it_was_written(world: sandbox.World) -> None:
    """G9: the peer closes after each message; nobody is charged, and nothing is written twice."""
    world.domain("a.test").reply("END_OF_DATA", b"250 2.0.0 taken, and good bye", close=True)
    post = Post()
    async with office(world, post) as there:
        await there.deliver(10)
    asked = [number for ids in post.asked for number in ids]
    assert (set(post.verdicts.values()), sorted(asked)) == ({"delivered"}, list(range(1, 11)))
