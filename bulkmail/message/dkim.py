"""DKIM signatures (RFC 6376): what of a message is signed, in which form, and the field that says so.

A campaign signs the same fields of every message, and of these only a few differ. So everything else is
written once: the tags up to bh=, in the form that is sent and in the form that is signed, and the fields
that are the same for everybody. What remains for a message is to join, to sign and to cut b= into lines.

The canonicalisation is relaxed/relaxed. A body is produced in that form (`quoted`) and never brought into
it here; the fields are, by `relaxed_field`, when they are built.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkmail.message.signing_key import SigningKey

LINE = 78  # RFC 5322 section 2.1.1, without the CRLF
DIGEST = 32  # octets of SHA-256
_FOLD = b"\r\n "


def relaxed_field(field: bytes) -> bytes:
    """`field` ("Name: value", folded or not, CRLF at its end) as RFC 6376 section 3.4.2 wants it signed.

    Its name in lower case, on one line, with no white space around the colon or at the end and single spaces
    everywhere else.
    """
    name, _, value = field.partition(b":")
    value = value.replace(b"\r\n", b"").replace(b"\t", b" ").strip(b" ")
    while b"  " in value:
        value = value.replace(b"  ", b" ")
    return b"%s:%s\r\n" % (name.rstrip(b" \t").lower(), value)


class Signature:
    """The signatures of one key over one choice of fields. Threads may share it.

    `names`: of the fields that are signed, in the order in which they are hashed; where a message has several
    of one name, the last comes first (RFC 6376 section 5.4.2). `constant`: the first of them, canonical and
    joined. `oversigned`: names listed once more than the message has them, so that nobody can add one
    unseen (section 8.15). `timestamp`: UTC epoch, for t=.
    """

    def __init__(
        self,
        key: SigningKey,
        *,
        constant: bytes,
        names: Sequence[str],
        oversigned: Sequence[str],
        timestamp: int,
    ) -> None:
        """Raise ValueError where From is not signed (RFC 6376 section 5.4: MUST)."""
        if "from" not in {name.lower() for name in names}:
            raise ValueError("a signature covers From (RFC 6376 section 5.4)")
        self._signer = key.signer
        self._constant = constant
        self._head = _head(key, [*names, *oversigned], timestamp)
        self._signed_head = relaxed_field(self._head)[:-2]
        octets = 64 if key.bits == 256 else (key.bits + 7) // 8
        self._lines = _lines((octets + 2) // 3 * 4)

    def field(self, varying: bytes, body_hash: bytes) -> bytes:
        """The DKIM-Signature field, CRLF included, on lines of at most 78 octets where the domain allows.

        `varying`: the rest of the fields in the order of `names`, canonical and joined. `body_hash`: SHA-256
        of the canonical body. Raises ValueError if it has not 32 octets.
        """
        (field,) = self.fields([varying], [body_hash])
        return field

    def fields(self, varying: Sequence[bytes], body_hashes: Sequence[bytes]) -> list[bytes]:
        """`field` of several messages, one after the other."""
        if any(len(body_hash) != DIGEST for body_hash in body_hashes):
            raise ValueError(f"a body hash has {DIGEST} octets")
        hashes = [b2a_base64(body_hash, newline=False) for body_hash in body_hashes]
        constant, head = self._constant, self._signed_head
        signed = [
            b"".join((constant, each, head, bh, b"; b=")) for each, bh in zip(varying, hashes, strict=True)
        ]
        sign = self._signer()
        values = [b2a_base64(sign(octets), newline=False) for octets in signed]
        head, lines = self._head, self._lines.unpack
        return [
            b"".join((head, bh, b";\r\n b=", _FOLD.join(lines(value)), b"\r\n"))
            for bh, value in zip(hashes, values, strict=True)
        ]


def _head(key: SigningKey, names: Sequence[str], timestamp: int) -> bytes:
    """The field up to and with `bh=`, folded."""
    tags = ["v=1;", f"a={key.algorithm};", "c=relaxed/relaxed;", f"d={key.domain};", f"s={key.selector};"]
    words = [f" {tag}" for tag in [*tags, f"t={timestamp};"]]
    # h= may be folded beside any colon (RFC 6376 section 3.5)
    words += [f"{name.lower()}:" for name in names[:-1]] + [f"{names[-1].lower()};"]
    words[len(tags) + 1] = " h=" + words[len(tags) + 1]
    lines = ["DKIM-Signature:"]
    for word in words:
        if len(lines[-1]) + len(word) > LINE:
            lines.append(" " + word.removeprefix(" "))
        else:
            lines[-1] += word
    return ("\r\n".join(lines) + "\r\n bh=").encode("ascii")


def _lines(length: int) -> Struct:
    """Cuts `length` characters of b= so that each part fits its line; the first has ` b=` before it."""
    first, others = min(length, LINE - len(" b=")), LINE - len(" ")
    full, last = divmod(length - first, others)
    return Struct(f"{first}s" + f"{others}s" * full + (f"{last}s" if last else ""))
