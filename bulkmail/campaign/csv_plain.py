"""The plain majority of a .csv: many lines at a time, by column.

Of a line without quotes that has as many cells as the header, no row reader could make anything else than
what stands between its separators. So a chunk of lines is cut into its cells at once, and whether each line
had the right number of them is seen from where the ends of the lines have come to stand. The same is done
where each cell stands in quotes, as many programs write them. The other lines are read one by one, as in a
list that has no plain ones: only they can go on over the next lines.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TextIO

from bulkmail.campaign.listing import EMAIL, Batch, Plain, Shape
from bulkmail.journal.roll import SEPARATOR

if TYPE_CHECKING:
    from bulkmail.campaign.csv_source import Rows

_CHUNK = 1 << 16  # characters: enough to hide the cost of a call, too few to be felt in memory
# what rows are stored and keys are made with; half a surrogate, which is an octet that is no text
_UNUSUAL = re.compile("[\x1d\x1e\x1f\ud800-\udfff]")
_MARKS = ("\r", "\x1d", "\x1e", "\x1f")


def can_be_plain(separator: str) -> bool:
    return separator not in '\r\n"' and _UNUSUAL.match(separator) is None


def read_chunks(rows: Rows, shape: Shape) -> Iterator[Batch]:
    """All rows, the plain ones by column. Raises ConfigError where the quoting cannot be trusted."""
    text = rows.text
    cutter = _Cutter(rows.separator, rows.header.fields, shape)
    line = rows.before + 1
    while chunk := text.read(_CHUNK):
        if not chunk.endswith("\n"):
            chunk += text.readline()
        body = chunk.replace("\r\n", "\n") if "\r" in chunk else chunk
        body = body.removesuffix("\n")
        plain = cutter.cut(body, line)
        count = len(plain.lines) if plain is not None else 0
        if plain is None:
            # a lone CR ends a line, too: then we do not know the lines without reading them
            lone = "\r" in body
            raw = list(io.StringIO(chunk, newline="")) if lone else [f"{one}\n" for one in chunk.split("\n")]
            if not lone and chunk.endswith("\n"):
                raw.pop()
            elif not lone:
                raw[-1] = raw[-1].removesuffix("\n")
            lines = raw if lone else body.split("\n")
            odd = range(len(lines)) if lone else cutter.odd(lines)
            read = _read_odd(rows, raw, odd, line)
            count = max(len(lines), max(read, default=-1) + 1)
            kept = [place for place in range(len(lines)) if place not in read]
            if kept:
                plain = cutter.cut("\n".join([lines[place] for place in kept]), line)
                assert plain is not None
                plain.lines = [line + place for place in kept]
        line += count
        yield rows.batch(plain)


def _read_odd(rows: Rows, raw: Sequence[str], odd: Sequence[int], line: int) -> set[int]:
    """Read the rows that begin on the lines at `odd`; the places of all lines that they took.

    A row that is open at the end of `raw` goes on in the file.
    """
    feed = _Feed(raw, rows.text)
    reader = csv.reader(feed, delimiter=rows.separator, strict=True)
    read: set[int] = set()
    for place in odd:
        if place < feed.at:
            continue  # it is a part of the row before
        feed.at = place
        try:
            rows.add(next(reader), line + place)
        except csv.Error as error:
            rows.failed(error, line + place, line + feed.at - 1)
        read.update(range(place, feed.at))
    return read


class _Feed:
    """Lines from a place on, then those of the file behind them."""

    def __init__(self, lines: Sequence[str], text: TextIO) -> None:
        self._lines, self._text = lines, text
        self.at = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._lines[self.at] if self.at < len(self._lines) else self._text.readline()
        if not line:
            raise StopIteration
        self.at += 1
        return line


class _Cutter:
    """Cuts lines without quotes, or those where each cell stands in quotes and none has one inside."""

    def __init__(self, separator: str, fields: Sequence[str], shape: Shape) -> None:
        self._separator = separator
        self._fields = fields
        self._width = len(fields)
        self._shape = shape(fields)
        self._prefix = self._shape + SEPARATOR
        self._break = "\n" + self._prefix

    def cut(self, body: str, line: int) -> Plain | None:
        """The rows of `body`, or None where one of its lines is not plain."""
        if _is_unusual(body):
            return None
        separator = self._separator
        if body.startswith('"'):
            # from a quote to a quote, with three more between two cells or lines
            separator = f'"{separator}"'
            between = body[1:-1].replace('"\n"', "\n")
            stripped = len(body) - len(between)
            if not body.endswith('"') or stripped != 2 + 2 * body.count("\n"):
                return None  # a line that begins or ends otherwise
            body = between
            if '"' in body.replace(separator, ""):
                return None
        elif '"' in body or (self._width == 1 and "\n\n" in f"\n{body}\n"):
            return None  # the second: an empty line
        most = csv.field_size_limit() - len(self._prefix)
        if len(body) > most and max(map(len, body.split("\n"))) > most:
            return None
        if self._width == 1:
            return None if separator in body else self._addresses(body.split("\n"), line)
        width, each = self._width, self._width + 1
        cells = body.replace("\n", f"{separator}\n{separator}").split(separator)
        count = (len(cells) + 1) // each
        ends = cells[width::each]
        if len(cells) != count * each - 1 or not ends.count("\n") == body.count("\n") == count - 1:
            return None
        columns = {name: cells[at::each] for at, name in enumerate(self._fields) if name}
        stored = body.replace(separator, SEPARATOR)
        texts = (self._prefix + stored.replace("\n", self._break)).split("\n")
        return Plain(list(range(line, line + count)), texts, columns, len(stored))

    def _addresses(self, cells: list[str], line: int) -> Plain:
        """Rows of nothing else: to store one, the number of the shape is enough."""
        count = len(cells)
        return Plain(list(range(line, line + count)), [self._shape] * count, {EMAIL: cells}, 0)

    def odd(self, lines: Sequence[str]) -> list[int]:
        """The places of the lines that are not plain as most of them seem to be: all the others are."""
        plain = self._is_quoted if lines[0].startswith('"') else self._is_bare
        most = csv.field_size_limit() - len(self._prefix)
        found = {place for place, line in enumerate(lines) if len(line) > most or not plain(line)}
        if _is_unusual("\n".join(lines)):
            found.update(place for place, line in enumerate(lines) if _UNUSUAL.search(line))
        return sorted(found)

    def _is_bare(self, line: str) -> bool:
        return line.count(self._separator) == self._width - 1 and '"' not in line and line != ""

    def _is_quoted(self, line: str) -> bool:
        separator, inner = f'"{self._separator}"', line[1:-1]
        return (
            len(line) > 1
            and line[0] == line[-1] == '"'
            and inner.count(separator) == self._width - 1
            and '"' not in inner.replace(separator, "")
        )


def _is_unusual(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return any(character in text for character in _MARKS)
