"""The shapes in which newsletters come, each as changes to a draft, and values that mean trouble.

Every shape uses the fields `name` (also in the header) and `words` (in the body only). Where `words` stand in
a body they are between OPENS and CLOSES, so that a test can find what became of them, whatever they are and
however the part was made. The mark-up around them is what builders of newsletters write.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from struct import pack
from typing import Any

from drafts import as_lines
from hypothesis import strategies as st

from bulkmail.message import Content, Source
from bulkmail.message.draft import Attachment, MailingList, Unsubscribe

OPENS, CLOSES = "OPENS", "CLOSES"
WORDS = OPENS + "{{ words }}" + CLOSES
HEADER = {"to": "{{ name }} <{{ email }}>", "subject": "{{ name }}, your week"}

TEXT = f"Dear {{{{ name }}}},\n\n.{WORDS}\n{WORDS}{WORDS}\n-- \nAcme  and\tcompany \n"
PAGE = """\
<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{ name }}</title>%s</head>
<body style="margin:0"><table role="presentation" width="100%%"><tr><td class="inner">
<p>Dear {{ name }},</p>
%s
</td></tr></table></body></html>
"""
STYLE = """<style>.inner { padding: 12px } p { color: #123456 } .hot td { font-weight: bold }
@media (max-width: 600px) { .inner { padding: 4px !important } }</style>"""
PARAGRAPH = f'<p title="{WORDS}">{WORDS}</p><p>x{WORDS}y</p>\n'
LINK = f'<p><a href="https://acme.example/?for={WORDS}">{WORDS}</a></p>\n'
TABLE = f"""<table>{{% for item in items %}}
<tr class="{{{{ 'hot' if item.hot else 'cold' }}}}">{{% if item.hot %}}<td>{WORDS}</td>{{% endif %}}
<td>{{{{ item.title }}}}</td>{{% if words %}}<td>{WORDS}</td>{{% else %}}
<td>{OPENS}{CLOSES}</td>{{% endif %}}</tr>
{{% endfor %}}</table>
"""
ITEMS = {"items": [{"title": "Crocuses", "hot": True}, {"title": "Bulbs & more", "hot": False}]}
PICTURE = f'<p><img src="logo.png" alt="{WORDS}" width="8" height="8"></p>\n'
FOOT = """<p>{{ list.postal_address }} for {{ email }}, {{ campaign }} of {{ date.year }}.
<a href="{{ unsubscribe_url }}">Leave</a></p>
"""
MARKDOWN = f"""\
# Hello {{{{ name }}}}

* one {WORDS}
* [two](https://acme.example/{WORDS}) and **{WORDS}**

| what | who |
|---|---|
{{% for item in items %}}| {{{{ item.title }}}} | {WORDS} |
{{% endfor %}}

{{% if words %}}> {WORDS}
{{% endif %}}
"""


def png() -> bytes:
    """The smallest picture that is one: 1 × 1, grey."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return pack(">I", len(data)) + kind + data + pack(">I", zlib.crc32(kind + data))

    size = pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0\x80")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


Shape = Callable[[Path], dict[str, Any]]  # from a folder with logo.png to the changes of a draft


def _html(body: str, head: str = "", *, text: bool = True, **changes: Any) -> Shape:
    source = Source(PAGE % (head, body), "page.html")

    def shape(folder: Path) -> dict[str, Any]:
        content = Content(html=source, text_from_html=text, folder=folder)
        return HEADER | {"text": None, "content": content} | changes

    return shape


def _plain(**changes: Any) -> Shape:
    return lambda folder: HEADER | {"text": TEXT} | changes


SHAPES: dict[str, Shape] = {
    "text only": _plain(),
    "text in capitals and in a loop": _plain(
        text=f"{{% for n in range(2) %}}{{{{ n }}}}: {WORDS}\n{{% endfor %}}{{{{ name | upper }}}}\n"
    ),
    "HTML only": _html(PARAGRAPH + LINK, text=False),
    "HTML with a text part made from it": _html(PARAGRAPH + LINK, STYLE),
    "text and HTML, both given": _plain(html=PAGE % (STYLE, PARAGRAPH + LINK)),
    "a table with a loop and conditions": _html(TABLE, STYLE, data=ITEMS),
    "Markdown": lambda folder: (
        HEADER
        | {
            "text": None,
            "content": Content(markdown=Source(MARKDOWN, "page.md"), folder=folder),
            "data": ITEMS,
        }
    ),
    "a preheader": _html(PARAGRAPH, STYLE, preheader=f"Three things, {WORDS}"),
    "a field in a style": _html(
        f'<p style="color:{{{{ words }}}}" class="{{{{ words }}}}">{WORDS}</p>', STYLE
    ),
    "an embedded image": _html(PICTURE + PARAGRAPH, STYLE, embed_images=True),
    "an attachment named by a field": _plain(
        attachments=(Attachment("Invoice {{ name }}.pdf", bytes(range(256)) * 5, "application/pdf"),)
    ),
    "everything at once": _html(
        PICTURE + PARAGRAPH + LINK + TABLE + FOOT,
        STYLE,
        data=ITEMS,
        preheader=WORDS,
        embed_images=True,
        reply_to="{{ name }} <answers@acme.example>",
        headers={"X-Team": "growth", "X-Name": "{{ name }}"},
        list_=MailingList("weekly.acme.example", "Acme, 1 Main St, Springfield"),
        unsubscribe=Unsubscribe(
            "https://u.acme.example/{{ token }}?from=newsletter", "unsubscribe@acme.example"
        ),
        reverse_path="bounces+{{ token }}@acme.example",
        attachments=(
            Attachment("Invoice {{ name }}.pdf", "Grüße\n.\n".encode(), "text/plain"),
            Attachment("terms.pdf", b"%PDF-1.7\r\n\0\xff", "application/pdf"),
        ),
    ),
}

NAMES_A_FILE = {"an attachment named by a field", "everything at once"}

# fmt: off
TROUBLE = st.sampled_from([
    "\r", "\n", "\r\n", ".", "\r\n.\r\n", "\n.\n", "..", "\r\n\r\n", "\n\n\n\n", "\t", "    ", " \n", "\t\n",
    "{{", "}}", "{{ name }}", "{% raw %}", "{#", "#}", "{{ 7 * 7 }}", "%s", "{0}", "\\1", "\\g<0>", "$1",
    "<b>", "</td>", "</table>", "<!--", "-->", "]]>", "&amp;", "&", "&#0;", '"', "'", "<style>", "`", "*a*",
    "\0", "\x1b[2J", "\x7f", "\x85", "\x0b", "\x0c", "\x1c", "\u2028", "\ufeff", "\u202e", "e\u0301",
    "=", "=20", "=\r\n", "=?utf-8?q?x?=", "=?x", "?=", "From me", "--=_", "--", "(c)", "\\", ";", ",", ":",
    "zq3fa9x12qz", "zq0x0qz", "zq0x1qz", "zq", "qz", "0", "12", "| a | b |", "[x](y)", "https://x.example/",
    "x" * 10_000, "é" * 700, "😀" * 90, "x " * 600, "山田太郎", "ß", "x" * 77, "." * 80, " " * 100,
    "\r\nBcc: eve@x.example", ", <eve@x.example>", "\ud800", "\udcff", "Ann", "O'Neil", "/", "../", "a.b",
])
# fmt: on
CHARACTER = st.characters()  # any at all, surrogates among them
VALUES = st.lists(st.one_of(TROUBLE, st.text(CHARACTER, max_size=8)), max_size=6).map("".join)
# A cell of a list, mostly: what a header may hold, and now and then what it may not
NAMES = st.one_of(VALUES, st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))


class Seen(HTMLParser):
    """What a reader gets from HTML: its text, its attributes one behind the other, and all of it in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text, self.attributes = "", ""
        self.events: list[tuple[object, ...]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += "".join(f"{name}={value or ''}\n" for name, value in attrs)
        self.events.append((tag, *sorted((name, value or "") for name, value in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.events.append((f"/{tag}",))

    def handle_data(self, data: str) -> None:
        self.text += data
        self.events.append((data,))


def found_in(text: str) -> set[str]:
    """What stands between OPENS and CLOSES, wherever it does."""
    return set(re.findall(f"{OPENS}(.*?){CLOSES}", as_lines(text), re.DOTALL))
