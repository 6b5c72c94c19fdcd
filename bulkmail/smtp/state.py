"""The states of an SMTP conversation, as two tables.

Theory of operation
===================
Without pipelining one state would do. With it, the client speaks ahead of the answers, so there are two:

* the state *sent* is where the conversation stands if everything that is still unanswered succeeds.
  `SENT` says which commands may follow there, and where they lead. It decides what may be written.
* the state *answered* is where the conversation stands by the replies that have arrived. `ANSWERED` says what
  each class of reply (its first digit) to each command does to it; a class that is not in the row cannot be
  the answer to that command, and the peer has lost its place. It decides what is true.

Whenever nothing is unanswered, the state answered is the state of the conversation, and the state sent is set
to it: hopes that were disappointed are forgotten there. A server has no hopes, so it has only the state
answered, and moves through the same table by its own replies; `IN_ORDER` is what it takes in each state.

Some commands end a pipelined group (RFC 2920 section 3.1): `ENDS_GROUP`. What may follow depends on their
answer, so nothing is sent behind them until it is there. The end of data and BDAT are not among them: the
next transaction may ride behind (RFC 2920 section 3.1, RFC 3030 section 4.2).

What is worth knowing about single states:

* CONTENT is entered by a 354, wherever it came from: a server may say it although it refused MAIL or every
  RCPT, and then it is owed a dot (X2).
* SPENT: the last chunk was sent, or a chunk was refused, and the transaction may or may not have ended
  (RFC 3030 section 2 calls it indeterminate). Only RSET makes it clean. That is why RSET stands between the
  messages in flight: without it a refused one leaves the next under its reverse-path (X17). Only a 2yz to the
  last chunk ends the transaction by itself.
* A refused DATA leaves the transaction open: RSET, or another RCPT, may follow.
* CLOSING: a 421, a refused greeting or a refused RSET (X16). Nothing but QUIT is possible.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from bulkmail.smtp import command as c


class State(enum.Enum):
    """Where the conversation stands; the name says what was last achieved."""

    CONNECTED = enum.auto()  # the server owes its greeting
    GREETED = enum.auto()  # EHLO or HELO is due
    READY = enum.auto()  # no transaction is open
    TLS = enum.auto()  # 220 to STARTTLS: the next octets belong to TLS
    AUTH = enum.auto()  # 334: a response is due
    MAIL = enum.auto()  # a transaction is open
    RCPT = enum.auto()  # and has a recipient
    BDAT = enum.auto()  # and a part of its content
    CONTENT = enum.auto()  # 354: content and its dot are due
    SPENT = enum.auto()  # the transaction is over, or not: RSET is due
    CLOSING = enum.auto()  # QUIT, at most
    CLOSED = enum.auto()

    # Members are compared by identity anyway, and the enum's own hash is the slowest part of a table look-up.
    __hash__ = object.__hash__


class LastBdat:
    """BDAT with LAST: a command of its own in the tables."""


Kind = type[c.Command] | type[LastBdat]


def kind(command: c.Command) -> Kind:
    """The key of a command in the tables."""
    if isinstance(command, c.Bdat) and command.last:
        return LastBdat
    return type(command)


_ANYTIME: dict[Kind, State | None] = {c.Noop: None, c.Vrfy: None, c.Expn: None, c.Quit: State.CLOSED}
_CLEAN: dict[Kind, State | None] = {**_ANYTIME, c.Rset: State.READY}

# Which commands may be sent in which state, and the state they lead to; None: the same.
SENT: Mapping[State, Mapping[Kind, State | None]] = {
    State.CONNECTED: {},
    State.GREETED: {**_ANYTIME, c.Ehlo: State.READY, c.Helo: State.READY},
    State.READY: {
        **_CLEAN,
        c.Ehlo: State.READY,
        c.Helo: State.READY,
        c.StartTls: State.TLS,
        c.Auth: State.AUTH,
        c.Mail: State.MAIL,
    },
    State.TLS: {},
    State.AUTH: {c.AuthResponse: State.AUTH, c.AuthAbort: State.READY},
    State.MAIL: {**_CLEAN, c.Rcpt: State.RCPT},
    State.RCPT: {
        **_CLEAN,
        c.Rcpt: State.RCPT,
        c.Data: State.CONTENT,
        c.Bdat: State.BDAT,
        LastBdat: State.SPENT,
    },
    State.BDAT: {**_CLEAN, c.Bdat: State.BDAT, LastBdat: State.SPENT},
    State.CONTENT: {c.EndOfData: State.READY},
    State.SPENT: _CLEAN,
    State.CLOSING: {c.Quit: State.CLOSED},
    State.CLOSED: {},
}

ENDS_GROUP: frozenset[Kind] = frozenset((
    c.Greeting, c.Ehlo, c.Helo, c.StartTls, c.Auth, c.AuthResponse, c.AuthAbort,
    c.Data, c.Noop, c.Vrfy, c.Expn, c.Quit,
))  # fmt: skip

Moves = Mapping[State, State]  # from, to; a state that is not there stays as it is


def _all(to: State, *but: State) -> Moves:
    """From every state but these; out of CLOSING and CLOSED nothing leads back."""
    return {state: to for state in State if state not in (State.CLOSING, State.CLOSED, *but)}


_STAY: Moves = {}
_REFUSED: dict[int, Moves] = {4: _STAY, 5: _STAY}
_SPEND = _all(State.SPENT, State.GREETED)
_HELLO: dict[int, Moves] = {2: _all(State.READY), **_REFUSED}
_AUTH: dict[int, Moves] = {
    2: {State.AUTH: State.READY},
    3: {State.READY: State.AUTH},
    4: {State.AUTH: State.READY},
    5: {State.AUTH: State.READY},
}

# What a reply does, by command and by the first digit of the reply. A 421 means CLOSING besides.
ANSWERED: Mapping[Kind, Mapping[int, Moves]] = {
    c.Greeting: {2: _all(State.GREETED), 4: _all(State.CLOSING), 5: _all(State.CLOSING)},
    c.Ehlo: _HELLO,
    c.Helo: _HELLO,
    c.StartTls: {2: {State.READY: State.TLS}, **_REFUSED},
    c.Auth: _AUTH,
    c.AuthResponse: _AUTH,
    c.AuthAbort: {digit: {State.AUTH: State.READY} for digit in (2, 4, 5)},
    c.Mail: {2: {State.READY: State.MAIL}, **_REFUSED},
    c.Rcpt: {2: {State.MAIL: State.RCPT}, **_REFUSED},
    c.Data: {3: _all(State.CONTENT), **_REFUSED},
    c.EndOfData: {digit: _all(State.READY) for digit in (2, 4, 5)},
    c.Bdat: {2: {**_SPEND, State.RCPT: State.BDAT, State.BDAT: State.BDAT}, 4: _SPEND, 5: _SPEND},
    LastBdat: {2: {**_SPEND, State.RCPT: State.READY, State.BDAT: State.READY}, 4: _SPEND, 5: _SPEND},
    c.Rset: {2: _all(State.READY, State.GREETED), 4: _all(State.CLOSING), 5: _all(State.CLOSING)},
    c.Noop: {2: _STAY, **_REFUSED},
    c.Vrfy: {2: _STAY, **_REFUSED},
    c.Expn: {2: _STAY, **_REFUSED},
    c.Quit: {digit: dict.fromkeys(State, State.CLOSED) for digit in (2, 4, 5)},
}

_MID = frozenset((State.MAIL, State.RCPT, State.BDAT, State.SPENT))
_OPEN = frozenset((State.GREETED, State.READY, *_MID))

# The states in which a server takes a command; elsewhere it is out of order (503).
IN_ORDER: Mapping[Kind, frozenset[State]] = {
    c.Helo: _OPEN,  # RFC 5321 section 4.1.4: in mid-transaction it is a RSET as well
    c.Ehlo: _OPEN,
    c.StartTls: frozenset((State.READY,)),
    c.Auth: frozenset((State.READY,)),
    c.AuthResponse: frozenset((State.AUTH,)),
    c.AuthAbort: frozenset((State.AUTH,)),
    c.Mail: frozenset((State.READY,)),
    c.Rcpt: frozenset((State.MAIL, State.RCPT)),
    c.Data: frozenset((State.RCPT,)),
    c.Bdat: frozenset((State.RCPT, State.BDAT)),
    LastBdat: frozenset((State.RCPT, State.BDAT)),
    c.Rset: _OPEN,
    c.Noop: _OPEN,
    c.Vrfy: _OPEN,
    c.Expn: _OPEN,
    c.Quit: _OPEN | {State.CLOSING},
}
