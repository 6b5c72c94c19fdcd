"""Replies to transactions in one breath: each finds its place, wherever it is cut, whatever class it has."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_clients import ANN, EVERYTHING, MESSAGE, ready
from smtp_strategies import cuts

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp import ClientProtocol, EndOfData, Envelope, Mail, Rset, Whole, paths_of

TWO = paths_of(["bob@a.test", "cat@a.test"])
WHOLE = Whole(ANN, TWO, (b"hello\r\n",))
ENVELOPE = Envelope(ANN, TWO)
Said = Whole | Envelope | EndOfData


def wire(*codes: int) -> bytes:
    return b"".join(b"%d text\r\n" % code for code in codes)


class Heard:
    """What a client makes of `pieces` after it said `said`: all of it, so that two can be compared."""

    def __init__(self, client: ClientProtocol, said: list[Said], pieces: list[bytes]) -> None:
        for one in said:
            client.send(one)
        asked = client.unanswered
        self.client = client
        self.answers: list[tuple[int, int]] = []  # which of `said`, and the code
        for piece in pieces:
            try:
                for answer in client.receive(piece):
                    place = next(at for at, one in enumerate(asked) if one is answer.command)
                    self.answers += [(place, reply.code) for reply in answer.replies]
            except RemoteProtocolError:
                break
        self.failure = client.failure

    @property
    def codes(self) -> list[int]:
        return [code for _, code in self.answers]

    @property
    def summary(self) -> tuple[object, ...]:
        client = self.client
        return self.answers, self.failure is None, client.closing, client.idle, len(client.unanswered)


def client_with(first: bool) -> ClientProtocol:
    """Ready; or owing content, so that something rides behind the end of data."""
    client = ready(*EVERYTHING)
    if not first:
        client.send(ENVELOPE)
        client.receive(wire(250, 250, 250, 354))
    return client


def in_flight(*, whole: int, riding: bool) -> tuple[ClientProtocol, list[Said]]:
    if riding:
        return client_with(False), [MESSAGE, ENVELOPE._replace(reset=True)]
    return client_with(True), [WHOLE._replace(reset=number > 0) for number in range(whole)]


# Mostly what is expected; everything else, now and then.
likely = st.sampled_from((250, 250, 250, 250, 550, 451, 354, 221, 421, 503))


@given(st.data(), st.integers(1, 3), st.booleans())
def test_replies_mean_the_same_however_they_are_cut(data: st.DataObject, count: int, riding: bool) -> None:
    """G2, G8, X15: also what stands before a violation, and behind a 421."""
    octets = wire(*data.draw(st.lists(likely, max_size=16)))
    octets += data.draw(
        st.sampled_from((b"", b"", b"250 o", b"<html>\r\n", b"999 well\r\n", b"250-\r\n550 \r\n"))
    )
    at_once = Heard(*in_flight(whole=count, riding=riding), [octets])
    cut = Heard(*in_flight(whole=count, riding=riding), data.draw(cuts(octets)))
    assert at_once.summary == cut.summary


def good(one: Whole | Envelope) -> list[int]:
    """The replies to it where all goes well."""
    return [250] * (one.replies - 1) + [250 if isinstance(one, Whole) else 354]


ONES = [kind._replace(reset=reset) for kind, reset in product((WHOLE, ENVELOPE), (False, True))]
PLACES = [(one, place) for one in ONES for place in range(one.replies)]


def answered(one: Whole | Envelope, *codes: int) -> Heard:
    return Heard(client_with(True), [one], [wire(*codes)])


@pytest.mark.parametrize("one", ONES)
def test_all_good_replies_end_it_well(one: Whole | Envelope) -> None:
    heard = answered(one, *good(one))
    assert (heard.codes, heard.failure, heard.client.unanswered) == (good(one), None, ())
    assert heard.client.idle == isinstance(one, Whole)


@pytest.mark.parametrize("code", [450, 451, 550, 503])
@pytest.mark.parametrize(("one", "place"), PLACES)
def test_a_refusal_anywhere_is_an_answer_and_rset_makes_it_clean(
    one: Whole | Envelope, place: int, code: int
) -> None:
    """X1, X3, X6, X12; X16 where it is RSET that was refused."""
    codes = good(one)
    codes[place] = code
    heard = answered(one, *codes)
    client = heard.client
    assert (heard.codes, heard.failure, client.unanswered) == (codes, None, ())
    if one.reset and place == 0:
        assert (client.closing, client.idle) == (True, False)
        with pytest.raises(LocalProtocolError):
            client.send(Rset())
        return
    assert not client.closing
    if codes[-1] == 354:  # a dot is owed, whatever was refused before (X2, X3)
        client.send(EndOfData(b".\r\n"))
        client.receive(wire(554))
    elif not client.idle:
        with pytest.raises(LocalProtocolError):
            client.send(Mail(ANN))
        client.send(Rset())
        client.receive(wire(250))
    assert client.idle


@pytest.mark.parametrize(("one", "place"), PLACES)
def test_a_refused_transaction_never_looks_clean(one: Whole | Envelope, place: int) -> None:
    """X17: only where MAIL, a recipient and the content were accepted is the transaction known to be over."""
    codes = good(one)
    codes[place] = 550
    refused = place == one.reset or place == one.replies - 1  # MAIL, or the last
    assert answered(one, *codes).client.idle == (
        isinstance(one, Whole) and not refused and not (one.reset and place == 0)
    )


def test_where_every_recipient_was_refused_even_a_250_does_not_make_it_clean() -> None:
    """X2, X17."""
    assert [answered(WHOLE, 250, 550, 550, last).client.idle for last in (250, 503)] == [False, False]


@pytest.mark.parametrize(("one", "place"), PLACES)
def test_a_421_anywhere_is_the_last_answer_that_counts(one: Whole | Envelope, place: int) -> None:
    """G2."""
    heard = answered(one, *good(one)[:place], 421)
    client = heard.client
    assert (heard.codes, heard.failure, client.closing, client.idle) == (
        [*good(one)[:place], 421],
        None,
        True,
        False,
    )
    with pytest.raises(LocalProtocolError):
        client.send(Rset())


@pytest.mark.parametrize(("one", "place"), PLACES)
def test_what_stands_behind_a_421_opens_nothing_again(one: Whole | Envelope, place: int) -> None:
    """G2."""
    heard = answered(one, *good(one)[:place], 421, *good(one)[place + 1 :])
    assert (heard.client.closing, heard.client.idle) == (True, False)
    for command in (Mail(ANN), Rset(), WHOLE._replace(reset=True)):
        with pytest.raises(LocalProtocolError):
            heard.client.send(command)


@pytest.mark.parametrize("code", [334, 354])
@pytest.mark.parametrize(
    ("one", "place"), [(one, at) for one, at in PLACES if isinstance(one, Whole) or at < one.replies - 1]
)
def test_a_3yz_that_cannot_stand_there_is_a_violation_and_what_came_before_is_kept(
    one: Whole | Envelope, place: int, code: int
) -> None:
    """X15: a refused recipient stays refused, whatever comes after."""
    before = [550 if at == one.reset + 1 else 250 for at in range(place)]
    heard = answered(one, *before, code, 250)
    assert (heard.codes, heard.failure is not None, heard.client.idle) == (before, True, False)


@pytest.mark.parametrize("reset", [False, True])
def test_a_2yz_to_data_is_a_violation(reset: bool) -> None:
    """G8: the host has lost its place."""
    heard = answered(ENVELOPE._replace(reset=reset), *[250] * (4 + reset))
    assert (heard.codes, heard.failure is not None) == ([250] * (3 + reset), True)


@pytest.mark.parametrize("one", ONES)
def test_one_reply_too_many_is_a_violation_and_the_answers_are_kept(one: Whole | Envelope) -> None:
    """G8."""
    heard = answered(one, *good(one), 250)
    assert (heard.codes, heard.failure is not None, heard.client.idle) == (good(one), True, False)


@pytest.mark.parametrize(("one", "place"), PLACES)
def test_too_few_replies_leave_it_unanswered(one: Whole | Envelope, place: int) -> None:
    """G8."""
    heard = answered(one, *good(one)[:place])
    assert (heard.codes, heard.failure, heard.client.idle) == (good(one)[:place], None, False)
    assert heard.client.unanswered == (one,)


@pytest.mark.parametrize(
    "nonsense", [b"199 hm\r\n", b"600 well\r\n", b"OK\r\n", b"2 5 0\r\n", b"250-a\r\n550 b\r\n", b"\xff\r\n"]
)
@pytest.mark.parametrize(("one", "place"), PLACES)
def test_what_is_no_reply_is_no_answer_and_what_came_before_is_kept(
    one: Whole | Envelope, place: int, nonsense: bytes
) -> None:
    """X15, G5."""
    heard = Heard(client_with(True), [one], [wire(*good(one)[:place]) + nonsense])
    assert (heard.codes, heard.failure is not None) == (good(one)[:place], True)


@pytest.mark.parametrize("refused", range(3))
def test_a_refused_message_in_the_middle_leaves_the_others_their_own_answers(refused: int) -> None:
    """X17: each reply finds its message, and the last one decides whether the conversation is clean."""
    said: list[Said] = [WHOLE._replace(reset=number > 0) for number in range(3)]
    codes = [[250] * (number > 0) + [250, 550, 250, 250] for number in range(3)]
    codes[refused][-4:] = [550, 503, 503, 503]
    heard = Heard(client_with(True), said, [wire(*(code for message in codes for code in message))])
    expected = [(number, code) for number, message in enumerate(codes) for code in message]
    assert (heard.answers, heard.client.idle) == (expected, refused != 2)
