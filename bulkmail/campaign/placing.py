"""From candidates to intervals: who is left out after all, and who may share a transaction with whom.

A part that fits into memory holds all of its domains, so it can be settled alone: duplicates (the first in
source order wins), exclusions, suppressions, then the message's own problems. What is left is sorted by
domain and share key and written as intervals. A part that does not fit is spilled again; a single domain too
large for memory is split by address, and its survivors gathered by share key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Protocol

from bulkmail.campaign.refusals import Refusals
from bulkmail.campaign.spill import (
    EXCLUSION,
    LEVELS,
    ROW,
    SEED,
    Budget,
    Candidate,
    Part,
    Spill,
    by_address,
    by_domain,
    by_key,
    octets_of,
)
from bulkmail.journal.records import LeftOut, Planned

_FIRST = itemgetter(0)
_DOMAIN = attrgetter("domain")
_KEY = attrgetter("key")
_PLANNED = attrgetter("address", "fields")
_DOMAIN_AND_KEY = attrgetter("domain", "key")


class Sink(Protocol):
    """Where a plan is written: the store's PlanWriter, or what only counts."""

    def interval(self, domain: str, shared: bool, seeds: bool, rows: Iterable[Planned]) -> object: ...
    def left_out(self, row: LeftOut, /) -> None: ...
    def count(self, state: str, number: int, /) -> None: ...


class Suppressed(Protocol):
    def contains_keys(self, keys: Iterable[str], /) -> Collection[str]: ...


class Placing:
    """Settles and writes parts.

    `personal`: messages differ at all; `keyed`: some of them may be equal, as their share keys say.
    `skip`: who cannot be rendered is left out; otherwise that fails the plan. `folder` is private and exists.
    `moved` is told how many candidates were settled.
    """

    def __init__(
        self,
        sink: Sink,
        suppressions: Suppressed,
        *,
        files: Sequence[str],
        dedupe: bool,
        personal: bool,
        keyed: bool,
        seeds: bool,
        skip: bool,
        folder: Path,
        budget: Budget,
        moved: Callable[[int], None],
    ) -> None:
        self._sink = sink
        self._suppressions = suppressions
        self._files = files
        self._dedupe = dedupe
        self._personal = personal
        self._keyed = keyed
        self._seeds = seeds
        self._skip = skip
        self._folder = folder
        self._budget = budget
        self._moved = moved
        self._spills = ExitStack()
        self._refusals = Refusals()

    def spill(self, key: Callable[[Candidate], int] = by_domain, level: int = 0) -> Spill:
        spill = Spill(self._folder, key, level=level, budget=self._budget)
        self._spills.callback(spill.close)
        return spill

    def close(self) -> None:
        self._spills.close()

    def place(self, part: Part, level: int = 0) -> None:
        """Write the intervals of a part that holds whole domains."""
        if self._budget.holds(part.rows, part.octets):
            self._write(self._settle(part.read()))
            return
        blocks = part.blocks
        sample = next(blocks)
        # A domain too large for memory is taken out at once, instead of being copied at each level.
        huge = self._huge(sample, part)
        own = self.spill(by_address)
        rest = self.spill(by_domain, level + 1)
        for block in chain([sample], blocks):
            if level + 1 == LEVELS:  # no bits left: several intervals for one domain are correct, too
                own.extend(block)
            elif huge is None:
                rest.extend(block)
            else:
                own.extend([candidate for candidate in block if candidate.domain == huge])
                rest.extend([candidate for candidate in block if candidate.domain != huge])
        self._place_domain(own)
        for smaller in rest.parts():
            self.place(smaller, level + 1)

    def finish(self) -> None:
        """Raise ConfigError with what is in the way of the message, in source order, if anything is."""
        self._refusals.finish()

    # --- a domain of its own ------------------------------------------------------------------------------

    def _huge(self, sample: Sequence[Candidate], part: Part) -> bytes | None:
        domain, rows = Counter(candidate.domain for candidate in sample).most_common(1)[0]
        share = rows / len(sample)
        fits = self._budget.holds(int(part.rows * share), int(part.octets * share))
        return None if fits else domain

    def _place_domain(self, by_hash: Spill) -> None:
        """One domain that was split by address. Equal messages are brought together again."""
        settled = self._settled(by_hash)
        if not self._keyed:
            for piece in self._pieces(settled):
                self._write(piece)
            return
        gathered = self.spill(by_key)
        for kept in settled:
            gathered.extend(kept)
        self._place_keyed(gathered)

    def _place_keyed(self, by_hash: Spill, level: int = 0) -> None:
        """Settled people of one domain, split by share key."""
        for part in by_hash.parts():
            if self._budget.holds(part.rows, part.octets):
                self._write(part.read())
                continue
            sample = next(part.blocks)
            blocks = chain([sample], part.blocks)
            most = Counter(candidate.key for candidate in sample).most_common(1)[0][1]
            if level + 1 == LEVELS or 2 * most > len(sample):  # mostly one message: any piece can be shared
                for piece in self._pieces(blocks):
                    self._write(piece)
                continue
            smaller = self.spill(by_key, level + 1)
            for block in blocks:
                smaller.extend(block)
            self._place_keyed(smaller, level + 1)

    def _settled(self, by_hash: Spill, level: int = 0) -> Iterator[list[Candidate]]:
        for part in by_hash.parts():
            if self._budget.holds(part.rows, part.octets):
                yield self._settle(part.read())
            elif level + 1 < LEVELS:
                smaller = self.spill(by_address, level + 1)
                for block in part.blocks:
                    smaller.extend(block)
                yield from self._settled(smaller, level + 1)
            else:  # one address, over and over: what was seen of it is small, and exclusions came first
                excluded: dict[str, int] = {}
                earlier: dict[str, Candidate] = {}
                for block in part.blocks:
                    yield self._settle(block, excluded, earlier)

    def _pieces(self, blocks: Iterable[list[Candidate]]) -> Iterator[list[Candidate]]:
        """As large as half the budget allows: each is an interval, whose last transaction is not full."""
        piece: list[Candidate] = []
        octets = 0
        for block in blocks:
            more = octets_of(block)
            if piece and not self._budget.holds(2 * (len(piece) + len(block)), 2 * (octets + more)):
                yield piece
                piece, octets = [], 0
            piece += block
            octets += more
        if piece:
            yield piece

    # --- who is left out ----------------------------------------------------------------------------------

    def _settle(
        self,
        candidates: Sequence[Candidate],
        excluded: dict[str, int] | None = None,
        earlier: dict[str, Candidate] | None = None,
    ) -> list[Candidate]:
        """The candidates who stay. `excluded` and `earlier` carry over what other blocks had."""
        excluded = {} if excluded is None else excluded
        rows = candidates
        if any(candidate.kind == EXCLUSION for candidate in candidates):
            for candidate in candidates:
                if candidate.kind == EXCLUSION:
                    excluded.setdefault(candidate.address.lower(), candidate.file)
            rows = [candidate for candidate in candidates if candidate.kind != EXCLUSION]
        if self._dedupe:
            rows = self._first_of_each(rows, {} if earlier is None else earlier)
        # Suppressions and exclusions know no case: a capital must not reach who asked to be left alone.
        suppressed = self._suppressions.contains_keys([row.address.lower() for row in rows]) if rows else ()
        kept: list[Candidate] = []
        for row in rows:
            if excluded and row.kind == ROW and row.address.lower() in excluded:
                self._leave_out("excluded", row, f"in {self._files[excluded[row.address.lower()]]}")
            elif suppressed and row.address.lower() in suppressed:
                self._leave_out("suppressed", row, "on the suppression list")
            elif row.problem is None:
                kept.append(row)
            else:
                self._refuse(row, *row.problem)
        self._moved(len(candidates))
        return kept

    def _first_of_each(self, rows: Sequence[Candidate], earlier: dict[str, Candidate]) -> list[Candidate]:
        winners: dict[str, Candidate] = {}
        lent: set[str] = set()
        for row in rows:
            address = row.address
            winner = earlier.get(address) or winners.setdefault(address, row)
            if winner is row:
                continue
            self._leave_out("duplicate", row, f"as {self._files[winner.file]}:{winner.line}")
            if winner.kind == SEED and row.kind == ROW and address in winners and address not in lent:
                # a seed who is in the list has the values of that row
                winners[address] = winner._replace(key=row.key, fields=row.fields, problem=row.problem)
                lent.add(address)
        earlier.update(winners)
        return list(winners.values())

    def _leave_out(self, state: str, row: Candidate, reason: str) -> None:
        self._sink.left_out(LeftOut(state, self._files[row.file], row.line, row.address, reason))

    def _refuse(self, row: Candidate, state: str, reason: str) -> None:
        """What becomes of somebody whose message cannot be rendered."""
        if state == "invalid" or self._skip:
            self._leave_out(state, row, reason)
            return
        self._refusals.add(row.order, self._files[row.file], row.line, reason, row.fields)

    # --- intervals ----------------------------------------------------------------------------------------

    def _write(self, kept: list[Candidate]) -> None:
        if self._refusals.count:
            return  # nothing will come of this plan; what remains is to find the other problems
        # The sort is stable and parts are in source order, so equals stay in it.
        kept.sort(key=_DOMAIN_AND_KEY if self._keyed else _DOMAIN)
        if self._seeds:
            self._write_domains([row for row in kept if row.kind == SEED], seeds=True)
            kept = [row for row in kept if row.kind == ROW]
        self._write_domains(kept, seeds=False)

    def _write_domains(self, rows: Sequence[Candidate], *, seeds: bool) -> None:
        for domain, group in groupby(rows, _DOMAIN):
            name = domain.decode("ascii")
            if not self._keyed:
                self._sink.interval(name, not self._personal, seeds, _planned(group))
                continue
            alone: list[Candidate] = []
            for _, same in groupby(group, _KEY):
                equal = list(same)
                if len(equal) > 1:
                    self._sink.interval(name, True, seeds, _planned(equal))
                else:
                    alone += equal
            if alone:
                self._sink.interval(name, False, seeds, _planned(alone))


def _planned(rows: Iterable[Candidate]) -> Iterator[Planned]:
    return map(Planned._make, map(_PLANNED, rows))
