"""Bodies and parts as bytes: 7-bit on the wire whatever was written, each part encoded as suits it.

A message is spliced, not built: the fields that are the same for everybody are encoded once, the others are
joined in between, and the C encoders of `binascii` do the bodies. Building each with the standard library's
`email` gives the same for ten to a hundred times the work (benchmarks/message.py).

A boundary begins with "=_", which neither quoted-printable nor base64 can contain (RFC 2045 section 6.7); a
7bit part that contains it nevertheless is quoted, so no content can end a part.
"""

from __future__ import annotations

import binascii

from bulkmail.smtp.content import canonical

LONGEST = 998  # octets in a line, without its CRLF (RFC 5322 section 2.1.1)
# 7bit would let the other control characters through, readers do not
_FIT = bytes([0x09, 0x0A, 0x0D, *range(0x20, 0x7F)])


def encode(text: str, boundary: bytes) -> tuple[bytes, bytes]:
    """The Content-Transfer-Encoding and the octets of `text`, in canonical CRLF form with a final CRLF."""
    data = canonical(text.encode("utf-8"))
    unfit = len(data.translate(None, _FIT))
    if not unfit and boundary not in data and max(map(len, data.split(b"\r\n"))) <= LONGEST:
        return b"7bit", data
    if 2 * (unfit + data.count(b"=")) > len(data) // 3:
        encoded = binascii.b2a_base64(data, newline=False)
        return b"base64", b"".join(
            [encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76)]
        )
    return b"quoted-printable", binascii.b2a_qp(data)


def part(subtype: bytes, text: str, boundary: bytes) -> bytes:
    """One text part: its header fields, the empty line, its body."""
    encoding, body = encode(text, boundary)
    return b"Content-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: %s\r\n\r\n%s" % (
        subtype,
        encoding,
        body,
    )


def alternative(text: str, html: str, boundary: bytes) -> bytes:
    """Both forms of one message, the richer one last (RFC 2046 section 5.1.4)."""
    # The CRLF before a delimiter belongs to the delimiter: each part keeps its own final one.
    delimiter = b"\r\n--" + boundary
    return b"".join(
        [
            b'Content-Type: multipart/alternative; boundary="',
            boundary,
            b'"\r\n',
            delimiter,
            b"\r\n",
            part(b"plain", text, boundary),
            delimiter,
            b"\r\n",
            part(b"html", html, boundary),
            delimiter,
            b"--\r\n",
        ]
    )
