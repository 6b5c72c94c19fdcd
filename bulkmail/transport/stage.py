"""How far a conversation had come: the stages of RFC 5321 section 3, in the order in which they are passed.

A reply means something only together with the stage at which it was given: 550 to RCPT concerns one
recipient, 550 as a greeting a host. `classify` reads it, the accounting log shows it.
"""

from __future__ import annotations

import enum


class Stage(enum.Enum):
    """The value is what people read in logs and in `explain`."""

    DNS = "dns"
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_DATA = "end_of_data"
    RSET = "rset"
