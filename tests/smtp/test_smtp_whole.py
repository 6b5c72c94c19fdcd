"""Transactions in one breath on the wire: octet for octet what the single commands would be, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_clients import ANN, BOB, EVERYTHING, MESSAGE, ready, send
from smtp_strategies import canonical_addresses, contents, cuts, mailboxes

from bulkmail.errors import LocalProtocolError
from bulkmail.smtp import (
    Bdat,
    Chunk,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Envelope,
    Mail,
    Mailbox,
    Message,
    Rcpt,
    Refused,
    Reply,
    Rset,
    ServerProtocol,
    Whole,
    paths_of,
)

KEYWORDS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "SIZE")
Event = Command | Message | Chunk | Refused


def singles(one: Whole | Envelope, forward_paths: list[str]) -> list[Command]:
    """The commands that `one` stands for."""
    parameters: list[tuple[str, str | None]] = []
    if one.size is not None:
        parameters.append(("SIZE", str(one.size)))
    if one.smtputf8:
        parameters.append(("SMTPUTF8", None))
    begin: list[Command] = [Rset()] if one.reset else []
    end: Command = Bdat(b"".join(one.pieces), True) if isinstance(one, Whole) else Data()
    return [
        *begin,
        Mail(one.reverse_path, tuple(parameters)),
        *(Rcpt(Mailbox.parse(path)) for path in forward_paths),
        end,
    ]


@st.composite
def transactions(draw: st.DrawFn) -> tuple[Whole | Envelope, list[str]]:
    people = draw(st.lists(canonical_addresses, min_size=1, max_size=6))
    reverse_path, reset = draw(st.none() | mailboxes), draw(st.booleans())
    size = draw(st.none() | st.integers(0, 10**7))
    # without it the server takes no address beyond ASCII
    smtputf8 = True
    if draw(st.booleans()):
        return Envelope(reverse_path, paths_of(people), size, smtputf8, reset), people
    pieces = tuple(draw(st.lists(contents, min_size=1, max_size=4)))
    return Whole(reverse_path, paths_of(people), pieces, size, smtputf8, reset), people


@given(transactions(), st.booleans())
def test_it_is_octet_for_octet_what_the_single_commands_are(
    transaction: tuple[Whole | Envelope, list[str]], smtputf8: bool
) -> None:
    one, people = transaction
    one = one._replace(smtputf8=smtputf8)
    asked = singles(one, people)
    assert (one.encode(), one.replies) == (b"".join(command.encode() for command in asked), len(asked))


def served(server: ServerProtocol, octets: list[bytes]) -> list[Event]:
    """What a server that says yes to everything finds in `octets`."""
    found: list[Event] = []
    for piece in octets:
        server.receive_data(piece)
        while (event := server.next_event()) is not None:
            found.append(event)
            server.reply(event.reply if isinstance(event, Refused) else Reply.of(_code(event), "so be it"))
    return found


def _code(event: Event) -> int:
    return 354 if isinstance(event, Data) else 250


def greeted() -> ServerProtocol:
    server = ServerProtocol(extensions=KEYWORDS)
    server.greet(Reply.of(220, "mx.test"))
    server.receive_data(Ehlo("out.test").encode())
    server.next_event()
    server.reply(Reply.of(250, "mx.test", *KEYWORDS))
    return server


@given(st.data())
def test_a_server_hears_the_same_conversation_however_it_is_cut(data: st.DataObject) -> None:
    """Several whole messages and an envelope behind them, against the same said command by command."""
    said = data.draw(st.lists(transactions().filter(lambda t: isinstance(t[0], Whole)), max_size=4))
    said.append(data.draw(transactions()))
    said = [(one._replace(reset=number > 0), people) for number, (one, people) in enumerate(said)]
    octets = b"".join(one.encode() for one, _ in said)
    commands = [command for one, people in said for command in singles(one, people)]
    at_once, one_by_one = greeted(), greeted()
    heard = served(at_once, data.draw(cuts(octets)))
    assert heard == served(one_by_one, [command.encode() for command in commands])
    assert (at_once.state, at_once.buffered) == (one_by_one.state, False)
    assert not any(isinstance(event, Refused) for event in heard)


# --- when it may be said ------------------------------------------------------------------------------

WHOLE = Whole(ANN, paths_of(["bob@a.test"]), (b"hello\r\n",))
ENVELOPE = Envelope(ANN, paths_of(["bob@a.test"]))


@pytest.mark.parametrize("one", [WHOLE, ENVELOPE])
@pytest.mark.parametrize("reset", [False, True])
def test_it_begins_where_a_transaction_may_begin(one: Whole | Envelope, reset: bool) -> None:
    client = ready(*EVERYTHING)
    assert client.send(one._replace(reset=reset)) == one._replace(reset=reset).encode()


@pytest.mark.parametrize("one", [WHOLE, ENVELOPE])
@pytest.mark.parametrize(
    "before",
    [
        [Mail(ANN)],
        [Mail(ANN), Rcpt(BOB)],
        [Mail(ANN), Rcpt(BOB), Bdat(b"x", False)],
        [Mail(ANN), Rcpt(BOB), Bdat(b"x", True)],
        [WHOLE],
    ],
)
def test_behind_anything_of_another_transaction_rset_stands_in_front(
    one: Whole | Envelope, before: list[Command]
) -> None:
    """X17: nothing goes out under another's reverse-path."""
    client = ready(*EVERYTHING)
    send(client, *before)
    with pytest.raises(LocalProtocolError):
        client.send(one)
    assert client.send(one._replace(reset=True)).startswith(b"RSET\r\nMAIL")


def test_behind_the_end_of_data_the_next_envelope_begins_with_rset() -> None:
    """X17."""
    client = ready(*EVERYTHING)
    client.send(ENVELOPE)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.send(MESSAGE)
    with pytest.raises(LocalProtocolError):
        client.send(ENVELOPE)
    assert client.send(ENVELOPE._replace(reset=True)).startswith(b"RSET\r\nMAIL")


@pytest.mark.parametrize("following", [WHOLE, ENVELOPE, Rset(), Mail(ANN), MESSAGE, EndOfData(b".\r\n")])
def test_nothing_follows_an_envelope_before_its_answer(following: Command | Whole | Envelope) -> None:
    """RFC 2920 section 3.1: DATA ends the group."""
    client = ready(*EVERYTHING)
    client.send(ENVELOPE)
    if isinstance(following, Whole | Envelope):
        following = following._replace(reset=True)
    with pytest.raises(LocalProtocolError):
        client.send(following)


@pytest.mark.parametrize(
    ("one", "without"),
    [
        (WHOLE, b"PIPELINING"),
        (ENVELOPE, b"PIPELINING"),
        (WHOLE, b"CHUNKING"),
        (WHOLE._replace(size=10), b"SIZE 1000"),
        (ENVELOPE._replace(size=10), b"SIZE 1000"),
        (WHOLE._replace(smtputf8=True), b"SMTPUTF8"),
        (WHOLE._replace(paths=paths_of(["jörg@a.test"])), b"SMTPUTF8"),
        (ENVELOPE._replace(reverse_path=Mailbox.parse("jörg@a.test")), b"SMTPUTF8"),
    ],
)
def test_what_was_not_announced_is_not_used_in_one_breath_either(
    one: Whole | Envelope, without: bytes
) -> None:
    """X10, X11, X12."""
    assert ready(*EVERYTHING).send(one)
    client = ready(*(line for line in EVERYTHING if line != without))
    with pytest.raises(LocalProtocolError):
        client.send(one)
    assert (client.unanswered, client.idle) == ((), True)


def test_an_envelope_that_is_accepted_is_owed_content() -> None:
    client = ready(*EVERYTHING)
    client.send(ENVELOPE)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    for command in (Rset(), WHOLE._replace(reset=True), ENVELOPE._replace(reset=True), Mail(ANN)):
        with pytest.raises(LocalProtocolError):
            client.send(command)
    assert client.send(MESSAGE) == MESSAGE.stuffed
    assert not client.idle
