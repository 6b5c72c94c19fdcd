"""What the answers to whole messages in one breath mean for each recipient of each: pure, so tables."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.delivery.disposition import Disposition, Fate
from bulkmail.delivery.judge import judge_wholes
from bulkmail.errors import ConnectionLost, ConversationEnded, RemoteProtocolError, ReplyTimeout
from bulkmail.smtp import Mailbox, Reply, Whole, paths_of
from bulkmail.transport.flight import Flight

LOST = ConnectionLost("the connection was closed")
SILENT = ReplyTimeout("timed out waiting for the reply to the end of data")
NONSENSE = RemoteProtocolError("not an SMTP reply: <html>")
GOODBYE = ConnectionLost("the host is closing: 421 text")
TOO_MANY = Reply.of(452, "no more", enhanced="4.5.3")

B, D, T = Fate.BOUNCED, Fate.DEFERRED, Fate.DELIVERED
DOUBT, AGAIN = Fate.IN_DOUBT, Fate.AGAIN
Code = int | Reply


def whole(recipients: int, *, reset: bool = False) -> Whole:
    paths = paths_of([f"p{number}@a.test" for number in range(recipients)])
    return Whole(Mailbox.parse("news@acme.test"), paths, (b"hello\r\n",), reset=reset)


def flight(*codes: Code, failure: ConversationEnded | None = None, sent: int = 1) -> Flight:
    replies = tuple(code if isinstance(code, Reply) else Reply.of(code, "text") for code in codes)
    return Flight(replies, sent > 0, failure, sent)


def fates(dispositions: Sequence[Disposition]) -> list[Fate]:
    return [one.fate for one in dispositions]


# --- one message of three recipients -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("story", "came", "expected"),
    [
        ("all taken", flight(250, 250, 250, 250, 250), [T, T, T]),
        ("X1: three verdicts", flight(250, 250, 451, 550, 250), [T, D, B]),
        ("X2: nobody accepted", flight(250, 550, 451, 550, 503), [B, D, B]),
        ("X2: nobody accepted, the chunk taken all the same", flight(250, 550, 550, 550, 250), [B, B, B]),
        ("X3: MAIL refused is everybody's", flight(550, 503, 503, 503, 503), [B, B, B]),
        ("X3: MAIL refused for now", flight(451, 503, 503, 503, 503), [D, D, D]),
        ("X3: MAIL refused, recipients accepted", flight(550, 250, 250, 250, 554), [B, B, B]),
        ("X3: MAIL refused, then closed", flight(550, failure=LOST), [B, B, B]),
        ("X3: taken all the same", flight(550, 503, 503, 503, 250), [T, T, T]),
        ("X4: 550 and then close", flight(250, 550, failure=LOST), [B, DOUBT, DOUBT]),
        ("X4: the same before all of it was sent", flight(250, 550, failure=LOST, sent=0), [B, D, D]),
        ("X5: too many, after one", flight(250, 250, TOO_MANY, TOO_MANY, 250), [T, AGAIN, AGAIN]),
        ("X5: too many, of nobody", flight(250, TOO_MANY, TOO_MANY, TOO_MANY, 503), [D, D, D]),
        ("X5: too many, and the rest refused", flight(250, 550, TOO_MANY, 550, 503), [B, D, B]),
        ("X6: the end refused concerns the accepted", flight(250, 250, 451, 550, 554), [B, D, B]),
        ("X6: for now", flight(250, 250, 451, 550, 452), [D, D, B]),
        ("X7: an error in mid-body", flight(250, 250, 250, 550, 552, failure=LOST, sent=0), [B, B, B]),
        ("X8: lost after the last octet", flight(250, 250, 250, 250, failure=LOST), [DOUBT] * 3),
        ("X8: lost before the last octet", flight(250, 250, 250, 250, failure=LOST, sent=0), [D, D, D]),
        ("X8: lost with nothing answered", flight(failure=LOST), [DOUBT] * 3),
        ("lost with nothing answered, nor sent", flight(failure=LOST, sent=0), [D, D, D]),
        ("X8: a reply that never comes", flight(250, 250, 451, 250, failure=SILENT), [DOUBT, D, DOUBT]),
        ("X8: only MAIL was answered", flight(250, failure=LOST), [DOUBT] * 3),
        ("X15: an ill-formed final reply", flight(250, 250, 550, 250, failure=NONSENSE), [DOUBT, B, DOUBT]),
        ("X15: an ill-formed reply to RCPT", flight(250, 550, failure=NONSENSE), [B, DOUBT, DOUBT]),
        ("G2: 421 to MAIL", flight(421, failure=GOODBYE), [D, D, D]),
        ("G2: 421 to a RCPT", flight(250, 250, 421, failure=GOODBYE), [D, D, D]),
        ("G2: 421 to a RCPT, one refused before", flight(250, 550, 421, failure=GOODBYE), [B, D, D]),
        ("G2: 421 to the end", flight(250, 250, 550, 250, 421, failure=GOODBYE), [D, B, D]),
        ("G8: one reply too few", flight(250, 250, 250, 250, failure=SILENT), [DOUBT] * 3),
        ("G8: thread lost, all was answered", flight(250, 250, 250, 550, 250, failure=NONSENSE), [T, T, B]),
    ],
)
def test_a_message_alone(story: str, came: Flight, expected: list[Fate]) -> None:
    (done,) = judge_wholes([whole(3)], came)
    assert fates(done.fates) == expected, story


def test_the_reply_to_rset_is_nobodys_verdict() -> None:
    """X16, G2: refused, the rest counts as if it had not been; a 421 ends it before the message."""
    message = whole(1, reset=True)
    (refused,) = judge_wholes([message], flight(500, 250, 250, 250))
    (dismissed,) = judge_wholes([message], flight(421, failure=GOODBYE))
    assert (fates(refused.fates), fates(dismissed.fates), dismissed.unheard) == ([T], [D], True)


@pytest.mark.parametrize("behind", [(503, 503, 503, 503), (550, 503, 503, 503), (503,)])
def test_where_rset_is_refused_and_so_is_everything_behind_it_they_go_again_uncharged(behind) -> None:
    """X16."""
    (done,) = judge_wholes([whole(2, reset=True)], flight(500, *behind))
    assert (fates(done.fates), done.unheard) == ([D, D], True)


def test_lost_after_rset_was_answered_the_message_is_in_doubt_if_it_was_sent() -> None:
    """X8."""
    (sent,) = judge_wholes([whole(2, reset=True)], flight(250, failure=LOST))
    (unsent,) = judge_wholes([whole(2, reset=True)], flight(250, failure=LOST, sent=0))
    assert (fates(sent.fates), fates(unsent.fates), unsent.unheard) == ([DOUBT, DOUBT], [D, D], True)


@pytest.mark.parametrize(
    ("final", "not_understood"),
    [
        (Reply.of(500, "command unrecognized"), True),
        (Reply.of(501, "syntax"), True),
        (Reply.of(502, "not implemented", enhanced="5.5.1"), True),
        (Reply.of(503, "bad sequence", enhanced="5.5.1"), True),
        (Reply.of(504, "no"), True),
        (Reply.of(500, "spam", enhanced="5.7.1"), False),
        (Reply.of(550, "no"), False),
        (Reply.of(554, "no", enhanced="5.5.1"), False),
        (Reply.of(451, "later"), False),
    ],
)
def test_bdat_refused_as_such_is_nobodys_verdict(final: Reply, not_understood: bool) -> None:
    """X12: DATA on a fresh transaction, for those who were accepted; who was refused is refused."""
    (done,) = judge_wholes([whole(2)], flight(250, 250, 550, final))
    assert (done.no_chunking, done.fates[0].fate is AGAIN, done.fates[1].fate) == (
        not_understood,
        not_understood,
        B,
    )


def test_where_nobody_was_accepted_a_503_to_bdat_says_nothing_of_bdat() -> None:
    """X12."""
    (done,) = judge_wholes([whole(2)], flight(250, 550, 550, Reply.of(503, "who?", enhanced="5.5.1")))
    assert (done.no_chunking, fates(done.fates)) == (False, [B, B])


def test_who_is_delivered_though_mail_was_refused_is_told_so_and_the_connection_is_done_with() -> None:
    """X3."""
    (done,) = judge_wholes([whole(1)], flight(Reply.of(550, "not you"), 503, 250))
    assert (done.against_protocol, "not you" in done.fates[0].note) == (True, True)


# --- several of one recipient each -------------------------------------------------------------------

OK, REFUSED, UNKNOWN = (250, 250, 250), (550, 503, 503), (250, 550, 503)
RSET = 250


def several(*transactions: Sequence[Code], **how: object) -> list[list[Fate]]:
    """Of three messages: `transactions` are the replies to MAIL, RCPT and BDAT of each, RSET in between."""
    codes: list[Code] = []
    for number, transaction in enumerate(transactions):
        codes += [RSET] * (number > 0 and len(transaction) > 0) + list(transaction)
    messages = [whole(1, reset=number > 0) for number in range(3)]
    came = flight(*codes, **({"sent": 3} | how))  # type: ignore[arg-type]
    return [fates(done.fates) for done in judge_wholes(messages, came)]


@pytest.mark.parametrize(
    ("story", "came", "how", "expected"),
    [
        ("all taken", (OK, OK, OK), {}, [T, T, T]),
        ("X17: MAIL refused in the middle", (OK, REFUSED, OK), {}, [T, B, T]),
        ("X17: RCPT refused in the middle", (OK, UNKNOWN, OK), {}, [T, B, T]),
        ("X17: content refused in the middle", (OK, (250, 250, 554), OK), {}, [T, B, T]),
        ("X8: lost in the middle", (OK, (250,)), {"failure": LOST}, [T, DOUBT, DOUBT]),
        ("X8: lost between two", (OK,), {"failure": LOST}, [T, DOUBT, DOUBT]),
        ("X8: the last was not sent whole", (OK,), {"failure": LOST, "sent": 2}, [T, DOUBT, D]),
        ("X8: one was sent whole", ((250,),), {"failure": LOST, "sent": 1}, [DOUBT, D, D]),
        ("X8: none was sent whole", ((250,),), {"failure": LOST, "sent": 0}, [D, D, D]),
        ("G2: 421 to the second MAIL", (OK, (421,)), {"failure": GOODBYE}, [T, D, D]),
        ("G2: 421 to the second end", (OK, (250, 250, 421)), {"failure": GOODBYE}, [T, D, D]),
        ("G2: 421 to the first end", ((250, 250, 421),), {"failure": GOODBYE}, [D, D, D]),
        ("X15: nonsense in the middle", (OK, (250, 550)), {"failure": NONSENSE}, [T, B, DOUBT]),
        ("X12: all of them refused as such", ((250, 250, 502),) * 3, {}, [AGAIN] * 3),
        ("X3: MAIL refused once, taken all the same", (OK, (550, 503, 250), OK), {}, [T, T, T]),
    ],
)
def test_messages_in_flight(
    story: str, came: tuple[tuple[Code, ...], ...], how: dict[str, object], expected: list[Fate]
) -> None:
    assert several(*came, **how) == [[fate] for fate in expected], story


def test_what_was_not_begun_is_unheard_and_what_is_in_doubt_is_not() -> None:
    """G9, X8: an unheard one goes again and is charged to nobody, so nobody in doubt may be it."""
    messages = [whole(1, reset=number > 0) for number in range(3)]
    lost = judge_wholes(messages, flight(250, 250, 250, failure=LOST, sent=2))
    dismissed = judge_wholes(messages, flight(250, 250, 250, 421, failure=GOODBYE, sent=3))
    assert [done.unheard for done in lost] == [False, False, True]
    assert [done.unheard for done in dismissed] == [False, True, True]


def test_behind_a_bdat_that_was_not_understood_no_success_is_believed() -> None:
    """X12, G8: its octets may have been read as commands, and then a 250 is the answer to something else."""
    unknown = Reply.of(500, "command unrecognized")
    # of a host that answers each of the five lines of a content with a 500; the replies as they come in
    came = [250, 250, unknown, *[unknown] * 5, RSET, 250, 250, unknown, *[unknown] * 5]
    messages = [whole(1, reset=number > 0) for number in range(4)]
    judged = judge_wholes(messages, flight(*came[: 3 + 3 * 4], sent=4))
    assert judged[0].no_chunking
    assert [T in fates(done.fates) for done in judged] == [False] * 4


# --- laws --------------------------------------------------------------------------------------------

codes = st.sampled_from((250, 250, 250, 250, 451, 550, 553, 554))


@given(st.data(), st.integers(1, 4), st.integers(1, 3))
def test_precedence(data: st.DataObject, count: int, recipients: int) -> None:
    """The rule of the fault catalogue, whatever was answered until the conversation ended."""
    messages = [whole(recipients, reset=number > 0) for number in range(count)]
    owed = sum(message.replies for message in messages)
    came = data.draw(st.lists(codes, max_size=owed))
    sent = data.draw(st.integers(0, count))
    dismissed = len(came) < owed and data.draw(st.booleans())
    if dismissed:
        came.append(421)
    failure = GOODBYE if dismissed else LOST if len(came) < owed else None
    judged = judge_wholes(messages, flight(*came, failure=failure, sent=sent if failure else count))
    start = 0
    for number, (message, done) in enumerate(zip(messages, judged, strict=True)):
        mine = came[start : start + message.replies]
        start += message.replies
        final = mine[-1] if len(mine) == message.replies else None
        said = mine[message.reset :]
        assert len(done.fates) == recipients
        for place, fate in enumerate(fates(done.fates)):
            rcpt = said[1 + place] if len(said) > 1 + place else None
            refused = (bool(said) and said[0] >= 300) or (rcpt is not None and rcpt >= 300)
            doubtful = final is None and not refused and number < sent and not dismissed
            assert (fate is DOUBT) == doubtful
            # nobody is delivered without a final 2yz, and whoever got one and was not refused is
            if fate is T:
                assert final == 250
            if final == 250 and not refused:
                assert fate is T
