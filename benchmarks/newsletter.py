"""The newsletter that benchmarks/message.py makes: by us, and by hand with `email`, jinja2 and dkimpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any, NamedTuple

import dkim
import jinja2

from bulkmail.message import Composer, Content, Draft, Source
from bulkmail.message.draft import MailingList, Unsubscribe
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.token import Tokens

Work = Callable[[int, int], list[bytes]]  # makes so many messages, from this number on

DATE = datetime(2026, 11, 17, 9, tzinfo=UTC)  # in the past: verifiers refuse a t= that is not
NOW = DATE.timestamp()
HTML = (Path(__file__).parent / "newsletter.html").read_text("utf-8")
FIELDS = ("first_name", "last_name", "city", "branch", "points", "favourite")
SUBJECT = "{{ first_name }}, {{ points }} points are waiting in {{ branch }}"
LIST = MailingList("weekly.acme.example", "Acme Garden, 1 Main St, Springfield")
URL = "https://u.acme.example/"
PEOPLE_AT_HAND = 5000
PEOPLE = [  # one in four has a name that needs encoding
    ("Ann", "Adler", "Bristol", "Harbour", "120", "a pair of gloves"),
    ("Zoë", "Núñez", "Málaga", "Centro", "85", "the red watering can"),
    ("Bob", "O'Neill", "Cork", "Quay & Bridge", "7", "nothing yet"),
    ("Christina", "Baker-Jones", "Springfield", "Main Street", "2,310", "a cherry tree"),
    ("Dan", "Cole", "Leeds", "Station", "41", "tulips"),
    ("山田", "太郎", "東京", "Shibuya", "1,240", "a bonsai"),
    ("Emma", "de Vries", "Utrecht", "Oudegracht", "660", "the long spade"),
    ("Frank", "Muller", "Ohio", "Lake", "93", "wild garlic"),
]


def row(number: int) -> dict[str, str]:
    """Everybody's values differ, as they do."""
    values = dict(zip(FIELDS, PEOPLE[number % len(PEOPLE)], strict=True))
    return values | {"points": f"{values['points']}{number % 1000}"}


def composer(*keys: SigningKey) -> Composer:
    draft = Draft(
        from_="Acme Garden <news@acme.example>",
        to="{{ first_name }} {{ last_name }} <{{ email }}>",
        reply_to="answers@acme.example",
        subject=SUBJECT,
        headers={"X-Team": "growth"},
        text=None,
        html=None,
        campaign="weekly-48",
        content=Content(html=Source(HTML, "newsletter.html"), folder=Path(__file__).parent),
        kind="marketing",
        list_=LIST,
        unsubscribe=Unsubscribe(URL, "unsubscribe@acme.example"),
    )
    return Composer(draft, date=DATE, tokens=Tokens("a secret of sixteen or more", "weekly-48"), keys=keys)


class Person(NamedTuple):
    id: int
    address: str
    fields: Mapping[str, str]


def ours(*keys: SigningKey) -> Work:
    letters = composer(*keys).letters
    people = [  # as they come from the journal
        Person(number + 1, f"p{number}@d{number % 50}.example", row(number))
        for number in range(PEOPLE_AT_HAND)
    ]

    def work(first: int, count: int) -> list[bytes]:
        start = first % (PEOPLE_AT_HAND - count)
        written = letters(people[start : start + count], now=NOW)
        return [letter.content for letter in written if not isinstance(letter, Exception)]

    return work


def by_hand(pem: bytes | None) -> Work:
    """The same newsletter as one would make it with jinja2, `email` and dkimpy."""
    # Values are never read as templates, so rendering their own names gives the text part as a template.
    named = composer().letter("a@b.example", {name: "{{ %s }}" % name for name in FIELDS}).content  # noqa: UP031
    part = message_from_bytes(named, policy=policy.default).get_body(("plain",))
    text = jinja2.Template(part.get_content()) if part is not None else jinja2.Template("")
    html, subject = jinja2.Template(HTML, autoescape=True), jinja2.Template(SUBJECT)
    tokens = Tokens("a secret of sixteen or more", "weekly-48")

    def one(number: int) -> bytes:
        values: Mapping[str, Any] = row(number)
        address, url = f"p{number}@d{number % 50}.example", URL + tokens.token(number + 1)
        values = {**values, "email": address, "unsubscribe_url": url, "list": LIST}
        message = EmailMessage(policy=policy.SMTP.clone(max_line_length=998))
        message["From"] = "Acme Garden <news@acme.example>"
        message["To"] = f"{values['first_name']} {values['last_name']} <{address}>"
        message["Reply-To"] = "answers@acme.example"
        message["Subject"] = subject.render(values)
        message["Date"] = format_datetime(DATE)
        message["Message-ID"] = make_msgid(domain="acme.example")
        message["List-Id"] = f"<{LIST.id}>"
        message["List-Unsubscribe"] = f"<{url}>, <mailto:unsubscribe@acme.example>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["X-Team"] = "growth"
        message.set_content(text.render(values))
        message.add_alternative(html.render(values), subtype="html")
        data = message.as_bytes()
        if pem is None:
            return data
        signature: bytes = dkim.sign(data, b"s1", b"acme.example", pem, canonicalize=(b"relaxed", b"relaxed"))
        return signature + data

    return lambda first, count: [one(number) for number in range(first, first + count)]


def verified(work: Work, key: SigningKey) -> int:
    """The octets of one message. Nothing is measured that a receiver would not believe."""
    (message,) = work(1, 1)
    if not dkim.verify(message, dnsfunc=lambda name, timeout=5: key.record().encode()):
        raise SystemExit("the signature is not valid")
    parsed = message_from_bytes(message, policy=policy.default)
    if any(part.defects for part in parsed.walk()):
        raise SystemExit("the message has defects")
    return len(message)
