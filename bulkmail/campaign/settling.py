"""Who is left out after all: duplicates, exclusions, suppressions, then the problems of the message.

It is decided for candidates among whom everybody with the same address is: what is asked of all of them is
asked of whole columns, and only who is in the way is looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

from bulkmail.campaign.candidates import EXCLUSION, ROW, SEED, Candidates
from bulkmail.campaign.refusals import Refusals
from bulkmail.journal.records import LeftOut
from bulkmail.journal.roll import Shapes, parse_row


class Suppressed(Protocol):
    def reasons_of(self, keys: Iterable[str], /) -> Mapping[str, str]: ...


class Listing(Protocol):
    def left_out(self, row: LeftOut, /) -> None: ...


class Settling:
    """`skip`: who cannot be rendered is left out; otherwise that is a refusal. `shapes` is read when told."""

    def __init__(
        self,
        sink: Listing,
        suppressions: Suppressed,
        *,
        files: Sequence[str],
        shapes: Shapes,
        dedupe: bool,
        skip: bool,
    ) -> None:
        self._sink = sink
        self._suppressions = suppressions
        self._files = files
        self._shapes = shapes
        self._dedupe = dedupe
        self._skip = skip
        self.refusals = Refusals()

    def settle(self, blocks: Iterable[Candidates], earlier: Earlier | None = None) -> list[Candidates]:
        """Those of `blocks` who stay. `earlier` carries over what other blocks of the same people had."""
        earlier = Earlier() if earlier is None else earlier
        people: list[Candidates] = []
        for block in blocks:
            if block.kind == EXCLUSION:
                keys = "\n".join(block.addresses).lower().split("\n")
                earlier.excluded.update(dict.fromkeys(keys, block.file) | earlier.excluded)
            elif block:
                people.append(block)
        if not people:
            return []
        addresses = (
            people[0].addresses
            if len(people) == 1
            else [address for block in people for address in block.addresses]
        )
        starts = [0, *accumulate(map(len, people))]
        gone = self._duplicates(people, starts, addresses, earlier) if self._dedupe else set()
        self._unwanted(people, starts, addresses, earlier.excluded, gone)
        for number, block in enumerate(people):
            if block.problems:
                self._refuse(block, starts[number], gone)
        if not gone:
            return people
        return [
            block.where([place not in gone for place in range(starts[number], starts[number + 1])])
            for number, block in enumerate(people)
        ]

    def _duplicates(
        self, people: Sequence[Candidates], starts: Sequence[int], addresses: Sequence[str], earlier: Earlier
    ) -> set[int]:
        """The places of those who are there already. The first in source order stays."""
        count = len(addresses)
        if not earlier.kept and len(set(addresses)) == count:
            return set()
        first = dict(zip(reversed(addresses), range(count - 1, -1, -1), strict=True))
        gone: set[int] = set()
        if len(first) < count or not earlier.winners.keys().isdisjoint(first):
            lent: set[int] = set()
            gone.update(range(count))
            gone.difference_update(first.values())
            if earlier.winners:
                gone.update(place for place, one in enumerate(addresses) if one in earlier.winners)
            for place in sorted(gone):
                won = earlier.winners.get(addresses[place])
                if won is None:
                    winner = first[addresses[place]]
                    block, at = _at(people, starts, winner)
                    won = block.file, block.lines[at]
                    row, from_ = _at(people, starts, place)
                    if block.kind == SEED and row.kind == ROW and winner not in lent:
                        _lend(block, at, row, from_)
                        lent.add(winner)
                self._leave_out(people, starts, place, "duplicate", f"as {self._files[won[0]]}:{won[1]}")
        if earlier.kept:
            for address, place in first.items():
                block, at = _at(people, starts, place)
                earlier.winners.setdefault(address, (block.file, block.lines[at]))
        return gone

    def _unwanted(
        self,
        people: Sequence[Candidates],
        starts: Sequence[int],
        addresses: Sequence[str],
        excluded: Mapping[str, int],
        gone: set[int],
    ) -> None:
        """Add those who are excluded or suppressed to `gone`. Seeds are never excluded."""
        # Both know no case: a capital must not reach who asked to be left alone.
        wanted = _Keys(addresses, gone)
        suppressed = self._suppressions.reasons_of(wanted) if self._suppressions else {}
        if not suppressed and (not excluded or excluded.keys().isdisjoint(wanted)):
            return
        for place, key in enumerate(wanted.all()):
            if place in gone or (key not in excluded and key not in suppressed):
                continue
            if key in excluded and _at(people, starts, place)[0].kind == ROW:
                self._leave_out(people, starts, place, "excluded", f"in {self._files[excluded[key]]}")
            elif key in suppressed:
                # the reply that led to it is for `explain`: it is another one for each of them
                why = f"on the suppression list: {suppressed[key].partition(':')[0]}"
                self._leave_out(people, starts, place, "suppressed", why)
            else:
                continue
            gone.add(place)

    def _leave_out(
        self, people: Sequence[Candidates], starts: Sequence[int], place: int, state: str, reason: str
    ) -> None:
        block, at = _at(people, starts, place)
        file = self._files[block.file]
        self._sink.left_out(LeftOut(state, file, block.lines[at], block.addresses[at], reason))

    def _refuse(self, block: Candidates, start: int, gone: set[int]) -> None:
        """What becomes of those whose message cannot be rendered."""
        for at, line in enumerate(block.lines):
            if line not in block.problems or start + at in gone:
                continue
            state, reason = block.problems[line]
            gone.add(start + at)
            file = self._files[block.file]
            if state == "invalid" or self._skip:
                self._sink.left_out(LeftOut(state, file, line, block.addresses[at], reason))
            else:
                columns = [*parse_row(block.texts[at], block.addresses[at], self._shapes)]
                self.refusals.add((block.file, line), file, line, reason, columns)


class _Keys:
    """What exclusions and suppressions are looked up by, made when it is asked for."""

    def __init__(self, addresses: Sequence[str], gone: Collection[int]) -> None:
        self._addresses, self._gone = addresses, gone
        self._keys: list[str] = []

    def all(self) -> list[str]:
        if not self._keys:
            self._keys = "\n".join(self._addresses).lower().split("\n")
        return self._keys

    def __iter__(self) -> Iterator[str]:
        return (key for place, key in enumerate(self.all()) if place not in self._gone)


class Earlier:
    """What was seen in other blocks, where those of one address do not fit into memory together."""

    def __init__(self, *, kept: bool = False) -> None:
        self.kept = kept
        self.excluded: dict[str, int] = {}  # key -> file
        self.winners: dict[str, tuple[int, int]] = {}  # address -> (file, line)


def _at(people: Sequence[Candidates], starts: Sequence[int], place: int) -> tuple[Candidates, int]:
    number = bisect_right(starts, place) - 1
    return people[number], place - starts[number]


def _lend(seed: Candidates, at: int, row: Candidates, place: int) -> None:
    """A seed who is in the list has the values of that row."""
    seed.texts[at] = row.texts[place]
    if seed.keys:
        seed.keys[at] = row.keys[place]
    seed.problems.pop(seed.lines[at], None)
    if (problem := row.problems.get(row.lines[place])) is not None:
        seed.problems[seed.lines[at]] = problem
