"""A message as its reader will see it, taken from the very octets that would be sent.

Nothing is shown that is not in them: header, text and HTML are parsed back with the standard library, the
line of the inbox is read from the body as mail programs do it, and images that travel with the message are
put in where it refers to them. So a preview cannot flatter.
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from html.parser import HTMLParser

SHOWN = ("From", "To", "Reply-To", "Subject", "Date", "List-Id", "List-Unsubscribe")
INBOX = 140  # characters that mail programs show of a message beside its subject, at most
GMAIL_CLIPS = 102_000  # octets of HTML, behind which "[Message clipped]" stands
_UNSEEN = frozenset({"head", "style", "script", "title", "template"})
# What authors put behind a preheader so that no body text follows it, and soft hyphens
_PADDING = re.compile("[\u00ad\u034f\u061c\u115f\u17b4\u17b5\u180e\u200b-\u200f\u2060-\u2064\ufeff]+")
_BLANKS = re.compile(r"[ \t\r\n\f]+")  # what HTML shows as one space; a no-break space is none of them
_BLOCKS = frozenset({"p", "div", "br", "td", "tr", "li", "h1", "h2", "h3", "h4", "table", "blockquote", "hr"})
_REMOTE = re.compile(
    r"""(?:\b(?:src|srcset|background|poster)\s*=\s*["']?|url\(\s*["']?|<link\b[^>]*\bhref\s*=\s*["']?)"""
    r"""(https?:[^"'\s)>]+)""",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that the reader can save."""

    name: str
    type: str
    octets: int


@dataclass(frozen=True, slots=True)
class View:
    """One message, taken apart. `html` and `text` are None where there is no such part.

    `inbox` is what stands beside the subject in a list of messages. `remote`: how many things the HTML asks
    the web for, images above all.
    """

    header: tuple[tuple[str, str], ...]
    subject: str
    inbox: str
    text: str | None
    html: str | None
    attached: tuple[Attached, ...]
    octets: int
    html_octets: int
    remote: int
    source: str

    @property
    def notes(self) -> Iterator[str]:
        """What its author should know, a sentence each."""
        if self.html_octets > GMAIL_CLIPS:
            yield f"The HTML has {self.html_octets // 1000} kB; Gmail shows {GMAIL_CLIPS // 1000} of them."
        if not self.subject:
            yield "It has no subject."
        if self.html is not None and self.text is None:
            yield "It has no text part: some filters mind, and so do some readers."


def view(content: bytes) -> View:
    """What `content`, a whole message as it goes on the wire, shows."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    text = _body(message, "plain")
    html = _body(message, "html")
    return View(
        header=tuple((name, _shown(str(message[name]))) for name in SHOWN if message[name] is not None),
        subject=_shown(str(message["Subject"] or "")),
        inbox=inbox_line(html) if html is not None else _line(text or ""),
        text=text,
        html=None if html is None else with_images(html, message),
        attached=tuple(_attached(message)),
        octets=len(content),
        html_octets=len((html or "").encode()),
        remote=len(set(_REMOTE.findall(html or ""))),
        source=content.decode("utf-8", "replace").replace("\r\n", "\n"),
    )


def inbox_line(html: str) -> str:
    """The first words of an HTML body, hidden ones too: what a list of messages shows beside the subject."""
    reader = _FirstWords()
    reader.feed(html)
    return _line(reader.text)


def with_images(html: str, message: EmailMessage) -> str:
    """The HTML with each image that it refers to by `cid:` (RFC 2392) as a `data:` address."""
    images = {
        str(part["Content-ID"]).strip("<> "): part
        for part in message.walk()
        if part["Content-ID"] and part.get_content_maintype() == "image"
    }
    if not images:
        return html
    names = "|".join(re.escape(name) for name in sorted(images, key=len, reverse=True))
    return re.sub(rf"cid:({names})(?![\w.@-])", lambda match: data_address(images[match[1]]), html)


def data_address(part: EmailMessage) -> str:
    """A part's content as an address that holds it (RFC 2397)."""
    content = part.get_payload(decode=True)
    octets = content if isinstance(content, bytes) else b""
    return f"data:{part.get_content_type()};base64,{base64.b64encode(octets).decode('ascii')}"


def _body(message: EmailMessage, subtype: str) -> str | None:
    part = message.get_body(("html",) if subtype == "html" else ("plain",))
    return None if part is None else str(part.get_content()).replace("\r\n", "\n")


def _attached(message: EmailMessage) -> Iterator[Attached]:
    for part in message.walk():
        if part.get_content_disposition() == "attachment":
            content = part.get_payload(decode=True)
            yield Attached(
                _shown(part.get_filename() or "without a name"),
                part.get_content_type(),
                len(content) if isinstance(content, bytes) else 0,
            )


def _shown(text: str) -> str:
    """A header's value; where it is UTF-8 as it stands (RFC 6532), the standard library leaves surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _line(text: str) -> str:
    """So much of a text as fits beside a subject, on one line. What pads it takes room, though unseen."""
    return " ".join(_PADDING.sub("", _BLANKS.sub(" ", text.strip())[:INBOX]).split())


class _FirstWords(HTMLParser):
    """Collects text until there is enough of it for a line."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self.text += " " if tag in _BLOCKS else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN and self._unseen:
            self._unseen -= 1

    def handle_data(self, data: str) -> None:
        if not self._unseen and len(self.text) < INBOX:
            # cut, so that a long text is not looked at as a whole; blanks that it begins with count as one
            self.text = _BLANKS.sub(" ", self.text + data[: 10 * INBOX]).lstrip()
