"""Has the list changed since it was planned?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from listcase import Case

from bulkmail.campaign.fingerprint import Fingerprint, list_changes, list_fingerprint
from bulkmail.campaign.listing import SqlSource
from bulkmail.errors import StoreError


@pytest.fixture
def case(tmp_path: Path) -> Case:
    found = Case(tmp_path)
    found.write("people.csv", "email\nann@a.test\n")
    found.write("out.csv", "email\nbob@a.test\n")
    return found


def kept(case: Case, *source: object, **settings: object) -> Fingerprint:
    """A fingerprint that went through the store."""
    spec = case.spec(*source, **settings)  # type: ignore[arg-type]
    return Fingerprint.from_text(list_fingerprint(spec).to_text())


def test_an_unchanged_list_has_not_changed(case: Case) -> None:
    before = kept(case, exclude=["out.csv"])
    assert list_changes(case.spec(exclude=["out.csv"]), before) == []


def test_new_times_and_the_same_people_are_no_change(case: Case) -> None:
    before = kept(case)
    os.utime(case.folder / "people.csv", (1, 1))
    assert list_changes(case.spec(), before) == []


def test_another_content_of_the_same_size_is_a_change(case: Case) -> None:
    """I11."""
    before = kept(case)
    case.write("people.csv", "email\nbob@a.test\n")
    os.utime(case.folder / "people.csv", (1, 1))
    assert list_changes(case.spec(), before) == ["people.csv: has another content"]


def test_a_file_with_the_same_size_and_time_is_not_read(case: Case) -> None:
    before = kept(case)
    status = (case.folder / "people.csv").stat()
    case.write("people.csv", "email\nbob@a.test\n")
    os.utime(case.folder / "people.csv", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert list_changes(case.spec(), before) == []


def test_every_change_is_named(case: Case) -> None:
    """I11."""
    before = kept(case, exclude=["out.csv"], where="1")
    case.write("people.csv", "email\nann@a.test\nbob@a.test\n")
    case.write("more.csv", "email\n")
    found = list_changes(case.spec("people.csv", "more.csv", where="2", seeds=["qa@a.test"]), before)
    assert found == [
        "more.csv: not part of it before",
        "out.csv: no longer part of it",
        "people.csv: had 17 octets, has 28",
        'recipients.seeds: was [], is ["qa@a.test"]',
        "recipients.where: was 1, is 2",
    ]


def test_a_list_that_is_gone_has_changed(case: Case) -> None:
    before = kept(case)
    (case.folder / "people.csv").unlink()
    assert list_changes(case.spec(), before) == ["campaign.yaml: recipients.source: no file 'people.csv'"]


def test_a_query_is_compared_and_its_dsn_is_not_kept(case: Case) -> None:
    before = kept(case, SqlSource("SELECT 1 AS email", "postgresql://S3cret"))
    assert list_changes(case.spec(SqlSource("SELECT 1 AS email", "postgresql://other")), before) == []
    assert list_changes(case.spec(SqlSource("SELECT 2 AS email", "")), before) != []
    assert "S3cret" not in before.to_text()


def test_standard_input_cannot_be_compared_and_a_file_in_its_place_is_a_change(case: Case) -> None:
    assert list_changes(case.spec("-"), kept(case, "-")) == []
    assert list_changes(case.spec(), kept(case, "-")) != []


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"files": {"a": {"size": 1}}, "settings": {}}'])
def test_a_damaged_fingerprint_is_a_store_error(text: str) -> None:
    with pytest.raises(StoreError):
        Fingerprint.from_text(text)
