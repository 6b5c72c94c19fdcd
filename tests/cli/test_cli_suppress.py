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
