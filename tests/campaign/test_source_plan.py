"""What `plan` says of sources and warm-ups: days that pass, quotas that are left, and what then binds."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign.duration import ProviderPlan
from bulkmail.campaign.place import journal_path
from bulkmail.campaign.source_plan import SourcePlan, days_for, source_plans, with_warmup
from bulkmail.campaign.warmup import DAY_S, quota_of
from bulkmail.delivery.limits import Limit, Origin
from bulkmail.journal.quotas import NAME, Quotas

TODAY = 20_000
NOON = TODAY * DAY_S + DAY_S / 2
MX = (
    "delivery: { via: mx, sources: [192.0.2.1, {address: 192.0.2.2, weight: 3, warm: true, ehlo: b.test}] }\n"
)
WARMUP = "shaping: { warmup: { start: 100/day, growth: 2, until: 1000/day } }\n"


def google(people: int) -> ProviderPlan:
    rate = Limit(10.0, Origin("default", "built-in"), "10/s")
    return ProviderPlan("google", people, 1, people, people / 10, people / 10, "message_rate", rate)


def campaign_of(folder: Path, text: str):
    return load(folder, SMALL.replace("delivery: { via: sandbox }\n", text))


@pytest.mark.parametrize(
    ("people", "left", "day", "days"),
    [
        (0, 0, 1, 1),
        (100, 100, 1, 1),
        (101, 100, 1, 2),
        (300, 100, 1, 2),
        (301, 100, 1, 3),
        (10, 0, 1, 2),  # today's is used up
        (1_000_000, 100, 1, 5),  # 100, 200, 400, 800, and then it is warm
    ],
)
def test_a_share_takes_as_many_days_as_its_quotas_make(tmp_path: Path, people, left, day, days):
    quota = quota_of(campaign_of(tmp_path, MX + WARMUP))
    assert quota is not None
    assert days_for(people, left, day, quota) == days


def test_each_source_is_told_with_its_share_and_what_is_left_of_today(tmp_path: Path):
    campaign = campaign_of(tmp_path, MX + WARMUP)
    with Quotas.open(campaign.project_state / NAME, str(journal_path(campaign))) as quotas:
        for ago, count in ((2, 100), (0, 30)):
            quotas.reserve("192.0.2.1", "google", TODAY - ago, count, quota_of(campaign))
    cold, warm = source_plans(campaign, [google(2_000)], NOON)
    assert list(cold.told()) == [
        "25% leave from 192.0.2.1",
        "  warm-up of 192.0.2.1 at google: day 3, 370 of 400 are left today, 2 days for this plan",
    ]
    assert list(warm.told()) == ["75% leave from 192.0.2.2 as b.test, warm"]
    assert cold.as_json()["warming"] == (
        {"provider": "google", "day": 3, "quota": 400, "left": 370, "days": 2},
    )


def test_a_quota_that_takes_longer_than_all_else_is_what_binds(tmp_path: Path):
    campaign = campaign_of(tmp_path, MX + WARMUP)
    plans, [cold, warm] = [google(2_000)], source_plans(campaign, [google(2_000)], NOON)
    (found,) = with_warmup(campaign, plans, [cold, warm], NOON)
    # 500 of them: 100 today, 200 tomorrow, and the rest the day after that begins
    assert (found.seconds, found.least_s) == (DAY_S / 2 + DAY_S, DAY_S / 2 + DAY_S)
    assert found.told.startswith("warmup 100/day (source 192.0.2.1, ")
    assert with_warmup(campaign, [google(300)], source_plans(campaign, [google(300)], NOON), NOON) == [
        google(300)
    ]


def test_who_overflows_to_a_warm_source_waits_for_nobody(tmp_path: Path):
    campaign = campaign_of(tmp_path, MX + WARMUP.replace("1000/day", "1000/day, overflow: warm"))
    plans = [google(2_000)]
    assert with_warmup(campaign, plans, source_plans(campaign, plans, NOON), NOON) == plans


def test_without_sources_the_warm_up_is_of_the_machine_and_without_both_there_is_nothing_to_tell(
    tmp_path: Path,
):
    machine = campaign_of(tmp_path, "delivery: { via: mx, ehlo: a.test }\n" + WARMUP)
    (found,) = source_plans(machine, [google(50)], NOON)
    assert list(found.told()) == ["  warm-up at google: day 1, 100 of 100 are left today"]
    assert source_plans(campaign_of(tmp_path, "delivery: { via: mx }\n"), [google(50)], NOON) == []
    assert not (machine.project_state / NAME).exists()
    assert isinstance(found, SourcePlan)
