"""The public half of a DKIM key as it stands in DNS: reading a record, and saying what is wrong with it.

A record is written by hand, pasted into somebody's web form and joined from pieces. So a record that does
not fit is told apart by the accidents that really happen (revoked, cut off, quoted, another key's), because
"does not match" alone leaves people to compare 400 characters by eye. RFC 6376 sections 3.2 and 3.6.1.
"""

from __future__ import annotations

import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

# RFC 6376 section 3.2: tag-name = ALPHA *ALNUMPUNC
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VERSION = re.compile(rb"[\s\"'\\]*v[ \t]*=[ \t]*([A-Za-z0-9]*)", re.IGNORECASE)
_QUOTES = set("\"'\\")
_SPACE = " \t\r\n"


def tags(record: bytes) -> dict[str, str] | None:
    """The tags of `record` in order, or None where it is no tag-list (RFC 6376 section 3.2)."""
    found: dict[str, str] = {}
    specs = record.decode("utf-8", "replace").split(";")
    if not specs[-1].strip(_SPACE):
        specs.pop()
    for spec in specs:
        name, equals, value = spec.partition("=")
        name = name.strip(_SPACE)
        if not equals or name in found or _TAG.fullmatch(name) is None:
            return None
        found[name] = value.strip(_SPACE)
    return found or None


def is_key_record(record: bytes) -> bool:
    """Is `record` meant to be a DKIM key, well-formed or not?

    A wildcard answers for a selector that does not exist, usually with an SPF or DMARC record.
    """
    if (version := _VERSION.match(record)) is not None:
        return version[1].upper() == b"DKIM1"
    return "p" in (tags(record) or {})


def is_testing(record: bytes) -> bool:
    """t=y: receivers are to treat the mail as if it were not signed (RFC 6376 section 3.6.1)."""
    return "y" in _list((tags(record) or {}).get("t", ""))


def mismatch(record: bytes, kind: str, public: bytes) -> str | None:
    """Why `record` does not fit the key whose k= is `kind` and whose p= is `public`, or None. For people.

    t=s is no obstacle: it forbids a subdomain in i=, which is never written here.
    """
    found = tags(record)
    read = [record.decode("latin-1")] if found is None else [found[name] for name in found if name != "n"]
    if any(_QUOTES & set(value) for value in read):
        return "it holds quotes or backslashes, which belong to the zone file and not to the record"
    if found is None:
        return "it is not a list of tags (name=value; name=value)"
    if "v" in found and (next(iter(found)) != "v" or found["v"] != "DKIM1"):
        return f"it must begin with v=DKIM1 (v={_shown(found['v'])} is there)"
    if "p" not in found:
        return "it has no p="
    if not found["p"]:
        return "the key is revoked: p= is empty"
    if found.get("k", "rsa") != kind:
        return f"it is for a key of type {_shown(found.get('k', 'rsa'))}, this one is {kind}"
    if "sha256" not in _list(found.get("h", "sha256")):
        return f"it does not allow sha256 (h={_shown(found['h'])})"
    if not {"*", "email"} & set(_list(found.get("s", "*"))):
        return f"it is not for email (s={_shown(found['s'])})"
    return _other_key("".join(found["p"].split()), kind, public)


def _other_key(p: str, kind: str, public: bytes) -> str | None:
    ours = binascii.b2a_base64(public, newline=False).decode("ascii")
    if p == ours:
        return None
    if ours.startswith(p.rstrip("=")):
        return f"p= is cut off: {len(p)} of {len(ours)} characters are there"
    try:
        data = binascii.a2b_base64(p.encode("utf-8"), strict_mode=True)
    except ValueError:
        return "p= is not base64"
    theirs = _read(data)
    if kind == "ed25519":
        if isinstance(theirs, ed25519.Ed25519PublicKey) and theirs.public_bytes_raw() == public:
            return "p= holds this key with a wrapping; RFC 8463 wants its 32 octets alone"
        return "it holds another key"
    # RSAPublicKey as RFC 6376 says, SubjectPublicKeyInfo as everybody writes: both are read
    if isinstance(theirs, rsa.RSAPublicKey):
        mine = _read(public)
        if isinstance(mine, rsa.RSAPublicKey) and mine.public_numbers() == theirs.public_numbers():
            return None
        return f"it holds another key (of {theirs.key_size} bits)"
    return "it holds another key"


def _read(der: bytes) -> object:
    try:
        return serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _shown(value: str) -> str:
    """A stranger's value, for a terminal."""
    return "".join([character if " " <= character <= "~" else "?" for character in value[:40]])


def _list(value: str) -> list[str]:
    return [item.strip(_SPACE) for item in value.split(":")]
