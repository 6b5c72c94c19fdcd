"""The newsletter as one makes it in Python without us: jinja2, the standard library's `email`, dkimpy."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime, make_msgid
from typing import Any

import jinja2

from . import material
from .job import Job

# `email` folds a long List-Unsubscribe into encoded words, which nobody reads.
POLICY = SMTP.clone(max_line_length=998)
OF_THE_LIST = {"postal_address": material.POSTAL_ADDRESS}


def message_builder(policy: EmailPolicy[Any] = POLICY) -> Callable[[int], EmailMessage]:
    """Builds the message for the person of a number; the templates are compiled once."""
    html, text = jinja2.Template(material.HTML, autoescape=True), jinja2.Template(material.TEXT)
    subject, date = jinja2.Template(material.SUBJECT), format_datetime(material.DATE)

    def build(number: int) -> EmailMessage:
        row, address = material.row(number), material.address(number)
        url = material.URL + material.token(number)
        values = {**row, "email": address, "unsubscribe_url": url, "list": OF_THE_LIST}
        message = EmailMessage(policy=policy)
        message["From"] = material.FROM
        message["To"] = f"{row['first_name']} {row['last_name']} <{address}>"
        message["Reply-To"] = material.REPLY_TO
        message["Subject"] = subject.render(values)
        message["Date"] = date
        message["Message-ID"] = make_msgid(domain="acme.example")
        message["List-Id"] = f"<{material.LIST_ID}>"
        message["List-Unsubscribe"] = f"<{url}>, <mailto:{material.MAILTO}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["X-Team"] = "growth"
        message.set_content(text.render(values))
        message.add_alternative(html.render(values), subtype="html")
        return message

    return build


def writer(pem: bytes | None) -> Callable[[int], bytes]:
    """Writes the octets of the message for a number, signed where there is a key."""
    build = message_builder()
    if pem is None:
        return lambda number: build(number).as_bytes()
    import dkim

    domain, selector = material.DKIM_DOMAIN.encode(), material.DKIM_SELECTOR.encode()
    relaxed = (b"relaxed", b"relaxed")

    def write(number: int) -> bytes:
        data = build(number).as_bytes()
        signature: bytes = dkim.sign(data, selector, domain, pem, canonicalize=relaxed)
        return signature + data

    return write


def letters(job: Job) -> Callable[[int], bytes]:
    """What a peer that is handed octets sends, by the number of the message."""
    if job.scenario == "shared":
        constant = material.constant_message()
        return lambda number: constant
    return writer(job.key.read_bytes() if job.scenario == "signed" else None)
