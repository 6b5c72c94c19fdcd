"""Share keys: texts that are equal for equal messages, and for no others.

A key is the values of the fields that the message uses, one behind the other. Where that would not be
one-to-one (a value is absent, or holds a character that means something here), it is their `repr`, which
always is, behind a mark that no other key begins with. 128 bits of a hash stand for a long key, and between
two people's data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b

from bulkmail.journal.roll import SEPARATOR

_KEPT = 64  # characters of a key that stays as it is
_SPECIAL = re.compile("[\n\x1d\x1e\x1f]")  # a line break would get lost where keys are put aside as lines


def key_of(fields: Mapping[str, str], used: Sequence[str]) -> str:
    values = [fields.get(name) for name in used]
    there = [value for value in values if value is not None]
    if len(there) < len(values) or any(map(_SPECIAL.search, there)):
        return _short(f"\x1e{values!r}")
    return _short(SEPARATOR.join(there))


def keys_of(columns: Sequence[Sequence[str]]) -> list[str]:
    """`key_of` for each row of these columns: at least one, and no special character in them."""
    keys = list(columns[0]) if len(columns) == 1 else list(map(SEPARATOR.join, zip(*columns, strict=True)))
    if keys and max(map(len, keys)) > _KEPT:
        return list(map(_short, keys))
    return keys


def _short(key: str) -> str:
    if len(key) <= _KEPT:
        return key
    return "\x1d" + blake2b(key.encode(), digest_size=16).hexdigest()
