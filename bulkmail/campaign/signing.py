"""Are the keys that sign a campaign the ones that DNS shows to its receivers?

A signature that does not match its record is worse than none: every receiver sees mail that seems to have
been tampered with. So a record of another key is refused whatever the route. Where nothing is published yet,
that is an error where mail goes to strangers, and a warning where it goes to a relay, which may be a test.
DNS that does not answer says nothing about the key: the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from bulkmail.dns.resolver import Answer, Resolver, Status
from bulkmail.errors import ConfigError, LocalResourceError
from bulkmail.message.key_record import is_key_record, is_testing
from bulkmail.message.signing_key import ED25519, RSA, SigningKey


def advice(keys: Iterable[SigningKey]) -> list[str]:
    """What is to be said of keys that work, whatever DNS holds: for people, each with the key's name."""
    keys = list(keys)
    said = [f"the DKIM key of {key.name}: {key.warning}" for key in keys if key.warning]
    signed = {key.domain: {other.algorithm for other in keys if other.domain == key.domain} for key in keys}
    said += [
        f"{domain} signs with Ed25519 alone, which large receivers do not check: add an RSA key"
        for domain, algorithms in signed.items()
        if ED25519 in algorithms and RSA not in algorithms
    ]
    return said


async def check_records(keys: Iterable[SigningKey], resolver: Resolver, *, strict: bool) -> list[str]:
    """Look for the record of each key; return warnings. `strict`: a record that is missing is an error.

    Raises ConfigError with every error found. Each says what to publish, and where.
    """
    warnings: list[str] = []
    errors: list[str] = []
    for key in keys:
        try:
            answer = await resolver.txt(key.name)
        except LocalResourceError as shortage:
            warnings.append(_unchecked(key, str(shortage)))
            continue
        broken, doubtful = judge(key, answer, strict=strict)
        errors += broken
        warnings += doubtful
    if errors:
        raise ConfigError("\n".join(errors))
    return warnings


def judge(key: SigningKey, answer: Answer, *, strict: bool) -> tuple[list[str], list[str]]:
    """What the TXT records at `key.name` say of `key`: errors and warnings, for people."""
    if answer.status is Status.FAILED:
        return [], [_unchecked(key, answer.reason)]
    found = cast("tuple[bytes, ...]", answer.records)
    records = [record for record in found if is_key_record(record)]
    publish = f"publish there: {key.record()}"
    if not records:
        there = "only other TXT records are there" if found else answer.reason or answer.status.value
        missing = f"no DKIM record at {key.name} ({there}): receivers cannot check the signatures; {publish}"
        return ([missing], []) if strict else ([], [missing])
    mismatches = [key.mismatch(record) for record in records]
    if None not in mismatches:
        return [f"the DKIM record at {key.name} is not this key's: {mismatches[0]}; {publish}"], []
    warnings = []
    if len(records) > 1:
        several = f"{len(records)} DKIM records at {key.name}: receivers may take any of them"
        warnings.append(f"{several} (RFC 6376 section 3.6.2.2); leave this one: {key.record()}")
    if is_testing(records[mismatches.index(None)]):
        testing = f"the DKIM record at {key.name} is in test mode (t=y): receivers treat the mail as unsigned"
        warnings.append(f"{testing}; {publish}")
    return [], warnings


def _unchecked(key: SigningKey, reason: str) -> str:
    return f"the DKIM record at {key.name} could not be checked: {reason}; it should be: {key.record()}"
