"""Folders that cannot be used, ports that are taken: what is wrong, what to do, and no bug of ours."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from cli_case import CAMPAIGN, told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "here" / "campaign.yaml"
    path.parent.mkdir()
    path.write_text(CAMPAIGN.replace("mx", "sandbox"))
    (path.parent / "people.csv").write_text("email\nann@a.example\n")
    (path.parent / "hello.txt").write_text("Hello\n")
    return path


def said(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str]:
    code, out, err = told(capfd, *args)
    return code, out + err


def test_a_state_directory_that_is_a_file_is_named(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file.parent / ".bulkmail").write_text("")
    code, text = said(capfd, "run", file)
    assert (code, ".bulkmail is not a folder. Move it away, or name another `state`." in text) == (2, True)


@pytest.mark.parametrize("verb", [("status",), ("init", "folder")])
def test_what_this_user_may_not_open_is_nobodys_bug(
    file: Path, verb: tuple[str, ...], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def exists(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", exists)
    arguments = [verb[0], str(file.parent / verb[1])] if verb[1:] else [verb[0], str(file)]
    code, text = said(capfd, *arguments)
    assert (code, "Permission denied: " in text, "a bug" in text) == (2, True, False)


def test_the_list_is_the_same_however_the_way_to_it_is_written(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From cron, say, and then by hand."""
    first = said(capfd, "run", file)
    other = file.parent.parent / "other"
    other.mkdir()
    with contextlib.chdir(other):
        second = said(capfd, "run", os.path.join("..", "here", "campaign.yaml"))
    assert (first[0], second[0]) == (0, 0)
    assert "Everybody was settled before this run." in second[1]


def test_a_port_that_is_taken_is_named_with_what_to_do(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = said(capfd, "sandbox", "--port", str(port), "--dns-port", "0", "--directory", tmp_path)
    assert (code, f"port {port} (--port)" in text, "0 is any free one" in text) == (2, True, True)


@pytest.mark.parametrize(
    ("listed", "says"),
    [
        ("ann@a.example\n", "If that is somebody already, the first line is missing"),
        ("email\nno address\n", "bulkmail export"),
    ],
)
def test_a_list_with_a_mistake_in_it_leads_to_what_to_do(
    file: Path, listed: str, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "people.csv").write_text(listed)
    assert says in said(capfd, "run", file)[1]


def test_a_list_that_could_not_be_read_is_no_list_without_rows(
    file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (file.parent / "people.csv").write_text('email\n"ann@a.example\n')
    assert said(capfd, "run", file)[0] == 2
    assert "its list was not read to the end" in said(capfd, "status", file)[1]
