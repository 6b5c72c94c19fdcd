"""Rows of a .jsonl file: one JSON object a line.

Numbers keep their spelling, `null` is an absent field, and what is nested stays JSON text: a field is text,
as it is in every other list. The lines need not have the same keys; the columns that a campaign may name are
those of the first batch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TextIO

from bulkmail.campaign.listing import (
    BATCH,
    BadRow,
    Batch,
    Header,
    ListSpec,
    Row,
    resolve_header,
    text_problem,
)
from bulkmail.errors import ConfigError, Problem

_DECODE = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str).decode
_TRUTH = {True: "true", False: "false"}


def read_jsonl(text: TextIO, spec: ListSpec, file: str) -> Iterator[Batch]:
    """All objects of an open file, in batches. An empty file has no rows.

    Raises ConfigError: a column that the campaign names is missing, or the file is one JSON array.
    """
    header: Header | None = None
    renames: dict[str, str] = {}
    fields: dict[str, None] = {}  # ordered
    for first, rows, bad in _batches(text, file):
        if header is None and rows:
            own = list(dict.fromkeys(key for _, row in rows for key in row))
            header = resolve_header(spec, file, first, own)
            renames = {name: kept for name, kept in zip(own, header.fields, strict=True) if name != kept}
            # a key that first comes later must not pass for a field that another column was mapped to
            renames = {name: "" for name, column in spec.columns.items() if name != column} | renames
        if renames:
            rows = [(line, _renamed(row, renames)) for line, row in rows]
        for _, row in rows:
            if not row.keys() <= fields.keys():
                fields.update(dict.fromkeys(row))
        yield Batch(file, rows, bad, tuple(fields), header.names if header else {})


def _batches(text: TextIO, file: str) -> Iterator[tuple[int, list[Row], list[BadRow]]]:
    rows: list[Row] = []
    bad: list[BadRow] = []
    first = 1
    try:
        for number, line in enumerate(text, 1):
            read = _object(line)
            if isinstance(read, dict):
                rows.append((number, read))
            elif read:
                if number == 1 and line.lstrip().startswith("["):
                    raise ConfigError(
                        Problem(file, 1, 0, "", "a JSON array; a .jsonl list has one object a line")
                    )
                bad.append(BadRow(number, "", read))
            if len(rows) + len(bad) >= BATCH:
                yield first, rows, bad
                rows, bad, first = [], [], number + 1
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file, 0, 0, "", f"not {error.encoding} text: {error.reason}")) from error
    if rows or bad:
        yield first, rows, bad


def _object(line: str) -> dict[str, str] | str:
    """The row of a line, or why it has none; "" for an empty line."""
    text = line.strip(" \t\r\n")
    if not text:
        return ""
    try:
        found = _DECODE(text)
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return f"not JSON: {reason}"
    except RecursionError:
        return "not a row: nested too deeply"
    if type(found) is not dict:
        return "not a JSON object"
    for value in found.values():
        if type(value) is not str:
            try:
                exact = json.loads(text)  # numbers inside of what is nested stay numbers
            except ValueError:  # sys.int_info.default_max_str_digits
                return "not a row: a number of thousands of digits"
            found = {k: v if type(v) is str else _text(exact[k]) for k, v in found.items() if v is not None}
            break
    return text_problem((*found, *found.values())) or found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return _TRUTH[value]
    return json.dumps(value, ensure_ascii=False)


def _renamed(row: dict[str, str], renames: dict[str, str]) -> dict[str, str]:
    return {kept: value for name, value in row.items() if (kept := renames.get(name, name))}
