"""Both halves against each other in memory: they survive any sequence of commands, and agree about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_strategies import commands

from bulkmail.errors import LocalProtocolError, RemoteProtocolError
from bulkmail.smtp import (
    Auth,
    AuthAbort,
    AuthResponse,
    Bdat,
    ClientProtocol,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Greeting,
    Mail,
    Mailbox,
    Message,
    Rcpt,
    Refused,
    Reply,
    Rset,
    ServerProtocol,
    StartTls,
    State,
    stuff,
)
from bulkmail.smtp.command import Expn, Helo, Noop, Quit, Vrfy
from bulkmail.smtp.state import ANSWERED, ENDS_GROUP, IN_ORDER, SENT, LastBdat

ANN = Mailbox.parse("ann@a.test")
KEYWORDS = ("PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "STARTTLS", "DSN", "SIZE", "AUTH PLAIN LOGIN")
_CODES: dict[type, tuple[int, ...]] = {
    Data: (354, 354, 451),
    StartTls: (220, 454),
    Auth: (334, 334, 235, 535),
    AuthResponse: (334, 235, 535),
    AuthAbort: (501,),
    Rset: (250,),
    Ehlo: (250,),
}


def good_reply(event: object, code: int) -> Reply:
    if isinstance(event, Ehlo) and code < 300:
        return Reply.of(250, "mx.test", *KEYWORDS)
    return Reply.of(code, "so be it")


HI = EndOfData(stuff(b".hi\r\n"))
# What a client tries, in this order, until something may be sent: mostly what leads on to a message, in every
# way there is, and then whatever else exists.
ONWARD: tuple[tuple[Command, ...], ...] = (
    (HI, Data(), Rcpt(ANN), Mail(ANN), Rset()),
    (HI, Rcpt(ANN), Mail(None), Rset()),
    (HI, Bdat(b"RSET\r\n", True), Rcpt(ANN), Mail(ANN), Rset()),
    (HI, Bdat(b"\r\n.\r\n", False), Rcpt(ANN), Mail(ANN), Rset()),
)
ASIDE: tuple[Command, ...] = (
    *(Rset(), Ehlo("c.test"), StartTls(), Auth("LOGIN"), AuthResponse(b"x"), AuthAbort()),
    *(EndOfData(stuff(b"")), Noop(), Vrfy("ann"), Expn("all"), Helo("c.test"), Quit()),
)
choices = st.one_of(
    *[st.sampled_from(ONWARD)] * 5,
    st.integers(0, len(ASIDE) - 1).map(lambda first: ASIDE[first:] + ASIDE[:first]),
)
likely = st.sampled_from((*ONWARD[0], *ONWARD[2], *ASIDE))

# How many octets get through: mostly all of them, or a few.
cuts_of = st.sampled_from((10_000, 10_000, 0, 1, 7, 50))


class Wire:
    """A client and a server, joined by bytes that get through in pieces."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.client = ClientProtocol()
        self.server = ServerProtocol(extensions=KEYWORDS)
        self.asked: list[Command] = []
        self.downstream = self.server.greet(Reply.of(220, "mx.test"))
        self.upstream = b""
        self.answered: list[Command] = []
        self.arrived: list[bytes] = []

    def send(self, *choice: Command) -> None:
        """Send the first of these that may be sent now; a refused one must leave no trace."""
        for command in choice:
            try:
                self.upstream += self.client.send(command)
            except LocalProtocolError:
                continue
            self.asked.append(command)
            return

    def serve(self, cut: int) -> None:
        """The server reads so much of what is on its way, and answers what it finds."""
        self.server.receive_data(self.upstream[:cut])
        self.upstream = self.upstream[cut:]
        while (event := self.server.next_event()) is not None:
            if isinstance(event, Message):
                self.arrived.append(event.content)
            if isinstance(event, Refused):
                reply = event.reply
            else:
                codes = _CODES.get(type(event), (250, 250, 250, 550))
                reply = good_reply(event, self.data.draw(st.sampled_from(codes)))
            self.downstream += self.server.reply(reply)

    def hear(self, cut: int) -> None:
        self.answered += [answer.command for answer in self.client.receive(self.downstream[:cut])]
        self.downstream = self.downstream[cut:]
        if self.server.state is State.TLS and not self.client.unanswered:
            self.client.start_tls()
            self.server.start_tls()


@given(st.data())
def test_client_and_server_survive_any_command_sequence_and_agree(data: st.DataObject) -> None:
    wire = Wire(data)
    wire.hear(len(wire.downstream))
    wire.send(Ehlo("c.test"))
    for choice in data.draw(st.lists(choices, min_size=10, max_size=40)):
        wire.send(*choice)
        wire.serve(data.draw(cuts_of))
        wire.hear(data.draw(cuts_of))
    while wire.upstream or wire.downstream:
        wire.serve(len(wire.upstream))
        wire.hear(len(wire.downstream))
    # Every command got its answer, in order, nothing is left, both stand at the same place,
    # and what arrived is what was sent.
    assert wire.answered == [Greeting(), *wire.asked]
    assert (wire.upstream, wire.downstream, wire.server.buffered) == (b"", b"", False)
    assert wire.client.idle == (wire.server.state is State.READY and not wire.client.closing)
    chunked = {b"\r\n.\r\n" * count + b"RSET\r\n" for count in range(41)}
    assert set(wire.arrived) <= {b".hi\r\n", b"", *chunked}


@given(st.lists(st.one_of(commands, likely), max_size=12), st.lists(st.binary(max_size=30), max_size=12))
def test_a_client_survives_any_bytes_with_the_errors_it_names(
    asked: list[Command], said: list[bytes]
) -> None:
    client = ClientProtocol()
    try:
        for command, octets in zip(asked, said, strict=False):
            client.receive(octets)
            try:
                client.send(command)
            except LocalProtocolError:
                continue
    except RemoteProtocolError:
        assert client.failure is not None
        assert not client.idle


def test_several_messages_in_flight_arrive_whole_and_in_order() -> None:
    client, server = ClientProtocol(), ServerProtocol(extensions=KEYWORDS)
    client.receive(server.greet(Reply.of(220, "mx.test")))
    bodies = [b"message %d\r\n" % number for number in range(8)]
    asked: list[Command] = [Ehlo("c.test")]
    flight: list[Command] = []
    for body in bodies:
        flight += [Mail(ANN), Rcpt(ANN), Bdat(body[:3], False), Bdat(body[3:], True), Rset()]
    arrived = []
    for group in (asked, flight):
        server.receive_data(b"".join(client.send(command) for command in group))
        said = b""
        while (event := server.next_event()) is not None:
            if isinstance(event, Message):
                arrived.append(event.content)
            said += server.reply(good_reply(event, 250))
        client.receive(said)
    assert (arrived, client.idle, server.state) == (bodies, True, State.READY)


def test_the_tables_know_every_state_and_every_command() -> None:
    every = {Helo, Ehlo, StartTls, Auth, AuthResponse, AuthAbort, Mail, Rcpt, Data, EndOfData, Bdat, LastBdat}
    every |= {Rset, Noop, Vrfy, Expn, Quit}
    assert set(SENT) == set(State)
    assert set(ANSWERED) == every | {Greeting}
    assert set(IN_ORDER) == every - {EndOfData}
    assert {key for row in SENT.values() for key in row} == every


@pytest.mark.parametrize("key", [key for key in ANSWERED if key not in ENDS_GROUP])
def test_what_does_not_end_a_group_is_what_rfc_2920_and_3030_let_pipeline(key: type) -> None:
    assert key in {Mail, Rcpt, Rset, EndOfData, Bdat, LastBdat}


def test_out_of_closing_nothing_leads_back() -> None:
    back = [
        (key, digit)
        for key, row in ANSWERED.items()
        for digit, moves in row.items()
        for state in (State.CLOSING, State.CLOSED)
        if moves.get(state, state) not in (State.CLOSING, State.CLOSED)
    ]
    assert back == []
