"""Content: its canonical form (every line ends in CRLF) and dot-stuffing, there and back.

Whatever was bare CR, bare LF or a mixture becomes CRLF before anything is stuffed or signed, so that no
server can be led to see an end of data inside a message (I2; CVE-2023-51764 and its kin). A body is handled
as a whole by searches that run in C: a Python loop over the lines would cost a hundred times as much.
RFC 5321 sections 2.3.8 and 4.5.2.
"""

from __future__ import annotations

END_OF_DATA = b".\r\n"


def is_canonical(data: bytes) -> bool:
    """Whether every CR and every LF of `data` belongs to a CRLF, and `data`, if not empty, ends in one."""
    if data and not data.endswith(b"\r\n"):
        return False
    return data.count(b"\r") == (ends := data.count(b"\n")) and ends == data.count(b"\r\n")


def canonical(data: bytes) -> bytes:
    """The same lines, each ended by CRLF; a bare CR or LF ends a line as CRLF does. Idempotent."""
    if data and is_canonical(data):
        return data
    lines = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not lines.endswith(b"\n"):
        lines += b"\n"
    return lines.replace(b"\n", b"\r\n")


def stuff(canonical: bytes) -> bytes:
    """Dot-stuffed, with the line that ends the data. Raises `ValueError` if the last line is not ended."""
    if canonical and not canonical.endswith(b"\r\n"):
        raise ValueError("the content does not end in CRLF")
    # The first line has no CRLF in front of it.
    first = b"." if canonical.startswith(b".") else b""
    # Mostly no line begins with a dot, and from behind that is seen twice as fast.
    if canonical.rfind(b"\r\n.") >= 0:
        canonical = canonical.replace(b"\r\n.", b"\r\n..")
    return b"".join((first, canonical, END_OF_DATA))


def unstuff(stuffed: bytes) -> bytes:
    """The content that was stuffed, the ending line removed where it is there."""
    if stuffed == END_OF_DATA:
        return b""
    if stuffed.endswith(b"\r\n.\r\n"):
        stuffed = stuffed[: -len(END_OF_DATA)]
    return stuffed[stuffed.startswith(b".") :].replace(b"\r\n.", b"\r\n")
