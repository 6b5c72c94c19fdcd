"""Several transactions on one connection, as close behind each other as the host allows.

Three ways, of which the session takes the first that fits:

* *whole*: with CHUNKING several messages go out in one breath, RSET before each but the first, and all that
  their answers need is one round trip (RFC 3030 section 4.2). What is on its way when the conversation breaks
  is in doubt, so how many go together is bounded, and grows only while all goes well (`Site.window`).
* *riding*: with PIPELINING alone, the next envelope rides behind the end of data (RFC 2920 section 3.1): one
  round trip a message. One message is in flight; but as many intents as in one breath are written at once,
  for a sync for each of them would cost more than the message.
* *plain*: `transact`, one transaction after the other. It is what a host gets that has not shown yet that it
  keeps what it announces, or that is in trouble.

All three tell the same story of the same answers: the plain one is what the others are compared with in the
tests. `intend` is awaited before the first octet of any content and puts the intents on disk; `tell` is
told, in order, of each transaction that came to an end, and never of one that was not begun, or of which
nothing can have been delivered because we were stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.judge import judge_wholes
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
from bulkmail.delivery.work import Letter, Parcel, Roll, spans_of
from bulkmail.errors import ReplyTimeout
from bulkmail.smtp import EndOfData, Envelope, Mailbox, Paths, Reply, Rset, Whole
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import Flight
from bulkmail.transport.stage import Stage


class Consignment:
    """One transaction to be: a letter, and those it goes to here, who are at least one."""

    __slots__ = ("ending", "key", "letter", "opened", "parcel", "paths", "roll", "sent_at", "spans")

    def __init__(self, parcel: Parcel, roll: Roll, paths: Paths, letter: Letter, key: int) -> None:
        self.parcel = parcel
        self.only(roll)
        self.paths = paths
        self.letter = letter
        self.key = key  # of its intent
        self.opened = False  # an intent was noted
        self.ending: Roll | None = None  # those to whom the content may be on its way
        self.sent_at = 0.0  # since when, on trio's clock

    def only(self, roll: Roll) -> None:
        """It goes to these, or speaks of no others."""
        self.roll = roll
        self.spans = spans_of(roll.ids)

    def end(self, accepted: Roll, now: float) -> None:
        """From now on the content may be on its way, to those of them."""
        self.ending = accepted
        self.sent_at = now


Intend = Callable[[Sequence[tuple[Consignment, Roll]]], Awaitable[None]]
Tell = Callable[[Sequence[tuple[Consignment, Transacted]]], bool]  # False: no further MAIL
More = Callable[[], Awaitable[Sequence[Consignment]]]  # who comes next; nobody: the turn is over
Still = Callable[[Consignment], bool]  # whether it is still to go, perhaps to fewer; if not, it is settled
# Whose content is due, what became of the others, and those who were accepted.
Open = tuple[Consignment, tuple[Disposition | None, ...], Roll]
Carry = Callable[[Connection, Sequence[Consignment], Intend, Tell, More, Still], Awaitable[None]]


async def nobody() -> Sequence[Consignment]:
    await trio.lowlevel.checkpoint()
    return ()


def always(_: Consignment) -> bool:
    return True


async def plain(
    connection: Connection,
    consignments: Sequence[Consignment],
    intend: Intend,
    tell: Tell,
    more: More = nobody,
    still: Still = always,
) -> None:
    """One after the other, as long as the connection is good for another one."""
    for one in consignments:
        mailboxes = [Mailbox.parse(address) for address in one.roll.addresses]
        envelope = commands(one.letter, mailboxes, connection.extensions)

        async def about_to_end(positions: Sequence[int], one: Consignment = one) -> None:
            accepted = picked(one.roll, positions)
            await intend([(one, accepted)])
            one.end(accepted, trio.current_time())

        try:
            done = await transact(connection, envelope, one.letter.end_of_data, about_to_end)
        except trio.Cancelled:
            _tell_interrupted(connection, one, tell)
            raise
        if not tell([(one, done)]) or not connection.usable:
            return


def _tell_interrupted(connection: Connection, one: Consignment, tell: Tell) -> None:
    """We were stopped in the middle (P2): what the precedence rule says of those whose end was on its way."""
    if one.ending is None:
        return
    outcome = judge_content(connection.interrupted)
    if outcome.reply is not None or outcome.fate is Fate.IN_DOUBT:
        one.only(one.ending)
        tell([(one, all_alike(outcome, len(one.ending)))])


async def riding(
    connection: Connection,
    consignments: Sequence[Consignment],
    intend: Intend,
    tell: Tell,
    more: More = nobody,
    still: Still = always,
) -> None:
    """Each envelope behind the end of the message before, as long as all goes well and there are `more`."""
    queue: deque[Consignment] = deque()
    going_on = True
    open_: Open | None = None
    while open_ is not None or going_on:
        if going_on and not queue:
            coming, consignments = consignments or await more(), ()
            going_on = bool(coming)
            if coming:
                await intend([(one, one.roll) for one in coming])
                queue.extend(coming)
        one = _next_of(queue, still) if going_on else None
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
            flight = await connection.exchange(sent)
        except trio.Cancelled:
            if open_ is not None:
                _tell_interrupted(connection, open_[0], tell)
            raise
        replies = flight.replies
        if open_ is not None:
            # the content is the first thing that was sent, and its reply the first that came
            ended, replies = Flight(replies[:1], flight.sent > 0, flight.failure), replies[1:]
            outcome = judge_content(ended)
            going_on = tell([(open_[0], ended_with(outcome, open_[1]))]) and going_on
        open_ = None
        if one is not None:
            open_ = await _opened(connection, one, replies, flight, tell, reset=len(sent) > 1)
            if open_ is None:
                return


def _next_of(queue: deque[Consignment], still: Still) -> Consignment | None:
    """Asked last: it may be long since the queue was filled (H3)."""
    while queue:
        if still(one := queue.popleft()):
            return one
    return None


async def _opened(
    connection: Connection,
    one: Consignment,
    replies: tuple[Reply, ...],
    flight: Flight,
    tell: Tell,
    *,
    reset: bool,
) -> Open | None:
    """What the answers to the envelope mean: an open transaction whose content is due, or its end."""
    count = one.paths.recipients
    if reset and replies and not replies[0].positive:
        connection.abandon()  # X16: whoever stands behind it goes again
        tell([(one, all_alike(lost(flight, Stage.RSET), count, unheard=True))])
        return None
    if len(replies) <= reset and flight.failure is not None:
        # the end of data before it was answered: what stood behind that may have been thrown away (X9)
        silent = bool(flight.replies) and isinstance(flight.failure, ReplyTimeout)
        unheard = all_alike(lost(flight, Stage.MAIL), count, unheard=True)
        tell([(one, unheard._replace(fell_silent=silent))])
        return None
    answered = Flight(replies[reset:], flight.handed_over, flight.failure)
    verdict = judge_envelope(count, answered)
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
    tell([(one, Transacted(fates, fell_silent=isinstance(flight.failure, ReplyTimeout)))])
    return None


async def whole(
    connection: Connection,
    consignments: Sequence[Consignment],
    intend: Intend,
    tell: Tell,
    more: More = nobody,
    still: Still = always,
) -> None:
    """All of them in one breath."""
    await intend([(one, one.roll) for one in consignments])
    now = trio.current_time()
    for one in consignments:
        one.end(one.roll, now)
    extensions = connection.extensions
    sized = extensions.announces_size
    messages = [
        Whole(
            one.letter.reverse_path,
            one.paths,
            one.letter.pieces,
            one.letter.size if sized else None,
            needs_smtputf8(one.letter, one.paths),
            reset=number > 0,
        )
        for number, one in enumerate(consignments)
    ]
    try:
        flight = await connection.exchange(messages)
    except trio.Cancelled:
        flight = connection.interrupted
        tell(_known_of(consignments, judge_wholes(messages, flight)))
        raise
    judged = judge_wholes(messages, flight)
    if any(done.against_protocol for done in judged):
        connection.abandon()
    tell(list(zip(consignments, judged, strict=True)))
    if flight.failure is None and not connection.usable:
        await _reset(connection)


def _known_of(
    consignments: Sequence[Consignment], judged: Sequence[Transacted]
) -> list[tuple[Consignment, Transacted]]:
    """What is known for sure although we were stopped."""
    known = []
    for one, done in zip(consignments, judged, strict=True):
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


def needs_smtputf8(letter: Letter, paths: Paths) -> bool:
    path = letter.reverse_path
    return paths.smtputf8 or letter.smtputf8 or (path is not None and path.smtputf8)


def picked(roll: Roll, positions: Sequence[int]) -> Roll:
    """Those at `positions`, which ascend."""
    return roll if len(positions) == len(roll) else roll.pick(positions)
