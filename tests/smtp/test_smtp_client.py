"""The client's half: what may be sent when, which reply answers what, and how disappointed hopes end."""

from __future__ import annotations

import pytest
from smtp_clients import ANN, BOB, EVERYTHING, MESSAGE, codes, in_content, ready, send

from bulkmail.errors import LocalProtocolError
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
    EndOfData,
    Expn,
    Helo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)

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
