"""Rows of a Parquet file or of an SQL query; the optional extra `sources` (duckdb) reads them.

Every column is cast to text by the engine, results are streamed, and a row is known by its number in the
result, from 1. A `sqlite:` database is read with the SQLite we have anyway. A DSN may hold a password: it is
taken out of every message.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import apsw

from bulkmail.campaign.listing import BATCH, BadRow, Batch, Header, ListSpec, Row, SqlSource, resolve_header
from bulkmail.errors import ConfigError, Problem

_MEMORY = "96MB"  # streaming needs far less; a query that sorts spills to disk instead of to our budget
_ATTACHED = {"postgres": "postgres", "postgresql": "postgres", "mysql": "mysql"}
SQL = "SQL"  # how a query is called where a file would be named


class _Cursor(Protocol):
    def fetchmany(self, size: int, /) -> Sequence[Sequence[object]]: ...


def read_parquet(path: Path, spec: ListSpec, file: str, spool: Path) -> Iterator[Batch]:
    """All rows of a Parquet file. ConfigError: no duckdb, no such file, a missing column."""
    engine = _duckdb(file)
    connection = engine.connect(":memory:", config=_limits(spool))
    try:
        found = connection.execute("SELECT COLUMNS(*)::VARCHAR FROM read_parquet(?)", [str(path)])
        yield from _batches(found, [column[0] for column in found.description], spec, file)
    except engine.Error as error:
        raise ConfigError(Problem(file, 0, 0, "", f"cannot be read: {_first_line(error)}")) from error
    finally:
        connection.close()


def read_sql(source: SqlSource, spec: ListSpec, spool: Path) -> Iterator[Batch]:
    """All rows of a query. DSN: `sqlite:…`, `duckdb:…` (a file), `postgresql://…`, `mysql://…` (by an
    extension of DuckDB that the user has installed).

    ConfigError: the DSN is not understood, or what the database complains of, without the DSN.
    """
    scheme = source.dsn.partition(":")[0].lower()
    if scheme == "sqlite":
        return _read_sqlite(source, spec)
    if scheme == "duckdb" or scheme in _ATTACHED:
        return _read_duckdb(source, scheme, spec, spool)
    known = ", ".join(("sqlite:", "duckdb:", "postgresql://", "mysql://"))
    raise spec.problem("source.dsn", f"the DSN must begin with one of {known}")


def _read_sqlite(source: SqlSource, spec: ListSpec) -> Iterator[Batch]:
    try:
        connection = apsw.Connection(str(_database(source.dsn, spec)), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise spec.problem("source.dsn", _without(source.dsn, str(error))) from None
    try:
        cursor = connection.execute(source.sql)
        columns = [name for name, *_ in cursor.get_description()]
        yield from _batches(_Fetching(cursor), columns, spec, SQL)
    except apsw.ExecutionCompleteError:
        return  # a result without rows says nothing of its columns
    except apsw.Error as error:
        raise spec.problem("source.sql", _without(source.dsn, str(error))) from None
    finally:
        connection.close()


class _Fetching:
    """An SQLite cursor with the one method that both engines are read by."""

    def __init__(self, cursor: apsw.Cursor) -> None:
        self._rows = iter(cursor)

    def fetchmany(self, size: int, /) -> list[Sequence[object]]:
        return [row for row, _ in zip(self._rows, range(size), strict=False)]


def _read_duckdb(source: SqlSource, scheme: str, spec: ListSpec, spool: Path) -> Iterator[Batch]:
    engine = _duckdb(SQL)
    connection = None
    try:
        if scheme == "duckdb":
            path = str(_database(source.dsn, spec))
            connection = engine.connect(path, read_only=True, config=_limits(spool))
        else:
            # planning a campaign is no moment to download code: an extension is installed by hand, once
            config = _limits(spool) | {"autoinstall_known_extensions": False}
            connection = engine.connect(":memory:", config=config)
            _load(connection, _ATTACHED[scheme], engine, spec)
            dsn = source.dsn.replace("'", "''")
            connection.execute(f"ATTACH '{dsn}' AS list (TYPE {_ATTACHED[scheme]}, READ_ONLY); USE list")
        query = source.sql.strip().rstrip(";")
        found = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({query}) AS list_rows")
        yield from _batches(found, [column[0] for column in found.description], spec, SQL)
    except engine.Error as error:
        # `from None`: the cause's own text would show the DSN in a traceback
        raise spec.problem("source.sql", _without(source.dsn, _first_line(error))) from None
    finally:
        if connection is not None:
            connection.close()


def _load(connection: Any, extension: str, engine: Any, spec: ListSpec) -> None:
    try:
        connection.execute(f"LOAD {extension}")
    except engine.Error as error:
        text = (
            f"DuckDB's extension {extension} is not there; to install it, once: "
            f"python -c \"import duckdb; duckdb.sql('INSTALL {extension}')\""
        )
        raise spec.problem("source.dsn", text) from error


def _batches(cursor: _Cursor, columns: Sequence[str], spec: ListSpec, file: str) -> Iterator[Batch]:
    header: Header = resolve_header(spec, file, 0, columns)
    kept = tuple(name for name in header.fields if name)
    before = 0
    while found := cursor.fetchmany(BATCH):
        rows: list[Row] = []
        bad: list[BadRow] = []
        for number, values in enumerate(found, before + 1):
            cells = zip(header.fields, values, strict=True)
            rows.append((number, {name: _text(v) for name, v in cells if name and v is not None}))
        before += len(found)
        yield Batch(file, rows, bad, kept, header.names)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else str(value)


def _database(dsn: str, spec: ListSpec) -> Path:
    """The file of `sqlite:people.db`, `sqlite:///people.db` (relative) or `sqlite:////srv/people.db`."""
    rest = dsn.partition(":")[2]
    if rest.startswith("//"):
        rest = urlsplit(dsn).path[1:]
    return spec.base / unquote(rest)


def _limits(spool: Path) -> dict[str, str | int]:
    return {"memory_limit": _MEMORY, "threads": 1, "temp_directory": str(spool)}


def _duckdb(file: str) -> Any:
    try:
        import duckdb
    except ImportError:
        text = "needs the extra: pip install 'bulkmail[sources]'"
        raise ConfigError(Problem(file, 0, 0, "", text)) from None
    return duckdb


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _without(dsn: str, text: str) -> str:
    """`text` without the DSN and the password in it."""
    try:
        password = urlsplit(dsn).password
    except ValueError:
        password = None
    for secret in (dsn, password):
        if secret:
            text = text.replace(secret, "…")
    return text
