"""One transaction: the commands of its envelope, what its answers mean for each recipient, how it is done

All but `transact` is pure. `commands` says what one flight sends; `judge_envelope` and `judge_content` turn
what came back, or did not, into a disposition for every recipient, by the precedence rule of the fault
catalogue: who was not refused, whose last octet was handed to the kernel and who got no well-formed final
reply is in doubt; with fewer octets handed over he is simply not delivered yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bulkmail.delivery.classify import classify, refusals
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.replies import Table
from bulkmail.delivery.work import Letter, Roll
from bulkmail.errors import ReplyTimeout
from bulkmail.smtp import Command, Data, EndOfData, Extensions, Mail, Mailbox, Rcpt, Rset
from bulkmail.transport.connection import Connection
from bulkmail.transport.flight import Flight
from bulkmail.transport.stage import Stage

LONE_DOT = b".\r\n"


class Transacted(NamedTuple):
    """What one transaction brought: a disposition for each recipient, in order.

    `unheard`: the conversation ended before anything of it was answered. `fell_silent`: the first of the
    envelope was answered, and then nothing any more in all the time there is for an answer. `no_chunking`:
    BDAT was refused as such (X12). `astray`: so what is answered to messages in flight behind it may be the
    answer to something else. `against_protocol`: what was answered makes no sense, and the connection is
    not to be used again.
    """

    fates: tuple[Disposition, ...]
    unheard: bool = False
    fell_silent: bool = False
    no_chunking: bool = False
    against_protocol: bool = False
    astray: bool = False

    same: Disposition | None = None  # what is known to have become of all of them


def all_alike(
    fate: Disposition, count: int, *, unheard: bool = False, against_protocol: bool = False
) -> Transacted:
    """The same became of all `count` of them."""
    return Transacted((fate,) * count, unheard, against_protocol=against_protocol, same=fate)


def ended_with(outcome: Disposition, fates: Sequence[Disposition | None]) -> Transacted:
    """`outcome` for those who waited for the end of data, None in `fates`."""
    if fates.count(None) == len(fates):
        return all_alike(outcome, len(fates))
    return Transacted(tuple([outcome if fate is None else fate for fate in fates]))


class EnvelopeVerdict(NamedTuple):
    """`fates[i]` is None for a recipient who waits for the end of data. `go`: content may follow.

    `lone_dot`: 354 was given though nobody is left to send to; only a lone dot may follow (RFC 2920
    section 3.1), and whatever it is answered, nobody was delivered to.
    """

    fates: tuple[Disposition | None, ...]
    go: bool
    lone_dot: bool


def commands(letter: Letter, forward_paths: Sequence[Mailbox], extensions: Extensions) -> list[Command]:
    """MAIL, RCPT … RCPT, DATA: one flight (RFC 2920). SIZE (RFC 1870) and SMTPUTF8 (RFC 6531) where due."""
    parameters: list[tuple[str, str | None]] = []
    if extensions.announces_size:
        parameters.append(("SIZE", str(letter.size)))
    if letter.needs_smtputf8 or any(path.smtputf8 for path in forward_paths):
        parameters.append(("SMTPUTF8", None))
    return [
        Mail(letter.reverse_path, tuple(parameters)),
        *(Rcpt(path) for path in forward_paths),
        Data(),
    ]


def unsendable(letter: Letter, path: Mailbox, extensions: Extensions) -> Disposition | None:
    """Why this exchanger cannot take the letter for `path` at all (X10, X11), or None. Asked before MAIL.

    What is too large for it bounces, as its own 552 would: SIZE is a promise (RFC 1870 section 4). It is
    this exchanger's alone, so others are still offered the letter.
    """
    size = letter.size
    if not extensions.smtputf8 and (path.smtputf8 or letter.needs_smtputf8):
        whose = "the address" if path.smtputf8 else "an address in the message (reverse-path, From, To)"
        note = f"{whose} needs SMTPUTF8 and the exchanger does not offer it (RFC 6531)"
        return Disposition(
            Fate.BOUNCED, Scope.RECIPIENT, Stage.MAIL, note=note, enhanced="5.6.7", meaning=Meaning.PROTOCOL
        )
    if extensions.size is not None and size > extensions.size:
        note = (
            f"the message has {size:,} octets and this exchanger takes {extensions.size:,} (SIZE, RFC 1870): "
            "too large for whoever is behind it, which says nothing of other sites"
        )
        return Disposition(
            Fate.BOUNCED, Scope.MESSAGE, Stage.MAIL, note=note, enhanced="5.3.4", meaning=Meaning.PROTOCOL
        )
    return None


def addressed(
    letter: Letter, roll: Roll, extensions: Extensions
) -> tuple[list[int], list[tuple[int, Disposition]]]:
    """Positions in `roll` to which the letter can be sent here; the others, with the reason."""
    sendable: list[int] = []
    refused: list[tuple[int, Disposition]] = []
    for position, address in enumerate(roll.addresses):
        refusal = unsendable(letter, Mailbox.parse(address), extensions)
        if refusal is None:
            sendable.append(position)
        else:
            refused.append((position, refusal))
    return sendable, refused


def lost(flight: Flight, stage: Stage, fate: Fate = Fate.DEFERRED, table: Table | None = None) -> Disposition:
    """The disposition of whoever was unanswered when the conversation ended."""
    why = str(flight.failure) if flight.failure is not None else "the conversation ended"
    last = flight.replies[-1] if flight.replies else None
    if last is not None and last.code == 421:
        goodbye = classify(stage, last, flight.host, table)
        return goodbye._replace(fate=fate, scope=Scope.SESSION, about_us=False)
    return Disposition(fate, Scope.SESSION, stage, None, why, meaning=Meaning.NETWORK)


def judge_envelope(count: int, flight: Flight, table: Table | None = None) -> EnvelopeVerdict:
    """What the answers to MAIL, `count` × RCPT and DATA mean. `flight.replies` may be fewer than those.

    Refusals are read in `table`, here and below, or else in ours.
    """
    replies = flight.replies
    if not replies:
        return EnvelopeVerdict((lost(flight, Stage.MAIL, table=table),) * count, go=False, lone_dot=False)
    data = replies[count + 1] if len(replies) > count + 1 else None
    # behind a conversation that has ended nothing can follow, whatever was given before
    given = data is not None and data.code == 354 and flight.failure is None
    if not replies[0].positive:
        # the reply to MAIL is everybody's verdict, whatever the rest was answered (X3)
        refused = classify(Stage.MAIL, replies[0], flight.host, table)
        nobody = not any(reply.positive for reply in replies[1 : count + 1])
        return EnvelopeVerdict((refused,) * count, go=False, lone_dot=given and nobody)
    fates = refusals(Stage.RCPT, replies[1 : count + 1], flight.host, table)
    accepted = fates.count(None)
    if not accepted:
        # "too many" cannot be meant of nobody: then it is a deferral like any other (X5)
        fates = [without_again(fate) for fate in fates]
    fates.extend([lost(flight, Stage.RCPT, table=table)] * (count - len(fates)))
    if given:
        return EnvelopeVerdict(tuple(fates), go=accepted > 0, lone_dot=accepted == 0)
    if accepted:
        # a refusal of DATA concerns those accepted until then (X6)
        said = data is not None and not data.intermediate
        verdict = lost(flight, Stage.DATA, table=table)
        if data and said:
            verdict = classify(Stage.DATA, data, flight.host, table)
        fates = [verdict if fate is None else fate for fate in fates]
    return EnvelopeVerdict(tuple(fates), go=False, lone_dot=False)


def without_again(fate: Disposition | None) -> Disposition | None:
    """A refusal that was not of too many, for nobody was accepted."""
    if fate is None or fate.fate is not Fate.AGAIN:
        return fate
    return fate._replace(fate=Fate.DEFERRED, about_us=False)


def judge_content(flight: Flight, table: Table | None = None) -> Disposition:
    """What became of all who were accepted, once the end of data was sent as far as it went."""
    if flight.replies:
        return classify(Stage.END_OF_DATA, flight.replies[0], flight.host, table)
    if flight.handed_over:
        return lost(flight, Stage.END_OF_DATA, Fate.IN_DOUBT, table)
    return lost(flight, Stage.END_OF_DATA, table=table)


def trouble_of(fates: Sequence[Disposition]) -> Disposition | None:
    """What speaks against the next transaction with this host, or None: it would fare no worse than any.

    A conversation that ended or may not go on; or a refusal of ourselves that left nobody to deliver to,
    for the next recipients would be refused for the same reason, one after the other.
    """
    if any(fate.fate is Fate.DELIVERED for fate in fates):
        return None
    for fate in fates:
        if fate.fate in (Fate.DEFERRED, Fate.IN_DOUBT) and fate.scope in (Scope.SESSION, Scope.SITE):
            return fate
    return fates[0] if all(fate.about_us for fate in fates) else None


async def exchange_envelope(connection: Connection, envelope: list[Command]) -> Flight:
    """In one flight; without PIPELINING in three steps, each only if the one before left it a meaning."""
    if connection.extensions.pipelining and not connection.lockstep:
        return await connection.exchange(envelope)
    mail, *recipients, data = envelope
    flight = await connection.exchange([mail])
    before = 1
    for step in (recipients, [data]):
        if flight.failure is not None or not any(reply.positive for reply in flight.replies[-before:]):
            break
        before = len(step)
        more = await connection.exchange(step)
        flight = Flight((*flight.replies, *more.replies), more.handed_over, more.failure, host=flight.host)
    return flight


async def transact(
    connection: Connection,
    envelope: list[Command],
    content: EndOfData,
    about_to_end: Callable[[Sequence[int]], Awaitable[None]],
    table: Table | None = None,
) -> Transacted:
    """Carry out one transaction: `envelope` in one flight, then the end of data if anybody accepted it.

    `about_to_end` is awaited with the positions of those accepted, before the first octet of the content;
    what it raises ends the transaction there. The connection is left idle, or closed.
    """
    count = len(envelope) - 2
    flight = await exchange_envelope(connection, envelope)
    if flight.failure is not None and not flight.replies:
        return Transacted((lost(flight, Stage.MAIL, table=table),) * count, unheard=True)
    fell_silent = isinstance(flight.failure, ReplyTimeout)
    verdict = judge_envelope(count, flight, table)
    fates = verdict.fates
    if verdict.go:
        await about_to_end([position for position, fate in enumerate(fates) if fate is None])
        outcome = judge_content(await connection.exchange([content]), table)
        fates = tuple(outcome if fate is None else fate for fate in fates)
    elif verdict.lone_dot:
        await connection.exchange([EndOfData(LONE_DOT)])
        connection.abandon()
    elif len(flight.replies) > count + 1 and flight.replies[-1].intermediate:
        connection.abandon()  # 354 in spite of a refused MAIL: without a dot nothing is delivered
    elif flight.failure is None and not connection.usable:
        # a transaction that ended before its content is still open (RFC 5321 section 4.1.1.5)
        reset = await connection.exchange([Rset()])
        if not (reset.replies and reset.replies[0].positive):
            connection.abandon()  # X16
    return Transacted(tuple(fate for fate in fates if fate is not None), fell_silent=fell_silent)
