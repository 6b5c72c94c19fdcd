"""Who must not be written to any more: whom a host has called unknown, and whom the operator named.

Whoever is suppressed stays so, whatever is killed or loses power, and gets no message that was begun after
it; nobody is suppressed whom nobody spoke against. When the campaign has ended, all who were refused for good
are.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from tests.kill.audit import Snapshot, demand
from tests.kill.copied import copied
from tests.kill.scenario import Scenario

STORE = "project.db"


def read(state: Path, scratch: Path) -> frozenset[str]:
    """The addresses that are suppressed. Raises Broken. `state`: the directory of the campaign's state."""
    with copied(state / STORE, scratch) as db:
        return (
            frozenset(row[0] for row in db.execute("SELECT address FROM suppression")) if db else frozenset()
        )


def check(scenario: Scenario, before: Set[str], now: Set[str], named: Set[str]) -> None:
    """`named`: by the operator. Raises Broken."""
    gone = before - now
    demand(not gone, f"suppressed, and not any more: {sorted(gone)[:3]}")
    unknown = {one.address for one in scenario.people if one.kind == "unknown"}
    wrong = now - unknown - named
    demand(not wrong, f"suppressed though nobody spoke against them: {sorted(wrong)[:3]}")


def check_end(now: Snapshot, suppressed: Set[str]) -> None:
    """Raises Broken."""
    refused = {address for address, disposition in now.attempts if disposition == "bounced"}
    missing = refused - suppressed
    demand(not missing, f"refused for good, and not suppressed at the end: {sorted(missing)[:3]}")
