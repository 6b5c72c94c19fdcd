"""Has a file changed since the plan was made? Size and time of change say "no" for free; only where they
differ is the content hashed, because a fresh checkout or a copy has new times and the same people.

A fingerprint is text, to be kept in the store's meta. What has no file (standard input, a query) cannot be
compared: such a campaign resumes from its plan.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bulkmail.campaign.listing import ListSpec, SqlSource
from bulkmail.campaign.sources import STDIN, expand
from bulkmail.errors import ConfigError, Problem, StoreError


@dataclass(frozen=True, slots=True)
class FileStamp:
    """One file as it was: `mtime_ns` is its time of modification, `digest` that of its content."""

    size: int
    mtime_ns: int
    digest: str


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Files by the name they are shown by, and the settings that decide what is made of them."""

    files: Mapping[str, FileStamp]
    settings: Mapping[str, str]

    def to_text(self) -> str:
        files = {name: asdict(stamp) for name, stamp in self.files.items()}
        return json.dumps({"files": files, "settings": dict(self.settings)}, sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Fingerprint:
        """Raises StoreError for what `to_text` did not write."""
        try:
            found = json.loads(text)
            files = {name: FileStamp(**stamp) for name, stamp in found["files"].items()}
            return cls(files, dict(found["settings"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreError(f"the fingerprint in the journal cannot be read: {error!r}") from error


def fingerprint(files: Mapping[str, Path], settings: Mapping[str, object]) -> Fingerprint:
    """The present state of `files` (shown name → path). Reads each of them. Raises ConfigError."""
    stamps = {name: _stamp(name, path) for name, path in files.items()}
    return Fingerprint(stamps, {name: _plain(value) for name, value in settings.items()})


def list_fingerprint(spec: ListSpec) -> Fingerprint:
    """Of a list: its source and exclusion files, and every setting under `recipients`. Raises ConfigError."""
    return fingerprint(_list_files(spec), _list_settings(spec))


def list_changes(spec: ListSpec, before: Fingerprint) -> list[str]:
    """What is different about the list since `before`, for people; empty if nothing is."""
    try:
        files = _list_files(spec)
    except ConfigError as error:
        return [str(error)]  # a list that is gone is no longer what it was
    return changes(before, files, _list_settings(spec))


def changes(before: Fingerprint, files: Mapping[str, Path], settings: Mapping[str, object]) -> list[str]:
    """What differs from `before`, one line each, in a stable order. A file that is gone has changed."""
    found = [f"{name}: not part of it before" for name in sorted(files.keys() - before.files.keys())]
    found += [f"{name}: no longer part of it" for name in sorted(before.files.keys() - files.keys())]
    for name in sorted(files.keys() & before.files.keys()):
        what = _difference(files[name], before.files[name])
        if what:
            found.append(f"{name}: {what}")
    now = {name: _plain(value) for name, value in settings.items()}
    for name in sorted(now.keys() | before.settings.keys()):
        if now.get(name) != before.settings.get(name):
            found.append(f"{name}: was {before.settings.get(name, 'unset')}, is {now.get(name, 'unset')}")
    return found


def _difference(path: Path, before: FileStamp) -> str:
    try:
        status = path.stat()
        if status.st_size != before.size:
            return f"had {before.size:,} octets, has {status.st_size:,}"
        if status.st_mtime_ns == before.mtime_ns or _digest(path) == before.digest:
            return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "has another content"


def _stamp(name: str, path: Path) -> FileStamp:
    try:
        # stat before reading: a change in between is then seen as one at the next start
        status = path.stat()
        return FileStamp(status.st_size, status.st_mtime_ns, _digest(path))
    except OSError as error:
        raise ConfigError(Problem(name, 0, 0, "", f"cannot be read: {error.strerror}")) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:40]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _list_files(spec: ListSpec) -> dict[str, Path]:
    sources: Iterable[object] = [*expand(spec, spec.source), *expand(spec, spec.exclude, "exclude")]
    return {spec.shown(source): source for source in sources if isinstance(source, Path)}


def _list_settings(spec: ListSpec) -> dict[str, object]:
    # A DSN is a secret, and may change its password; the query is what says who is meant.
    queries = [source.sql for source in spec.source if isinstance(source, SqlSource)]
    streams = [source for source in spec.source if source == STDIN]
    return {
        "recipients.columns": dict(spec.columns),
        "recipients.dedupe": spec.dedupe,
        "recipients.limit": spec.limit,
        "recipients.seeds": list(spec.seeds),
        "recipients.source": streams,
        "recipients.source.sql": queries,
        "recipients.where": spec.where,
    }
