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

    `sessions` tells how many there are. What was used stays until the next question, and serves again where a
    transaction is repeated; so what is held is bounded by what may be asked.
    """

    __slots__ = ("_largest", "_letters", "_sessions", "_work")

    def __init__(self, work: Work, sessions: Callable[[], int] = lambda: 1) -> None:
        self._work, self._sessions = work, sessions
        self._letters: dict[int, Letter | str] = {}
        self._largest = OCTETS  # of the last letters; before the first one, as if one filled the room

    def __iter__(self) -> Iterator[Letter | str]:
        """What is held."""
        return iter(self._letters.values())

    @property
    def several(self) -> bool:
        """There is room for more than the one letter that is needed now."""
        return self._room() >= 2 * self._largest

    async def letters(
        self, wanted: Sequence[int], upcoming: Callable[[int], Sequence[Recipient]]
    ) -> list[Letter | str]:
        """The letters, or why there is none, of the first of `wanted`: of at least one, if there is one.

        `upcoming(n)`: the next n people, who are those of `wanted` and whoever comes behind them.
        """
        held = self._held(wanted)
        if len(held) < len(wanted):
            room = self._room()
            await self._ask(upcoming(max(1, min(LETTERS, room // self._largest))), room)
            held = self._held(wanted)
        return held

    def _room(self) -> int:
        return min(OCTETS, ALL // max(1, self._sessions()))

    def _held(self, wanted: Sequence[int]) -> list[Letter | str]:
        held: list[Letter | str] = []
        for number in wanted:
            letter = self._letters.get(number)
            if letter is None:
                break
            held.append(letter)
        return held

    async def _ask(self, people: Sequence[Recipient], room: int) -> None:
        """For those of them who have none; as many are held as there is room for, the first in any case."""
        missing = [one for one in people if one.id not in self._letters]
        if not missing:
            return
        known, self._letters = self._letters, {}  # nobody has what is being written
        written = zip(missing, await self._work.letters(missing), strict=True)
        known.update((one.id, letter) for one, letter in written)
        self._largest, held = 1, 0
        for one in people:
            letter = known[one.id]
            size = letter.size if isinstance(letter, Letter) else 0
            self._largest = max(self._largest, size)
            held += size
            if held <= room or not self._letters:
                self._letters[one.id] = letter

    def forget(self) -> None:
        """The recipients are out of our hands, or it may be long until they are tried."""
        self._letters.clear()
