"""Whose message is shown or tested: the first of the list, somebody by address, or some at random.

The list is read as a stream and never kept: of ten million rows only those that are shown stay in memory. A
sample is judged by the same code as a row of the plan (`admission`), so it has the values that its recipient
will have. Who would be left out can be looked at all the same, and then it is said why he would be.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bulkmail.campaign.admission import Admission, Composer
from bulkmail.campaign.candidates import SEED, Candidate
from bulkmail.campaign.listing import EMAIL, Batch, ListSpec, Row
from bulkmail.campaign.sources import expand, read_list
from bulkmail.campaign.where import Where
from bulkmail.errors import ConfigError, Problem
from bulkmail.journal.records import LeftOut
from bulkmail.smtp.address import AddressError, Mailbox

LOOKED_AT = 10_000  # rows that may all be unusable before the first of them is told instead of a sample
TOLD = 5
SPARE = 4  # rows drawn at random for each one that is wanted: some may have no message


@dataclass(frozen=True, slots=True)
class Sample:
    """One recipient whose message can be rendered.

    `origin`: where it stands, such as `people.csv:7`, "" where that is nowhere. `note`: what is to be said
    about it, for people, or "".
    """

    address: str
    fields: Mapping[str, str]
    origin: str = ""
    note: str = ""


def first(spec: ListSpec, composer: Composer, *, stdin: BinaryIO | None = None) -> Sample:
    """The first of the list who can be written to; a seed where the list has nobody.

    Raises ConfigError where there is nobody at all, or nobody among the first rows has a message.
    """
    unusable: list[Problem] = []
    files: list[str] = []
    rows = 0
    with closing(Admission(spec, composer, files)) as admission, _batches(spec, stdin) as batches:
        for batch in batches:
            candidates, left_out = admission.rows(batch, spec.limit)
            wrong: list[Problem] = []
            for one in candidates:
                if one.problem is None:
                    return _sample(one, files, _refused_before(wrong or unusable))
                wrong.append(_problem(one, files))
            rows += len(candidates) + len(left_out)
            unusable += wrong
            unusable += [_left_out(row) for row in left_out if row.state == "invalid"]
            if len(unusable) >= LOOKED_AT:
                break
        for one in admission.seeds():
            if one.problem is None and not unusable:
                return _sample(one, files, "a seed: nobody of the list passes" if rows else "a seed")
    if rows and not unusable:
        raise spec.problem("where", "nobody of the list passes it: name somebody with --as ADDRESS")
    raise _nobody(spec, unusable)


def by_address(spec: ListSpec, composer: Composer, address: str, *, stdin: BinaryIO | None = None) -> Sample:
    """The row of the list with this address, whatever its case, also if the plan would leave it out.

    An address that is in no list gets the name of each field in brackets as its value, never another
    recipient's. Raises ConfigError where it is no address or has no message.
    """
    try:
        wanted = Mailbox.parse(address)
    except AddressError as error:
        raise ConfigError(f"{address!r} is no address: {error}") from None
    key = str(wanted).lower()
    files: list[str] = []
    with closing(Admission(spec, composer, files)) as admission:
        seeds = [one for one in admission.seeds() if one.address.lower() == key and one.problem is None]
    everybody = replace(spec, where=None, limit=None)
    with _batches(everybody, stdin) as batches:
        for batch in batches:
            for row in batch.rows:
                if _is(row[1].get(EMAIL, ""), key):
                    return _judged(spec, composer, batch, row)
    return _sample(seeds[0], files, "a seed") if seeds else _stranger(composer, str(wanted))


def at_random(
    spec: ListSpec, composer: Composer, count: int, seed: int, *, stdin: BinaryIO | None = None
) -> list[Sample]:
    """Up to `count` of the list, each as likely as any other, in its order; the same for the same `seed`.

    Fewer where the list has fewer, or most of its rows have no message. Raises ConfigError where nobody has.
    """
    drawn: list[tuple[int, Batch]] = []
    chance = random.Random(seed)
    size = SPARE * count + SPARE
    with _batches(spec, stdin) as batches:
        for number, (batch, row) in enumerate(_passing(spec, batches)):
            # each row takes the place of one drawn before with the chance that keeps all equal (algorithm R)
            place = number if number < size else chance.randrange(number + 1)
            if place < size:
                drawn[place : place + 1] = [(number, replace(batch, rows=[row], bad=[]))]
    chance.shuffle(drawn)
    chosen: list[tuple[int, Sample]] = []
    unusable: list[Problem] = []
    files: list[str] = []
    with closing(Admission(spec, composer, files)) as admission:
        for number, batch in drawn:
            candidates, left_out = admission.rows(batch, None)
            chosen += [(number, _sample(one, files)) for one in candidates if one.problem is None]
            unusable += [_problem(one, files) for one in candidates if one.problem is not None]
            unusable += [_left_out(row) for row in left_out]
            if len(chosen) == count:
                break
    if not chosen:
        raise _nobody(spec, unusable)
    return [sample for _, sample in sorted(chosen, key=lambda pair: pair[0])]


@contextmanager
def _batches(spec: ListSpec, stdin: BinaryIO | None) -> Iterator[Iterator[Batch]]:
    with tempfile.TemporaryDirectory(prefix="bulkmail-sample-") as folder:
        yield read_list(spec, expand(spec, spec.source), Path(folder), stdin)


def _passing(spec: ListSpec, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Row]]:
    """The rows that pass `where`, not more than `limit` of them."""
    room = spec.limit
    where = None if spec.where is None else Where(spec, spec.where)
    try:
        for batch in batches:
            rows = batch.rows if where is None else where.split(batch)[0]
            for row in rows if room is None else rows[:room]:
                yield batch, row
            if room is not None:
                room -= len(rows)
                if room <= 0:
                    return
    finally:
        if where is not None:
            where.close()


def _is(cell: str, key: str) -> bool:
    """Whether a cell holds the address of this key. Only what may be it is parsed."""
    local = key.rpartition("@")[0]
    if local.strip('"') not in cell.lower() and local.isascii():
        return False
    try:
        return str(Mailbox.parse(cell)).lower() == key
    except AddressError:
        return False


def _judged(spec: ListSpec, composer: Composer, batch: Batch, row: Row) -> Sample:
    """A row as the plan would see it; where that leaves it out, it is shown with a note."""
    alone = replace(batch, rows=[row], bad=[])
    files: list[str] = []
    with closing(Admission(spec, composer, files)) as admission:
        candidates, left_out = admission.rows(alone, None)
    note = ""
    if left_out:
        note = f"a run leaves it out as {left_out[0].state}: {left_out[0].reason}"
        with closing(Admission(replace(spec, where=None), composer, files)) as admission:
            candidates, left_out = admission.rows(alone, None)
    if not candidates:
        raise ConfigError(Problem(batch.file, row[0], 0, "", left_out[0].reason))
    if candidates[0].problem is not None:
        raise ConfigError(Problem(batch.file, row[0], 0, "", candidates[0].problem[1]))
    return _sample(candidates[0], files, note)


def _stranger(composer: Composer, address: str) -> Sample:
    """Somebody who is in no list. What a placeholder cannot stand for may do without."""
    named = {name: f"[{name}]" for name in sorted(composer.fields)} | {EMAIL: address}
    note = "not in the list: the name of each field stands for its value"
    reason = None
    for fields in (named, {EMAIL: address}):
        reason = composer.check(fields)
        if reason is None:
            return Sample(address, fields, note=note)
    raise ConfigError(f"{address} is not in the list, and without values there is no message: {reason}")


def _sample(one: Candidate, files: list[str], note: str = "") -> Sample:
    origin = "" if one.kind == SEED else f"{files[one.file]}:{one.line}"
    return Sample(one.address, json.loads(one.fields), origin, note)


def _problem(one: Candidate, files: list[str]) -> Problem:
    return Problem(files[one.file], one.line, 0, "", one.problem[1] if one.problem else "")


def _left_out(row: LeftOut) -> Problem:
    return Problem(row.file, row.row, 0, "", row.reason)


def _refused_before(problems: list[Problem]) -> str:
    return f"before it there are rows without a message; the first is {problems[0]}" if problems else ""


def _nobody(spec: ListSpec, unusable: list[Problem]) -> ConfigError:
    if not unusable:
        return spec.problem("source", "the list is empty: name somebody with --as ADDRESS")
    shown = sorted(unusable, key=lambda problem: (problem.file, problem.line))[:TOLD]
    behind = ", nor any behind it that was looked at" if len(unusable) > len(shown) else ""
    return ConfigError([*shown, Problem(shown[-1].file, 0, 0, "", f"no row has a message{behind}")])
