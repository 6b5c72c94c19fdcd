"""One block of hostile rows: over bulkmail's whole way, in every way of saying it, before every judge.

What is held of a block, where `Row.meant` is the word of the generator and of nobody here:

* who is planned is exactly who was meant, and `source` is the sum of the states;
* on the wire stand as many MAIL, RCPT, DATA or BDAT as letters were planned, and no other command, by a
  grammar of our own (`wire_judge`) and by aiosmtpd, however the octets are cut;
* each letter has the recipient of its row, the header fields that were meant, its row's text and no other's
  mark, by the standard library's parsers (`letter_judge`), and is octet for octet what was composed.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import hostile_rows
from aiosmtpd_judge import Aiosmtpd
from hostile_rows import Row
from injection_road import SHAPES, WAYS, Addressed, Line, composer, deliver, letters, planned
from letter_judge import judge
from wire_judge import Host

from bulkmail.message.attachments import LONGEST_NAME

SESSION = 100  # letters over one connection
SLOWLY = 16  # one letter of so many is read by the newer, slower parser of the standard library, too


@dataclass(slots=True)
class Tally:
    rows: int = 0
    letters: int = 0
    left_out: int = 0
    transactions: Counter[str] = field(default_factory=Counter)  # by way
    octets: int = 0
    refused: int = 0  # by aiosmtpd, which does not know every legal address

    def add(self, other: Tally) -> None:
        self.rows += other.rows
        self.letters += other.letters
        self.left_out += other.left_out
        self.transactions += other.transactions
        self.octets += other.octets
        self.refused += other.refused


def run_block(seed: int, number: int, size: int, *, aiosmtpd: Aiosmtpd) -> Tally:
    """Rows `number * size` and following. Raises AssertionError, naming seed and block."""
    try:
        return _run(seed, number, size, aiosmtpd)
    except Exception as error:
        error.add_note(f"seed {seed}, block {number} of {size} rows: --seed {seed} --block {number}")
        raise


def _run(seed: int, number: int, size: int, aiosmtpd: Aiosmtpd) -> Tally:
    chance = random.Random(f"{seed}/{number}")
    shape = sorted(SHAPES)[number % len(SHAPES)]
    rows = list(hostile_rows.rows(seed, number * size, size))
    made = composer(shape)
    with (
        tempfile.TemporaryDirectory(prefix="bulkmail-injection-") as folder,
        planned(rows, made, Path(folder), objects=number % 2 == 1) as plan,
    ):
        check_plan(rows, shape, plan.totals, plan.left_out, [one.address for one in plan.people])
        addressed = letters(made, plan.people)
    by_mark = {row.mark: row for row in rows}
    tally = Tally(len(rows), sum(len(one.people) for one in addressed), plan.left_out)
    for at in range(0, len(addressed), SESSION):
        part = addressed[at : at + SESSION]
        for way in WAYS:
            tally.octets += check_wire(part, way, chance)
            tally.transactions[way] += len(part)
        taken = aiosmtpd.session(part, chance)
        for one, there in zip(part, taken, strict=True):
            found = [row_of(person.address, by_mark) for person in one.people]
            assert there is None or there.content == one.letter.content, (
                "aiosmtpd has another letter",
                found,
            )
            assert there is None or len(there.recipients) == len(found), (
                "aiosmtpd has others",
                there.recipients,
                found,
            )
            tally.refused += there is None
            if made.personal:
                judge(one.letter.content, found[0], shape, slowly=one.people[0].id % SLOWLY == 0)
            else:
                assert not hostile_rows.MARKS.search(one.letter.content.decode()), "somebody's mark"
    return tally


def check_plan(
    rows: Sequence[Row], shape: str, totals: dict[str, int], left_out: int, addresses: Sequence[str]
) -> None:
    assert totals["source"] == len(rows) == sum(n for state, n in totals.items() if state != "source"), totals
    meant = {f"{to[0]}@{to[1]}" for row in rows if (to := meant_in(shape, row)) is not None}
    found = {unquoted(address) for address in addresses}
    assert len(found) == len(addresses)
    assert found == meant, ("planned, and should not be", found - meant, "not planned", meant - found)
    assert left_out == len(rows) - len(addresses)


def meant_in(shape: str, row: Row) -> tuple[str, str] | None:
    """A message that shows nothing of a row can be sent to any address; one whose file a cell names, not to
    all.
    """
    if shape == "html" and (
        "/" in row.city or "\\" in row.city or len(f"Invoice {row.city}.txt".strip()) > LONGEST_NAME
    ):
        return None
    return row.addressed if shape == "constant" else row.meant


def unquoted(address: str) -> str:
    local, _, domain = address.rpartition("@")
    if local.startswith('"'):
        local = "".join(_pairs(local[1:-1]))
    return f"{local}@{domain}"


def _pairs(text: str) -> list[str]:
    found, at = [], 0
    while at < len(text):
        at += text[at] == "\\"
        found.append(text[at])
        at += 1
    return found


def check_wire(part: Sequence[Addressed], way: str, chance: random.Random) -> int:
    """Our own judge's word on what one way says of these letters; the octets it took."""
    host = Host()
    line = Line(host.take, chance, host.greet())
    deliver(part, line, way)
    host.end()
    ends = "BDAT" if way == "whole" else "DATA"
    people = sum(len(one.people) for one in part)
    said = {"MAIL": len(part), "RCPT": people, ends: len(part), "EHLO": 1, "QUIT": 1}
    assert {verb: times for verb, times in host.said.items() if verb != "RSET"} == said, host.said
    assert host.said.get("RSET", 0) <= len(part)
    for one, there in zip(part, host.taken, strict=True):
        path = one.letter.reverse_path
        assert there.content == one.letter.content
        assert there.forward_paths == [address.encode() for address in one.addresses]
        assert there.reverse_path == (b"" if path is None else path.wire)
    return line.wire


def row_of(address: str, by_mark: dict[str, Row]) -> Row:
    (found,) = set(hostile_rows.MARKS.findall(address))
    row = by_mark[found]
    assert unquoted(address) == "@".join(row.addressed or ()), row
    return row
