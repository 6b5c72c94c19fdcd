"""Who must not be mailed: found in any spelling, shared by processes, noticed while a campaign runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkmail.errors import StoreError
from bulkmail.journal import Suppression, Suppressions, suppression_key
from bulkmail.smtp.address import AddressError, Mailbox


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "project" / "project.db"


@pytest.fixture
def store(place: Path) -> Iterator[Suppressions]:
    with Suppressions.open(place) as store:
        yield store


@pytest.mark.parametrize(
    "spelling",
    ["ann@bücher.test", "ANN@BÜCHER.TEST", " ann@xn--bcher-kva.test ", '"ann"@xn--bcher-kva.test'],
)
def test_an_address_is_found_in_every_spelling(store: Suppressions, spelling: str) -> None:
    """I5."""
    store.add(["Ann@Bücher.test"], "asked to stop", now=5.0)
    assert store.check(spelling) == Suppression("ann@xn--bcher-kva.test", "asked to stop", 5.0)


def test_the_first_reason_is_kept(store: Suppressions) -> None:
    assert store.add(["ann@a.test", "bob@a.test"], "complained", now=5.0) == 2
    assert store.add(["ANN@a.test", "cy@a.test"], "bounced", now=6.0) == 1
    assert [(one.address, one.reason) for one in store] == [
        ("ann@a.test", "complained"),
        ("bob@a.test", "complained"),
        ("cy@a.test", "bounced"),
    ]


def test_what_is_no_address_suppresses_nobody(store: Suppressions) -> None:
    with pytest.raises(AddressError):
        store.add(["ann@a.test", "no address"], "asked to stop")
    assert len(store) == 0


def test_who_is_removed_can_be_mailed_again(store: Suppressions) -> None:
    store.add(["ann@a.test", "bob@a.test"], "asked to stop")
    assert (store.remove(["Ann@a.test", "cy@a.test"]), store.check("ann@a.test"), len(store)) == (1, None, 1)


def test_an_import_of_any_size_tells_what_it_could_not_use(store: Suppressions) -> None:
    store.add(["user7@a.test"], "asked to stop")
    rows = (f"user{n}@a.test" if n % 1000 else f"row {n}" for n in range(1, 12_001))
    done = store.import_(rows, "imported")
    assert (done.added, done.known, done.invalid) == (11_987, 1, 12)
    assert [(row, text) for row, text, _ in done.complaints[:2]] == [(1000, "row 1000"), (2000, "row 2000")]


def test_many_are_checked_at_once_and_come_back_as_they_were_given(store: Suppressions) -> None:
    store.import_((f"user{n}@a.test" for n in range(0, 12_000, 2)), "imported")
    asked = [f"User{n}@A.test" for n in range(12_000)] + ["no address"]
    assert store.contains_many(asked) == {f"User{n}@A.test" for n in range(0, 12_000, 2)}


def test_the_key_of_a_mailbox_is_that_of_its_text() -> None:
    assert suppression_key(Mailbox.parse("Ann@A.test")) == suppression_key(" ann@a.TEST") == "ann@a.test"


ADD = """
import sys
from pathlib import Path
from bulkmail.journal import Suppressions
with Suppressions.open(Path(sys.argv[1])) as store:
    store.add(sys.argv[2:], "asked to stop")
"""


def add_from_another_process(place: Path, *addresses: str) -> None:
    subprocess.run([sys.executable, "-c", ADD, str(place), *addresses], check=True)


def test_what_another_process_adds_is_told_once(store: Suppressions, place: Path) -> None:
    """H3."""
    store.add(["before@a.test"], "asked to stop")
    with Suppressions.open(place) as running:
        assert (running.changed(), running.changed()) == (True, False)
        add_from_another_process(place, "Ann@a.test", "bob@a.test")
        assert (running.changed(), running.changed()) == (True, False)
        asked = ["before@a.test", "ann@a.test", "cy@a.test"]
        assert running.contains_keys(asked) == {"before@a.test", "ann@a.test"}


def test_what_this_process_changes_is_told_too(store: Suppressions) -> None:
    store.changed()
    store.add(["ann@a.test"], "asked to stop")
    assert (store.changed(), store.changed()) == (True, False)
    store.remove(["ann@a.test"])
    assert (store.changed(), store.changed()) == (True, False)


def test_looking_for_changes_reads_no_table(store: Suppressions, place: Path) -> None:
    add_from_another_process(place, "ann@a.test")
    seen: list[str] = []
    store._db.set_exec_trace(lambda _, statement, __: seen.append(statement) or True)
    store.changed()
    store._db.set_exec_trace(None)
    assert seen == ["PRAGMA data_version"]


def test_looking_makes_nothing_and_changes_nothing(place: Path) -> None:
    with Suppressions.look(place) as nobody:
        assert nobody.check("ann@a.test") is None
    assert not place.parent.exists()
    add_from_another_process(place, "ann@a.test")
    with Suppressions.look(place) as looking:
        assert looking.contains_many(["Ann@a.test", "bob@a.test"]) == {"Ann@a.test"}
        with pytest.raises(StoreError):
            looking.remove(["ann@a.test"])


def test_processes_that_make_the_store_at_once_make_one(place: Path) -> None:
    command = [sys.executable, "-c", ADD, str(place)]
    processes = [subprocess.Popen([*command, f"user{n}@a.test"]) for n in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    with Suppressions.open(place) as store:
        assert len(store) == 6


def test_the_store_is_private_and_says_what_to_do_when_it_is_damaged(
    store: Suppressions, place: Path
) -> None:
    """J6."""
    assert (oct(place.stat().st_mode & 0o777), oct(place.parent.stat().st_mode & 0o777)) == ("0o600", "0o700")
    store.close()
    place.write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="import the suppressions again before anything is sent"):
        Suppressions.open(place)


SHARED_BY_ALL = 128  # the octet of the index on which SQLite keeps a lock while a store is open
LOCKED = """
import fcntl, struct, sys
with open(sys.argv[1], "r+b") as file:
    wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, int(sys.argv[2]), 1, 0)
    found = fcntl.fcntl(file, fcntl.F_GETLK, wanted)
print(struct.unpack("hhqqi4x", found)[0] != fcntl.F_UNLCK)
"""


def test_to_notice_changes_gives_up_none_of_the_locks_that_sqlite_keeps(
    store: Suppressions, place: Path
) -> None:
    """Else the next process would take itself for the first, and cut the index off that we have mapped."""
    store.changed()
    index = place.with_name(place.name + "-shm")
    asked = [sys.executable, "-c", LOCKED, str(index), str(SHARED_BY_ALL)]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "True"
