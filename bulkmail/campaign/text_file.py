"""Opening a list as text: UTF-8 with or without a BOM, or UTF-16, which is what spreadsheets write.

Octets that are not UTF-8 do not stop the reading: they become lone surrogates, by which the row that holds
them is found and left out with a reason. Line ends are left as they are, so that counting lines agrees with
every editor and a newline inside a quoted cell survives.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TextIO

from bulkmail.errors import ConfigError, Problem

_SAMPLE = 1024


def encoding_of(sample: bytes) -> tuple[str, str]:
    """(encoding, error handler) of a text that begins with `sample`."""
    if sample.startswith(codecs.BOM_UTF8):
        return "utf-8-sig", "surrogateescape"
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "surrogatepass"
    # Without a BOM: a header line is mostly ASCII, so in UTF-16 every other octet of it is NUL.
    even, odd = sample[0::2], sample[1::2]
    if odd and odd.count(0) * 2 > len(odd) and not even.count(0):
        return "utf-16-le", "surrogatepass"
    if even and even.count(0) * 2 > len(even) and not odd.count(0):
        return "utf-16-be", "surrogatepass"
    return "utf-8", "surrogateescape"


def open_text(path: Path, shown: str) -> TextIO:
    """Raises ConfigError when the file cannot be opened."""
    try:
        with path.open("rb") as file:
            encoding, errors = encoding_of(file.read(_SAMPLE))
        return path.open("r", encoding=encoding, errors=errors, newline="")
    except OSError as error:
        raise ConfigError(Problem(shown, 0, 0, "", f"cannot be read: {error.strerror}")) from error
