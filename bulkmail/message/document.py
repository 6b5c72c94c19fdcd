"""What is done to a whole document, from what its author wrote to what a reader is sent.

A document here is the template with its control flow executed and an opaque word ([a-z0-9]+) where each value
will stand. It is real Markdown, MJML or HTML, so real converters can read it; every function lets the words
through wherever they stand. All are pure: the same document gives the same octets, on every machine.

The order that keeps most: markdown_html or mjml_html; inlined; with_preheader; with_cids (images.py).
plain_text reads the result of the first, or any later one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bulkmail.message.inlining import inlined
from bulkmail.message.layout import LAYOUT
from bulkmail.message.mjml import mjml_html
from bulkmail.message.plain import plain_text
from bulkmail.message.problem import MarkupProblem
from bulkmail.message.tags import TOKEN, hides

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ["MarkupProblem", "inlined", "markdown_html", "mjml_html", "plain_text", "with_preheader"]

# A list of messages shows the preheader and then as much of the body as fits. These take up the room instead:
# spaces that cannot collapse, kept apart by characters without width, since clients fold plain runs of them.
PADDING = "&#847;&zwnj;&nbsp;&#8199;" * 75

_BEFORE_BODY = re.compile(r"<!doctype\b|<html\b|</?head\b", re.IGNORECASE)
_HIDDEN = (
    "display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;visibility:hidden;mso-hide:all;"
    "font-size:1px;line-height:1px"
)


def markdown_html(source: str) -> str:
    """CommonMark with tables and strike-through, as a whole page in our layout.

    Raw HTML is text: a value of a recipient can never become markup, and a .html file is there for HTML.
    """
    return LAYOUT.replace("<!--content-->", _markdown().render(source))


def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def with_preheader(html: str, preheader: str) -> str:
    """`html` with the text that lists of messages show after the subject, hidden in the message itself.

    `preheader` is escaped already. It comes first in the body; "" leaves the document as it is.
    """
    if not preheader:
        return html
    at = _start_of_body(html)
    return f'{html[:at]}<div style="{_HIDDEN}">{preheader}{PADDING}</div>{html[at:]}'


def _start_of_body(html: str) -> int:
    """After <body>, or where it would be: nothing may come before a doctype, or it counts nothing."""
    at, conditional = 0, False
    for token in TOKEN.finditer(html):
        if token["mark"]:
            conditional = hides(token["mark"], conditional)
        elif conditional:
            continue
        elif token["name"] and token["name"].lower() == "body":
            return token.end()
        elif _BEFORE_BODY.match(token[0]):
            at = token.end()
    return at
