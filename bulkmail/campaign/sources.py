"""From what the campaign file names as its source to batches of rows, file after file, in order.

Which reader a file gets is said by its name (.csv .tsv .txt .jsonl .ndjson .parquet); standard input is
spooled first, so that the producer is not held up by us, and told apart by its first character. Globs are
expanded in alphabetical order; a file that several of them find is read once.
"""

from __future__ import annotations

import glob
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from bulkmail.campaign.csv_source import read_csv
from bulkmail.campaign.duckdb_source import read_parquet, read_sql
from bulkmail.campaign.json_source import read_jsonl
from bulkmail.campaign.listing import Batch, ListSpec, Shape, Source, SqlSource
from bulkmail.campaign.text_file import open_text

STDIN = "-"
_MAGIC = "*?["
_CSV = (".csv", ".tsv", ".txt")
_JSON = (".jsonl", ".ndjson")
_PARQUET = ".parquet"


def expand(spec: ListSpec, sources: Sequence[Source], key: str = "source") -> list[Path | SqlSource | str]:
    """The files, queries and "-" of a setting, in order. ConfigError for a glob or a path without a file."""
    found: dict[Path | SqlSource | str, None] = {}
    for source in sources:
        if isinstance(source, SqlSource) or str(source) == STDIN:
            found[source if isinstance(source, SqlSource) else STDIN] = None
            continue
        pattern = str(spec.base / source)
        if Path(pattern).is_file():  # a file may really be called a[1].csv
            found[Path(pattern)] = None
            continue
        matches = (
            sorted(Path(path) for path in glob.glob(pattern, recursive=True)) if _has_magic(source) else []
        )
        if not (files := [path for path in matches if path.is_file()]):
            raise spec.problem(key, f"no file {str(source)!r}")
        found.update(dict.fromkeys(files))
    for source in found:
        if isinstance(source, Path) and source.suffix.lower() not in (*_CSV, *_JSON, _PARQUET):
            known = " ".join((*_CSV, *_JSON, _PARQUET))
            raise spec.problem(key, f"{source.name}: what kind of list is this? Known are {known}")
    return list(found)


def read_list(
    spec: ListSpec,
    sources: Sequence[Path | SqlSource | str],
    spool: Path,
    stdin: BinaryIO | None = None,
    shape: Shape | None = None,
) -> Iterator[Batch]:
    """All rows of the sources that `expand` found. `spool`: a private folder for what must be kept a while.

    With `shape`, plain rows may come by column, in `Batch.plain`. Raises ConfigError for what makes a whole
    source unreadable; a single bad row is in `Batch.bad`.
    """
    for source in sources:
        if isinstance(source, SqlSource):
            yield from read_sql(source, spec, spool)
        elif isinstance(source, Path):
            yield from _read_file(source, spec, spec.shown(source), spool, shape)
        else:
            kept = _spooled(stdin or sys.stdin.buffer, spool)
            yield from _read_file(kept, spec, STDIN, spool, shape)


def _read_file(path: Path, spec: ListSpec, shown: str, spool: Path, shape: Shape | None) -> Iterator[Batch]:
    if path.suffix.lower() == _PARQUET:
        yield from read_parquet(path, spec, shown, spool)
        return
    with open_text(path, shown) as text:
        if path.suffix.lower() in _JSON:
            yield from read_jsonl(text, spec, shown)
        else:
            yield from read_csv(text, spec, shown, shape)


def _spooled(stdin: BinaryIO, spool: Path) -> Path:
    """Standard input as a private file, named by what it holds: JSON objects or separated text."""
    path = spool / "stdin"
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "w+b") as kept:
        shutil.copyfileobj(stdin, kept, 1 << 18)
        kept.seek(0)
        start = kept.read(256).replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return path.rename(path.with_suffix(".jsonl" if start.startswith((b"{", b"[")) else ".csv"))


def _has_magic(source: str | Path) -> bool:
    return any(character in str(source) for character in _MAGIC)
