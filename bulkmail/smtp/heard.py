"""What hosts have said before, for those who read what the next one says: hosts of a kind say the same.

A reply of one line is kept once it came twice: hundreds of RCPTs get the same, and so do the conversations
with thousands of hosts. With a queue id it comes once, and a thousand connections that remembered dozens of
these each took 20 MB for it. What an EHLO announced is kept by its lines. All of it is bounded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkmail.smtp.extension import Extensions
    from bulkmail.smtp.reply import EnhancedStatus, Reply

KNOWN = 256  # replies, first words and announcements that are remembered, of each
ONCE = 32  # lines of which is known that they came once: then they come again, though others speak in between


class Heard:
    """Readers of one event loop may share it: replies are values, and who gets the same is told the same."""

    __slots__ = ("_once", "announced", "enhanced", "good", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, Reply] = {}  # by the line, without its LF
        self.good: dict[bytes, Reply] = {}  # those of them that are 2yz
        self.enhanced: dict[tuple[int, bytes], EnhancedStatus | None] = {}  # by code and first word
        self.announced: dict[tuple[bytes, ...], Extensions] = {}  # by the lines behind the first
        self._once: deque[bytes] = deque(maxlen=ONCE)  # the latest lines that came once

    def line(self, line: bytes, reply: Reply) -> None:
        """The reply was this line. It is known once it comes again."""
        if line not in self._once:
            self._once.append(line)
            return
        if len(self.known) >= KNOWN:
            self.known.clear()
            self.good.clear()
        self.known[line] = reply
        if reply.code < 300:
            self.good[line] = reply

    def word(self, code: int, word: bytes, enhanced: EnhancedStatus | None) -> None:
        """What the first word of a line means behind this code."""
        if len(self.enhanced) >= KNOWN:
            self.enhanced.clear()
        self.enhanced[code, word] = enhanced

    def announcement(self, lines: tuple[bytes, ...], extensions: Extensions) -> None:
        """What these lines of a reply to EHLO announce."""
        if len(self.announced) >= KNOWN:
            self.announced.clear()
        self.announced[lines] = extensions
