"""The addresses of a whole column at once: which of them are plain, and so canonical as they stand.

Plain is what nearly every list has: a dot-string in ASCII, one @, a domain in lower case, without blanks
around. Whoever is not is looked at alone by `Mailbox.parse`, which decides; here nothing is ever refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from bulkmail.smtp.address import MAX_LABEL, MAX_LOCAL
from bulkmail.smtp.grammar import PLAIN_DOMAINS, PLAIN_MAILBOX

_MOST = min(MAX_LOCAL, MAX_LABEL)  # no part of an address that is not longer can be too long
_KNOWN = bytes(range(0x21, 0x7F)).translate(None, b'@"(),:;<>[\\]')  # what an atom may have, and dots
_ENDS = bytes.maketrans(b"@\n", b"..")  # dots are ends of atoms, too: no two ends stand together


def plain_domains(cells: Sequence[str]) -> tuple[list[str], list[int]]:
    """The domain of each address, and the places of those that are not plain, whose domain means nothing."""
    joined = "\n" + "\n".join(cells)
    octets = joined.encode("ascii", "backslashreplace")
    rest = octets.translate(None, _KNOWN).split(b"\n")[1:]
    odd: set[int] = set()
    if rest.count(b"@") != len(rest):
        odd.update(place for place, left in enumerate(rest) if left != b"@")
    if max(map(len, cells)) > _MOST:
        odd.update(place for place, cell in enumerate(cells) if len(cell) > _MOST)
    if odd:
        cells = list(cells)
        for place in odd:
            cells[place] = "x@x"  # any will do
        joined = "\n" + "\n".join(cells)
        octets = joined.encode("ascii")
    if b".." in octets.translate(_ENDS):
        odd.update(place for place, cell in enumerate(cells) if not PLAIN_MAILBOX.fullmatch(cell))
    domains = joined.replace("@", "\n").split("\n")[2::2]
    each = set(domains)
    together = "\n".join(each) + "\n"
    if together != together.lower() or not PLAIN_DOMAINS.fullmatch(together):
        bad = {name for name in each if name != name.lower() or not PLAIN_DOMAINS.fullmatch(f"{name}\n")}
        odd.update(place for place, domain in enumerate(domains) if domain in bad)
    return domains, sorted(odd)
