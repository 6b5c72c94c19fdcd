"""What all messages of one hour have in common: constant fields, and signatures prepared for them.

A campaign that takes days should not arrive with the date of its first minute, and a date that changes with
every message would make each of them its own. So Date moves on by whole hours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING

from bulkmail.message.content import Content
from bulkmail.message.dkim import Signature, relaxed_field
from bulkmail.message.draft import Draft
from bulkmail.message.shape import Bodies

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

Columns = Sequence[Sequence[bytes]]
Messages = Iterator[tuple[bytes, ...]]

BETWEEN = b"\0"  # messages: nothing in a header can hold it
FORMAT = "3"  # part of the digest: raise it when the same draft begins to give other octets

# Fields that would change what a reader sees or does if somebody added a second one (RFC 6376 section 8.15)
OVERSIGNED = [
    "From",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Reply-To",
    "Message-ID",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
]


class Edition:
    """`head`: the constant fields. All fields are signed, in the order in which they stand."""

    def __init__(
        self,
        constant: Sequence[bytes],
        names: Sequence[str],
        keys: Sequence[SigningKey],
        *,
        timestamp: int,
    ) -> None:
        """`names`: of the constant fields, then of those that vary."""
        self.head = b"".join(constant)
        # what `Name: ` is in canonical form, and how long it is otherwise
        self._varying = [(len(name) + 2, f"{name.lower()}:".encode()) for name in names[len(constant) :]]
        canonical = b"".join([relaxed_field(field) for field in constant])
        self._signatures = [
            Signature(key, constant=canonical, names=names, oversigned=OVERSIGNED, timestamp=timestamp)
            for key in keys
        ]

    def messages(self, varying: Columns, ours: Columns, relaxed: Columns, bodies: Bodies) -> Messages:
        """Whole messages, in pieces: signatures, constant fields, those that vary, bodies and their own.

        `varying`: columns of fields. `ours`, at least one, come behind them and have no values in them; where
        messages are signed, `relaxed` are the same in canonical form.
        """
        signed: list[Sequence[bytes]] = []
        if self._signatures:
            canonical = self._canonical(varying, relaxed, bodies.canonical_fields)
            signed = [signature.fields(canonical, bodies.digests) for signature in self._signatures]
        heads = zip(*signed, repeat(self.head), *varying, *ours, strict=False)
        return map(tuple.__add__, heads, bodies.pieces)

    def _canonical(self, varying: Columns, relaxed: Columns, own: Iterable[bytes]) -> list[bytes]:
        """`relaxed_field` of each, all at once for fields as we write them, with what is so already."""
        if not varying:
            return [*map(b"".join, zip(*relaxed, own, strict=False))]
        columns = [
            [lower + field[skip:] for field in column]
            for (skip, lower), column in zip(self._varying, varying, strict=False)
        ]
        joined = BETWEEN.join(map(b"".join, zip(*columns, strict=True))).replace(b"\r\n ", b" ")
        if b"  " in joined or b" \r\n" in joined or b"\t" in joined:
            canonical = [b"".join(map(relaxed_field, fields)) for fields in zip(*varying, strict=True)]
        else:
            canonical = joined.split(BETWEEN)
        return [*map(b"".join, zip(canonical, *relaxed, own, strict=False))]


def digest_of(draft: Draft, content: Content, images: Sequence[str] = ()) -> str:
    """Of all that makes the content but the date, as hexadecimal digits. `images`: their Content-IDs."""
    sources = [content.text, content.markdown, content.html, content.mjml]
    everything = {
        "format": FORMAT,
        "campaign": draft.campaign,
        "fields": [draft.from_, draft.to, draft.reply_to, draft.subject, list(draft.headers.items())],
        "sources": [*(source and source.text for source in sources), content.text_from_html],
        "data": draft.data,
        "policy": [draft.on_missing, draft.kind, draft.embed_images, draft.inline_css],
        "preheader": draft.preheader,
        "list": draft.list_ and [draft.list_.id, draft.list_.postal_address],
        "unsubscribe": draft.unsubscribe and [draft.unsubscribe.url, draft.unsubscribe.mailto],
        "attachments": [[one.name, one.type, _hash(one.content)] for one in draft.attachments],
        "images": sorted(images),
    }
    serialised = json.dumps(everything, sort_keys=True, default=str)
    return _hash(serialised.encode("utf-8", "surrogatepass"))


def _hash(octets: bytes) -> str:
    return hashlib.blake2b(octets, digest_size=32).hexdigest()
