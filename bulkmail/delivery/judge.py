"""What the answers to whole messages mean for each of their recipients, those that were in flight together.

Pure, as `judge_envelope` and `judge_content` of `transaction` are, and by the same precedence rule.
"""

from __future__ import annotations

from collections.abc import Sequence

from bulkmail.delivery.classify import classify, refusals
from bulkmail.delivery.disposition import Disposition, Fate, Scope
from bulkmail.delivery.meaning import Meaning
from bulkmail.delivery.replies import Table
from bulkmail.delivery.transaction import Transacted, all_alike, lost, without_again
from bulkmail.errors import ReplyTimeout
from bulkmail.smtp import Reply, Whole
from bulkmail.transport.flight import Flight
from bulkmail.transport.stage import Stage

# What says that BDAT itself is not understood, whatever was announced (X12).
NOT_UNDERSTOOD = frozenset({500, 501, 502, 503, 504})
UNKNOWN = (500, 502)


def judge_wholes(
    messages: Sequence[Whole],
    flight: Flight,
    before: Transacted | None = None,
    table: Table | None = None,
) -> list[Transacted]:
    """A Transacted for each of `messages`, of which the flight tells; refusals read in `table`, or in ours.

    `before`: of the message in front of them, if they were in flight together with it.
    """
    replies, start = flight.replies, 0
    judged = []
    astray = before is not None and before.astray
    if flight.smooth and not astray:
        said, taken = replies[0], classify(Stage.END_OF_DATA, replies[0])
        for message in messages:
            start += message.replies
            if replies[start - 1] is not said:
                said = replies[start - 1]
                taken = classify(Stage.END_OF_DATA, said)
            judged.append(Transacted((taken,) * message.paths.recipients, same=taken))
        return judged
    heard = before is not None or bool(replies)
    for number, message in enumerate(messages):
        end = start + message.replies
        sent = number < flight.sent
        done = judge_whole(message, replies[start:end], flight, handed_over=sent, table=table)
        if heard and start <= len(replies) < end - 1 and isinstance(flight.failure, ReplyTimeout):
            done = done._replace(fell_silent=True)  # here, and it is not the content that took so long
        if astray:
            done = done._replace(fates=tuple(map(_disbelieved, done.fates)), same=None)
        # where BDAT is unknown its octets may be read as commands, and what follows then answers those
        astray = astray or done.no_chunking or (end <= len(replies) and replies[end - 1].code in UNKNOWN)
        judged.append(done._replace(astray=True) if astray else done)
        start = end
    return judged


def _disbelieved(fate: Disposition) -> Disposition:
    """A success behind a BDAT that was not understood may be the answer to something else (X12, G8)."""
    return fate._replace(fate=Fate.IN_DOUBT) if fate.fate is Fate.DELIVERED else fate


def judge_whole(
    message: Whole,
    replies: Sequence[Reply],
    flight: Flight,
    *,
    handed_over: bool,
    table: Table | None = None,
) -> Transacted:
    """`replies`: those to this message, fewer where the conversation ended in it or before it.

    The precedence rule of the fault catalogue: who was not refused and whose message was handed over whole is
    in doubt without a final reply; unless a 421 was said, for what stands behind that was not processed.
    """
    count = message.paths.recipients
    if message.reset and replies:
        reset, replies = replies[0], replies[1:]
        if not reset.positive and replies and not (replies[0].positive or replies[-1].positive):
            # the refused RSET is why (X16): this says nothing of anybody, who go again elsewhere
            return all_alike(lost(flight, Stage.RSET, table=table), count, unheard=True)
    if len(replies) == count + 2 and all(reply.positive for reply in replies):
        return all_alike(classify(Stage.END_OF_DATA, replies[-1]), count)
    dismissed = bool(flight.replies) and flight.replies[-1].code == 421
    doubtful = handed_over and not dismissed
    stage, fate = (Stage.END_OF_DATA, Fate.IN_DOUBT) if doubtful else (Stage.MAIL, Fate.DEFERRED)
    unanswered = lost(flight, stage, fate, table)
    if not replies:
        return all_alike(unanswered, count, unheard=not doubtful)
    final = replies[count + 1] if len(replies) == count + 2 else None
    if not replies[0].positive:
        return _under_refused_mail(count, replies[0], final, flight.host, table)
    fates = refusals(Stage.RCPT, replies[1 : count + 1], flight.host, table)
    accepted = fates.count(None)
    if not accepted:
        fates = [without_again(fate) for fate in fates]
    fates.extend([unanswered] * (count - len(fates)))
    no_chunking = final is not None and accepted > 0 and _not_understood(final)
    if final is None:
        outcome = unanswered
    elif no_chunking:
        note = "BDAT is not understood"
        outcome = Disposition(Fate.AGAIN, Scope.MESSAGE, Stage.DATA, final, note, meaning=Meaning.PROTOCOL)
    else:
        outcome = classify(Stage.END_OF_DATA, final, flight.host, table)
    return Transacted(tuple([outcome if fate is None else fate for fate in fates]), no_chunking=no_chunking)


def _under_refused_mail(
    count: int, mail: Reply, final: Reply | None, host: str, table: Table | None
) -> Transacted:
    """X3: the reply to MAIL is everybody's verdict; should the message be taken all the same, it is that."""
    if final is not None and final.positive:
        note = f"although MAIL was answered {mail.text}"
        taken = Disposition(Fate.DELIVERED, Scope.MESSAGE, Stage.END_OF_DATA, final, note)
        return all_alike(taken, count, against_protocol=True)
    return all_alike(classify(Stage.MAIL, mail, host, table), count)


def _not_understood(final: Reply) -> bool:
    said = final.enhanced
    return final.code in NOT_UNDERSTOOD and (said is None or said.subject == 5)
