"""`init` and `schema`: what they write can be used as it is."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from key_pairs import pems

from bulkmail.campaign import config
from bulkmail.cli import exit_code


def test_a_new_project_is_a_campaign_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = exit_code(["init", str(tmp_path / "news")])
    campaign = config.load(tmp_path / "news" / "hello.yaml", environ={})
    mode = stat.S_IMODE((tmp_path / "news" / ".bulkmail").stat().st_mode)
    assert (
        code,
        campaign.delivery.via.kind,
        config.missing_files(campaign),
        campaign.warnings,
        oct(mode),
    ) == (
        0,
        "sandbox",
        (),
        (),
        "0o700",
    )
    assert campaign.state == campaign.project_state == tmp_path / "news" / ".bulkmail"


def test_a_new_project_lists_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code(["init", str(tmp_path)])
    listed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert (len(listed), all(file.is_file() for file in listed)) == (5, True)


def test_a_new_project_keeps_addresses_and_keys_out_of_its_repository(tmp_path: Path) -> None:
    exit_code(["init", str(tmp_path)])
    assert (tmp_path / ".gitignore").read_text("utf-8").splitlines() == [".bulkmail/", "*.pem"]


def test_the_signature_that_a_new_project_has_in_a_comment_is_one(tmp_path: Path) -> None:
    exit_code(["init", str(tmp_path)])
    defaults = tmp_path / "bulkmail.yaml"
    defaults.write_text(defaults.read_text("utf-8").replace("# dkim: ", "dkim: "), "utf-8")
    (tmp_path / "s1.pem").write_text(pems()["rsa"], "utf-8")
    campaign = config.load(tmp_path / "hello.yaml", environ={})
    assert [one.signing_key().name for one in campaign.delivery.dkim] == ["s1._domainkey.acme.example"]
    assert campaign.warnings == ()


def test_nothing_that_exists_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "people.csv").write_text("email\nmine@acme.example\n")
    code = exit_code(["init", str(tmp_path)])
    assert (code, "people.csv" in capsys.readouterr().err, [file.name for file in tmp_path.iterdir()]) == (
        2,
        True,
        ["people.csv"],
    )


@pytest.mark.parametrize(("options", "title"), [([], "bulkmail campaign"), (["--events"], "one line of")])
def test_a_schema_is_json_on_standard_output(
    options: list[str], title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = exit_code(["schema", *options])
    captured = capsys.readouterr()
    assert (code, json.loads(captured.out)["title"].startswith(title), captured.err) == (0, True, "")
