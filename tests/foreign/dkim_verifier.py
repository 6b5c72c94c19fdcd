"""Two verifiers of DKIM that others wrote, asked the same question: which signatures of these messages hold?

dkimpy is Python; OpenDKIM is C on OpenSSL, what many receivers run as a filter. They share no code with each
other and none with us. Both get the records to publish as text, so nothing is looked up in any DNS, and both
know rsa-sha256 and ed25519-sha256.

    for found in (dkimpy(messages, records), opendkim(messages, records)):
        assert found == [[Verdict("acme.test", "s1", "rsa-sha256", "pass")]]
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import dkim
from foreign_server import library_path, unpacked

ANSWERS_WITHIN_S = 120
AT_ONCE = 500  # messages for one process, all named on its command line

# One entry of Authentication-Results (RFC 8601) is one signature, in the order of the message.
SIGNATURE = re.compile(
    r"\bdkim=(\w+)(?:\s+reason=\"[^\"]*\")?(?:\s+\([^)]*\))?"
    r"\s+header\.d=(\S+)\s+header\.i=\S+\s+header\.a=(\S+)\s+header\.s=([^\s;']+)"
)
CLOSES = re.compile(r"^opendkim: (\d+): ", re.MULTILINE)  # the line that ends what is said of one message

# Otherwise as it comes. It would verify no more than three signatures of a message.
CONFIGURATION = "Mode v\nTestPublicKeys records\nMaximumSignaturesToVerify 10\n"


class Verdict(NamedTuple):
    """What a verifier says of one signature: `result` is "pass", or something that is not."""

    domain: str
    selector: str
    algorithm: str
    result: str


def dkimpy(messages: Iterable[bytes], records: Mapping[str, str]) -> list[list[Verdict]]:
    """The verdicts on each message, one for each signature.

    `records` is the text of each key by its name: `s1._domainkey.acme.test`.
    """
    return [_dkimpy(message, records) for message in messages]


def _dkimpy(message: bytes, records: Mapping[str, str]) -> list[Verdict]:
    def published(name: bytes, timeout: int = 0) -> bytes | None:
        record = records.get(name.decode().rstrip("."))
        return None if record is None else record.encode()

    verdicts = []
    count = sum(name.lower() == b"dkim-signature" for name, _ in dkim.rfc822_parse(message)[0])
    for index in range(count):
        verifier = dkim.DKIM(message)
        try:
            result = "pass" if verifier.verify(index, published) else "fail"
        except dkim.DKIMException:
            result = "fail"
        tags = {name: value.decode() for name, value in verifier.signature_fields.items()}
        verdicts.append(Verdict(tags.get(b"d", ""), tags.get(b"s", ""), tags.get(b"a", ""), result))
    return verdicts


def opendkim(messages: Sequence[bytes], records: Mapping[str, str]) -> list[list[Verdict]]:
    """The same by OpenDKIM, unpacked by install.sh. Raises NotInstalled."""
    binary = unpacked("opendkim", "usr", "sbin", "opendkim")
    verdicts = []
    for start in range(0, len(messages), AT_ONCE):
        verdicts += _opendkim(binary, messages[start : start + AT_ONCE], records)
    return verdicts


def _opendkim(binary: Path, messages: Sequence[bytes], records: Mapping[str, str]) -> list[list[Verdict]]:
    with tempfile.TemporaryDirectory(prefix="bulkmail-opendkim-") as place:
        folder = Path(place)
        (folder / "configuration").write_text(CONFIGURATION)
        lines = [f"{name} {record}\n" for name, record in records.items()]
        (folder / "records").write_text("".join(lines))
        names = [str(number) for number in range(len(messages))]
        for name, message in zip(names, messages, strict=True):
            (folder / name).write_bytes(message)
        ran = subprocess.run(
            [binary, "-x", "configuration", "-vv", "-t", ",".join(names)],
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", "LD_LIBRARY_PATH": library_path()},
            capture_output=True,
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
    said = ran.stdout.decode(errors="replace")
    # text, number, text, number, …, rest
    pieces = CLOSES.split(said)
    if ran.returncode != 0 or pieces[1::2] != names:
        raise RuntimeError(f"opendkim ended with {ran.returncode}:\n{said}\n{ran.stderr.decode()[-2000:]}")
    return [
        [Verdict(domain, selector, algorithm, result) for result, domain, algorithm, selector in found]
        for found in map(SIGNATURE.findall, pieces[:-1:2])
    ]
