"""From candidates to intervals: settled part by part, and put in the order in which they may share.

A part that fits into memory holds all of its domains, so it can be settled alone (`settling`), grouped by
domain and share key, and written. A part that does not fit is spilled again. The people of a hot domain come
in every part: they are settled with it, for whoever has the same address is in the same part, and wait for
those of the next parts, so that their intervals are large; where messages differ by key, they are gathered by
it first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from bulkmail.campaign.candidates import ROW, SEED, Candidates, by_runs, getter, nobody
from bulkmail.campaign.partition import Hot, Split, by_domain, by_key
from bulkmail.campaign.ranking import Ranking
from bulkmail.campaign.settling import Earlier, Settling
from bulkmail.campaign.spill import LEVELS, Budget, Part, Spill
from bulkmail.journal.records import LeftOut, Run

_PIECE = 8  # a piece of a hot domain is one part of so many of the budget of a partition


class Sink(Protocol):
    """Where a plan is written: the store's PlanWriter, or what only counts."""

    def intervals(
        self, runs: Sequence[Run], addresses: Sequence[str], rows: Sequence[str], *, seeds: bool, whole: bool
    ) -> None: ...
    def shape(self, columns: Sequence[str], /) -> str: ...
    def left_out(self, row: LeftOut, /) -> None: ...
    def count(self, state: str, number: int, /) -> None: ...


class _Waiting:
    """Settled people of hot domains, of parts placed so far."""

    def __init__(self) -> None:
        self.pieces: dict[str, _Piece] = {}
        self.gathered: Spill | None = None  # where messages differ by key


class _Piece:
    """People of one domain, whose messages are all alike or all different."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.addresses: list[str] = []
        self.texts: list[str] = []


class Placing:
    """Settles and writes parts.

    `personal`: messages differ at all; `keyed`: some of them may be equal, as their share keys say.
    `folder` is private and exists. `moved` is told how many candidates were settled. `ranking`: who of a
    domain comes first, if it is not as the list has them.
    """

    def __init__(
        self,
        sink: Sink,
        settling: Settling,
        *,
        personal: bool,
        keyed: bool,
        folder: Path,
        budget: Budget,
        moved: Callable[[int], None],
        ranking: Ranking | None = None,
    ) -> None:
        self._sink = sink
        self._settling = settling
        self._personal = personal
        self._keyed = keyed
        self._folder = folder
        self._budget = budget
        self._moved = moved
        self._ranking = ranking
        self._spills = ExitStack()

    def spill(
        self,
        split: Split = by_domain,
        level: int = 0,
        hot: Hot | None = None,
        size: float | None = None,
    ) -> Spill:
        spill = Spill(self._folder, split, level=level, hot=hot, size=size, budget=self._budget)
        self._spills.callback(spill.close)
        return spill

    def _filled(self, part: Part) -> float:
        return self._budget.filled(part.rows, part.octets)

    def close(self) -> None:
        self._spills.close()

    def place(self, candidates: Spill, level: int = 0, above: Mapping[str, _Waiting] | None = None) -> None:
        """Write the intervals of all candidates. `above`: where those of hot domains go that are known."""
        own = _Waiting()
        waiting = dict(above or {})
        for part in candidates.parts():
            waiting = dict.fromkeys(sorted(candidates.hot), own) | waiting
            if self._budget.holds(part.rows, part.octets):
                self._place(part.read(), waiting)
            elif level + 1 < LEVELS:
                hot = part.hot(self._budget) | waiting.keys()
                smaller = self.spill(level=level + 1, hot=hot, size=self._filled(part))
                for block in part.blocks():
                    smaller.extend(block)
                self.place(smaller, level + 1, waiting)
            else:  # no bits of the hash are left: one address, over and over. Exclusions came first
                earlier = Earlier(kept=True)
                for block in part.blocks():
                    self._place([block], waiting, earlier)
        for piece in own.pieces.values():
            self._write_piece(piece)
        if own.gathered is not None:
            self._write_gathered(own.gathered)

    def _place(
        self, blocks: Sequence[Candidates], waiting: Mapping[str, _Waiting], earlier: Earlier | None = None
    ) -> None:
        kept = self._settling.settle(blocks, earlier)
        self._moved(sum(map(len, blocks)))
        if self._settling.refusals.count:
            return  # nothing will come of this plan; what remains is to find the other problems
        self._write([block for block in kept if block.kind == SEED], seeds=True)
        rows = [block for block in kept if block.kind != SEED]
        self._write(rows, waiting=waiting, whole=earlier is None)

    # --- hot domains --------------------------------------------------------------------------------------

    def _wait(self, domain: str, places: Sequence[int], people: Candidates, where: _Waiting) -> None:
        """Those of `people` at `places`, of a hot domain, are written with those of the next parts."""
        if self._keyed or self._ranking is not None:
            if where.gathered is None:
                where.gathered = self.spill(by_key if self._ranking is None else self._ranking.divided())
            where.gathered.extend(people.pick(places))
            return
        get: Callable[[Sequence[str]], Sequence[str]] = getter(places)
        piece = where.pieces.setdefault(domain, _Piece(domain))
        piece.addresses += get(people.addresses)
        piece.texts += get(people.texts)
        rows, octets = len(piece.addresses), len(piece.addresses) * people.octets // len(people)
        if not self._budget.holds(_PIECE * rows, _PIECE * octets):
            self._write_piece(where.pieces.pop(domain))

    def _write_piece(self, piece: _Piece) -> None:
        if not self._settling.refusals.count:
            run = (piece.domain, len(piece.addresses), not self._personal)
            self._sink.intervals([run], piece.addresses, piece.texts, seeds=False, whole=False)

    def _write_gathered(self, gathered: Spill, level: int = 0) -> None:
        """Settled people of hot domains, split by share key."""
        for part in gathered.parts():
            if self._budget.holds(part.rows, part.octets):
                self._write(part.read(), whole=False)
                continue
            again = self._divided_again(part) if level + 1 < LEVELS else None
            if again is None:
                for piece in self._pieces(part):
                    self._write(piece, whole=False)
                continue
            smaller = self.spill(again, level + 1, size=self._filled(part))
            for block in part.blocks():
                smaller.extend(block)
            self._write_gathered(smaller, level + 1)

    def _divided_again(self, part: Part) -> Split | None:
        """How a part of gathered people is to be divided; None: any piece of it is as good as another."""
        if self._ranking is not None:
            return self._ranking.among(part.blocks(), part.count)
        sample = part.block(0)
        most = Counter(zip(sample.domains, sample.keys, strict=True)).most_common(1)[0][1]
        return by_key if 2 * most <= len(sample) else None  # else it is mostly one message

    def _pieces(self, part: Part) -> Iterator[list[Candidates]]:
        """As large as half the budget allows: each is an interval, whose last transaction is not full."""
        piece: list[Candidates] = []
        rows = octets = 0
        for block in part.blocks():
            rows, octets = rows + len(block), octets + block.octets
            if piece and not self._budget.holds(2 * rows, 2 * octets):
                yield piece
                piece, rows, octets = [], len(block), block.octets
            piece.append(block)
        if piece:
            yield piece

    # --- intervals ----------------------------------------------------------------------------------------

    def _write(
        self,
        people: Sequence[Candidates],
        *,
        waiting: Mapping[str, _Waiting] | None = None,
        seeds: bool = False,
        whole: bool = True,
    ) -> None:
        """Of each domain they are in source order, or ranked, and everybody stays in it among equals."""
        together = _joined(people)
        groups = by_runs(together.domains)
        for domain, where in (waiting or {}).items():
            if domain in groups:
                self._wait(domain, groups.pop(domain), together, where)
        runs: list[Run] = []
        order: list[int] = []
        for domain, places in sorted(groups.items()):
            if self._ranking is not None and not seeds:
                places = self._ranking.order(places, together.texts)
            if self._keyed:
                _by_key(domain, places, together.keys, runs, order, ranked=self._ranking is not None)
            else:
                runs.append((domain, len(places), not self._personal))
                order += places
        if runs:
            get = getter(order)
            self._sink.intervals(runs, get(together.addresses), get(together.texts), seeds=seeds, whole=whole)


def _joined(people: Sequence[Candidates]) -> Candidates:
    if len(people) == 1:
        return people[0]
    together = nobody(ROW, 0)
    for block in people:
        together.extend(block)
    return together


def _by_key(
    domain: str,
    places: Sequence[int],
    keys: Sequence[str],
    runs: list[Run],
    order: list[int],
    *,
    ranked: bool,
) -> None:
    """Those with equal messages as intervals to be shared, then the others as one. `ranked`: the interval
    with the first of all comes first."""
    same: dict[str, list[int]] = {}
    for place in places:
        same.setdefault(keys[place], []).append(place)
    alone: list[int] = []
    for equal in same.values() if ranked else [equal for _, equal in sorted(same.items())]:
        if len(equal) > 1:
            runs.append((domain, len(equal), True))
            order += equal
        else:
            alone += equal
    if alone:
        runs.append((domain, len(alone), False))
        order += alone
