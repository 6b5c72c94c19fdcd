"""What the verbs say after a kill, where the only log of the last deliveries cannot be taken in."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_case import CAMPAIGN, told

from bulkmail.errors import DiskRefused
from bulkmail.journal import Planned, Record, Store
from bulkmail.journal.log_file import encode_lines


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ann and Bob were delivered to, which only the log says, when the run was killed."""
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    with Store.create(tmp_path / ".bulkmail" / "hello.journal", {"campaign": "hello"}) as store:
        with store.write_plan() as writer:
            people = [Planned(f"{name}@a.test", "{}") for name in ("ann", "bob", "cy")]
            writer.interval("a.test", True, False, people)
        name = store.new_log()
    lines = [encode_lines([([Record(n, n, "delivered", 1.0, 250)], (), ())])[0] for n in (1, 2)]
    log(tmp_path).write_bytes(name.header(1) + b"".join(lines))
    return path


def log(folder: Path) -> Path:
    return folder / ".bulkmail" / "hello.journal.0.1.log"


@pytest.fixture
def damaged(file: Path) -> None:
    whole = log(file.parent).read_bytes()
    log(file.parent).write_bytes(whole.replace(b"delivered", b"delivere_", 1))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_in(*_: object) -> None:
        raise DiskRefused("hello.journal: the disk is full. Make room and run again.")

    monkeypatch.setattr(Store, "take_in", take_in)


@pytest.mark.parametrize("state", ["pending", "deferred", "in_doubt"])
@pytest.mark.parametrize(
    ("trouble", "exits", "says"),
    [("damaged", 2, "is damaged at octet"), ("full", 5, "the disk is full. Make room")],
)
def test_nobody_is_listed_to_be_sent_to_who_may_have_been_delivered_to(
    file: Path, state: str, trouble: str, exits: int, says: str,
    request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """J3, J6."""
    request.getfixturevalue(trouble)
    code, out, err = told(capfd, "export", file, "--state", state)
    assert (code, out, "may have been delivered to" in err, says in err) == (exits, "", True, True)


@pytest.mark.parametrize("verb", [("status",), ("export", "--state", "delivered"), ("explain", "ann@a.test")])
@pytest.mark.parametrize("trouble", ["damaged", "full"])
def test_whoever_only_looks_is_told_that_the_last_deliveries_are_missing(
    file: Path, verb: tuple[str, ...], trouble: str,
    request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    request.getfixturevalue(trouble)
    code, _, err = told(capfd, verb[0], file, *verb[1:])
    assert (code, "deliveries included, is missing here, so do not send" in err) == (0, True)


def test_a_log_that_can_be_taken_in_is(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert told(capfd, "export", file, "--state", "pending") == (0, "email,reply\ncy@a.test,\n", "")
