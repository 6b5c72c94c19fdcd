"""From a line to a command, for servers: the command, or the reply that says what is wrong with the line.

BDAT is not parsed here, since its octets are not in its line; the server's protocol does that.
RFC 5321 section 4.1.1 and section 4.2.4 (500, 501 or 502); RFC 4954 section 4.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from bulkmail.smtp import grammar
from bulkmail.smtp.address import AddressError, Mailbox
from bulkmail.smtp.command import (
    Auth,
    AuthAbort,
    AuthResponse,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Mail,
    Noop,
    Parameters,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    Vrfy,
)
from bulkmail.smtp.reply import Reply


def parse_command(line: bytes) -> Command | Reply:
    """The command on a line (with or without its CRLF), or the reply that refuses it (500, 501, 502)."""
    try:
        text = line.removesuffix(b"\r\n").decode()
    except UnicodeDecodeError:
        return Reply.of(500, "not UTF-8", enhanced="5.5.2")
    if grammar.CONTROL.search(text.replace("\t", " ")):
        return Reply.of(500, "control characters in the line", enhanced="5.5.2")
    match = grammar.COMMAND_LINE.fullmatch(text)
    parse = None if match is None else _PARSERS.get(match[1].upper())
    if match is None or parse is None:
        return Reply.of(500, "command unrecognized", enhanced="5.5.1")
    try:
        return parse(match[2] or "")
    except AddressError as error:
        return Reply.of(501, str(error), enhanced="5.1.3")
    except ValueError as error:
        return Reply.of(501, str(error), enhanced="5.5.4")


def parse_auth_response(line: bytes) -> AuthResponse | AuthAbort | Reply:
    """The line that follows a 334."""
    text = line.removesuffix(b"\r\n")
    if text == b"*":
        return AuthAbort()
    try:
        return AuthResponse(base64.b64decode(text, validate=True))
    except ValueError:
        return Reply.of(501, "not base64", enhanced="5.5.2")


def _parse_auth(text: str) -> Command | Reply:
    mechanism, *initial = text.upper().split(maxsplit=1)[:1] + text.split(maxsplit=1)[1:] or [""]
    if not initial:
        return Auth(mechanism)
    response = b"" if initial[0] == "=" else base64.b64decode(initial[0].encode(), validate=True)
    return Auth(mechanism, response)


def _parse_mail(text: str) -> Command | Reply:
    path, parameters = _parse_path("FROM", text)
    return Mail(Mailbox.parse(path) if path else None, parameters)


def _parse_rcpt(text: str) -> Command | Reply:
    path, parameters = _parse_path("TO", text)
    return Rcpt(Mailbox.parse(path), parameters)


def _parse_path(keyword: str, text: str) -> tuple[str, Parameters]:
    match = grammar.PATH.fullmatch(text)
    if match is None or match[1].upper() != keyword:
        raise ValueError(f"syntax: {keyword}:<address>")
    parts = (part.partition("=") for part in (match[3] or "").split())
    return match[2], tuple((name.upper(), value if equals else None) for name, equals, value in parts)


def _parse_noop(text: str) -> Command | Reply:
    return Noop()  # RFC 5321 section 4.1.1.9: a parameter is ignored


def _without_argument(command: type[StartTls | Data | Rset | Quit]) -> Callable[[str], Command | Reply]:
    def parse(text: str) -> Command | Reply:
        return Reply.of(501, "no parameters are allowed", enhanced="5.5.4") if text else command()

    return parse


def _unimplemented(text: str) -> Command | Reply:
    return Reply.of(502, "command not implemented", enhanced="5.5.1")


_PARSERS: dict[str, Callable[[str], Command | Reply]] = {
    "HELO": Helo,
    "EHLO": Ehlo,
    "STARTTLS": _without_argument(StartTls),
    "AUTH": _parse_auth,
    "MAIL": _parse_mail,
    "RCPT": _parse_rcpt,
    "DATA": _without_argument(Data),
    "BDAT": _unimplemented,
    "RSET": _without_argument(Rset),
    "NOOP": _parse_noop,
    "VRFY": Vrfy,
    "EXPN": Expn,
    "HELP": _unimplemented,
    "TURN": _unimplemented,
    "ETRN": _unimplemented,
    "QUIT": _without_argument(Quit),
}
