"""What is spliced together from ready-made octets equals what the standard library builds step by step.

The slow way renders each template whole with jinja2, converts the result, and hands all of it to `email`.
Both messages are then read back: the same header fields with the same values, the same parts nested in the
same way, with the same content. Free is only what no reader sees: encodings, boundaries, Content-IDs.
"""

from __future__ import annotations

import hashlib
import re
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import jinja2
import pytest
from drafts import DATE, as_lines, draft, read
from newsletters import SHAPES, Seen, png

from bulkmail.message import Composer, Draft
from bulkmail.message.document import inlined, markdown_html, plain_text, with_preheader
from bulkmail.message.token import Tokens

TOKENS = Tokens("a secret of sixteen", "hello")
ADDRESS, ID = "ann@a.example", 4711
ROWS = {
    "ordinary": ("Ann", "spring"),
    "a long word": ("Ann", "x" * 1200),
    "not ASCII": ("Zoë Müller", "Frühling"),
    "Japanese": ("山田太郎", "春の庭へようこそ"),
    "nothing": ("", ""),
    "mark-up": ("Ann", "<b>wild</b> & free; {{ 7 * 7 }} | *so* `it` =20 zq0x1qz"),
    "quotes": ('Ann "Q" O\'Neil, Jr.', '"it\'s"'),
    "dots": (".", "..two"),
}
# Rendered whole, a value would be read as mark-up by what converts Markdown and style sheets. Ours is not.
HARMLESS = {"Markdown": ["ordinary", "a long word"], "a field in a style": list(ROWS)[:5]}
CASES = [(shape, row) for shape in SHAPES for row in HARMLESS.get(shape, ROWS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newsletter")
    (folder / "logo.png").write_bytes(png())
    return folder


@pytest.mark.parametrize(("shape", "of"), CASES)
def test_a_message_is_what_the_standard_library_would_have_built(shape: str, of: str, folder: Path) -> None:
    newsletter = draft(**SHAPES[shape](folder))
    row = dict(zip(("name", "words"), ROWS[of], strict=True))
    ours = read(Composer(newsletter, date=DATE, tokens=TOKENS).letter(ADDRESS, row, id=ID).content)
    theirs = built(newsletter, row, folder)
    assert header(ours) == header(theirs)
    assert tree(ours) == tree(theirs)


def built(draft: Draft, row: dict[str, str], folder: Path) -> EmailMessage:
    """The slow way."""
    token = TOKENS.token(ID)
    url = draft.unsubscribe.url.replace("{{ token }}", token) if draft.unsubscribe else ""
    known = {"email": ADDRESS, "campaign": "hello", "list": draft.list_, "date": DATE}
    values: dict[str, Any] = {**row, **draft.data, **known, "token": token, "unsubscribe_url": url}

    def rendered(source: str, *, html: bool = False) -> str:
        environment = jinja2.Environment(
            autoescape=html, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
        )
        return environment.from_string(source).render(values)

    message = EmailMessage(policy=policy.SMTP.clone(max_line_length=998))
    message["From"] = draft.from_
    message["To"] = Address(row["name"].strip(), addr_spec=ADDRESS)
    if draft.reply_to is not None:
        message["Reply-To"] = Address(row["name"].strip(), addr_spec="answers@acme.example")
    message["Subject"] = rendered(draft.subject)
    message["Date"] = format_datetime(DATE)
    message["Message-ID"] = "<another@acme.example>"
    message["Precedence"] = "bulk"
    list_id = "" if draft.list_ is None else draft.list_.id
    message["Feedback-ID"] = f"hello:{list_id}:announcement:acme.example"
    if list_id:
        message["List-Id"] = f"<{list_id}>"
    if draft.unsubscribe is not None:
        message["List-Unsubscribe"] = f"<{url}>, <mailto:{draft.unsubscribe.mailto}?subject={token}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    for name, source in draft.headers.items():
        message[name] = rendered(source)

    content = draft.sources()
    text = rendered(content.text.text) if content.text is not None else None
    html = rendered(content.html.text, html=True) if content.html is not None else None
    if content.markdown is not None:
        text = rendered(content.markdown.text)
        html = markdown_html(text)
    if html is not None and text is None and content.text_from_html:
        text = plain_text(html)
    if html is not None:
        if draft.preheader:
            html = with_preheader(html, rendered(draft.preheader.replace("{{ words }}", "{{ words | e }}")))
        html = inlined(html)
    if text is not None:
        message.set_content(text)
    if html is not None:
        embedded = draft.embed_images and 'src="logo.png"' in html
        html = html.replace('src="logo.png"', 'src="cid:logo@acme.example"') if embedded else html
        (message.set_content if text is None else message.add_alternative)(html, subtype="html")
        if embedded:
            (*_, part) = message.iter_parts()
            image = (folder / "logo.png").read_bytes()
            part.add_related(image, "image", "png", cid="<logo@acme.example>", filename="logo.png")
            part.get_payload()[1].replace_header("Content-Disposition", 'inline; filename="logo.png"')
    for attachment in draft.attachments:
        kind, _, subtype = (attachment.type or "application/pdf").partition("/")
        message.add_attachment(attachment.content, kind, subtype, filename=rendered(attachment.name))
    read_back = message_from_bytes(message.as_bytes(), policy=policy.default)
    assert isinstance(read_back, EmailMessage)
    return read_back


def header(message: EmailMessage) -> list[tuple[str, object]]:
    """All fields but those of the body, which `tree` looks at. A Message-ID is free to the left of its @."""
    fields: list[tuple[str, object]] = []
    for name, value in message.items():
        lower = name.lower()
        if lower in ("from", "to", "reply-to"):
            fields.append((lower, [(one.display_name, one.addr_spec) for one in value.addresses]))
        elif lower == "message-id":
            fields.append((lower, value.partition("@")[2]))
        elif not lower.startswith("content-"):
            fields.append((lower, " ".join(str(value).split())))
    return sorted(fields, key=repr)


def tree(message: EmailMessage) -> object:
    """What a part is and what it holds, its parts in order."""
    images = {
        str(part["content-id"]).strip("<>"): hashlib.sha256(part.get_payload(decode=True)).hexdigest()
        for part in message.walk()
        if part["content-id"]
    }

    def node(part: EmailMessage) -> tuple[object, ...]:
        kind = part.get_content_type()
        if part.is_multipart():
            return (kind, [node(inner) for inner in part.iter_parts()])
        place = (kind, part.get_content_disposition(), part.get_filename(), part["content-id"] is not None)
        if part.get_content_maintype() != "text" or part.is_attachment():
            return (*place, part.get_payload(decode=True))
        text = as_lines(part.get_content()).rstrip("\n")
        if kind == "text/html":
            text = re.sub(r"cid:([^\"]+)", lambda match: f"cid:{images[match[1]]}", text)
            return (*place, part.get_content_charset(), *Seen(text).events)
        return (*place, part.get_content_charset(), text)

    return node(message)
