"""`suppress`: the project's store, by hand and by file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bulkmail.campaign import config
from bulkmail.cli import exit_code
from bulkmail.journal import Suppressions


@pytest.fixture
def project(tmp_path: Path) -> list[str]:
    (tmp_path / "bulkmail.yaml").write_text("from: news@acme.example\n")
    (tmp_path / "deep").mkdir()
    return ["--project", str(tmp_path / "deep")]


def test_what_is_added_is_where_campaigns_look(
    project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["suppress", "add", "Ann@a.example", *project, "--reason", "asked"])
    state = config.project_state(tmp_path / "deep" / "campaign.yaml", environ={})
    with Suppressions.open(state / "project.db") as store:
        found = store.check("ann@a.example")
    assert (code, found is not None and found.reason, state) == (0, "asked", tmp_path / ".bulkmail")


def test_what_is_removed_is_no_longer_suppressed(
    project: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["suppress", "add", "ann@a.example", "bob@a.example", *project])
    exit_code(["suppress", "remove", "ann@a.example", *project])
    capsys.readouterr()
    code = exit_code(["suppress", "check", "ann@a.example", "BOB@a.example", *project])
    lines = [line.split("\t")[:3] for line in capsys.readouterr().out.splitlines()]
    assert (code, lines) == (0, [["ann@a.example", "no"], ["BOB@a.example", "suppressed", "by hand"]])


@pytest.mark.parametrize("verb", ["add", "remove", "check"])
def test_one_wrong_address_and_nothing_is_done(
    verb: str, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["suppress", verb, "ann@a.example", "nobody", "x@", *project])
    told = capsys.readouterr().err
    assert (code, "'nobody'" in told, "'x@'" in told, (tmp_path / ".bulkmail").exists()) == (
        2,
        True,
        True,
        False,
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.txt", "ann@a.example\n# a comment\nnobody\n\nbob@a.example\n"),
        ("list.csv", "name,email\nAnn,ann@a.example\nN,nobody\nBob,bob@a.example\n"),
        ("list.tsv", "email\tname\nann@a.example\tAnn\nnobody\tN\nbob@a.example\tBob\n"),
        ("list.jsonl", '{"email": "ann@a.example"}\n{"email": "nobody"}\n{"email": "bob@a.example"}\n'),
    ],
)
def test_a_file_is_imported_and_what_is_no_address_is_named_with_its_line(
    name: str, content: str, project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    file.write_text(content)
    line = next(number for number, text in enumerate(content.splitlines(), 1) if "nobody" in text)
    code = exit_code(["suppress", "import", str(file), *project])
    told = capsys.readouterr().err
    with Suppressions.open(tmp_path / ".bulkmail" / "project.db") as store:
        kept = sorted(each.address for each in store)
    assert (code, kept) == (3, ["ann@a.example", "bob@a.example"])
    assert f"{file}:{line}: 'nobody': no @ in the address" in told


def test_what_is_exported_can_be_imported(
    project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["suppress", "add", "ann@a.example", *project, "--reason", 'said "no", twice'])
    exit_code(["suppress", "add", "bob@a.example", *project, "--reason", "complaint"])
    capsys.readouterr()
    exit_code(["suppress", "export", *project])
    (tmp_path / "all.csv").write_text(capsys.readouterr().out)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "bulkmail.yaml").write_text("")
    code = exit_code(["suppress", "import", str(tmp_path / "all.csv"), "--project", str(tmp_path / "other")])
    with Suppressions.open(tmp_path / "other" / ".bulkmail" / "project.db") as store:
        kept = {each.address: each.reason for each in store}
    assert (code, kept) == (0, {"ann@a.example": 'said "no", twice', "bob@a.example": "complaint"})


def test_standard_input_is_imported(project: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bulkmail", "suppress", "import", "-", *project],
        input=b"email,reason\nann@a.example,bounced\n",
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    with Suppressions.open(tmp_path / ".bulkmail" / "project.db") as store:
        kept = {each.address: each.reason for each in store}
    assert (done.returncode, kept) == (0, {"ann@a.example": "bounced"})


def test_looking_makes_no_store(
    project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_code(["suppress", "check", "ann@a.example", *project])
    exit_code(["suppress", "export", *project])
    told = capsys.readouterr().out
    assert (told, (tmp_path / ".bulkmail").exists()) == ("ann@a.example\tno\nemail,reason,added\n", False)


MADE = {
    "ann@a.example": "unknown user in spring: 550 5.1.1 No such user",
    "bob@b.example": "mailbox disabled in spring: 550 5.2.1 Disabled\x1b[31m",
    "cat@a.example": "unknown user in spring: 550 5.1.1 No such user",
    "dan@a.example": "unknown user in spring-2: 550 5.1.1 No such user",
    "eve@a.example": "by hand, as unknown user in spring: she asked",
}


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        (["--campaign", "spring"], {"ann@a.example", "bob@b.example", "cat@a.example"}),
        (["--campaign", "spring", "--domain", "A.example"], {"ann@a.example", "cat@a.example"}),
        (["--campaign", "spring", "--dry-run"], set()),
        (["--campaign", "summer"], set()),
        (["eve@a.example", "--dry-run"], set()),
    ],
)
def test_what_a_campaign_has_suppressed_by_itself_is_taken_back_and_nothing_else(
    options: list[str],
    gone: set[str],
    project: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / ".bulkmail" / "project.db"
    with Suppressions.open(path) as store:
        store.add_each(MADE.items())
    assert exit_code(["suppress", "remove", *options, *project]) == 0
    with Suppressions.look(path) as store:
        assert {one.address for one in store} == MADE.keys() - gone


def test_who_takes_back_is_told_how_many_of_which_domain_and_why_they_were(
    project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / ".bulkmail" / "project.db"
    with Suppressions.open(path) as store:
        store.add_each(MADE.items())
    exit_code(["suppress", "remove", "--campaign", "spring", "--dry-run", *project])
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(f"3 would be removed whom the campaign spring had suppressed, in {path}")
    assert [line.split(maxsplit=1 + line.startswith("bulkmail:"))[-2:] for line in lines[1:]] == [
        ["2", "a.example: unknown user in spring: 550 5.1.1 No such user"],
        ["1", "b.example: mailbox disabled in spring: 550 5.2.1 Disabled\\x1b[31m"],
    ]
    exit_code(["suppress", "remove", "--campaign", "summer", *project])
    assert "0 were removed" in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [[], ["ann@a.example", "--campaign", "x"], ["ann@a.example", "--domain", "x"]]
)
def test_of_whom_to_take_back_one_way_is_named(
    args: list[str], project: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["suppress", "remove", *args, *project]) == 2
    assert not (tmp_path / ".bulkmail").exists()


def test_more_than_a_batch_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bulkmail.journal.suppressions.BATCH", 3)
    with Suppressions.open(tmp_path / "project.db") as store:
        store.add_each((f"p{n}@{'ab'[n % 2]}.example", f"r{n % 3}") for n in range(30))
        assert len(list(store.take_back(["r0", "r1"], {"a.example"}))) == 10
        assert store.changed()
        assert len(store) == 20
