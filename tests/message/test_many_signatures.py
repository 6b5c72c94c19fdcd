"""Ten thousand different messages, each signed twice, and every signature verified with dkimpy.

In slices, so that the workers of pytest share them. dkimpy parses each message and each key anew: nothing of
one verification is kept for the next.
"""

from __future__ import annotations

import dkim
import pytest
from key_pairs import pems, signing_keys
from many_messages import composers, people

from bulkmail.message.signing_key import SigningKey

MESSAGES, SLICES = 10_000, 20


@pytest.fixture(scope="module")
def keys() -> list[SigningKey]:
    return signing_keys("acme.test", pems())


def verified(message: bytes, records: dict[bytes, bytes]) -> list[tuple[str, bool]]:
    """The algorithm of each signature, and whether it holds."""
    found = []
    verifier = dkim.DKIM(message)
    for index in range(sum(name.lower() == b"dkim-signature" for name, _ in verifier.headers)):
        try:
            holds = verifier.verify(index, lambda name, timeout=0: records[name])
        except dkim.ValidationError:
            holds = False
        found.append((verifier.signature_fields[b"a"].decode(), holds))
    return found


@pytest.mark.parametrize("seed", range(SLICES))
def test_every_signature_holds(seed: int, keys: list[SigningKey]) -> None:
    records = {f"{key.name}.".encode(): key.record().encode() for key in keys}
    wanted = [("rsa-sha256", True), ("ed25519-sha256", True)]
    shapes = composers(keys)
    messages = {
        shapes[id % len(shapes)].letter(address, fields, id=id).content: id
        for id, address, fields in people(seed, MESSAGES // SLICES)
    }
    assert len(messages) == MESSAGES // SLICES
    assert [id for message, id in messages.items() if verified(message, records) != wanted] == []
