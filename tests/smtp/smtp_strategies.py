"""What Hypothesis draws from for the tests of this folder."""

from __future__ import annotations

from hypothesis import strategies as st

from bulkmail.smtp import AddressError, Mailbox, Reply
from bulkmail.smtp.command import (
    Auth,
    AuthAbort,
    AuthResponse,
    Bdat,
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
from bulkmail.smtp.content import canonical, stuff

# Text as a reply line may have it, 8-bit and controls included.
reply_texts = st.binary(max_size=40).map(lambda text: text.translate(None, b"\r\n"))
replies = st.builds(
    lambda code, lines: Reply.of(code, *lines),
    st.integers(200, 599),
    st.lists(
        st.one_of(reply_texts, st.sampled_from((b"5.1.1 unknown", b"2.0.0 ok"))), min_size=1, max_size=4
    ),
)

# Bytes in which line ends and dots stand in every mixture.
mixtures = st.lists(
    st.sampled_from(
        (b"\r", b"\n", b"\r\n", b".", b"..", b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"a", b"\xff", b" ")
    ),
    max_size=30,
).map(b"".join)
contents = mixtures.map(canonical)

mailboxes = st.sampled_from(
    [
        Mailbox.parse(text)
        for text in ("ann@a.test", '"b b"@a.test', "c+d@b.test", "ü@a.test", "e@[192.0.2.1]")
    ]
)
# Local parts as lists have them, and as they might if somebody meant harm.
_locals = st.one_of(
    st.sampled_from(
        ("ann", "a.b+c", "o'neil", '"b b"', '"a>b"', '"<"', '"\\""', '"x\\\\"', '".."', "jörg", "あ")
    ),
    st.text(max_size=8).map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'),
    st.text(min_size=1, max_size=8),
)
_domains = st.sampled_from(
    ("a.test", "xn--bcher-kva.test", "bücher.test", "[192.0.2.1]", "[IPv6:2001:db8::1]")
)


def _canonical(local: str, domain: str) -> str | None:
    try:
        return str(Mailbox.parse(f"{local}@{domain}"))
    except AddressError:
        return None


canonical_addresses = st.builds(_canonical, _locals, _domains).filter(lambda one: one is not None)

parameters = st.lists(
    st.sampled_from((("SIZE", "10"), ("BODY", "8BITMIME"), ("SMTPUTF8", None), ("RET", "HDRS"), ("X", "y"))),
    max_size=2,
).map(tuple)

commands: st.SearchStrategy[Command] = st.one_of(
    st.just(Helo("c.test")),
    st.just(Ehlo("c.test")),
    st.just(StartTls()),
    st.builds(Auth, st.sampled_from(("PLAIN", "LOGIN")), st.none() | st.binary(max_size=5)),
    st.builds(AuthResponse, st.binary(max_size=5)),
    st.just(AuthAbort()),
    st.builds(Mail, st.none() | mailboxes, parameters),
    st.builds(Rcpt, mailboxes),
    st.just(Data()),
    st.builds(EndOfData, contents.map(stuff)),
    st.builds(Bdat, mixtures, st.booleans()),
    st.just(Rset()),
    st.just(Noop()),
    st.just(Vrfy("ann")),
    st.just(Expn("all")),
    st.just(Quit()),
)


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Every way to cut `data` into pieces."""
    places = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    return places.map(lambda at: [data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True)])
