"""Rows of a list that mean harm, the same ones for the same seed, and what each of them may lead to.

Whoever can write into a list (a sign-up form, mostly) can write anything into a cell: line ends and NULs,
commands of SMTP, header fields, ends of data in every mixture of CR and LF, brackets and quotes that could
end a path. `meant` says, without asking bulkmail, whose mailbox an address names; None where the row must be
left out. The text that only the body shows may hold anything but half a character.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

DOMAINS = ("a.test", "b.test", "xn--bcher-kva.test")
EVE = "eve@evil.test"
FORBIDDEN = re.compile("[\r\n\0]")  # in what a header uses
NO_TEXT = re.compile("[\ud800-\udfff]")


class Row(NamedTuple):
    """`addressed`: (local part without quotes, domain), None where the address is none.

    `meant`: the same, but None also where the rest of the row must not be in a letter.
    """

    number: int
    email: str
    name: str  # in a header
    city: str  # in a header
    words: str  # in the body only
    addressed: tuple[str, str] | None
    meant: tuple[str, str] | None

    @property
    def mark(self) -> str:
        """In no other row."""
        return mark(self.number)


def mark(number: int) -> str:
    return f"zq{number:08x}qz"


MARKS = re.compile("zq[0-9a-f]{8}qz")

# A legal local part, as it may be written, and as it is meant. `{}` is the mark: no two rows are one person.
_LOCALS: Sequence[tuple[str, str]] = (
    ("{}", "{}"),
    ("{}.Q+tag", "{}.Q+tag"),
    ("o'{}", "o'{}"),
    ("{}!#$%&'*+-/=?^_`{{|}}~", "{}!#$%&'*+-/=?^_`{{|}}~"),
    ('"{}"', "{}"),
    ('"{} and blank"', "{} and blank"),
    ('"{}>"', "{}>"),
    ('"{}> SIZE=1"', "{}> SIZE=1"),
    ('"{}<x@evil.test>"', "{}<x@evil.test>"),
    ('"{}@evil.test"', "{}@evil.test"),
    ('"@evil.test:{}"', "@evil.test:{}"),
    ('"{}, eve"', "{}, eve"),
    ('"{};:()[]"', "{};:()[]"),
    ('"({}) x"', "({}) x"),
    ('"{}\\" x"', '{}" x'),
    ('"{}\\\\"', "{}\\"),
    ('"{}\\\\\\""', '{}\\"'),
    ('"{}\\>"', "{}>"),
    ('"{}.."', "{}.."),
    ('".{}"', ".{}"),
    ('"{} RCPT TO:<eve@evil.test>"', "{} RCPT TO:<eve@evil.test>"),
    ("é{}", "é{}"),
    ('"é {}"', "é {}"),
    ("{}%0d%0aRCPT", "{}%0d%0aRCPT"),
    ("{}%evil.test", "{}%evil.test"),
    ("evil.test!{}", "evil.test!{}"),
)
# What an address must not be: `{}` is the local part, `{d}` a domain.
_ILLEGAL: Sequence[str] = (
    "{}@{d}\r\nRCPT TO:<eve@evil.test>", "{}@{d}>\r\nRCPT TO:<eve@evil.test", "{}@{d}>\r\nDATA\r\n",
    "{}@{d}\r\n.\r\nMAIL FROM:<eve@evil.test>", "\r\n{}@{d}", "{}@{d}\n", "{}@{d}\r", "{}\r@{d}",
    "{}\n@{d}", "{}\0@{d}", "{}@{d}\0", "{}@a\r\nb.test", '"{}\r\n"@{d}', '"{}\n x"@{d}', '"{}\\\r\n"@{d}',
    '"{}\\\0"@{d}', '"{}\0"@{d}', '"{}\x0b"@{d}', "(comment){}@{d}", "{}(comment)@{d}", "{}@{d} (comment)",
    "{}@(comment){d}", "<{}@{d}>", "Ann <{}@{d}>", '"Ann" <{}@{d}>', "{}@{d},eve@evil.test",
    "{}@{d}; eve@evil.test", "{}@{d} eve@evil.test", "friends: {}@{d};", "{}@{d} SIZE=1", "{}@{d}> SIZE=1",
    "{}@{d}>", "<{}@{d}", "@evil.test:{}@{d}", "@evil.test,@a.test:{}@{d}", "{}@{d}@evil.test", "{} x@{d}",
    '"{}@{d}', '{}"@{d}', '"{}"x@{d}', '"{}""x"@{d}', "{}..x@{d}", ".{}@{d}", "{}.@{d}", "{}\u2028@{d}",
    "{}\u2029@{d}", "{}\x85@{d}", "{}@{d}\u2028", "{}\x7f@{d}", "{}@{d}\x1b[2J", "{}\u3000x@{d}",
    "{}\u202e@{d}\u2029", "{}\uff20{d}", "{}@-x.test", "{}@x_y.test", "{}@a..test", "{}@.a.test", "{}@",
    "{}@[192.0.2.1", "{}@[evil]", "{}@192.0.2.1", "@{d}", "{}", "", "\udcff{}@{d}", "mailto:{}@{d},",
    "{}:x@{d}", "{}\\@{d}", "{}\t@{d}",
)  # fmt: skip
_ENDS = (
    "\r\n.\r\n",
    "\n.\n",
    "\r.\r",
    "\n.\r\n",
    "\r\n.\n",
    "\r\n.\r",
    "\r.\n",
    "\n.\r",
    "\r.\r\n",
    "\r\n.",
    "\n.",
    ".\r\n",
    "\r\n..\r\n",
)
_COMMANDS = (
    "MAIL FROM:<eve@evil.test>\r\n", "RCPT TO:<eve@evil.test>\r\n", "DATA\r\n", "BDAT 5 LAST\r\nhello",
    "BDAT 0 LAST\r\n", "RSET\r\n", "QUIT\r\n",
    "EHLO evil.test\r\n", "STARTTLS\r\n", "MAIL FROM:<eve@evil.test>\nRCPT TO:<eve@evil.test>\nDATA\n",
)  # fmt: skip
_HEADERS = (
    "Bcc: eve@evil.test", "Subject: forged", "To: eve@evil.test", "Content-Type: text/html",
    "MIME-Version: 2.0", "X-Forged: yes", "From: ceo@acme.test",
    "Return-Path: <eve@evil.test>", "Content-Transfer-Encoding: base64", "DKIM-Signature: v=1",
    "From me to you", ">From me", "--=_", "Received: from x",
)  # fmt: skip
_ENCODED = (
    "=?utf-8?q?=0d=0aBcc:_eve@evil.test?=", "=?utf-8?b?DQpCY2M6IGV2ZUBldmlsLnRlc3Q=?=", "=?", "?=",
    "=0D=0A.=0D=0A", "=\r\n", "=", "&#13;&#10;",
    "{{ email }}", "{% raw %}", "{#", "%0d%0a", "\\r\\n", "$1", "\\1",
)  # fmt: skip
_QUOTES = (
    '"',
    "\\",
    '\\"',
    "<",
    ">",
    "<eve@evil.test>",
    ",",
    ";",
    ":",
    "(",
    ")",
    "(c",
    "@",
    "[",
    "]",
    '", "x',
    "x <eve@evil.test>, ",
    "group: a@b.test;",
    "'",
    "`",
)
_WHITE = (
    "\t",
    " ",
    "  ",
    " " * 80,
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\u00a0",
    "\u202e",
    "\ufeff",
    "\u200b",
    "\x1b[2J",
    "\x7f",
    "\x08",
)
_LONG = (
    "x" * 77,
    "x" * 998,
    "x" * 1200,
    "ä" * 90,
    "😀" * 40,
    "." * 90,
    "山田太郎",
    "é",
    "e\u0301",
    "ß",
    "a",
    "Ann",
    "O'Neil",
    "1",
)
_BREAKS = ("\r", "\n", "\r\n", "\0", "\r\n\r\n", "\n\n", "\n ", "\r\n\t")


def rows(seed: int, first: int, count: int) -> Iterator[Row]:
    """`count` rows with the numbers from `first`; each number is one person."""
    chance = random.Random(f"{seed}:{first}")
    for number in range(first, first + count):
        yield _row(number, chance)


def _row(number: int, chance: random.Random) -> Row:
    email, addressed = _address(number, chance)
    name, city = _header(chance), _header(chance)
    words = mark(number) + _words(chance) + (mark(number) if chance.random() < 0.5 else "")
    if chance.random() < 0.01:
        words += "\udcff"
    # a row that holds what is no text at all is no row
    broken = NO_TEXT.search(email + name + city + words) is not None
    addressed = None if broken else addressed
    meant = None if FORBIDDEN.search(name + city) else addressed
    return Row(number, email, name, city, words, addressed, meant)


def _address(number: int, chance: random.Random) -> tuple[str, tuple[str, str] | None]:
    own, domain = mark(number), chance.choice(DOMAINS)
    kind = chance.random()
    if kind < 0.2:
        return chance.choice(_ILLEGAL).replace("{d}", domain).replace("{}", own), None
    if kind < 0.5:
        return f"{own}@{domain}", (own, domain)
    written, meant = (
        text.replace("{}", own).replace("{{", "{").replace("}}", "}") for text in chance.choice(_LOCALS)
    )
    shown = domain
    if domain.startswith("xn--") and chance.random() < 0.5:
        shown = "bücher.test"
    change = chance.random()
    if change < 0.1:
        shown = shown.upper()
    elif change < 0.15:
        return f" \t{written}@{shown}\u00a0", (meant, domain)
    return f"{written}@{shown}", (meant, domain)


def _header(chance: random.Random) -> str:
    """A cell that a header shows: most of them may be shown."""
    pieces = [
        chance.choice(chance.choice((_HEADERS, _ENCODED, _QUOTES, _QUOTES, _WHITE, _LONG, _LONG)))
        for _ in range(chance.randrange(5))
    ]
    if chance.random() >= 0.06:  # mended, so that what is hostile without a line end is tried, too
        return FORBIDDEN.sub("", "".join(pieces))
    pieces.insert(chance.randrange(len(pieces) + 1), chance.choice((*_BREAKS, *_ENDS[:4])))
    return "".join(pieces)


_KINDS: Sequence[Callable[[random.Random], str]] = (
    *(lambda chance: chance.choice(_ENDS),) * 4,
    *(lambda chance: chance.choice(_COMMANDS),) * 2,
    *(lambda chance: chance.choice(_BREAKS),) * 2,
    lambda chance: chance.choice(_HEADERS),
    lambda chance: chance.choice(_ENCODED),
    lambda chance: chance.choice(_QUOTES),
    lambda chance: chance.choice(_WHITE),
    lambda chance: chance.choice(_LONG),
    lambda chance: "".join(chance.choices("\r\n.\0 ab:", k=chance.randrange(8))),
)  # fmt: skip


def _words(chance: random.Random) -> str:
    return "".join([chance.choice(_KINDS)(chance) for _ in range(chance.randrange(9))])
