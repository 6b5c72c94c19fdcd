"""The client's half: what may be sent when, which reply answers what, and when a conversation is over."""

from __future__ import annotations

import pytest

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp import (
    NONE,
    Answer,
    Auth,
    AuthAbort,
    AuthResponse,
    Bdat,
    ClientProtocol,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Expn,
    Helo,
    Mail,
    Mailbox,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
    stuff,
)

ANN, BOB = Mailbox.parse("ann@a.test"), Mailbox.parse("bob@a.test")
MESSAGE = EndOfData(stuff(b"hello\r\n"))
EVERYTHING = (
    b"PIPELINING",
    b"8BITMIME",
    b"SMTPUTF8",
    b"CHUNKING",
    b"STARTTLS",
    b"DSN",
    b"SIZE 1000",
    b"AUTH PLAIN",
)


def ready(*keywords: bytes) -> ClientProtocol:
    """A client behind greeting and EHLO."""
    client = ClientProtocol()
    client.receive(b"220 mx.test ESMTP\r\n")
    client.send(Ehlo("out.test"))
    client.receive(b"".join(b"250-%b\r\n" % line for line in (b"mx.test", *keywords)) + b"250 HELP\r\n")
    return client


def codes(answers: list[Answer]) -> list[tuple[str, int]]:
    return [(type(answer.command).__name__, answer.reply.code) for answer in answers]


def send(client: ClientProtocol, *commands: Command) -> bytes:
    return b"".join(client.send(command) for command in commands)


def in_content(*keywords: bytes) -> ClientProtocol:
    """A client that was told 354."""
    client = ready(b"PIPELINING", *keywords)
    send(client, Mail(ANN), Rcpt(BOB), Data())
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    return client


# --- the order of things ------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_greeting() -> None:
    with pytest.raises(LocalProtocolError):
        ClientProtocol().send(Ehlo("out.test"))


@pytest.mark.parametrize("greeting", [b"421 busy\r\n", b"554 no\r\n"])
def test_after_a_refused_greeting_only_quit_is_possible(greeting: bytes) -> None:
    """G1."""
    client = ClientProtocol()
    client.receive(greeting)
    with pytest.raises(LocalProtocolError):
        client.send(Ehlo("out.test"))
    assert client.send(Quit()) == b"QUIT\r\n"


def test_helo_may_follow_a_refused_ehlo_and_announces_nothing() -> None:
    """G4."""
    client = ClientProtocol()
    client.receive(b"220 mx.test\r\n")
    client.send(Ehlo("out.test"))
    client.receive(b"502 what?\r\n")
    client.send(Helo("out.test"))
    client.receive(b"250-mx.test\r\n250 PIPELINING\r\n")
    assert (client.idle, client.extensions) == (True, NONE)


def test_an_envelope_goes_out_in_one_flight_and_each_reply_finds_its_command() -> None:
    client = ready(b"PIPELINING")
    wire = send(client, Mail(ANN), Rcpt(ANN), Rcpt(BOB), Data())
    assert wire == b"MAIL FROM:<ann@a.test>\r\nRCPT TO:<ann@a.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n"
    answers = client.receive(b"250 a\r\n550 b\r\n451 c\r\n354 d\r\n")
    assert codes(answers) == [("Mail", 250), ("Rcpt", 550), ("Rcpt", 451), ("Data", 354)]


def test_without_pipelining_every_command_waits_for_its_answer() -> None:
    client = ready()
    client.send(Mail(ANN))
    with pytest.raises(LocalProtocolError, match="while Mail is unanswered"):
        client.send(Rcpt(BOB))


@pytest.mark.parametrize(
    "last", [Ehlo("x"), Data(), Auth("PLAIN"), StartTls(), Noop(), Vrfy("a"), Expn("a"), Quit()]
)
def test_nothing_follows_a_command_that_ends_its_group(last: Command) -> None:
    """RFC 2920 section 3.1."""
    client = ready(*EVERYTHING)
    if isinstance(last, Data):
        send(client, Mail(ANN), Rcpt(BOB))
    client.send(last)
    for following in (Rset(), Noop(), Mail(ANN), Rcpt(BOB), MESSAGE, Quit()):
        with pytest.raises(LocalProtocolError):
            client.send(following)


def test_the_next_envelope_rides_behind_the_end_of_data() -> None:
    """RFC 2920 section 3.1."""
    client = in_content()
    send(client, MESSAGE, Mail(ANN), Rcpt(BOB), Data())
    answers = client.receive(b"550 spam\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert codes(answers)[0] == ("EndOfData", 550)
    assert client.send(MESSAGE) == b"hello\r\n.\r\n"


def test_between_chunked_messages_in_flight_stands_a_rset() -> None:
    """X17."""
    client = ready(b"PIPELINING", b"CHUNKING")
    send(client, Mail(ANN), Rcpt(BOB), Bdat(b"x", True))
    with pytest.raises(LocalProtocolError):
        client.send(Mail(ANN))
    send(client, Rset(), Mail(ANN), Rcpt(BOB), Bdat(b"y", True), Rset())
    client.receive(b"250 ok\r\n" * 8)
    assert client.idle


@pytest.mark.parametrize(
    "command",
    [Rcpt(BOB), Data(), Bdat(b"", True), MESSAGE, AuthResponse(b""), AuthAbort()],
)
def test_no_command_is_sent_out_of_order(command: Command) -> None:
    with pytest.raises(LocalProtocolError):
        ready(*EVERYTHING).send(command)


def test_a_354_is_owed_content_and_nothing_else() -> None:
    client = in_content()
    for command in (Rset(), Quit(), Mail(ANN), Noop(), Data()):
        with pytest.raises(LocalProtocolError):
            client.send(command)


def test_content_is_not_sent_before_the_354() -> None:
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB), Data())
    with pytest.raises(LocalProtocolError):
        client.send(MESSAGE)


# --- disappointed hopes -------------------------------------------------------------------------------


def test_when_every_recipient_is_refused_a_354_is_owed_a_lone_dot() -> None:
    """X2."""
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB), Data())
    client.receive(b"250 ok\r\n550 no\r\n354 go\r\n")
    assert client.send(EndOfData(b".\r\n")) == b".\r\n"


def test_when_mail_is_refused_the_rest_is_answered_and_a_new_transaction_may_begin() -> None:
    """X3."""
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB), Data())
    answers = client.receive(b"550 no\r\n503 no\r\n503 no\r\n")
    assert ([code for _, code in codes(answers)], client.idle) == ([550, 503, 503], True)


def test_when_mail_is_refused_even_a_354_can_be_answered() -> None:
    """X3."""
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB), Data())
    client.receive(b"550 no\r\n250 ok\r\n354 go\r\n")
    client.send(EndOfData(b".\r\n"))
    assert (codes(client.receive(b"554 no\r\n")), client.idle) == ([("EndOfData", 554)], True)


def test_when_data_is_refused_the_transaction_is_open_until_rset() -> None:
    """X6."""
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB), Data())
    client.receive(b"250 ok\r\n250 ok\r\n451 later\r\n")
    assert not client.idle
    with pytest.raises(LocalProtocolError):
        client.send(Mail(ANN))
    client.send(Rset())
    client.receive(b"250 ok\r\n")
    assert client.idle


def test_a_refused_chunk_leaves_the_connection_unclean_until_rset() -> None:
    """X12, RFC 3030 section 2."""
    client = ready(b"PIPELINING", b"CHUNKING")
    send(client, Mail(ANN), Rcpt(BOB), Bdat(b"x", True))
    client.receive(b"250 ok\r\n250 ok\r\n554 no\r\n")
    assert not client.idle
    client.send(Rset())
    client.receive(b"250 ok\r\n")
    assert client.idle


def test_without_an_accepted_recipient_no_data_is_sent() -> None:
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB))
    client.receive(b"250 ok\r\n550 no\r\n")
    with pytest.raises(LocalProtocolError):
        client.send(Data())


def test_a_refused_rset_ends_the_connection() -> None:
    """X16."""
    client = ready()
    client.send(Rset())
    client.receive(b"500 no\r\n")
    assert (client.idle, client.closing) == (False, True)


@pytest.mark.parametrize("unanswered", [(Noop(),), (Mail(ANN), Rcpt(BOB), Data())])
def test_a_421_is_an_answer_and_the_rest_stays_unanswered(unanswered: tuple[Command, ...]) -> None:
    """G2."""
    client = ready(b"PIPELINING")
    send(client, *unanswered)
    answers = client.receive(b"421 busy\r\n")
    assert (answers[0].command, client.unanswered) == (unanswered[0], unanswered[1:])
    assert (client.closing, client.idle) == (True, False)


def test_a_421_while_nothing_is_unanswered_closes_without_a_violation() -> None:
    """G2, G9."""
    client = ready()
    assert (client.receive(b"421 idle too long\r\n"), client.closing, client.idle) == ([], True, False)


def test_after_a_421_nothing_but_quit_is_sent() -> None:
    """G2."""
    client = ready()
    client.receive(b"421 bye\r\n")
    with pytest.raises(LocalProtocolError):
        client.send(Mail(ANN))
    assert client.send(Quit()) == b"QUIT\r\n"


# --- violations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "greeting", [b"354 go on\r\n", b"2200 mx.test\r\n", b"\x80\x00\r\n", b"HTTP/1.0 200 OK\r\n"]
)
def test_a_greeting_that_is_none_is_a_protocol_error(greeting: bytes) -> None:
    """G3."""
    client = ClientProtocol()
    with pytest.raises(RemoteProtocolError):
        client.receive(greeting)
    with pytest.raises(RemoteProtocolError):
        client.send(Ehlo("out.test"))


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        ([Mail(ANN)], b"354 go\r\n"),
        ([Noop()], b"334 \r\n"),
        ([Rset()], b"354 go\r\n"),
        ([Quit()], b"354 go\r\n"),
        ([StartTls()], b"334 \r\n"),
        ([Mail(ANN), Rcpt(BOB), Data()], b"250 ok\r\n250 ok\r\n250 ok\r\n"),
    ],
)
def test_a_reply_of_a_class_that_cannot_answer_is_a_protocol_error(
    commands: list[Command], reply: bytes
) -> None:
    """X15, G8."""
    client = ready(*EVERYTHING)
    send(client, *commands)
    *good, bad = reply.splitlines(keepends=True)
    client.receive(b"".join(good))
    with pytest.raises(RemoteProtocolError, match="not an answer to"):
        client.receive(bad)


def test_a_reply_that_nobody_waits_for_is_a_protocol_error() -> None:
    """G8."""
    with pytest.raises(RemoteProtocolError, match="nobody waits for"):
        ready().receive(b"250 hello?\r\n")


def test_an_answer_before_a_reply_too_many_is_believed_and_the_connection_is_not() -> None:
    """G8."""
    client = in_content()
    client.send(MESSAGE)
    answers = client.receive(b"250 delivered\r\n250 again\r\n")
    assert (codes(answers), client.idle) == ([("EndOfData", 250)], False)
    assert isinstance(client.failure, RemoteProtocolError)
    with pytest.raises(RemoteProtocolError):
        client.send(Mail(ANN))


@pytest.mark.parametrize("leftover", [b"2", b"250-ok\r\n", b"250 ok"])
def test_a_connection_with_a_byte_left_over_is_not_idle(leftover: bytes) -> None:
    """G8."""
    client = ready()
    client.receive(leftover)
    assert not client.idle


# --- TLS and AUTH -------------------------------------------------------------------------------------


def test_what_was_announced_before_tls_is_forgotten() -> None:
    """S3."""
    client = ready(*EVERYTHING)
    client.send(StartTls())
    client.receive(b"220 go\r\n")
    client.start_tls()
    assert client.extensions == NONE
    with pytest.raises(LocalProtocolError):
        client.send(Mail(ANN))
    assert client.send(Ehlo("out.test")) == b"EHLO out.test\r\n"


@pytest.mark.parametrize("injected", [b"2", b"250-evil.test\r\n", b"250 evil.test\r\n", b"\x16\x03\x01"])
def test_bytes_behind_the_220_to_starttls_abort_the_connection(injected: bytes) -> None:
    """S2."""
    client = ready(*EVERYTHING)
    client.send(StartTls())
    client.receive(b"220 go\r\n" + injected)
    with pytest.raises(RemoteProtocolError):
        client.start_tls()


def test_bytes_between_the_220_and_the_handshake_abort_the_connection() -> None:
    """S2."""
    client = ready(*EVERYTHING)
    client.send(StartTls())
    client.receive(b"220 go\r\n")
    with pytest.raises(RemoteProtocolError):
        client.receive(b"250 evil.test\r\n")
    with pytest.raises(RemoteProtocolError):
        client.start_tls()


def test_tls_does_not_start_before_it_was_accepted() -> None:
    """S1."""
    client = ready(*EVERYTHING)
    client.send(StartTls())
    client.receive(b"454 not now\r\n")
    with pytest.raises(LocalProtocolError):
        client.start_tls()
    assert client.idle


def test_nothing_is_sent_in_clear_text_between_the_220_and_the_handshake() -> None:
    """S2."""
    client = ready(*EVERYTHING)
    client.send(StartTls())
    client.receive(b"220 go\r\n")
    for command in (Ehlo("out.test"), Mail(ANN), Quit(), Noop()):
        with pytest.raises(LocalProtocolError):
            client.send(command)


def test_an_authentication_of_two_challenges_succeeds() -> None:
    client = ready(b"AUTH LOGIN")
    client.send(Auth("LOGIN"))
    client.receive(b"334 VXNlcm5hbWU6\r\n")
    client.send(AuthResponse(b"u"))
    client.receive(b"334 UGFzc3dvcmQ6\r\n")
    client.send(AuthResponse(b"p"))
    assert (codes(client.receive(b"235 ok\r\n")), client.idle) == ([("AuthResponse", 235)], True)


@pytest.mark.parametrize("answer", [AuthResponse(b"x"), AuthAbort()])
def test_a_failed_or_aborted_authentication_leaves_the_conversation_usable(answer: Command) -> None:
    client = ready(b"AUTH LOGIN")
    client.send(Auth("LOGIN"))
    client.receive(b"334 \r\n")
    client.send(answer)
    client.receive(b"535 no\r\n")
    assert client.idle


def test_a_challenge_is_owed_a_response_and_nothing_else() -> None:
    client = ready(b"AUTH LOGIN")
    client.send(Auth("LOGIN"))
    client.receive(b"334 \r\n")
    for command in (Mail(ANN), Rset(), Noop(), Quit()):
        with pytest.raises(LocalProtocolError):
            client.send(command)


# --- announcements ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        StartTls(),
        Auth("PLAIN"),
        Mail(ANN, (("SIZE", "10"),)),
        Mail(ANN, (("BODY", "8BITMIME"),)),
        Mail(ANN, (("SMTPUTF8", None),)),
        Mail(ANN, (("RET", "HDRS"),)),
        Mail(Mailbox.parse("änn@a.test")),
    ],
)
def test_what_was_not_announced_is_not_used(command: Command) -> None:
    """X10, X11, S1."""
    with pytest.raises(LocalProtocolError, match="would be answered"):
        ready().send(command)
    assert ready(*EVERYTHING).send(command)


def test_without_chunking_no_chunk_is_sent() -> None:
    """X12."""
    client = ready(b"PIPELINING")
    send(client, Mail(ANN), Rcpt(BOB))
    with pytest.raises(LocalProtocolError, match="would be answered"):
        client.send(Bdat(b"", True))


def test_a_refused_command_leaves_no_trace() -> None:
    client = ready()
    with pytest.raises(LocalProtocolError):
        client.send(Data())
    assert (client.unanswered, client.idle) == ((), True)


def test_quit_closes() -> None:
    client = ready()
    client.send(Quit())
    closing = client.closing
    client.receive(b"221 bye\r\n")
    assert (closing, client.closing, client.idle) == (True, True, False)
