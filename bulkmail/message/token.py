"""The word that names one recipient of one campaign to us, and to nobody else, when it comes back.

It stands in the reverse-path (VERP) and in the unsubscribe URL, so it is made of what survives in a local
part, in a URL and in a system that changes the case of either: a–z and 2–7 (RFC 4648 section 6, in lower
case). It is verified without a database:

    8 characters   tag: which campaign is meant; SHA-256 of its name
    8 characters   the recipient's dense id in the plan
    16 characters  HMAC-SHA256 over version, tag and id, cut to 80 bits

Each part is whole groups of 40 bits, so every token has exactly one spelling, and no bit is left over that
could be changed. The id is not hidden, only bound: who has a token learns a number that means nothing without
the journal. 80 bits are far beyond guessing where each guess is a request to our own server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from hmac import compare_digest

INERT = 0  # nobody's id: the token of previews and tests, which verifies and does nothing

SECRET_MIN = 16  # characters
IDS = 1 << 40

_VERSION = b"bulkmail token 1\0"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LETTERS = _ALPHABET.encode().ljust(256, b"?")
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_TAG, _REST = 8, 24  # characters of the tag, and of what stands behind it
_ID = slice(_TAG, _TAG + 8)
# What of 40 bits moves up, and by how many: halves of 20 bits, of 10 and of 5 get 32, 16 and 8 bits of room
_HALVES = (
    ((0xFFFFF << 20).to_bytes(8), 12),
    ((0x3FF << 10 | 0x3FF << 42).to_bytes(8), 6),
    ((0x1F << 5 | 0x1F << 21 | 0x1F << 37 | 0x1F << 53).to_bytes(8), 3),
)
_BLOCK = 64  # octets of SHA-256
_IPAD = bytes(octet ^ 0x36 for octet in range(256))
_OPAD = bytes(octet ^ 0x5C for octet in range(256))


class Tokens:
    """Makes and verifies the tokens of one campaign. Thread-safe; never shows its secret."""

    __slots__ = ("_campaign", "_inner", "_outer", "_tag")

    def __init__(self, secret: str, campaign: str) -> None:
        """Raises ValueError where `secret` is shorter than 16 characters."""
        if len(secret) < SECRET_MIN:
            raise ValueError(f"the secret of tokens must have at least {SECRET_MIN} characters")
        self._campaign = campaign
        self._tag = self.campaign_tag(campaign)
        key = secret.encode("utf-8", "surrogatepass")
        if len(key) > _BLOCK:
            key = hashlib.sha256(key).digest()
        # HMAC (RFC 2104) with both pads, version and tag hashed once: a third of what hmac.digest() takes.
        self._inner = hashlib.sha256(
            key.ljust(_BLOCK, b"\0").translate(_IPAD) + _VERSION + self._tag.encode()
        )
        self._outer = hashlib.sha256(key.ljust(_BLOCK, b"\0").translate(_OPAD))

    def __repr__(self) -> str:
        return f"Tokens(campaign={self._campaign!r})"

    def token(self, recipient: int) -> str:
        """32 characters of [a-z2-7]. Raises ValueError where `recipient` is not in 0 … 2**40 - 1."""
        (token,) = self.tokens([recipient])
        return token

    def tokens(self, recipients: Sequence[int]) -> list[str]:
        """`token` of each."""
        if recipients and not 0 <= min(recipients) <= max(recipients) < IDS:
            raise ValueError(f"no token for an id of {min(recipients)} to {max(recipients)}")
        bound: list[bytes] = []
        for recipient in recipients:
            number = recipient.to_bytes(5)
            inner, outer = self._inner.copy(), self._outer.copy()
            inner.update(number)
            outer.update(inner.digest())
            bound += number, outer.digest()[:10]
        text = _spelled(b"".join(bound))
        return [f"{self._tag}{text[start : start + _REST]}" for start in range(0, len(text), _REST)]

    def verify(self, token: str) -> int | None:
        """The id of the recipient, or None: forged, damaged, of another campaign or another secret.

        In constant time as to the signature. Upper case is taken for lower: addresses come back in it.
        `INERT` is an id like any other here, and 0: compare with None.
        """
        if not token.isascii():  # lower() makes ASCII of the Kelvin sign
            return None
        token = token.lower()
        number = 0
        for character in token[_ID]:
            number = number << 5 | _VALUES.get(character, 0)
        return number if compare_digest(self.token(number), token) else None

    @staticmethod
    def campaign_tag(campaign: str) -> str:
        """The first characters of every token of `campaign`: no secret, it only says which one is meant."""
        name = campaign.encode("utf-8", "surrogatepass")
        return base32(hashlib.sha256(_VERSION + name).digest()[:5])


def base32(data: bytes) -> str:
    """RFC 4648 section 6 in lower case and without padding."""
    return _spelled(data + b"\0" * (-len(data) % 5))[: (len(data) * 8 + 4) // 5]


def _spelled(data: bytes) -> str:
    """Whole groups of 40 bits, eight characters each. All of them are taken apart at once, as one number."""
    count = len(data) // 5
    room = bytearray(8 * count)  # for each group the 64 bits that it will take, five in an octet
    for octet in range(5):
        room[octet + 3 :: 8] = data[octet::5]
    bits = int.from_bytes(room)
    for mask, by in _HALVES:
        upper = bits & int.from_bytes(mask * count)
        bits += (upper << by) - upper
    return bits.to_bytes(8 * count).translate(_LETTERS).decode("ascii")
