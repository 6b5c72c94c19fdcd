"""Replies that end a conversation, each with the verdicts that came before it kept."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from smtp_peer import SENDER, Peer, codes, conversation, introduced, rcpt

from bulkmail.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from bulkmail.smtp.command import Bdat, Data, Rset


async def test_a_refusal_before_the_connection_closes_is_kept(autojump_clock):
    """X4."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 5.7.1 go away")
        await peer.close()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann"), Data()])
    assert (codes(flight), type(flight.failure)) == ([250, 550], ConnectionLost)
    assert not connection.usable


@pytest.mark.parametrize("answered", range(4))
async def test_a_421_ends_the_conversation_wherever_it_comes(answered, autojump_clock):
    """G2."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        # What stands behind the 421 in the same packet means nothing any more.
        await peer.say(*["250 ok"] * answered, "421 4.7.0 too much mail", "250 ok")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("a"), rcpt("b"), Rset()])
    assert codes(flight) == [250] * answered + [421]
    assert isinstance(flight.failure, ConnectionLost)
    assert not connection.usable


async def test_a_421_that_answers_nothing_ends_the_conversation_too(autojump_clock):
    """G2."""

    async def host(peer: Peer) -> None:
        await peer.say("220 mx.a.test")
        await peer.hear("EHLO")
        await peer.say("250 mx.a.test", "421 4.3.2 shutting down")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        assert not connection.usable
        flight = await connection.exchange([SENDER])
    assert (flight.replies, flight.sent, type(flight.failure)) == ((), 0, ConnectionLost)


async def test_one_reply_too_many_makes_the_connection_unusable_and_keeps_the_verdicts(autojump_clock):
    """G8."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok", "250 and one more")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([SENDER, rcpt("ann")])
        assert (codes(flight), connection.usable) == ([250, 250], False)
        later = await connection.exchange([Rset()])
    assert (codes(later), type(later.failure)) == ([], RemoteProtocolError)


async def test_half_a_reply_too_many_makes_the_connection_unusable(autojump_clock):
    """G8."""

    async def host(peer: Peer) -> None:
        await peer.hello()
        await peer.hear("RSET")
        await peer.stream.send_all(b"250 ok\r\n250 o")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([Rset()])
    assert (codes(flight), connection.usable) == ([250], False)


async def test_verdicts_before_nonsense_are_kept_and_the_nonsense_ends_it_at_once(autojump_clock):
    """G3, X15."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "550 no", "<html>")
        await trio.sleep_forever()  # it does not close: what it said is enough

    async with conversation(host) as connection:
        await introduced(connection)
        began = trio.current_time()
        flight = await connection.exchange([SENDER, rcpt("ann"), rcpt("bob")])
        assert trio.current_time() == began
    assert (codes(flight), type(flight.failure)) == ([250, 550], RemoteProtocolError)


async def test_success_for_a_message_that_is_not_there_yet_is_not_believed(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING", "CHUNKING")
        await peer.hear("MAIL")
        await peer.say("250 ok", "250 ok")
        await peer.hear("RCPT")
        await peer.hear("BDAT")
        await peer.take(70_000)
        await peer.say("250 taken")
        await trio.sleep_forever()

    async with conversation(host, pair=trio.testing.lockstep_stream_pair) as connection:
        await introduced(connection)
        await connection.exchange([SENDER, rcpt("ann")])
        flight = await connection.exchange([Bdat(b"x" * 1_000_000, last=True)])
    assert (codes(flight), flight.handed_over, type(flight.failure)) == ([], False, RemoteProtocolError)


async def test_a_refused_rset_ends_the_conversation(autojump_clock):
    """X16."""

    async def host(peer: Peer) -> None:
        await peer.hello("PIPELINING")
        await peer.hear("RSET")
        await peer.say("500 what?", "250 ok")
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        flight = await connection.exchange([Rset(), SENDER])
    assert (codes(flight), type(flight.failure)) == ([500], ConnectionLost)


async def test_a_command_that_may_not_be_sent_is_our_bug_and_closes_the_connection(autojump_clock):
    async def host(peer: Peer) -> None:
        await peer.hello()
        await peer.eof()

    async with conversation(host) as connection:
        await introduced(connection)
        with pytest.raises(LocalProtocolError):
            await connection.exchange([rcpt("ann")])
        assert not connection.usable
