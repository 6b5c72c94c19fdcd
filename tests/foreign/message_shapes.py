"""The shapes that a newsletter can have, each as its campaign file and the files that this one names.

A shape says what it is made of (`leaves`, in the order of the message), so that a test can tell that it was
sent at all. What every one of them holds are the places where mail is damaged on the way: lines that begin
with a dot or with "From ", blanks at the end of a line, tabs, empty lines at the end, and lines far longer
than a mail server has to accept.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

# What a recipient may be called. The last one has no name and no city at all.
PEOPLE = {
    "ann": {"name": "Ann", "city": "Zürich"},
    "zoe": {"name": "Zoë “Q.” Žižková-李, Ms.", "city": "東京 – .eu"},
    "longest": {"name": "x" * 300, "city": "A word and another, " * 20},
    "nobody": {"name": "", "city": ""},
}
DAMAGED = (
    ".\n..dots\nFrom here on\n>From there\nblanks at the end   \n\ttab\tand tab\t\n=20 =? =?utf-8?q?no?= =\n"
    + "https://acme.test/" + "long/" * 240 + "\n"
    + "One line of many words. " * 60 + "\n-- \n{{ city }}\n\n\n\n"
)  # fmt: skip
TEXT = "Dear {{ name }},\n\n" + DAMAGED
HTML = (
    '<!DOCTYPE html>\n<html lang="en"><head><title>Hello</title><style>'
    "p { color: #123456 } @media (max-width: 400px) { p { font-size: 18px } }</style></head>\n"
    '<body><p class="big">Dear {{ name }},</p>\n<pre>\n' + DAMAGED + "</pre>\n"
    "{% if city %}<table><tr><td>{{ city }}</td></tr></table>{% endif %}\n"
    '<p><a href="https://acme.test/?a=1&amp;b={{ email }}">.Here</a> &mdash; ein Gruß</p></body></html>\n'
)
IMAGES = HTML.replace("</body>", '<img src="images/logo.png" alt="Acme"><img src="dot.gif" alt=""></body>')
MARKDOWN = "# Hello {{ name }}\n\n* one\n* two\n\n| a | b |\n|---|---|\n| {{ city }} | .2 |\n\n" + TEXT
MJML = (
    "<mjml><mj-head><mj-preview>Soon</mj-preview></mj-head><mj-body><mj-section><mj-column>"
    "<mj-text>Dear {{ name }}, ein Gruß aus {{ city }}</mj-text>"
    '<mj-button href="https://acme.test/{{ token }}">Go</mj-button>'
    "</mj-column></mj-section></mj-body></mjml>\n"
)
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\4\1\0\0\0\0,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
BINARY = bytes(range(256)) * 40 + b"\r\n.\r\n\r.\n" * 30

PLAIN, RICH, PDF = "text/plain", "text/html", "application/pdf"
LIST = {"id": "weekly.acme.test", "postal_address": "Acme, Hauptstraße 1, 東京"}
LEAVE = {"url": "https://u.acme.test/", "mailto": "unsub@acme.test", "secret": {"file": "unsubscribe.secret"}}


def png() -> bytes:
    """A picture of one pixel."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0\xff\0\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


FILES = {"images/logo.png": png(), "dot.gif": GIF, "terms.pdf": BINARY, "big.bin": BINARY * 100}


@dataclass(frozen=True)
class Shape:
    """`settings` are keys of the campaign file, `files` what lies beside it."""

    leaves: list[str]
    settings: Mapping[str, Any]
    files: Mapping[str, str | bytes]
    eai: bool = False  # the recipients have a local part that is not ASCII (RFC 6531)
    idn: bool = False  # … and a domain that is not (RFC 5891)
    shared: bool = False  # everybody gets the same octets


def shape(leaves: list[str], template: str, source: str, /, content: Any = None, **settings: Any) -> Shape:
    return Shape(
        leaves,
        {"content": {"template": template, **(content or {})}, **settings},
        {template: source, **FILES},
    )


ATTACHED = [
    "terms.pdf",
    {"file": "terms.pdf", "name": "Übersicht für {{ name | default('x', true) | truncate(40) }}.pdf"},
]
FOOT = '<p><a href="{{ unsubscribe_url }}">Leave</a>, {{ list.postal_address }}</p></body>'
EVERYTHING = shape(
    [PLAIN, RICH, "image/png", "image/gif", PDF, PDF],
    "letter.html",
    IMAGES.replace("</body>", FOOT),
    {"images": "embed", "attachments": ATTACHED},
    kind="marketing",
    preheader="{{ name }}: three things for {{ city }}",
    reply_to="Büro <hello@acme.test>",
    headers={"X-Team": "growth", "X-Greeting": "Grüße an {{ name }}"},
    list=LIST,
    unsubscribe=LEAVE,
)

SHAPES = {
    "text only": shape([PLAIN], "letter.txt", TEXT),
    "an empty text": shape([PLAIN], "letter.txt", "{% if city == '-' %}never{% endif %}\n"),
    "HTML only": shape([RICH], "letter.html", HTML, {"text": "none"}),
    "HTML and a text made from it": shape([PLAIN, RICH], "letter.html", HTML),
    "Markdown": shape([PLAIN, RICH], "letter.md", MARKDOWN),
    "MJML": shape([PLAIN, RICH], "letter.mjml", MJML, unsubscribe=LEAVE),
    "a preheader": shape([PLAIN, RICH], "letter.html", HTML, preheader="For {{ name }} in {{ city }} & more"),
    "images embedded": shape([PLAIN, RICH, "image/png", "image/gif"], "a.html", IMAGES, {"images": "embed"}),
    "attachments": shape([PLAIN, PDF, PDF], "letter.txt", TEXT, {"attachments": ATTACHED}),
    "a megabyte attached": shape(
        [PLAIN, "application/octet-stream"], "letter.txt", TEXT, {"attachments": ["big.bin"]}
    ),
    "everything": EVERYTHING,
    "the same for everybody": replace(
        shape(
            [PLAIN, RICH, "image/png", "image/gif", PDF],
            "letter.html",
            IMAGES.replace("{{", "{# ").replace("}}", " #}").replace("{% if city %}", "{% if true %}"),
            {"images": "embed", "attachments": ["terms.pdf"]},
            to="Leser <readers@acme.test>",
            subject="Grüße an alle",
        ),
        shared=True,
    ),
    "a field left empty": shape(
        [PLAIN, RICH],
        "letter.html",
        HTML,
        subject="{{ name }}",
        headers={"X-City": "{{ city }}", "X-Empty": ""},
    ),
    "a very long List-Unsubscribe": shape(
        [PLAIN],
        "letter.txt",
        TEXT,
        list=LIST,
        unsubscribe={**LEAVE, "url": "https://u.acme.test/" + "go/" * 280 + "?t={{ token }}"},
    ),
    "a sender who is not ASCII": shape(
        [PLAIN, RICH],
        "letter.md",
        MARKDOWN,
        **{"from": "Büro für Grüße, 東京 <büro@acme.test>", "reply_to": "Büro <büro@acme.test>"},
    ),
    "non-ASCII addresses": replace(EVERYTHING, eai=True, idn=True),
    "a non-ASCII domain": replace(EVERYTHING, idn=True),
}
