"""A warm-up against the receiving side: what was sent is counted, and no more than the quota of a day.

It is counted before it is sent, so that no crash makes a day's sum too small; and what a crash has counted
too much is given back, or the run would wait for tomorrow: the quotas of one process are no larger than they
must be. When the campaign has ended, what is counted is what its journal has sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import apsw

from bulkmail.journal.quotas import NAME
from tests.kill.audit import demand
from tests.kill.copied import copied
from tests.kill.receiver import Copy
from tests.kill.scenario import Scenario

Account = tuple[str, str]  # the source and the provider

# By the journal: who was named on the wire. Of who came into doubt by a crash the source is not known.
NAMED = """SELECT p.source, p.host, a.last - a.first + 1 FROM attempt a JOIN place p ON p.id = a.place
    WHERE a.attempted = 1 AND p.host <> '' AND a.state IN ('delivered', 'bounced', 'deferred', 'in_doubt')"""


def check(scenario: Scenario, state: Path, scratch: Path, copies: Iterable[Copy]) -> None:
    """Raises Broken. `state`: the directory of the campaign's state."""
    if not scenario.quota:
        return
    counted = _counted(scenario, state, scratch)
    received = Counter((_source(scenario, copy.client), _provider(scenario, copy.host)) for copy in copies)
    for account, count in received.items():
        told = f"{account[1]} took {count} from {account[0] or 'us'}"
        demand(count <= counted[account], f"{told}, and {counted[account]} were counted")


def check_end(scenario: Scenario, state: Path, scratch: Path) -> None:
    """`scratch` has the copy of the journal that was looked at last. Raises Broken."""
    if not scenario.quota:
        return
    sent: Counter[Account] = Counter()
    unsure: Counter[str] = Counter()  # by provider
    db = apsw.Connection(str(scratch / "journal"))
    try:
        for source, host, count in db.execute(NAMED):
            provider = _provider(scenario, host)
            if scenario.sources and not source:
                unsure[provider] += count
            else:
                sent[_source(scenario, source), provider] += count
    finally:
        db.close()
    counted = _counted(scenario, state, scratch)
    for source, provider in counted.keys() | sent.keys():
        count, least = counted[source, provider], sent[source, provider]
        most = least + unsure[provider]
        told = f"{count} are counted of {source or 'us'} at {provider}, {least} to {most} were sent"
        demand(least <= count <= most, told)


def _counted(scenario: Scenario, state: Path, scratch: Path) -> Counter[Account]:
    counted: Counter[Account] = Counter()
    with copied(state / NAME, scratch) as db:
        query = "SELECT source, provider, day, sum(count) FROM counted GROUP BY source, provider, day"
        for source, provider, day, count in db.execute(query) if db else ():
            told = f"{count} were counted of {source or 'us'} at {provider} on day {day}"
            demand(count <= scenario.quota, f"{told}: {scenario.quota} may be")
            counted[source, provider] += count
    return counted


def _source(scenario: Scenario, client: str) -> str:
    return client if scenario.sources else ""


def _provider(scenario: Scenario, host: str) -> str:
    return f"{scenario.site_of(host)}.example"
