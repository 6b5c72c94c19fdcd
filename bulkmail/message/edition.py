"""What all messages of one hour have in common: constant fields, and signatures prepared for them.

A campaign that takes days should not arrive with the date of its first minute, and a date that changes with
every message would make each of them its own. So Date moves on by whole hours.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bulkmail.message.content import Content
from bulkmail.message.dkim import Signature, relaxed_field
from bulkmail.message.draft import Draft
from bulkmail.message.shape import Body

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

FORMAT = "2"  # part of the digest: raise it when the same draft begins to give other octets

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

    def messages(self, parts: Sequence[tuple[Sequence[bytes], Body]]) -> list[bytes]:
        """Whole messages, of their varying fields and bodies: signatures, fields, an empty line, the body."""
        signed: list[list[bytes]] = [[] for _ in parts]
        if self._signatures:
            canonical = [self._canonical(varying) + body.canonical_fields for varying, body in parts]
            digests = [body.digest for _, body in parts]
            for signature in self._signatures:
                fields = signature.fields(canonical, digests)
                for signatures, field in zip(signed, fields, strict=True):
                    signatures.append(field)
        return [
            b"".join([*signatures, self.head, *varying, body.fields, b"\r\n", body.octets])
            for signatures, (varying, body) in zip(signed, parts, strict=True)
        ]

    def _canonical(self, varying: Sequence[bytes]) -> bytes:
        """`relaxed_field` of each, which for fields as we write them is done to all at once."""
        named = [lower + field[skip:] for (skip, lower), field in zip(self._varying, varying, strict=False)]
        canonical = b"".join(named).replace(b"\r\n ", b" ")
        if b"  " in canonical or b" \r\n" in canonical or b"\t" in canonical:
            return b"".join([relaxed_field(field) for field in varying])
        return canonical


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
