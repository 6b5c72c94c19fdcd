"""The client's half: violations, TLS, AUTH, and what was never announced."""

from __future__ import annotations

import pytest
from smtp_clients import ANN, BOB, EVERYTHING, MESSAGE, codes, in_content, ready, send

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp import (
    NONE,
    Auth,
    AuthAbort,
    AuthResponse,
    Bdat,
    ClientProtocol,
    Command,
    Data,
    Ehlo,
    Mail,
    Mailbox,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
)

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
