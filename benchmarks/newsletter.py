"""The newsletter that benchmarks/message.py makes: by us, and by hand with `email`, jinja2 and dkimpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email import message_from_bytes, policy
from pathlib import Path
from typing import NamedTuple

import dkim
from peers.by_hand import writer
from peers.material import (
    CAMPAIGN,
    DATE,
    FIELDS,
    FROM,
    HTML,
    LIST_ID,
    MAILTO,
    POSTAL_ADDRESS,
    REPLY_TO,
    SECRET,
    SUBJECT,
    URL,
    address,
    row,
)

from bulkmail.message import Composer, Content, Draft, Source
from bulkmail.message.draft import MailingList, Unsubscribe
from bulkmail.message.signing_key import SigningKey
from bulkmail.message.token import Tokens

__all__ = ["FIELDS", "HTML", "Work", "by_hand", "composer", "ours", "verified"]

Work = Callable[[int, int], list[bytes]]  # makes so many messages, from this number on

NOW = DATE.timestamp()
PEOPLE_AT_HAND = 5000


def composer(*keys: SigningKey) -> Composer:
    draft = Draft(
        from_=FROM,
        to="{{ first_name }} {{ last_name }} <{{ email }}>",
        reply_to=REPLY_TO,
        subject=SUBJECT,
        headers={"X-Team": "growth"},
        text=None,
        html=None,
        campaign=CAMPAIGN,
        content=Content(html=Source(HTML, "newsletter.html"), folder=Path(__file__).parent),
        kind="marketing",
        list_=MailingList(LIST_ID, POSTAL_ADDRESS),
        unsubscribe=Unsubscribe(URL, MAILTO),
    )
    return Composer(draft, date=DATE, tokens=Tokens(SECRET, CAMPAIGN), keys=keys)


class Person(NamedTuple):
    id: int
    address: str
    fields: Mapping[str, str]


def ours(*keys: SigningKey) -> Work:
    letters = composer(*keys).letters
    people = [  # as they come from the journal
        Person(number + 1, address(number), row(number)) for number in range(PEOPLE_AT_HAND)
    ]

    def work(first: int, count: int) -> list[bytes]:
        start = first % (PEOPLE_AT_HAND - count)
        written = letters(people[start : start + count], now=NOW)
        return [letter.content for letter in written if not isinstance(letter, Exception)]

    return work


def by_hand(pem: bytes | None) -> Work:
    """The same newsletter as one would make it with jinja2, `email` and dkimpy."""
    write = writer(pem)
    return lambda first, count: [write(number) for number in range(first, first + count)]


def verified(work: Work, key: SigningKey) -> int:
    """The octets of one message. Nothing is measured that a receiver would not believe."""
    (message,) = work(1, 1)
    if not dkim.verify(message, dnsfunc=lambda name, timeout=5: key.record().encode()):
        raise SystemExit("the signature is not valid")
    parsed = message_from_bytes(message, policy=policy.default)
    if any(part.defects for part in parsed.walk()):
        raise SystemExit("the message has defects")
    return len(message)
