"""The letters of one session, asked for before their turn.

Rendering and signing a letter costs more than all else that is done for it here, and is done best beside the
event loop, where a journey costs as much as a short letter: so a session asks for those of the next few
recipients at once. They are only values. What was asked for and is not used, because a session is stopped, a
site is given up or somebody was suppressed meanwhile, is forgotten and was nobody's loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bulkmail.delivery.work import Letter, Recipient, Work

LETTERS = 32  # at once: the journey is a small part of their cost, and a site that is given up wastes few
OCTETS = 640 * 1024  # of content that a session holds, unless a single letter has more
ALL = 16 * 1024 * 1024  # that all sessions hold together: where they are many, each holds less


class Ahead:
    """At most `LETTERS` letters and about `OCTETS` octets of one session, by the id of their recipient.

    `sessions` tells how many there are.

    All of them come from one question, so that what is held is bounded by what may be asked: those that
    were used stay until the next question, and serve again where a transaction is repeated.
    """

    __slots__ = ("_largest", "_letters", "_sessions", "_work")

    def __init__(self, work: Work, sessions: Callable[[], int] = lambda: 1) -> None:
        self._work, self._sessions = work, sessions
        self._letters: dict[int, Letter | str] = {}
        self._largest = OCTETS  # of the last letters; before the first one, as if one filled the room

    def __iter__(self) -> Iterator[Letter | str]:
        """What is held."""
        return iter(self._letters.values())

    async def letters(
        self, wanted: Sequence[int], upcoming: Callable[[int], Sequence[Recipient]]
    ) -> list[Letter | str]:
        """The letters, or why there is none, of the first of `wanted`: of at least one.

        `upcoming(n)`: the next n people, who are those of `wanted` and whoever comes behind them.
        """
        held = self._held(wanted)
        if not held:
            self.forget()
            room = min(OCTETS, ALL // max(1, self._sessions()))
            people = upcoming(max(1, min(LETTERS, room // self._largest)))
            self._keep(people, await self._work.letters(people), room)
            held = self._held(wanted)
        return held

    def _held(self, wanted: Sequence[int]) -> list[Letter | str]:
        held: list[Letter | str] = []
        for number in wanted:
            letter = self._letters.get(number)
            if letter is None:
                break
            held.append(letter)
        return held

    def _keep(self, people: Sequence[Recipient], letters: Sequence[Letter | str], room: int) -> None:
        """As many as there is room for; the first in any case."""
        self._largest, held = 1, 0
        for one, letter in zip(people, letters, strict=True):
            size = letter.size if isinstance(letter, Letter) else 0
            self._largest = max(self._largest, size)
            held += size
            if held <= room or not self._letters:
                self._letters[one.id] = letter

    def forget(self) -> None:
        """The recipients are out of our hands, or it may be long until they are tried."""
        self._letters.clear()
