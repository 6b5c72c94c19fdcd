"""Drafts for the tests of this folder, and messages read back with the standard library."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from bulkmail.message import Composer, Content, Draft, Source

DATE = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)


def draft(**changes: Any) -> Draft:
    settings: dict[str, Any] = {
        "from_": "Acme News <news@acme.example>",
        "to": "{{ email }}",
        "reply_to": None,
        "subject": "Hello",
        "headers": {},
        "text": "Good morning\n",
        "html": None,
        "campaign": "hello",
    }
    return Draft(**(settings | changes))


def composer(**changes: Any) -> Composer:
    return Composer(draft(**changes), date=DATE)


def markdown(source: str, **changes: Any) -> Composer:
    return composer(text=None, content=Content(markdown=Source(source, "hello.md")), **changes)


def read(data: bytes) -> EmailMessage:
    """The message as a reader sees it; a defect anywhere is a failure."""
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    for value in message.values():
        assert not value.defects, (value, value.defects)
    return message


def body(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return as_lines(str(part.get_content()))


def as_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
