"""What is looked at before a real send: whether the state was lost, our own name, the clock."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign.prepare import Prepared, prepared, state_is_missing
from bulkmail.errors import CampaignChanged, ConfigError
from bulkmail.journal import Intent, Record

REAL = SMALL.replace("via: sandbox", "via: mx")
NAMED = SMALL.replace("via: sandbox", "via: mx, ehlo: out.acme.example, retry: { max: 4h }")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "people.csv").write_text("email\nann@a.test\nbob@a.test\n")
    (tmp_path / "hello.md").write_text("Hello\n")
    return tmp_path


def nothing(_: object) -> None:
    pass


def prepare(folder: Path, text: str, look: Callable[[Prepared], None] = nothing) -> None:
    with prepared(load(folder, text), tell=nothing) as ready:
        look(ready)


@pytest.mark.parametrize("left", [None, ".", "lost+found"])
def test_a_mount_point_without_its_volume_is_a_lost_state_directory(folder: Path, left: str | None) -> None:
    """I13."""
    campaign = load(folder, REAL)
    if left is not None:
        (campaign.state / left).mkdir(parents=True)
    assert state_is_missing(campaign)


@pytest.mark.parametrize(
    "kept", ["other.journal", "hello.sandbox.journal", "hello.journal.0.1.log", "project.db"]
)
def test_a_directory_that_holds_anything_of_ours_was_not_lost(folder: Path, kept: str) -> None:
    """I13."""
    campaign = load(folder, REAL)
    campaign.state.mkdir()
    (campaign.state / kept).touch()
    assert not state_is_missing(campaign)


@pytest.mark.parametrize("name", ["localhost", "build-7"])
def test_a_machine_without_a_full_name_is_told_what_to_write_before_a_real_send(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    with pytest.raises(ConfigError, match=r"delivery\.ehlo: .*such as ehlo: out1\.acme\.example"):
        prepare(folder, REAL)
    assert not (folder / ".bulkmail").exists()


@pytest.mark.parametrize(
    "delivery",
    [
        "via: sandbox",
        "via: smtp://127.0.0.1:2525",
        "via: mx, allow_private: true",
        "via: mx, ehlo: out.acme.example",
    ],
)
def test_a_name_of_its_own_is_not_asked_of_a_machine_that_needs_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch, delivery: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    found: list[int] = []
    prepare(
        folder,
        SMALL.replace("via: sandbox", delivery),
        lambda ready: found.append(ready.store.totals()["pending"]),
    )
    assert found == [2]


def test_a_clock_that_was_set_back_strands_nobody(folder: Path) -> None:
    """J5."""

    def deferred_in_the_future(ready: Prepared) -> None:
        ready.freeze()
        then = time.time() + 10 * 365 * 86_400
        ready.store.commit([Record(1, 2, "deferred", then, 451, due=then + 300)], [], [])

    def due_within_the_longest_wait(ready: Prepared) -> None:
        now = time.time()
        due = ready.store.next_due(now)
        assert due is not None
        waits.append(due - now <= 4 * 3600)

    waits: list[bool] = []
    prepare(folder, NAMED, deferred_in_the_future)
    prepare(folder, NAMED, due_within_the_longest_wait)
    assert waits == [True]


def test_a_deferral_within_the_policy_keeps_its_time(folder: Path) -> None:
    """J5: also one that the jitter put a little beyond the longest wait."""
    due = time.time() + 4 * 3600 * 1.05

    def defer(ready: Prepared) -> None:
        ready.freeze()
        ready.store.commit([Record(1, 2, "deferred", 1.0, 451, due=due)], [], [])

    kept: list[float | None] = []
    prepare(folder, NAMED, defer)
    prepare(folder, NAMED, lambda ready: kept.append(ready.store.next_due(0.0)))
    assert kept == [due]


def send_to(folder: Path, *addresses: str) -> None:
    (folder / "people.csv").write_text("\n".join(["email", *addresses, ""]))


def test_what_changed_after_a_run_that_came_to_nothing_is_planned_anew(folder: Path) -> None:
    """I11: the first MAIL freezes, not the first try."""
    prepare(folder, SMALL, lambda ready: ready.freeze())
    send_to(folder, "carol@a.test")
    pending: list[int] = []
    prepare(folder, SMALL, lambda ready: pending.append(ready.store.totals()["pending"]))
    assert pending == [1]


@pytest.mark.parametrize("state", ["intent", "delivered", "deferred"])
def test_what_changed_after_anything_came_of_it_is_refused(folder: Path, state: str) -> None:
    """I11."""

    def send(ready: Prepared) -> None:
        ready.freeze()
        if state == "intent":
            ready.store.commit([], [Intent(1, ((1, 1),), "mx.a.test", "127.0.0.1", 1.0)], [])
        else:
            due = 2.0 if state == "deferred" else None
            ready.store.commit([Record(1, 1, state, 1.0, due=due)], [], [])

    prepare(folder, SMALL, send)
    send_to(folder, "carol@a.test")
    with pytest.raises(CampaignChanged, match="the list changed"):
        prepare(folder, SMALL)
