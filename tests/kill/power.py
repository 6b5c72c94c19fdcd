"""A power cut, played on the files of a run from what the shim wrote down of it: what was not synced is lost.

The disk is stricter than any: a write is on it only when the file was synced behind it, a name only when its
folder was. What is not yet on it may be there all the same, for the kernel writes back when it likes: each
page for itself, names in their order. After a sync that failed, what it was to write is neither on the disk
nor waiting any more; only who writes it again gets it there.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from tests.kill.shim import Kind

Cut = Literal["", "all", "some"]  # of what was not synced, all is lost, or some
PAGE = 4096
_HEAD = struct.Struct("=4I2q")


class Done(NamedTuple):
    """One call, as the shim wrote it down."""

    kind: Kind
    path: str
    other: str  # the new name
    at: int  # the offset, or the new size
    data: bytes
    error: int


def calls(trace: bytes) -> Iterator[Done]:
    position = 0
    while position < len(trace):
        kind, path, other, error, at, length = _HEAD.unpack_from(trace, position)
        position += _HEAD.size
        texts = []
        for size in (path, other, length):
            texts.append(trace[position : position + size])
            position += size
        yield Done(Kind(kind), texts[0].decode(), texts[1].decode(), at, texts[2], error)


@dataclass(slots=True)
class _File:
    now: bytearray
    safe: bytes  # what is surely on the disk
    dirty: set[int] = field(default_factory=set)  # pages that are waiting to be written

    def write(self, at: int, data: bytes) -> None:
        if not data:
            return
        self.now.extend(bytes(max(0, at + len(data) - len(self.now))))
        self.now[at : at + len(data)] = data
        self.dirty.update(range(at // PAGE, (at + len(data) - 1) // PAGE + 1))

    def resize(self, size: int) -> None:
        self.dirty = {page for page in self.dirty if page * PAGE < size}
        del self.now[size:]
        self.now.extend(bytes(size - len(self.now)))

    def synced(self, *, failed: bool) -> None:
        if not failed:
            # pages that a failed sync has dropped are not waiting: they stay as they were on the disk
            kept = bytearray(self.safe[: len(self.now)].ljust(len(self.now), b"\0"))
            for page in self.dirty:
                kept[page * PAGE : (page + 1) * PAGE] = self.now[page * PAGE : (page + 1) * PAGE]
            self.safe = bytes(kept)
        self.dirty.clear()

    def after_cut(self, rng: random.Random | None) -> bytes:
        if rng is None:
            return self.safe
        size = rng.choice((len(self.safe), len(self.now)))
        found = bytearray(self.safe[:size].ljust(size, b"\0"))
        for page in sorted(self.dirty):
            if page * PAGE < size and rng.random() < 0.5:
                text = self.now[page * PAGE : min(size, (page + 1) * PAGE)]
                found[page * PAGE : page * PAGE + len(text)] = text
        return bytes(found)


class Disk:
    """What is below `folder`, as it is now, all of it on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._names: dict[str, _File | None] = {str(self._folder): None}  # None: a folder
        for path in sorted(self._folder.rglob("*")):
            text = path.read_bytes() if path.is_file() else None
            self._names[str(path)] = None if text is None else _File(bytearray(text), text)
        self._safe = dict(self._names)
        self._waiting: list[tuple[str, dict[str, _File | bool | None]]] = []  # folder, names; False: none

    def happened(self, done: Done) -> None:
        file = self._names.get(done.path)
        match done.kind:
            case Kind.WRITE if file is not None and not done.error:
                file.write(done.at, done.data)
            case Kind.TRUNCATE if file is not None and not done.error:
                file.resize(done.at)
            case Kind.SYNC if file is not None:
                file.synced(failed=bool(done.error))
            case Kind.SYNC if done.path in self._names and not done.error:
                self._folder_synced(done.path)
            case _ if done.error:
                pass
            case Kind.CREATE:
                self._named(done.path, {done.path: _File(bytearray(), b"")})
            case Kind.MKDIR:
                self._named(done.path, {done.path: None})
            case Kind.UNLINK | Kind.RMDIR:
                self._named(done.path, {done.path: False})
            case Kind.RENAME:
                self._named(done.path, {done.path: False, done.other: file})

    def cut(self, how: Cut, rng: random.Random) -> None:
        """The power goes: `folder` becomes what the next start finds."""
        chance = rng if how == "some" else None
        for _, names in self._waiting[: chance.randint(0, len(self._waiting)) if chance else 0]:
            self._apply(self._safe, names)
        for path in self._folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, file in sorted(self._safe.items()):
            path = Path(name)
            if not path.parent.is_dir():
                continue  # its folder is not there
            if file is None:
                path.mkdir(mode=0o700, exist_ok=True)
            else:
                path.write_bytes(file.after_cut(chance))
                path.chmod(0o600)

    def _named(self, path: str, names: dict[str, _File | bool | None]) -> None:
        self._apply(self._names, names)
        self._waiting.append((path.rpartition("/")[0], names))

    def _folder_synced(self, path: str) -> None:
        for folder, names in self._waiting:
            if folder == path:
                self._apply(self._safe, names)
        self._waiting = [one for one in self._waiting if one[0] != path]

    @staticmethod
    def _apply(to: dict[str, _File | None], names: dict[str, _File | bool | None]) -> None:
        for name, file in names.items():
            if isinstance(file, bool):
                to.pop(name, None)
            else:
                to[name] = file
