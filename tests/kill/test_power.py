"""What a power cut leaves, as the kill tests play it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tests.kill.power import PAGE, Disk, Done
from tests.kill.shim import Kind

OLD, NEW = b"o" * 2 * PAGE, b"n" * 2 * PAGE


def done(
    kind: Kind, path: Path, data: bytes = b"", *, at: int = 0, to: Path | None = None, error: int = 0
) -> Done:
    return Done(kind, str(path), str(to or ""), at, data, error)


def after(folder: Path, calls: Sequence[Done], how: str = "all", seed: int = 0) -> dict[str, bytes]:
    for path in folder.iterdir():
        path.unlink()
    (folder / "file").write_bytes(OLD)
    disk = Disk(folder)
    for one in calls:
        disk.happened(one)
    disk.cut("some" if how == "some" else "all", random.Random(seed))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_not_synced_is_lost(tmp_path: Path) -> None:
    file = tmp_path / "file"
    written = done(Kind.WRITE, file, NEW)
    assert after(tmp_path, [written, done(Kind.WRITE, file, b"x", at=2 * PAGE)]) == {"file": OLD}
    assert after(tmp_path, [written, done(Kind.SYNC, file), done(Kind.WRITE, file, OLD)]) == {"file": NEW}


def test_some_of_it_may_be_there_page_by_page(tmp_path: Path) -> None:
    calls = [done(Kind.WRITE, tmp_path / "file", NEW)]
    found = {after(tmp_path, calls, "some", seed)["file"] for seed in range(30)}
    assert found == {a[:PAGE] + b[PAGE:] for a in (OLD, NEW) for b in (OLD, NEW)}


def test_a_name_is_lost_unless_its_folder_was_synced(tmp_path: Path) -> None:
    new, other = tmp_path / "new", tmp_path / "other"
    made = [done(Kind.CREATE, new), done(Kind.WRITE, new, b"1"), done(Kind.SYNC, new)]
    moved = done(Kind.RENAME, new, to=other)
    assert after(tmp_path, made) == {"file": OLD}
    assert after(tmp_path, [*made, moved, done(Kind.SYNC, tmp_path)]) == {"file": OLD, "other": b"1"}


def test_a_name_that_was_changed_is_the_old_one_again(tmp_path: Path) -> None:
    moved = done(Kind.RENAME, tmp_path / "file", to=tmp_path / "other")
    assert after(tmp_path, [moved]) == {"file": OLD}


def test_what_was_removed_is_there_again_unless_its_folder_was_synced(tmp_path: Path) -> None:
    removed = done(Kind.UNLINK, tmp_path / "file")
    assert after(tmp_path, [removed]) == {"file": OLD}
    assert after(tmp_path, [removed, done(Kind.SYNC, tmp_path)]) == {}


def test_what_a_failed_sync_was_to_write_is_not_written_by_the_next(tmp_path: Path) -> None:
    file = tmp_path / "file"
    calls = [done(Kind.WRITE, file, NEW), done(Kind.SYNC, file, error=5), done(Kind.SYNC, file)]
    assert after(tmp_path, calls) == {"file": OLD}
