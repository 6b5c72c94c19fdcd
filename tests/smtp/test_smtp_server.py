"""The server's half: order, content, chunks, bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_strategies import contents, cuts, mixtures

from bulkmail.errors import LocalProtocolError
from bulkmail.smtp import (
    AuthAbort,
    AuthResponse,
    Chunk,
    Command,
    Data,
    Ehlo,
    Mailbox,
    Message,
    Rcpt,
    Refused,
    Reply,
    ServerProtocol,
    State,
    stuff,
)

EXTENSIONS = ("PIPELINING", "8BITMIME", "CHUNKING", "STARTTLS", "SIZE 1000", "AUTH PLAIN LOGIN")
ENVELOPE = b"EHLO c.test\r\nMAIL FROM:<ann@a.test>\r\nRCPT TO:<bob@a.test>\r\n"
Event = Command | Message | Chunk | Refused

OK = Reply.of(250, "ok")
ANSWERS: dict[type, Reply] = {
    Data: Reply.of(354, "go"),
    Ehlo: Reply.of(250, "mx.test", *EXTENSIONS),
}


def greeted(**options: int) -> ServerProtocol:
    server = ServerProtocol(extensions=EXTENSIONS, **options)
    server.greet(Reply.of(220, "mx.test"))
    return server


def converse(server: ServerProtocol, *pieces: bytes) -> list[Event]:
    """Feed the pieces and answer every event as a friendly server does."""
    events: list[Event] = []
    for piece in pieces:
        server.receive_data(piece)
        while (event := server.next_event()) is not None:
            events.append(event)
            server.reply(event.reply if isinstance(event, Refused) else ANSWERS.get(type(event), OK))
    return events


def last(server: ServerProtocol, *pieces: bytes) -> Event:
    return converse(server, *pieces)[-1]


def refusal(event: Event) -> int | None:
    return event.reply.code if isinstance(event, Refused) else None


@given(
    contents.flatmap(
        lambda content: st.tuples(st.just(content), cuts(ENVELOPE + b"DATA\r\n" + stuff(content)))
    )
)
def test_data_arrives_as_it_was_sent_under_every_split(drawn: tuple[bytes, list[bytes]]) -> None:
    content, pieces = drawn
    assert last(greeted(), *pieces) == Message(content)


@given(
    st.lists(mixtures, min_size=1, max_size=4).flatmap(
        lambda chunks: st.tuples(st.just(chunks), cuts(ENVELOPE + encode_chunks(chunks)))
    )
)
def test_chunks_arrive_as_they_were_sent_under_every_split(drawn: tuple[list[bytes], list[bytes]]) -> None:
    chunks, pieces = drawn
    events = converse(greeted(), *pieces)
    assert events[3:] == [*(Chunk(len(chunk)) for chunk in chunks[:-1]), Message(b"".join(chunks))]


def encode_chunks(chunks: list[bytes]) -> bytes:
    first = b"".join(b"BDAT %d\r\n%b" % (len(chunk), chunk) for chunk in chunks[:-1])
    return first + b"BDAT %d LAST\r\n%b" % (len(chunks[-1]), chunks[-1])


@given(st.binary(max_size=200).flatmap(lambda data: cuts(b"EHLO c.test\r\n" + data + b"\r\nQUIT\r\n")))
def test_a_server_survives_any_bytes_and_answers_alike_under_every_split(pieces: list[bytes]) -> None:
    assert converse(greeted(), *pieces) == converse(greeted(), b"".join(pieces))


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (b"MAIL FROM:<>\r\n", 503),
        (b"EHLO c\r\nRCPT TO:<a@b.c>\r\n", 503),
        (b"EHLO c\r\nDATA\r\n", 503),
        (b"EHLO c\r\nMAIL FROM:<>\r\nDATA\r\n", 554),
        (b"EHLO c\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\n", 503),
        (ENVELOPE + b"BDAT 1\r\nxDATA\r\n", 503),
        (ENVELOPE + b"BDAT 1\r\nxRCPT TO:<a@b.c>\r\n", 503),
        (ENVELOPE + b"STARTTLS\r\n", 503),
        (ENVELOPE + b"AUTH PLAIN\r\n", 503),
        (b"HELO c\r\nSTARTTLS\r\n", 502),
        (b"HELO c\r\nMAIL FROM:<> BODY=8BITMIME\r\n", 555),
        (b"EHLO c\r\nMAIL FROM:<> SIZE=1001\r\n", 552),
        (b"EHLO c\r\nMAIL FROM:<> SMTPUTF8\r\n", 555),
        ("EHLO c\r\nMAIL FROM:<ü@a.test>\r\n".encode(), 553),
        (b"EHLO c\r\nMAIL FROM:<> X=1\r\n", 555),
        (b"NONSENSE\r\n", 500),
        (b"EHLO c\nMAIL FROM:<>\r\n", 500),
        (b"EHLO c\r\n" + b"x" * 20000 + b"\r\n", 500),
    ],
)
def test_what_is_out_of_order_or_unknown_is_refused(script: bytes, code: int) -> None:
    assert refusal(last(greeted(), script)) == code


@pytest.mark.parametrize("end", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r.\r\n"])
def test_only_crlf_dot_crlf_ends_the_data(end: bytes) -> None:
    """I2: CVE-2023-51764."""
    script = ENVELOPE + b"DATA\r\nhello" + end + b"MAIL FROM:<evil@a.test>\r\n.\r\n"
    messages = [event for event in converse(greeted(), script) if isinstance(event, Message)]
    assert [b"evil" in message.content for message in messages] == [True]


def test_a_354_to_a_data_without_recipients_is_owed_a_dot() -> None:
    """X2: whoever plays a bad server may answer a refusal otherwise."""
    server = greeted()
    converse(server, b"EHLO c\r\nMAIL FROM:<>\r\n")
    server.receive_data(b"DATA\r\n.\r\n")
    event = server.next_event()
    assert isinstance(event, Refused)
    assert event.command == Data()
    server.reply(Reply.of(354, "go"))
    assert server.next_event() == Message(b"")


def test_a_refused_recipient_does_not_count() -> None:
    server = greeted()
    converse(server, b"EHLO c\r\nMAIL FROM:<>\r\n")
    server.receive_data(b"RCPT TO:<bob@a.test>\r\nDATA\r\n")
    assert server.next_event() == Rcpt(Mailbox.parse("bob@a.test"))
    server.reply(Reply.of(550, "no"))
    assert refusal(server.next_event() or Chunk(0)) == 554


@pytest.mark.parametrize("body", [b"x" * 90 + b"\r\n", b"x" * 5000 + b"\r\n", (b"." * 10 + b"\r\n") * 50])
def test_a_message_that_is_too_big_is_read_to_its_end_and_refused(body: bytes) -> None:
    """X10."""
    server = greeted(max_message=80)
    events = converse(
        server, *(bytes([octet]) for octet in ENVELOPE + b"DATA\r\n" + stuff(body) + b"NOOP\r\n")
    )
    assert [refusal(event) for event in events[-2:]] == [552, None]


def test_chunks_that_are_too_big_together_are_read_and_refused() -> None:
    server = greeted(max_message=80)
    events = converse(server, ENVELOPE, encode_chunks([b"x" * 50, b"RSET\r\n" * 10, b"z"]), b"RSET\r\n")
    assert [refusal(event) for event in events[3:]] == [None, 552, 503, None]


def test_octets_of_a_refused_chunk_are_not_read_as_commands() -> None:
    """X12."""
    events = converse(greeted(), b"EHLO c\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n")
    assert [refusal(event) for event in events] == [None, 503, None]


def test_after_a_refused_chunk_only_rset_makes_way() -> None:
    """X17: as RFC 3030 section 2 has it, and strict servers do."""
    server = greeted()
    converse(server, ENVELOPE)
    server.receive_data(b"BDAT 1 LAST\r\nx")
    assert server.next_event() == Message(b"x")
    server.reply(Reply.of(554, "spam"))
    events = converse(server, b"MAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\n")
    assert [refusal(event) for event in events] == [503, None, None]


def test_ehlo_in_mid_transaction_is_a_rset_as_well() -> None:
    events = converse(greeted(), ENVELOPE + b"EHLO c\r\nMAIL FROM:<>\r\n")
    assert [refusal(event) for event in events] == [None] * 5


def test_what_stands_behind_starttls_in_clear_text_is_dropped() -> None:
    """S2, the server's side."""
    server = greeted()
    converse(server, b"EHLO c\r\n")
    server.receive_data(b"STARTTLS\r\nMAIL FROM:<evil@a.test>\r\n")
    server.next_event()
    server.reply(Reply.of(220, "go"))
    assert server.buffered
    assert server.next_event() is None
    server.start_tls()
    assert converse(server, b"EHLO c\r\n") == [Ehlo("c")]


def test_after_starttls_ehlo_is_due_again() -> None:
    """S3."""
    server = greeted()
    server.receive_data(b"EHLO c\r\nSTARTTLS\r\n")
    for code in (250, 220):
        server.next_event()
        server.reply(Reply.of(code, "mx.test", *EXTENSIONS))
    server.start_tls()
    assert refusal(last(server, b"MAIL FROM:<>\r\n")) == 503


def test_a_challenge_is_followed_by_a_response() -> None:
    server = greeted()
    converse(server, b"EHLO c\r\n")
    server.receive_data(b"AUTH LOGIN\r\ndQ==\r\n!\r\nNOOP\r\n")
    seen: list[object] = []
    for code in (334, 334, 501, 250):
        seen.append(server.next_event())
        server.reply(Reply.of(code))
    assert seen[1] == AuthResponse(b"u")
    assert isinstance(seen[2], Refused)
    assert server.state is State.READY


def test_a_client_may_abort_its_authentication() -> None:
    server = greeted()
    converse(server, b"EHLO c\r\n")
    server.receive_data(b"AUTH LOGIN\r\n*\r\n")
    server.next_event()
    server.reply(Reply.of(334))
    assert server.next_event() == AuthAbort()


def test_what_an_answer_to_ehlo_says_is_what_was_announced() -> None:
    server = ServerProtocol(extensions=("CHUNKING",))
    server.greet(Reply.of(220, "mx.test"))
    server.receive_data(b"EHLO c\r\n")
    server.next_event()
    server.reply(Reply.of(250, "mx.test"))
    assert refusal(last(server, ENVELOPE[13:] + b"BDAT 1 LAST\r\nx")) == 502


def test_bytes_before_the_greeting_wait_for_it() -> None:
    server = ServerProtocol()
    server.receive_data(b"EHLO early\r\n")
    assert server.next_event() is None
    server.greet(Reply.of(220, "mx.test"))
    assert server.next_event() == Ehlo("early")


def test_after_a_refused_greeting_everything_but_quit_is_refused() -> None:
    server = ServerProtocol()
    server.greet(Reply.of(554, "no"))
    assert [refusal(event) for event in converse(server, b"EHLO c\r\nQUIT\r\n")] == [503, None]


@pytest.mark.parametrize("reply", [Reply.of(421, "bye"), Reply.of(221, "bye")])
def test_after_421_or_quit_nothing_more_is_heard(reply: Reply) -> None:
    server = greeted()
    server.receive_data(b"QUIT\r\nNOOP\r\n")
    server.next_event()
    server.reply(reply)
    assert server.next_event() is None


def test_an_event_must_be_answered_before_the_next() -> None:
    server = greeted()
    server.receive_data(b"NOOP\r\nNOOP\r\n")
    server.next_event()
    with pytest.raises(LocalProtocolError):
        server.next_event()


def test_nothing_is_answered_that_was_not_asked() -> None:
    with pytest.raises(LocalProtocolError):
        greeted().reply(OK)


def test_pipelining_can_be_seen() -> None:
    server, seen = greeted(), []
    server.receive_data(b"NOOP\r\nNOOP\r\n")
    for _ in range(2):
        server.next_event()
        seen.append(server.buffered)
        server.reply(OK)
    assert seen == [True, False]
