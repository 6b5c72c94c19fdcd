"""Candidates: addresses on their way into the plan, by column, because there are millions of them.

A list of texts costs a machine's step for each of them where an object would cost a hundred; so what is done
to all is done to columns, and a Candidate of its own is made only of what has to be looked at alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress, islice
from operator import is_not, itemgetter
from typing import NamedTuple, TypeVar

EXCLUSION, SEED, ROW = range(3)  # what a candidate is; an exclusion has an address only
OVERHEAD = 300  # octets that a candidate takes beside the characters of its row: three texts and their places
_FEW = 4  # equal neighbours on average are worth looking for

T = TypeVar("T")
H = TypeVar("H", bound=Hashable)
Trouble = tuple[str, str]  # (state, reason): why somebody's message cannot be rendered


class Candidate(NamedTuple):
    """One address on its way into the plan."""

    kind: int
    file: int  # an index into the names of the plan's files
    line: int
    address: str
    domain: str
    key: str  # equal for equal messages
    fields: str  # the row as it is stored: here a JSON object
    problem: Trouble | None


@dataclass(slots=True)
class Candidates:
    """Candidates of one kind and one file, in its order. `keys` is empty where nobody asks for them."""

    kind: int
    file: int
    lines: list[int]
    addresses: list[str]
    domains: list[str]
    texts: list[str]  # rows as they are stored
    characters: int = 0  # in the rows together, by estimate
    keys: list[str] = field(default_factory=list)
    problems: dict[int, Trouble] = field(default_factory=dict)  # by line

    @classmethod
    def of(cls, kind: int, file: int, found: Iterable[Candidate], *, keyed: bool) -> Candidates:
        """From those looked at one by one."""
        made = nobody(kind, file)
        for one in found:
            made.lines.append(one.line)
            made.addresses.append(one.address)
            made.domains.append(one.domain)
            made.texts.append(one.fields)
            made.characters += len(one.fields)
            if keyed:
                made.keys.append(one.key)
            if one.problem is not None:
                made.problems[one.line] = one.problem
        return made

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def octets(self) -> int:
        """What these take in memory, by estimate."""
        return OVERHEAD * len(self.lines) + self.characters

    def pick(self, places: Sequence[int]) -> Candidates:
        """Those at `places`."""
        lines: list[int] = list(getter(places)(self.lines))
        get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
        keys = list(get(self.keys)) if self.keys else []
        return self._like(
            lines, list(get(self.addresses)), list(get(self.domains)), list(get(self.texts)), keys
        )

    def where(self, mask: Sequence[object]) -> Candidates:
        """Those for whom `mask` is true."""
        lines = list(compress(self.lines, mask))
        texts = (self.addresses, self.domains, self.texts, self.keys)
        return self._like(lines, *(list(compress(column, mask)) for column in texts))

    def head(self, most: int) -> Candidates:
        texts = (self.addresses, self.domains, self.texts, self.keys)
        return self._like(self.lines[:most], *(column[:most] for column in texts))

    def _like(
        self, lines: list[int], addresses: list[str], domains: list[str], texts: list[str], keys: list[str]
    ) -> Candidates:
        problems = self.problems
        if problems:
            problems = {line: problems[line] for line in problems.keys() & set(lines)}
        characters = self.characters * len(lines) // (len(self.lines) or 1)
        return Candidates(self.kind, self.file, lines, addresses, domains, texts, characters, keys, problems)

    def extend(self, more: Candidates) -> None:
        """Append others of the same kind and file."""
        self.lines += more.lines
        self.addresses += more.addresses
        self.domains += more.domains
        self.texts += more.texts
        self.characters += more.characters
        self.keys += more.keys
        self.problems.update(more.problems)

    def sort(self) -> None:
        """Into the order of the lines."""
        order = sorted(range(len(self.lines)), key=self.lines.__getitem__)
        self.addresses, self.domains, self.texts = (
            [column[i] for i in order] for column in (self.addresses, self.domains, self.texts)
        )
        if self.keys:
            self.keys = [self.keys[i] for i in order]
        self.lines.sort()


def nobody(kind: int, file: int) -> Candidates:
    """To be extended."""
    return Candidates(kind, file, [], [], [], [])


def getter(places: Sequence[int]) -> Callable[[Sequence[T]], Sequence[T]]:
    """What gets the items at `places` of a column, in the time of one call."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda column: [column[place] for place in places]


def by_runs(column: Sequence[str]) -> dict[str, list[int]]:
    """`grouped`, for a column in which equal items stand together and are one object, as a rule."""
    count = len(column)
    ends = list(compress(range(1, count), map(is_not, column, islice(column, 1, None))))
    if _FEW * len(ends) >= count:
        return grouped(column)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    begin = 0
    for end in (*ends, count):
        groups[column[begin]] += range(begin, end)
        begin = end
    return groups


def grouped(column: Sequence[H]) -> dict[H, list[int]]:
    """The places of equal items, each in the order of the column; the groups in that of their first."""
    groups: defaultdict[H, list[int]] = defaultdict(list)
    for place, item in enumerate(column):
        groups[item].append(place)
    return groups
