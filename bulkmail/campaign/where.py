"""`where`: an SQLite expression over the cells of a row, judged by SQLite itself.

The cells are text, so `age > 30` compares as text; `CAST(age AS INTEGER) > 30` compares numbers. A missing
cell is NULL, and a row for which the expression is NULL is filtered, as in any WHERE. Both our field names
and the list's own column names may be used. The expression is examined once for each set of columns, with
no data, to find the columns it reads; only those are bound for each row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat

import apsw

from bulkmail.campaign.listing import Batch, ListSpec, Plain, Row
from bulkmail.errors import ConfigError, Problem

_Shape = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
_SHAPES = 64  # lists with so many different headers are not to be expected; then they are examined again


class Where:
    """One expression. Not for several threads at once."""

    def __init__(self, spec: ListSpec, expression: str) -> None:
        self._spec = spec
        self.expression = expression
        self._known: dict[_Shape, tuple[str, tuple[str, ...]]] = {}
        self._connection = apsw.Connection(":memory:")
        # "XX" is a name and never a string: a typing mistake must not become a comparison with itself
        self._connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)

    def close(self) -> None:
        self._connection.close()

    def split(self, batch: Batch) -> tuple[list[Row], list[Row]]:
        """(rows that pass, rows that are filtered). ConfigError, with the expression, if it fails."""
        query, reads = self._query(batch.fields, batch.names)
        bindings = [tuple([row.get(name) for name in reads]) for _, row in batch.rows]
        passed: list[Row] = []
        filtered: list[Row] = []
        done = 0
        try:
            for (verdict,) in self._connection.executemany(query, bindings):
                (passed if verdict else filtered).append(batch.rows[done])
                done += 1
        except apsw.Error as error:
            line = batch.rows[done][0] if done < len(batch.rows) else 0
            raise ConfigError(Problem(batch.file, line, 0, "", self._complaint(str(error)))) from error
        return passed, filtered

    def verdicts(self, batch: Batch, plain: Plain) -> list[bool]:
        """Whether each plain row of the batch passes. ConfigError, with the expression, if it fails."""
        query, reads = self._query(batch.fields, batch.names)
        columns = [plain.columns[name] for name in reads]
        bindings: Iterable[tuple[str, ...]] = (
            zip(*columns, strict=True) if columns else repeat((), len(plain.lines))
        )
        found: list[bool] = []
        try:
            for (verdict,) in self._connection.executemany(query, bindings):
                found.append(bool(verdict))  # how far it came is told where it fails
        except apsw.Error as error:
            line = plain.lines[len(found)] if len(found) < len(plain.lines) else 0
            raise ConfigError(Problem(batch.file, line, 0, "", self._complaint(str(error)))) from error
        return found

    def _query(self, fields: Sequence[str], names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        shape = (tuple(fields), tuple(names.items()))
        if shape not in self._known:
            if len(self._known) >= _SHAPES:
                self._known.clear()
            self._known[shape] = self._examine(fields, names)
        return self._known[shape]

    def _examine(self, fields: Sequence[str], names: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
        columns: dict[str, tuple[str, str]] = {}  # SQLite's names know no case
        for name, kept in (*((name, name) for name in fields), *names.items()):
            columns.setdefault(name.lower(), (name, kept))
        self._connection.execute('DROP TABLE IF EXISTS "row"')
        self._connection.execute(f'CREATE TABLE "row"({", ".join(f"{_quoted(n)} TEXT" for n in columns)})')
        from apsw.ext import query_info  # as long to import as all that reads a list; few have a `where`

        try:
            info = query_info(
                self._connection, f'SELECT ({self.expression}\n) IS TRUE FROM "row"', actions=True
            )
        except apsw.Error as error:
            there = ", ".join(name for name, _ in columns.values())
            raise self._spec.problem(
                "where", f"{self._complaint(str(error))}. The columns: {there}"
            ) from error
        if len(info.description) != 1 or info.query_remaining or info.bindings_count or not info.is_readonly:
            raise self._spec.problem("where", self._complaint("a single expression is expected"))
        reads = {a.column_name.lower() for a in info.actions or () if a.table_name == "row" and a.column_name}
        used = [columns[name] for name in columns if name in reads]
        # CAST gives the column text affinity, as a real text column has: 7 in the expression means '7'
        cells = ", ".join(f"CAST(? AS TEXT) AS {_quoted(name)}" for name, _ in used) or "1"
        return f"SELECT ({self.expression}\n) IS TRUE FROM (SELECT {cells})", tuple(kept for _, kept in used)

    def _complaint(self, error: str) -> str:
        return f"{error}, in where: {self.expression}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
