"""The newsletter and the people that all sides use: nothing here is ours but the words.

newsletter.html is 10 kB with six fields of the row; newsletter.txt is the text beside it, as Jinja templates
both. No part of bulkmail is imported, so that a peer's process has none of it.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime
from pathlib import Path

HTML = (Path(__file__).parents[1] / "newsletter.html").read_text("utf-8")
TEXT = (Path(__file__).parents[1] / "newsletter.txt").read_text("utf-8")
SUBJECT = "{{ first_name }}, {{ points }} points are waiting in {{ branch }}"
FIELDS = ("first_name", "last_name", "city", "branch", "points", "favourite")
LIST_ID, POSTAL_ADDRESS = "weekly.acme.example", "Acme Garden, 1 Main St, Springfield"
URL, MAILTO = "https://u.acme.example/", "unsubscribe@acme.example"
REVERSE_PATH = "news@acme.example"
FROM, REPLY_TO = f"Acme Garden <{REVERSE_PATH}>", "answers@acme.example"
DKIM_DOMAIN, DKIM_SELECTOR = "acme.example", "s1"
DATE = datetime(2026, 11, 17, 9, tzinfo=UTC)  # in the past: verifiers refuse a t= that is not
SECRET, CAMPAIGN = "a secret of sixteen or more", "weekly-48"
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
FIELD = re.compile(r"\{\{ ([\w.]+) \}\}")


def address(number: int) -> str:
    return f"p{number}@d{number % 50}.example"


def row(number: int) -> dict[str, str]:
    """Everybody's values differ, as they do."""
    values = dict(zip(FIELDS, PEOPLE[number % len(PEOPLE)], strict=True))
    return values | {"points": f"{values['points']}{number % 1000}"}


def token(number: int) -> str:
    """What an unsubscribe link needs in any system: nobody can make another's."""
    digest = hmac.digest(SECRET.encode(), f"{CAMPAIGN}:{number}".encode(), "sha256")
    return base64.b32encode(digest[:20]).decode().lower()


def constant_html() -> str:
    """The newsletter with one reader's values for everybody, for a message that is shared."""
    values = row(0) | {
        "email": "readers@acme.example",
        "unsubscribe_url": URL,
        "list.postal_address": POSTAL_ADDRESS,
    }
    return FIELD.sub(lambda field: values[field[1]], HTML)


def constant_message() -> bytes:
    """One message of 10 kB for everybody: ready octets, CRLF, 7-bit headers and an 8-bit body."""
    head = (
        f"From: {FROM}\nTo: Readers <{REVERSE_PATH}>\nReply-To: {REPLY_TO}\n"
        "Subject: Hellebores, compost and Saturday in the greenhouse\n"
        "Date: Tue, 17 Nov 2026 09:00:00 +0000\nMessage-ID: <48@acme.example>\n"
        f"List-Id: <{LIST_ID}>\nMIME-Version: 1.0\nContent-Type: text/html; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n\n"
    )
    return (head + constant_html()).replace("\n", "\r\n").encode()
