"""Several transactions on one connection, as close behind each other as the host allows.

Three ways, of which the session takes the first that fits:

* *whole*: with CHUNKING several messages are in flight, RSET before each but the first, and all that their
  answers need is one round trip (RFC 3030 section 4.2). What is on its way when the conversation breaks is in
  doubt, so how many there are is bounded, and grows only while all goes well (`Site.window`). The window
  slides: once half of it is answered as many follow behind the other half, so that the host always has
  something to do; where the answers to all of it are there at once, all of it follows at once.
* *riding*: with PIPELINING alone, the next envelope rides behind the end of data (RFC 2920 section 3.1): one
  round trip a message. One message is in flight; but as many intents as in a window are written at once,
  for a sync for each of them would cost more than the message.
* *plain*: `transact`, one transaction after the other. It is what a host gets that has not shown yet that it
  keeps what it announces, or that is in trouble.

All three tell the same story of the same answers: the plain one is what the others are compared with in the
tests. `Turn.intend` is awaited before the first octet of any content and puts the intents on disk; `tell` is
told, in order, of each transaction that came to an end, and never of one that was not begun, or of which
nothing can have been delivered because we were stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from bulkmail.delivery.consignment import Consignment, Turn, needs_smtputf8, picked
from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.judge import judge_wholes
from bulkmail.delivery.replies import Table
from bulkmail.delivery.transaction import (
    LONE_DOT,
    Transacted,
    all_alike,
    commands,
    ended_with,
    judge_content,
    judge_envelope,
    lost,
    transact,
)
from bulkmail.delivery.work import Roll
from bulkmail.errors import ReplyTimeout
from bulkmail.smtp import EndOfData, Envelope, Mailbox, Reply, Rset, Whole
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import Flight
from bulkmail.transport.stage import Stage

# Whose content is due, what became of the others, and those who were accepted.
Open = tuple[Consignment, tuple[Disposition | None, ...], Roll]
Carry = Callable[[Connection, Sequence[Consignment], Turn], Awaitable[None]]


async def plain(connection: Connection, consignments: Sequence[Consignment], turn: Turn) -> None:
    """One after the other, as long as the connection is good for another one."""
    for one in consignments:
        mailboxes = [Mailbox.parse(address) for address in one.roll.addresses]
        envelope = commands(one.letter, mailboxes, connection.extensions)

        async def about_to_end(positions: Sequence[int], one: Consignment = one) -> None:
            accepted = picked(one.roll, positions)
            await turn.intend([(one, accepted)])
            one.end(accepted, trio.current_time())

        try:
            done = await transact(connection, envelope, one.letter.end_of_data, about_to_end, turn.table)
        except trio.Cancelled:
            _tell_interrupted(connection, one, turn)
            raise
        if not turn.tell([(one, done)]) or not connection.usable:
            return


def _tell_interrupted(connection: Connection, one: Consignment, turn: Turn) -> None:
    """We were stopped in the middle (P2): what the precedence rule says of those whose end was on its way."""
    if one.ending is None:
        return
    connection.abandon("interrupted by us")  # a verdict that has come is heard
    outcome = judge_content(connection.interrupted, turn.table)
    if outcome.reply is not None or outcome.fate is Fate.IN_DOUBT:
        one.only(one.ending)
        turn.tell([(one, all_alike(outcome, len(one.ending)))])


async def riding(connection: Connection, consignments: Sequence[Consignment], turn: Turn) -> None:
    """Each envelope behind the end of the message before, as long as all goes well and there are `more`."""
    queue: deque[Consignment] = deque()
    going_on = True
    open_: Open | None = None
    while open_ is not None or going_on:
        if going_on and not queue:
            coming, consignments = consignments or await turn.more(), ()
            going_on = bool(coming)
            if coming:
                await turn.intend([(one, one.roll) for one in coming])
                queue.extend(coming)
        one = _next_of(queue, turn) if going_on else None
        if one is None and going_on:
            continue  # whoever is to go now is in the next of them
        sent: list[EndOfData | Envelope] = []
        if open_ is not None:
            open_[0].end(open_[2], trio.current_time())
            sent.append(open_[0].letter.end_of_data)
        if one is not None:
            sent.append(_envelope(one, connection, reset=open_ is not None))
        if not sent:
            return
        try:
            await connection.say(sent)
            if not queue:
                await turn.prepare()
            flight = await connection.hear()
        except trio.Cancelled:
            if open_ is not None:
                _tell_interrupted(connection, open_[0], turn)
            raise
        replies = flight.replies
        if open_ is not None:
            # the content is the first thing that was sent, and its reply the first that came
            ended = Flight(replies[:1], flight.sent > 0, flight.failure, host=flight.host)
            replies = replies[1:]
            outcome = judge_content(ended, turn.table)
            going_on = turn.tell([(open_[0], ended_with(outcome, open_[1]))]) and going_on
        open_ = None
        if one is not None:
            open_ = await _opened(connection, one, replies, flight, turn, reset=len(sent) > 1)
            if open_ is None:
                return


def _next_of(queue: deque[Consignment], turn: Turn) -> Consignment | None:
    """Asked last: it may be long since the queue was filled (H3)."""
    while queue:
        if turn.still(one := queue.popleft()):
            return one
    return None


async def _opened(
    connection: Connection,
    one: Consignment,
    replies: tuple[Reply, ...],
    flight: Flight,
    turn: Turn,
    *,
    reset: bool,
) -> Open | None:
    """What the answers to the envelope mean: an open transaction whose content is due, or its end."""
    count = one.paths.recipients
    if reset and replies and not replies[0].positive:
        connection.abandon()  # X16: whoever stands behind it goes again
        turn.tell([(one, all_alike(lost(flight, Stage.RSET, table=turn.table), count, unheard=True))])
        return None
    if len(replies) <= reset and flight.failure is not None:
        # the end of data before it was answered: what stood behind that may have been thrown away (X9)
        silent = bool(flight.replies) and isinstance(flight.failure, ReplyTimeout)
        unheard = all_alike(lost(flight, Stage.MAIL, table=turn.table), count, unheard=True)
        turn.tell([(one, unheard._replace(fell_silent=silent))])
        return None
    answered = Flight(replies[reset:], flight.handed_over, flight.failure, host=flight.host)
    verdict = judge_envelope(count, answered, turn.table)
    if verdict.go:
        accepted = picked(one.roll, [at for at, fate in enumerate(verdict.fates) if fate is None])
        return one, verdict.fates, accepted
    if verdict.lone_dot:
        await connection.exchange([EndOfData(LONE_DOT)])
        connection.abandon()
    elif replies[-1].intermediate:
        connection.abandon()  # 354 in spite of a refused MAIL: without a dot nothing is delivered
    elif flight.failure is None and not connection.usable:
        await _reset(connection)
    fates = tuple(fate for fate in verdict.fates if fate is not None)
    turn.tell([(one, Transacted(fates, fell_silent=isinstance(flight.failure, ReplyTimeout)))])
    return None


async def whole(connection: Connection, consignments: Sequence[Consignment], turn: Turn) -> None:
    """Together; and behind those in flight others, as soon as half of them are answered."""
    flying: list[tuple[Consignment, Whole]] = []
    coming, before = consignments, None
    going_on = trusted = True
    try:
        while coming or flying:
            if coming:
                connection.expect()
                await turn.intend([(one, one.roll) for one in coming])
                if not flying and not connection.quiet:
                    return  # it was closed, or is about to be: for this a fresh one is better (G9)
                messages = _messages(coming, connection, reset=bool(flying) or not connection.usable)
                flying += zip(coming, messages, strict=True)
                await connection.say(messages)
                del coming, messages  # of a thousand connections each waits with what it holds here
            if going_on:
                await turn.prepare()
            flight = await connection.hear(len(flying) // 2 if going_on else 0)
            told = len(flying) if flight.failure is not None else flight.sent
            ended, flying = flying[:told], flying[told:]
            judged = judge_wholes([message for _, message in ended], flight, before, turn.table)
            before = judged[-1] if flying else None
            trusted = trusted and not any(done.against_protocol for done in judged)
            going_on = going_on and trusted and flight.failure is None and not judged[-1].astray
            going_on = (
                turn.tell([(one, done) for (one, _), done in zip(ended, judged, strict=True)]) and going_on
            )
            del ended, judged
            coming = await turn.more() if going_on else ()
    except trio.Cancelled:
        if flying:
            connection.abandon("interrupted by us")
            turn.tell(_known_of(flying, connection.interrupted, before, turn.table))
        raise
    if not trusted:
        connection.abandon()
    elif flight.failure is None and not connection.usable:
        await _reset(connection)


def _messages(coming: Sequence[Consignment], connection: Connection, *, reset: bool) -> list[Whole]:
    """As they are said now, for now they are about to be. `reset`: before the first of them, too."""
    now, sized = trio.current_time(), connection.extensions.announces_size
    messages = []
    for one in coming:
        letter, paths = one.letter, one.paths
        one.end(one.roll, now)
        size = letter.size if sized else None
        smtputf8 = needs_smtputf8(letter, paths)
        messages.append(Whole(letter.reverse_path, paths, letter.pieces, size, smtputf8, reset))
        reset = True
    return messages


def _known_of(
    flying: Sequence[tuple[Consignment, Whole]],
    flight: Flight,
    before: Transacted | None,
    table: Table | None,
) -> list[tuple[Consignment, Transacted]]:
    """What is known for sure although we were stopped."""
    known = []
    judged = judge_wholes([message for _, message in flying], flight, before, table)
    for (one, _), done in zip(flying, judged, strict=True):
        said = [at for at, it in enumerate(done.fates) if it.reply or it.fate is Fate.IN_DOUBT]
        if said:
            one.only(picked(one.roll, said))
            known.append((one, Transacted(tuple([done.fates[at] for at in said]))))
    return known


async def _reset(connection: Connection) -> None:
    """A transaction that ended before its content is still open (RFC 5321 section 4.1.1.5)."""
    reset = await connection.exchange([Rset()])
    if not (reset.replies and reset.replies[0].positive):
        connection.abandon()  # X16


def _envelope(one: Consignment, connection: Connection, *, reset: bool) -> Envelope:
    size = one.letter.size if connection.extensions.announces_size else None
    return Envelope(one.letter.reverse_path, one.paths, size, needs_smtputf8(one.letter, one.paths), reset)
