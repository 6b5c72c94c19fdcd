"""What `plan --rehearse` says, and what a run then brings, against providers with the same policies.

The run is the real one, from the file to the journal, in virtual time over memory; the way there and the time
that a host takes are those of the rehearsal.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from road_rig import Report, people
from still_road import StillRoad

from bulkmail import sandbox
from bulkmail.campaign.plan_summary import DomainCount
from bulkmail.campaign.rehearse import rehearse
from bulkmail.campaign.rehearse_census import Census
from bulkmail.campaign.rehearse_places import by_name
from bulkmail.campaign.rehearse_result import Prediction
from bulkmail.campaign.rehearse_run import ANSWER_S, ROUND_TRIP_S
from bulkmail.campaign.rehearse_world import world_of
from bulkmail.delivery.limits import Limit, Origin
from bulkmail.delivery.provider import Profile, Providers

LIMITS = {
    "quick": {"connections": 5, "message_rate": 20.0},
    "slow": {"connections": 2, "message_rate": 2.0, "recipients_per_transaction": 10},
    "few": {"connections": 1, "messages_per_connection": 10},
}
EACH = 200
PROFILES = {
    name: Profile(
        name,
        (f"{name}.test",),
        {kind: Limit(value, Origin(f"provider {name}", "built-in")) for kind, value in limits.items()},
    )
    for name, limits in LIMITS.items()
}
KNOWN = """\
providers:
  quick: { mx: [quick.test], connections: 5, message_rate: 20/s }
  slow: { mx: [slow.test], connections: 2, message_rate: 2/s, recipients_per_transaction: 10 }
  few: { mx: [few.test], connections: 1, messages_per_connection: 10 }
"""


def rehearsed_and_run(
    folder: Path, profile: str, *, shared: bool
) -> tuple[Prediction, Report, sandbox.World]:
    """The prediction, and then what came of it. `profile`: what the campaign knows of its providers."""
    (folder / "profile.yaml").write_text(profile)
    census = Census()
    for name in LIMITS:
        census.add(DomainCount(f"{name}.test", EACH, EACH // 100 if shared else EACH))
    places = by_name(census.counted(), Providers(PROFILES.values()), 100).places
    world = world_of(places, PROFILES)
    for place in places:
        for preference, host in place.hosts:
            world.domain(place.domain).host(host, preference)
            world.host(host).delay("END_OF_DATA", ANSWER_S)
    still = StillRoad(world, folder, transaction="auto" if shared else "individual")
    still.latency_s = ROUND_TRIP_S / 2
    still.defaults["shaping"] = {"profile": "profile.yaml"}
    everybody = [one for name in LIMITS for one in people(EACH, f"{name}.test")]
    predicted = rehearse(still.load(*everybody), census, offline=True, profiles=PROFILES)
    clock = trio.testing.MockClock(autojump_threshold=0)
    return predicted, trio.run(partial(still.send, *everybody), clock=clock), world


@pytest.mark.parametrize("shared", [False, True])
def test_with_limits_that_are_known_a_run_takes_as_long_as_was_rehearsed(
    tmp_path: Path, shared: bool
) -> None:
    """To the second, provider by provider, with as many connections; nobody is refused."""
    predicted, report, world = rehearsed_and_run(tmp_path, KNOWN, shared=shared)
    accounts = {name: one.account for name, one in world.providers.items()}
    assert {row.provider for row in predicted.rows} == set(LIMITS)
    for row in predicted.rows:
        account = accounts[row.provider]
        assert abs(row.seconds - len(account.by_second("accepted"))) <= 1.5
        assert (row.connections, row.throttled) == (account.peak_together, account.share("throttled"))
    assert abs(predicted.seconds - report.outcome.seconds) < 1.0
    assert ({row.deferred for row in predicted.rows}, report.totals["delivered"]) == ({0.0}, 3 * EACH)


@pytest.mark.parametrize("shared", [False, True])
def test_limits_that_nobody_knows_are_found_as_was_rehearsed_and_in_the_same_time(
    tmp_path: Path, shared: bool
) -> None:
    predicted, report, world = rehearsed_and_run(tmp_path, "providers: {}", shared=shared)
    for row in predicted.rows:
        took_s = _took_s(report, f"{row.provider}.test")
        assert abs(row.seconds - took_s) < max(1.5, 0.1 * took_s)
        refused = world.providers[row.provider].account.share("throttled")
        assert abs(row.throttled - refused) < 0.02
    assert report.totals["delivered"] == 3 * EACH
    assert 0.9 < predicted.seconds / report.outcome.seconds < 1.1


def _took_s(report: Report, domain: str) -> float:
    """From the first to the last attempt there."""
    histories = [one for address, one in report.histories.items() if address.endswith(f"@{domain}")]
    times = [attempt.at for one in histories for attempt in one.attempts]
    return max(times) - min(times)
