"""The long run, in short: it accounts for everybody, and says so where somebody is not accounted for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import endurance
import misery
import pytest

from bulkmail.journal import Planned, Record, Store

BENCHMARKS = Path(misery.__file__).parent


def test_a_few_small_campaigns_with_all_faults_are_accounted_for() -> None:
    """Through one process, with a Ctrl-C, and through the command line, with a kill."""
    command = [sys.executable, BENCHMARKS / "endurance.py", "--campaigns", "2", "--command-every", "2"]
    done = subprocess.run([*command, "--scale", "0.05", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)["summary"]
    assert (summary["campaigns"], summary["of them by command"]) == (2, 1)
    assert summary["delivered"] > 0


def ended(folder: Path, states: dict[str, str], received: list[str]) -> misery.Campaign:
    """A campaign that ended so, as far as the law can see."""
    campaign = misery.Campaign(0, folder, tuple(states), {}, 1)
    campaign.journal.parent.mkdir()
    (folder / "received").mkdir()
    lines = [json.dumps({"event": "accepted", "to": [one]}) for one in received]
    (folder / "received" / "ledger.jsonl").write_text("\n".join([*lines, ""]))
    with Store.create(campaign.journal, {}) as store:
        with store.write_plan() as writer:
            writer.interval("a.test", True, False, [Planned(one, "{}") for one in states])
        store.commit([Record(n, n, state, 1.0, 250) for n, state in enumerate(states.values(), 1)], [], [])
    return campaign


@pytest.mark.parametrize(
    ("state", "copies", "fine"),
    [
        ("delivered", 1, True),
        ("delivered", 0, False),
        ("delivered", 2, False),
        ("in_doubt", 0, True),
        ("in_doubt", 1, True),
        ("in_doubt", 2, False),
        ("bounced", 0, True),
        ("bounced", 1, False),
    ],
)
def test_a_copy_too_many_or_too_few_is_told(tmp_path: Path, state: str, copies: int, fine: bool) -> None:
    campaign = ended(tmp_path, {"ann@a.test": state, "bob@a.test": "bounced"}, ["ann@a.test"] * copies)
    if fine:
        assert misery.accounted(campaign)["recipients"] == 2
    else:
        with pytest.raises(misery.Unaccounted, match=r"ann@a\.test"):
            misery.accounted(campaign)


def test_mail_for_a_stranger_is_told(tmp_path: Path) -> None:
    with pytest.raises(misery.Unaccounted, match="not in the list"):
        misery.accounted(ended(tmp_path, {"ann@a.test": "bounced"}, ["eve@a.test"]))


def test_what_grows_is_a_leak_and_what_wavers_is_none() -> None:
    mega = 1e6
    assert (endurance.by_memory(50 * mega, 52 * mega), endurance.by_memory(50 * mega, 60 * mega)) == (
        False,
        True,
    )
    assert (endurance.by_count(9, 9), endurance.by_count(9, 10)) == (False, True)
