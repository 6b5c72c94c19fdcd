"""A sample of the many messages that dkimpy verifies (message/test_many_signatures.py), by OpenDKIM too."""

from __future__ import annotations

import os

import pytest
from dkim_verifier import Verdict, opendkim
from key_pairs import pems, signing_keys
from many_messages import composers, people
from servers import NotInstalled

SAMPLE = 1_000


def test_what_dkimpy_believes_opendkim_believes_too() -> None:
    keys = signing_keys("acme.test", pems())
    shapes = composers(keys)
    everybody = list(people(1_000, SAMPLE))
    messages = [
        shapes[id % len(shapes)].letter(address, row, id=id).content for id, address, row in everybody
    ]
    try:
        verdicts = opendkim(messages, {key.name: key.record() for key in keys})
    except NotInstalled as reason:
        if os.environ.get("BULKMAIL_REQUIRE_FOREIGN") == "1":
            raise
        pytest.skip(str(reason))
    good = [Verdict(key.domain, key.selector, key.algorithm, "pass") for key in keys]
    assert len(verdicts) == SAMPLE
    doubted = [id for (id, _, _), found in zip(everybody, verdicts, strict=True) if found != good]
    assert doubted == []
