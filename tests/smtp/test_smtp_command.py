"""Commands on the wire and back, and that nothing can be smuggled into one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smtp_strategies import commands

from bulkmail.smtp import (
    Auth,
    AuthResponse,
    Bdat,
    Command,
    Ehlo,
    EndOfData,
    Expn,
    Helo,
    Mail,
    Mailbox,
    Noop,
    Rcpt,
    Reply,
    Vrfy,
    parse_command,
    stuff,
)
from bulkmail.smtp.command import AuthAbort
from bulkmail.smtp.parse import parse_auth_response

ANN = Mailbox.parse("ann@a.test")


@pytest.mark.parametrize(
    ("command", "wire"),
    [
        (Ehlo("out.acme.example"), b"EHLO out.acme.example\r\n"),
        (Helo("[192.0.2.1]"), b"HELO [192.0.2.1]\r\n"),
        (Mail(None), b"MAIL FROM:<>\r\n"),
        (
            Mail(ANN, (("SIZE", "10"), ("SMTPUTF8", None))),
            b"MAIL FROM:<ann@a.test> SIZE=10 SMTPUTF8\r\n",
        ),
        (Rcpt(ANN, (("NOTIFY", "NEVER"),)), b"RCPT TO:<ann@a.test> NOTIFY=NEVER\r\n"),
        (Rcpt(Mailbox.parse('"a b"@a.test')), b'RCPT TO:<"a b"@a.test>\r\n'),
        (Auth("PLAIN", b"\0u\0p"), b"AUTH PLAIN AHUAcA==\r\n"),
        (Auth("PLAIN", b""), b"AUTH PLAIN =\r\n"),
        (Auth("LOGIN"), b"AUTH LOGIN\r\n"),
        (AuthResponse(b"u"), b"dQ==\r\n"),
        (AuthAbort(), b"*\r\n"),
        (Bdat(b"abc", False), b"BDAT 3\r\nabc"),
        (Bdat(b"", True), b"BDAT 0 LAST\r\n"),
        (EndOfData(stuff(b".a\r\n")), b"..a\r\n.\r\n"),
    ],
)
def test_a_command_has_its_form_on_the_wire(command: Command, wire: bytes) -> None:
    assert command.encode() == wire


@given(commands.filter(lambda command: not isinstance(command, (Bdat, EndOfData, AuthResponse, AuthAbort))))
def test_a_command_parses_back_to_itself(command: Command) -> None:
    assert parse_command(command.encode()) == command


@given(st.binary(max_size=12))
def test_an_auth_response_parses_back_to_itself(data: bytes) -> None:
    assert parse_auth_response(AuthResponse(data).encode()) == AuthResponse(data)


@given(commands.filter(lambda command: not isinstance(command, (Bdat, EndOfData))))
def test_a_command_is_one_line(command: Command) -> None:
    wire = command.encode()
    assert wire.endswith(b"\r\n")
    assert not {b"\r", b"\n", b"\0"} & {bytes([octet]) for octet in wire[:-2]}


@pytest.mark.parametrize("poison", ["x\r\nRSET", "x\n", "x\r", "x\0", "x y", "", "ü", "x" * 256])
def test_no_host_name_carries_more_than_a_name(poison: str) -> None:
    """I1."""
    for make in (Ehlo, Helo):
        with pytest.raises(ValueError, match="host name"):
            make(poison)


@pytest.mark.parametrize("poison", ["a\r\nRSET", "a\n", "\0", ""])
def test_no_text_carries_a_line_end(poison: str) -> None:
    """I1."""
    for make in (Vrfy, Expn):
        with pytest.raises(ValueError, match="control character"):
            make(poison)


@pytest.mark.parametrize(
    "parameter", [("SIZE\r\n", None), ("SIZE", "1\r\n"), ("A B", None), ("A", "b c"), ("", None)]
)
def test_no_parameter_carries_more_than_a_parameter(parameter: tuple[str, str | None]) -> None:
    """I1."""
    for make in (lambda p: Mail(None, p), lambda p: Rcpt(ANN, p)):
        with pytest.raises(ValueError, match="ESMTP"):
            make((parameter,))


def test_no_mechanism_name_carries_a_line_end() -> None:
    with pytest.raises(ValueError, match="SASL"):
        Auth("PLAIN\r\nRSET")


@pytest.mark.parametrize(
    "command", [Auth("PLAIN", b"hunter2"), AuthResponse(b"hunter2"), EndOfData(b"hunter2\r\n.\r\n")]
)
def test_what_is_secret_shows_in_no_repr(command: Command) -> None:
    """P4."""
    assert "hunter2" not in repr(command)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"ehlo c.test\r\n", Ehlo("c.test")),
        (b"mail from:<ann@A.test> size=10 SMTPUTF8", Mail(ANN, (("SIZE", "10"), ("SMTPUTF8", None)))),
        (b"MAIL FROM: <>", Mail(None)),
        (b"RCPT TO:<@relay.test,@b.test:ann@a.test>", Rcpt(ANN)),
        (b'RCPT TO:<"a> b"@a.test>', Rcpt(Mailbox.parse('"a> b"@a.test'))),
        (b"NOOP whatever\r\n", Noop()),
        (b"RSET  ", parse_command(b"RSET")),
        (b"AUTH plain", Auth("PLAIN")),
    ],
)
def test_a_server_reads_what_is_written_loosely(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", 500),
        (b"FOO", 500),
        (b"\xff\xfe", 500),
        (b"EHLO a\0b", 500),
        (b"RSET\n", 500),
        (b"EHLO", 501),
        (b"MAIL FROM:ann@a.test", 501),
        (b"MAIL TO:<ann@a.test>", 501),
        (b"RCPT TO:<>", 501),
        (b"RCPT TO:<ann@a@b>", 501),
        (b"MAIL FROM:<> A=\x80", 500),
        (b"DATA now", 501),
        (b"AUTH", 501),
        (b"AUTH PLAIN !", 501),
        (b"HELP", 502),
        (b"BDAT 5", 502),
    ],
)
def test_a_bad_line_gets_the_reply_that_says_what_is_wrong(line: bytes, code: int) -> None:
    reply = parse_command(line)
    assert isinstance(reply, Reply)
    assert reply.code == code


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_line_is_a_command_or_a_refusal(line: bytes) -> None:
    result = parse_command(line)
    assert not isinstance(result, Reply) or result.permanent
