"""Clients at the places where the tests of this folder begin."""

from __future__ import annotations

from bulkmail.smtp import (
    Answer,
    ClientProtocol,
    Command,
    Data,
    Ehlo,
    EndOfData,
    Mail,
    Mailbox,
    Rcpt,
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
