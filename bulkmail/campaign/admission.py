"""From a row of a list to a candidate for the plan, or to a line that says why not.

Everything that concerns one row alone is decided here, once, while its cells are at hand: whether it is text,
passes `where`, holds an address, can be rendered, and with whose message its own would be identical. What
concerns several rows (duplicates, exclusions) or the store (suppressions) comes later, in `placing`; so a
problem of the message is only noted on the candidate, because somebody who is left out anyway has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Protocol

from bulkmail.campaign.listing import EMAIL, BadRow, Batch, ListSpec, Row
from bulkmail.campaign.spill import EXCLUSION, ROW, SEED, Candidate
from bulkmail.campaign.where import Where
from bulkmail.journal.records import LeftOut
from bulkmail.smtp.address import AddressError, Mailbox

if TYPE_CHECKING:  # a plan needs no template engine
    from bulkmail.message.template import Reason

_BLANKS = " \t\u00a0\ufeff"  # what Mailbox.parse takes off an address
_SHOWN = 320  # characters of a cell that is no address; the longest address has 254 octets
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


class Admission:
    """Judges rows one by one. `files` grows by the names that candidates refer to."""

    def __init__(self, spec: ListSpec, composer: Composer, files: list[str]) -> None:
        self._spec = spec
        self._composer = composer
        self._files = files
        self._where = Where(spec, spec.where) if spec.where is not None else None
        self._order = 0
        self._used = tuple(sorted(composer.fields))
        # One that shows the address or a token is like no other; one that uses no field like all others.
        self.keyed = composer.personal and not composer.unique
        self._checked: dict[bytes, tuple[str, str] | None] | None = (
            {} if self.keyed or not composer.personal else None
        )
        self._encoders: dict[tuple[str, ...], Callable[[dict[str, str]], str]] = {}

    def close(self) -> None:
        if self._where is not None:
            self._where.close()

    def rows(self, batch: Batch, room: int | None) -> tuple[list[Candidate], list[LeftOut]]:
        """The batch's candidates, at most `room`, and its other rows as far as the last of these."""
        file = self._file(batch.file)
        left_out = [_bad(batch.file, bad) for bad in batch.bad]
        rows = batch.rows
        if self._where is not None:
            rows, filtered = self._where.split(batch)
            reason = f"where: {self._where.expression}"
            left_out += [
                LeftOut("filtered", batch.file, line, _cell(row.get(EMAIL, "")), reason)
                for line, row in filtered
            ]
        column = next((own for own, ours in batch.names.items() if ours == EMAIL), EMAIL)
        candidates: list[Candidate] = []
        for row in rows:
            admitted = self._admit(row, ROW, file)
            if isinstance(admitted, Candidate):
                candidates.append(admitted)
            else:
                cell = row[1].get(EMAIL, "")
                bad = BadRow(row[0], cell, f"column {column}: {admitted}")
                left_out.append(_bad(batch.file, bad))
        if room is not None and len(candidates) >= room:
            candidates = candidates[:room]
            last = candidates[-1].line if candidates else 0
            left_out = [row for row in left_out if row.row <= last]
        return candidates, left_out

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

    def exclusions(self, batch: Batch) -> list[Candidate]:
        """The addresses of an exclusion list. A row without one cannot be anybody of ours."""
        file = self._file(batch.file)
        found: list[Candidate] = []
        for line, row in batch.rows:
            try:
                mailbox = Mailbox.parse(row.get(EMAIL, ""))
            except AddressError:
                continue
            found.append(Candidate(EXCLUSION, 0, file, line, str(mailbox), mailbox.domain, b"", "", None))
        return found

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
        key = self._key(fields) if self.keyed else b""
        problem = self._problem(fields, key)
        self._order += 1
        # _make: twice as fast as a call
        return Candidate._make(
            (kind, self._order, file, line, address, mailbox.domain, key, self._encode(fields), problem)
        )

    def _key(self, fields: dict[str, str]) -> bytes:
        """Equal for equal messages, and for no others: 128 bits stand between two people's data.

        `repr` of a tuple of texts is one-to-one; joining the values would not be.
        """
        values = repr([fields.get(name) for name in self._used])
        return blake2b(values.encode(), digest_size=16).digest()

    def _problem(self, fields: dict[str, str], key: bytes) -> tuple[str, str] | None:
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
