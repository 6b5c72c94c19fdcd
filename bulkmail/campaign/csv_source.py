"""Rows of a separated text file (.csv, .tsv), whatever program wrote it.

The separator is sniffed from the header line: `,` `;` tab or `|`, whichever stands there most often outside
quotes. A row with too few cells is read as far as it goes; one with too many has been cut in the wrong place
and is left out. Stray quotes are the dangerous fault, because a quote that is not closed swallows the people
behind it: where more than one line is concerned, the file is refused rather than the people lost.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from bulkmail.campaign.csv_plain import can_be_plain, read_chunks
from bulkmail.campaign.listing import (
    BATCH,
    EMAIL,
    BadRow,
    Batch,
    Header,
    ListSpec,
    Plain,
    Row,
    Shape,
    resolve_header,
    text_problem,
)
from bulkmail.errors import ConfigError, Problem

_SEPARATORS = "\t;|,"  # of equally many the first: a comma may well stand in a column's name
_QUOTED = re.compile(r'"[^"]*"?')
_EXCEL = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's own hint, on a line before the header
_REST = 1 << 20
_HEADER_LINES = 50  # a header cell may hold newlines; a quote that is never closed must not read the file


def separator_of(header: str) -> str:
    """The separator of a header line; a comma where there is a single column."""
    bare = _QUOTED.sub("", header)
    best = max(_SEPARATORS, key=bare.count)
    return best if best in bare else ","


def read_csv(text: TextIO, spec: ListSpec, file: str, shape: Shape | None = None) -> Iterator[Batch]:
    """All rows of an open file (opened with `newline=""`), in batches. An empty file has no rows.

    With `shape`, those that are plain come by column. Raises ConfigError: a column that the campaign names is
    missing, or the quoting cannot be trusted.
    """
    try:
        found = _find_header(text)
        if found is None:
            return
        try:
            cells = next(csv.reader([found.text], delimiter=found.separator))
        except csv.Error as error:
            raise ConfigError(Problem(file, found.first, 0, "", f"the header: {error}")) from error
        if reason := text_problem(cells):
            raise ConfigError(Problem(file, found.first, 0, "", f"the header is {reason}"))
        header = resolve_header(spec, file, found.first, cells)
        rows = Rows(text, found.separator, found.last, header, file)
        try:
            if shape is None or not can_be_plain(found.separator):
                yield from rows.batches()
            else:
                yield from read_chunks(rows, shape)
        except ConfigError:
            while text.read(_REST):  # where it is no text, that is what is wrong with it
                pass
            raise
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file, 0, 0, "", f"not {error.encoding} text: {error.reason}")) from error


@dataclass(frozen=True, slots=True)
class _HeaderText:
    text: str
    separator: str
    first: int  # line
    last: int


def _find_header(text: TextIO) -> _HeaderText | None:
    """The first line that is not empty; with the lines after it where a quoted name holds newlines."""
    separator = ""
    for first, line in enumerate(iter(text.readline, ""), 1):
        if first == 1 and (hint := _EXCEL.fullmatch(line)):
            separator = hint[1]
        elif line.strip("\r\n \ufeff"):
            last = first
            while line.count('"') % 2 and last < first + _HEADER_LINES and (more := text.readline()):
                line, last = line + more, last + 1
            return _HeaderText(line, separator or separator_of(line), first, last)
    return None


class Rows:
    """The rows of a file whose header is read, one by one: whatever is unusual about them is seen here."""

    def __init__(self, text: TextIO, separator: str, before: int, header: Header, file: str) -> None:
        self.text, self.separator, self.before = text, separator, before
        self.header = header
        self._file = file
        self._kept = tuple(name for name in header.fields if name)
        self._drops = len(self._kept) < len(header.fields)
        self._rows: list[Row] = []
        self._bad: list[BadRow] = []

    def batches(self) -> Iterator[Batch]:
        """All rows."""
        # strict: without it, a quote left open makes one cell of the rest of the file, and nobody hears of it
        reader = csv.reader(self.text, delimiter=self.separator, strict=True)
        start = self.before + 1
        while True:
            try:
                for cells in reader:
                    self.add(cells, start)
                    start = self.before + reader.line_num + 1
                    if len(self._rows) + len(self._bad) >= BATCH:
                        yield self.batch()
                break
            except csv.Error as error:
                end = self.before + reader.line_num
                self.failed(error, start, end)
                start = end + 1
        if self._rows or self._bad:
            yield self.batch()

    def add(self, cells: list[str], line: int) -> None:
        """Take the cells of the row that begins on `line`."""
        fields, width = self.header.fields, len(self.header.fields)
        # asked here first, to save a call for each row of a plain list
        reason = None if "".join(cells).isascii() else text_problem(cells)
        if reason is None and len(cells) > width:
            reason = _too_many(cells, width)
        if reason is not None:
            self._bad.append(BadRow(line, _address(cells, fields), reason))
        elif len(cells) > 1 or (cells and (width == 1 or cells[0].strip())):  # else an empty line
            row = dict(zip(fields, cells, strict=False))
            if self._drops:
                row.pop("", None)
            self._rows.append((line, row))

    def failed(self, error: csv.Error, start: int, end: int) -> None:
        """Take note that the lines `start` to `end` are no row. Raises ConfigError where they are several."""
        if end > start or "unexpected end" in str(error):
            raise ConfigError(Problem(self._file, start, 0, "", _quoting(start, end, error))) from error
        self._bad.append(BadRow(start, "", f"the quotes do not match: {error}"))

    def batch(self, plain: Plain | None = None) -> Batch:
        """What was taken since the last time."""
        rows, bad = self._rows, self._bad
        self._rows, self._bad = [], []
        return Batch(self._file, rows, bad, self._kept, self.header.names, plain)


def _too_many(cells: list[str], width: int) -> str | None:
    if not any(cell.strip() for cell in cells[width:]):
        return None  # only separators at the end of the line
    return f"{len(cells)} cells, but the header has {width}: a separator inside a cell needs quotes around it"


def _address(cells: list[str], fields: tuple[str, ...]) -> str:
    at = fields.index(EMAIL)
    return cells[at] if at < len(cells) else ""


def _quoting(start: int, end: int, error: csv.Error) -> str:
    if "unexpected end" in str(error):
        return (
            'a quote (") that opens in this row is never closed, so the rows behind it cannot be told apart'
        )
    return f'the quotes (") of lines {start}–{end} do not match ({error}), so their rows cannot be told apart'
