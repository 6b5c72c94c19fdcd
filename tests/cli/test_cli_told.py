"""What the verbs tell: after a kill, of rows without columns, of addresses that are none, on a full disk."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
from cli_case import CAMPAIGN, told

from bulkmail.cli.screen import span
from bulkmail.journal import CampaignLock, Intent, LeftOut, Planned, Record, Store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    return path


@pytest.fixture
def store(file: Path) -> Store:
    """A seed without columns, Ann and Bob with a name, a row that is no address; Bob was on the wire."""
    journal = Store.create(file.parent / ".bulkmail" / "hello.journal", {"campaign": "hello"})
    with journal.write_plan() as writer:
        writer.interval("acme.test", False, True, [Planned("qa@acme.test", "{}")])
        people = [Planned("ann@a.test", '{"name": "Ann"}'), Planned("bob@a.test", '{"name": "Bob"}')]
        writer.interval("a.test", True, False, people)
        writer.left_out(LeftOut("invalid", "people.csv", 4, "nobody", "no @ in the address"))
    journal.commit(
        [Record(1, 1, "delivered", 1.0, 250, "2.0.0", "ok"), Record(2, 2, "delivered", 1.0, 250)], [], []
    )
    journal.commit([], [Intent(1, ((3, 3),), "mx.a.test", "192.0.2.1", 1.0)], [])
    return journal


def test_status_and_export_after_a_kill_name_who_is_in_doubt(
    file: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.close()
    code, out, _ = told(capfd, "export", file, "--state", "in_doubt")
    assert (code, [row["email"] for row in csv.DictReader(io.StringIO(out))]) == (0, ["bob@a.test"])
    assert "  in doubt   1\n" in told(capfd, "status", file)[1]


def test_who_is_on_the_wire_of_a_living_run_is_not_in_doubt(
    file: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    with CampaignLock(store.path):
        out = told(capfd, "status", file)[1]
    assert "in doubt" not in out
    assert store.in_flight
    store.close()


def test_an_export_is_one_table_though_a_seed_has_no_columns(
    file: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.close()
    code, out, _ = told(capfd, "export", file, "--state", "delivered")
    assert code == 0
    assert out.splitlines() == ["email,name,reply", "qa@acme.test,,250 2.0.0 ok", "ann@a.test,Ann,250"]


def test_a_row_that_is_no_address_is_explained(
    file: Path, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    store.close()
    assert told(capfd, "explain", file, "nobody") == (
        0,
        "nobody: left out as invalid, people.csv:4: no @ in the address\n",
        "",
    )
    assert told(capfd, "explain", file, "somebody")[0] == 3


def test_a_full_disk_is_no_bug() -> None:
    """J3: wherever it is noticed, also where it is not the journal that is written."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bulkmail", "schema"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        5,
        "bulkmail: No space left on device. Make room and run the same command again.\n",
    )


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (295, "4 min 55 s"), (11_400, "3 h 10 min")]
)
def test_a_wait_is_told_in_the_units_of_people(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
