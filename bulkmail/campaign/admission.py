"""From a row of a list to a candidate for the plan, or to a line that says why not.

Everything that concerns one row alone is decided here, once, while its cells are at hand: whether it is text,
passes `where`, holds an address, can be rendered, and with whose message its own would be identical. What
concerns several rows (duplicates, exclusions) or the store (suppressions) comes later, in `placing`; so a
problem of the message is only noted on the candidate, because somebody who is left out anyway has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from json.encoder import encode_basestring
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol

from bulkmail.campaign.candidates import EXCLUSION, ROW, SEED, Candidate, Candidates, Trouble, nobody
from bulkmail.campaign.listing import EMAIL, BadRow, Batch, ListSpec, Plain, Row
from bulkmail.campaign.plain_address import plain_domains
from bulkmail.campaign.refusals import Refusals
from bulkmail.campaign.share_key import key_of, keys_of
from bulkmail.campaign.where import Where
from bulkmail.journal.records import LeftOut
from bulkmail.smtp.address import AddressError, Mailbox

if TYPE_CHECKING:  # a plan needs no template engine
    from bulkmail.message.template import Reason

_BLANKS = " \t\u00a0\ufeff"  # what Mailbox.parse takes off an address
_SHOWN = 320  # characters of a cell that is no address; the longest address has 254 octets
_LINE = attrgetter("row")
_REMEMBERED = 4_000  # share keys whose check is remembered


class Composer(Protocol):
    """What the plan wants to know of the message."""

    @property
    def fields(self) -> frozenset[str]:
        """The row fields that it really uses."""

    @property
    def personal(self) -> bool:
        """Whether messages differ."""

    @property
    def unique(self) -> Sequence[str]:
        """Why no two are the same; empty where those are whose fields are equal."""

    def check(self, fields: Mapping[str, str], /) -> Reason | None:
        """Why it cannot be rendered for this row, or None; whether `on_missing` decides about that."""

    def passes(self, columns: Mapping[str, Sequence[str]], /) -> bool:
        """Whether `check` has nothing against any row of these columns, if that can be told at once."""


class Admission:
    """Judges rows one by one. `files` grows by the names that candidates refer to."""

    def __init__(self, spec: ListSpec, composer: Composer, files: list[str]) -> None:
        self._spec = spec
        self._composer = composer
        self._files = files
        self._where = Where(spec, spec.where) if spec.where is not None else None
        self._used = tuple(sorted(composer.fields))
        # One that shows the address or a token is like no other; one that uses no field like all others.
        self.keyed = composer.personal and not composer.unique
        self._checked: dict[str, Trouble | None] | None = {} if self.keyed or not composer.personal else None
        self._encoders: dict[tuple[str, ...], Callable[[dict[str, str]], str]] = {}
        self.unreadable = Refusals("rows that cannot be read")  # of the exclusions

    def close(self) -> None:
        if self._where is not None:
            self._where.close()

    def rows(self, batch: Batch, room: int | None) -> tuple[list[Candidate], list[LeftOut]]:
        """The candidates among the batch's rows that are not plain, at most `room`, and the others of them.

        Where `room` is not enough, the others only as far as the last candidate.
        """
        file = self._file(batch.file)
        left_out = [_bad(batch.file, bad) for bad in batch.bad]
        rows = batch.rows
        if self._where is not None:
            rows, filtered = self._where.split(batch)
            left_out += [self._filtered(batch, line, row.get(EMAIL, "")) for line, row in filtered]
        candidates: list[Candidate] = []
        for row in rows:
            self._take(batch, row, file, candidates, left_out)
        if room is not None and len(candidates) >= room:
            candidates = candidates[:room]
            last = candidates[-1].line if candidates else 0
            left_out = [row for row in left_out if row.row <= last]
        return candidates, left_out

    def columns(self, batch: Batch, room: int | None) -> tuple[Candidates, list[LeftOut]]:
        """As `rows`, for all rows of the batch."""
        one_by_one, left_out = self.rows(batch, None)
        found = nobody(ROW, self._file(batch.file))
        if batch.plain is not None:
            found = self._plain(batch, batch.plain, one_by_one, left_out)
        if one_by_one:
            found.extend(Candidates.of(ROW, found.file, one_by_one, keyed=self.keyed))
            found.sort()
        if batch.plain is not None:
            left_out.sort(key=_LINE)
        if room is not None and len(found) >= room:
            found = found.head(room)
            last = found.lines[-1] if found.lines else 0
            left_out = [row for row in left_out if row.row <= last]
        return found, left_out

    def _plain(
        self, batch: Batch, plain: Plain, one_by_one: list[Candidate], left_out: list[LeftOut]
    ) -> Candidates:
        """The candidates of the plain rows. Those that turn out to be unusual are added to the lists."""
        file = self._file(batch.file)
        if self._where is not None:
            verdicts = self._where.verdicts(batch, plain)
            if failed := [place for place, passed in enumerate(verdicts) if not passed]:
                emails = plain.columns[EMAIL]
                left_out += [self._filtered(batch, plain.lines[at], emails[at]) for at in failed]
                plain.drop(failed)
        if not plain.lines:
            return nobody(ROW, file)
        domains, odd = plain_domains(plain.columns[EMAIL])
        if self.keyed and not plain.columns.keys() >= set(self._used):  # a field that no row has
            odd = list(range(len(domains)))
        if odd:
            for place in odd:
                self._take(batch, (plain.lines[place], plain.row(place)), file, one_by_one, left_out)
            plain.drop(odd, domains)
            if not domains:
                return nobody(ROW, file)
        keys = keys_of([plain.columns[name] for name in self._used]) if self.keyed else []
        problems = {} if self._composer.passes(plain.columns) else self._plain_problems(plain, keys)
        return Candidates(
            ROW,
            file,
            plain.lines,
            plain.columns[EMAIL],
            domains,
            plain.texts,
            plain.characters,
            keys,
            problems,
        )

    def _plain_problems(self, plain: Plain, keys: Sequence[str]) -> dict[int, Trouble]:
        if self._checked is None:
            found = ((line, self._problem(plain.row(place), "")) for place, line in enumerate(plain.lines))
        elif not keys:  # everybody gets the same
            problem = self._problem(plain.row(0), "") if plain.lines else None
            found = ((line, problem) for line in plain.lines)
        else:
            of_key = {key: place for place, key in enumerate(keys)}
            problems = {key: self._problem(plain.row(place), key) for key, place in of_key.items()}
            found = ((line, problems[key]) for line, key in zip(plain.lines, keys, strict=True))
        return {line: problem for line, problem in found if problem is not None}

    def _take(
        self, batch: Batch, row: Row, file: int, candidates: list[Candidate], left_out: list[LeftOut]
    ) -> None:
        admitted = self._admit(row, ROW, file)
        if isinstance(admitted, Candidate):
            candidates.append(admitted)
        else:
            column = next((own for own, ours in batch.names.items() if ours == EMAIL), EMAIL)
            bad = BadRow(row[0], row[1].get(EMAIL, ""), f"column {column}: {admitted}")
            left_out.append(_bad(batch.file, bad))

    def _filtered(self, batch: Batch, line: int, cell: str) -> LeftOut:
        assert self._where is not None
        return LeftOut("filtered", batch.file, line, _cell(cell), f"where: {self._where.expression}")

    def seeds(self) -> list[Candidate]:
        """The seeds as candidates. A field that the list would give shows its own name: `[first_name]`.

        Never another recipient's values. Raises ConfigError for what is no address.
        """
        file = self._file("seeds")
        candidates = []
        for number, address in enumerate(self._spec.seeds, 1):
            fields = {EMAIL: address}
            if self._composer.check(fields) is not None:
                fields = {name: f"[{name}]" for name in self._used} | fields
            admitted = self._admit((number, fields), SEED, file)
            if isinstance(admitted, str):
                raise self._spec.problem(f"seeds[{number - 1}]", f"{address!r}: {admitted}")
            candidates.append(admitted)
        return candidates

    def exclusions(self, batch: Batch) -> Candidates:
        """The addresses of an exclusion list. A row whose cell is empty names nobody.

        What cannot be read is somebody who would be mailed all the same: it is kept in `unreadable`.
        """
        found = nobody(EXCLUSION, self._file(batch.file))
        for bad in batch.bad:
            self._unread(found.file, batch.file, bad.line, bad.reason)
        cells = [(line, row.get(EMAIL, "")) for line, row in batch.rows]
        if (plain := batch.plain) is not None and plain.lines:
            domains, odd = plain_domains(plain.columns[EMAIL])
            unusual = set(odd)
            cells += [(plain.lines[place], plain.columns[EMAIL][place]) for place in odd]
            usual = [place not in unusual for place in range(len(domains))]
            found.lines = list(compress(plain.lines, usual))
            found.addresses = list(compress(plain.columns[EMAIL], usual))
            found.domains = list(compress(domains, usual))
        for line, cell in cells:
            try:
                mailbox = Mailbox.parse(cell)
            except AddressError as error:
                if cell.strip(_BLANKS):
                    self._unread(found.file, batch.file, line, f"{_cell(cell)!r}: {error}")
                continue
            found.lines.append(line)
            found.addresses.append(str(mailbox))
            found.domains.append(mailbox.domain.decode("ascii"))
        found.texts = [""] * len(found.lines)
        if self.keyed:
            found.keys = [""] * len(found.lines)
        return found

    def _unread(self, order: int, file: str, line: int, why: str) -> None:
        self.unreadable.add((order, line), file, line, f"{why}; whoever this excludes would be mailed")

    def _admit(self, row: Row, kind: int, file: int) -> Candidate | str:
        line, fields = row
        text = fields.get(EMAIL)
        if text is None:
            return "the row has no such cell"
        try:
            mailbox = Mailbox.parse(text)
        except AddressError as error:
            return str(error)
        address = str(mailbox)
        if len(text) != len(address):
            fields[EMAIL] = text.strip(_BLANKS)
        key = key_of(fields, self._used) if self.keyed else ""
        problem = self._problem(fields, key)
        domain = mailbox.domain.decode("ascii")
        # _make: twice as fast as a call
        return Candidate._make((kind, file, line, address, domain, key, self._encode(fields), problem))

    def _problem(self, fields: dict[str, str], key: str) -> Trouble | None:
        known = self._checked
        if known is not None and key in known:
            return known[key]
        reason = self._composer.check(fields)
        # str(): a Reason is one with a flag, which marshal cannot spill
        problem = None if reason is None else ("skipped" if reason.missing else "invalid", str(reason))
        if known is not None:
            if len(known) >= _REMEMBERED:
                known.clear()
            known[key] = problem
        return problem

    def _encode(self, fields: dict[str, str]) -> str:
        """The JSON object of a row: by a ready-made pattern per set of columns, three times as fast."""
        shape = tuple(fields)
        encoder = self._encoders.get(shape)
        if encoder is None:
            if len(self._encoders) > 256:  # a .jsonl file may have another shape on each line
                return json.dumps(fields, ensure_ascii=False)
            encoder = self._encoders[shape] = _encoder(shape)
        return encoder(fields)

    def _file(self, name: str) -> int:
        if not self._files or self._files[-1] != name:
            self._files.append(name)
        return len(self._files) - 1


def _encoder(shape: tuple[str, ...]) -> Callable[[dict[str, str]], str]:
    cells = ", ".join(f"{encode_basestring(name).replace('%', '%%')}: %s" for name in shape)
    pattern = "{" + cells + "}"
    return lambda fields: pattern % tuple(map(encode_basestring, fields.values()))


def _bad(file: str, bad: BadRow) -> LeftOut:
    return LeftOut("invalid", file, bad.line, _cell(bad.address), bad.reason)


def _cell(text: str) -> str:
    """A cell that may be anything, as it can be stored: bounded, and without lone surrogates."""
    return text[:_SHOWN].encode("utf-8", "backslashreplace").decode()
