"""What needs an announcement: one judgement for both halves.

A server answers with the reply; a client never sends what would earn it. RFC 5321 section 2.2.1 and 4.1.1.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bulkmail.smtp import command as c
from bulkmail.smtp.extension import Extensions
from bulkmail.smtp.reply import Reply
from bulkmail.smtp.state import Kind, LastBdat, kind

_Judge = Callable[[Extensions], bool]

_COMMANDS: Mapping[Kind, _Judge] = {
    c.StartTls: lambda announced: announced.starttls,
    c.Auth: lambda announced: bool(announced.auth),
    c.Bdat: lambda announced: announced.chunking,
    LastBdat: lambda announced: announced.chunking,
}
_MAIL: Mapping[str, _Judge] = {
    "SIZE": lambda announced: announced.announces_size,
    "BODY": lambda announced: announced.eightbitmime,
    "SMTPUTF8": lambda announced: announced.smtputf8,
    "AUTH": lambda announced: bool(announced.auth),
    "RET": lambda announced: announced.dsn,
    "ENVID": lambda announced: announced.dsn,
}
_RCPT: Mapping[str, _Judge] = {
    "NOTIFY": lambda announced: announced.dsn,
    "ORCPT": lambda announced: announced.dsn,
}


def unannounced(command: c.Command, announced: Extensions) -> Reply | None:
    """The refusal that `command` earns where only `announced` was announced, or None."""
    match command:
        case c.Rcpt(path, parameters):
            known = _RCPT
        case c.Mail(path, parameters):
            known = _MAIL
        case _:
            return unannounced_kind(kind(command), announced)
    if path is not None and not announced.smtputf8 and path.smtputf8:
        return Reply.of(553, "SMTPUTF8 was not announced", enhanced="5.6.7")
    for keyword, _ in parameters:
        if keyword not in known or not known[keyword](announced):
            return Reply.of(555, f"parameter {keyword} not recognized", enhanced="5.5.4")
    return None


def unannounced_kind(key: Kind, announced: Extensions) -> Reply | None:
    """The same for a command whose parameters do not matter."""
    needs = _COMMANDS.get(key)
    if needs is None or needs(announced):
        return None
    return Reply.of(502, "command not implemented", enhanced="5.5.1")
