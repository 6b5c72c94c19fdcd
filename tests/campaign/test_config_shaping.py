"""`shaping` of the campaign file, and what it comes to with the profile of providers beneath it."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_file import SMALL, load

from bulkmail.campaign.profile import built_in
from bulkmail.campaign.rules import rules_of
from bulkmail.delivery.shaping import Bounds
from bulkmail.errors import ConfigError

GOOGLE = "aspmx.l.google.com~1f2e3d4c"
TENANT = "acme-com.mail.protection.outlook.com"


@pytest.fixture(autouse=True)
def _beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files are named as whoever stands beside them would."""
    monkeypatch.chdir(tmp_path)


def rules(folder: Path, shaping: str = "", *, via: str | None = "mx"):
    return rules_of(load(folder, f"{SMALL}{shaping}", via=via))


def told(shape) -> list[str]:
    return [limit.told(kind) for kind, limit in shape.items()]


def test_without_a_word_the_built_in_profile_holds(tmp_path: Path):
    found = told(rules(tmp_path).binding(GOOGLE, "gmail.com"))
    assert found[:6] == [
        "message_rate 100/s (default, built-in)",
        "connection_rate 20/s (default, built-in)",
        "connections 5 (provider google, built-in profile 2026-11)",
        "messages_per_connection 50 (provider google, built-in profile 2026-11)",
        "recipients_per_transaction 100 (default, built-in)",
        "messages_in_flight 8 (default, built-in)",
    ]
    assert (found[6], found[-1]) == (
        "tls required (provider google, built-in profile 2026-11)",
        "retry.give_up 2d (campaign, built-in)",
    )
    assert "time_limits.end_of_data 10m (campaign, built-in)" in found


def test_within_a_scope_the_users_value_replaces_and_across_scopes_the_smallest_binds(tmp_path: Path):
    found = rules(
        tmp_path,
        "shaping:\n"
        "  default: { message_rate: 2000/s, connections: 7 }\n"
        "  providers:\n"
        "    google: { connections: 20, message_rate: 3000/min }\n"
        "  domains: { Example.ORG: { recipient_rate: 10/s } }\n",
    )
    assert told(found.binding(GOOGLE, "example.org"))[:4] == [
        "message_rate 3000/min (provider google, campaign.yaml:11)",
        "recipient_rate 10/s (domain example.org, campaign.yaml:12)",
        "connection_rate 20/s (default, built-in)",
        "connections 7 (default, campaign.yaml:9)",
    ]
    assert found.provider(GOOGLE) == (
        "google",
        Bounds(20, 50.0, recipients_per_transaction=100, messages_per_connection=50),
    )
    assert (found.limits(GOOGLE).connections, found.limits(GOOGLE).messages_per_connection) == (7, 50)


DEMANDS = """\
shaping:
  providers: { google: { tls: verified, time_limits: { greeting: 90s }, retry: { give_up: 1d, max: 1h } } }
  domains: { example.org: { tls: none, time_limits: { data: 1h }, retry: { first: 15m } } }
"""


def test_tls_time_limits_and_schedule_of_a_provider_and_a_domain_come_together_with_their_origins(tmp_path):
    found = rules(tmp_path, DEMANDS)
    told_of = told(found.binding(GOOGLE, "example.org"))
    assert [line for line in told_of if "campaign.yaml" in line] == [
        "tls verified (provider google, campaign.yaml:9)",
        "time_limits.greeting 90s (provider google, campaign.yaml:9)",
        "retry.first 15m (domain example.org, campaign.yaml:10)",
        "retry.max 1h (provider google, campaign.yaml:9)",
        "retry.give_up 1d (provider google, campaign.yaml:9)",
    ]


def test_who_is_in_no_profile_has_the_limits_of_a_site_unless_the_user_names_him(tmp_path: Path):
    found = rules(tmp_path, "shaping: { providers: { example.net: { connections: 2 } } }")
    assert found.provider("mx.example.com") is None
    assert found.provider("mx1.eu.example.net~00000000") == ("example.net", Bounds(2))


@pytest.mark.parametrize(
    ("shaping", "via", "expected"),
    [
        ("", "mx", 5),
        ("shaping: { profile: none }", "mx", 10),
        ("", "smtp://relay.google.com", 10),  # a relay is no mail exchanger
        ("shaping: { providers: { google: { connections: 3 } } }", "smtp://relay.google.com", 3),
    ],
)
def test_the_profile_holds_for_exchangers_and_may_be_done_without(tmp_path, shaping, via, expected):
    assert rules(tmp_path, shaping, via=via).limits(GOOGLE).connections == expected


PROFILE = """\
extends: built-in
providers:
  google: { messages_per_connection: 20 }
  acme: { mx: [Acme.example], connections: 3 }
"""


def test_a_profile_of_the_users_own_is_laid_over_the_built_in_one_or_replaces_it(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text(PROFILE)
    over = rules(tmp_path, "shaping: { profile: mine.yaml }")
    (tmp_path / "mine.yaml").write_text(
        PROFILE.replace("extends: built-in\n", "").replace("{ mess", "{ mx: [x.test], mess")
    )
    alone = rules(tmp_path, "shaping: { profile: mine.yaml }")
    assert [found.limits(GOOGLE).connections for found in (over, alone)] == [5, 10]
    assert [found.limits("mx.acme.example").connections for found in (over, alone)] == [3, 3]
    assert over.limits(GOOGLE).messages_per_connection == 20
    assert str(over.providers.of(GOOGLE).shape["messages_per_connection"].origin).endswith("mine.yaml:3")
    assert (over.providers.of(TENANT).name, alone.providers.of(TENANT).name) == (
        "microsoft365",
        "outlook.com",
    )


@pytest.mark.parametrize(
    ("shaping", "problem"),
    [
        ("providers: { gogle: {} }", "gogle: no provider of the profile is called gogle: did you mean goo"),
        ("providers: { yahoodns.net: {} }", "yahoodns.net: yahoodns.net is the provider yahoo in the pro"),
        ("providers: { mx1.google.com: {} }", "mx1.google.com: mx1.google.com is of the provider google in"),
        ("providers: { google: { connexions: 1 } }", "google.connexions: unknown key; did you mean conne"),
        ("providers: { google: { connections: 0 } }", "google.connections: 0 is too small"),
        ("domains: { a..test: {} }", "a..test: "),
        ("domains: { a.test: 5 }", "a.test: a mapping is wanted here (key: value)"),
        ("domains: { a.test: { tls: requird } }", "a.test.tls: 'requird' is none of none, opportu"),
        ("domains: { a.test: { retry: { first: 6h } } }", "a.test.retry: with delivery.retry beneath it, fi"),
        ("providers: { google: { retry: { give_up: 1m } } }", "google.retry: with delivery.retry beneath it"),
        ("domains: { a.test: { retry: { frist: 5m } } }", "a.test.retry.frist: unknown key; did you mean f"),
    ],
)  # fmt: skip
def test_a_mistake_is_explained_where_it_stands(tmp_path: Path, shaping: str, problem: str):
    """I12."""
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, f"shaping: {{ {shaping} }}")
    [found] = caught.value.problems
    where = f"shaping.{shaping.partition(':')[0]}."
    assert (found.line, f"{found.where}: {found.text}"[: len(where + problem)]) == (8, where + problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("providers: { acme: { connections: 3 } }", "1:14: providers.acme: mx is missing"),
        ("providers: { acme: { mx: [a.test], connections: many } }", "1:49: providers.acme.connections: "),
        ("providers: [", "mine.yaml:"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_profile_is_explained_where_it_stands(tmp_path: Path, text: str, problem: str):
    """I12."""
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, "shaping: { profile: mine.yaml }")
    assert problem in str(caught.value)


def test_every_figure_of_the_built_in_profile_has_its_source():
    """A comment on its line: where it is from, or that it is our own caution."""
    lines = (Path(__file__).parents[2] / "bulkmail/campaign/providers.yaml").read_text().splitlines()
    figures = [
        line for line in lines if line.startswith("    ") and not line.strip().startswith(("mx:", "#"))
    ]
    assert len(figures) > 40
    assert [line for line in figures if "  # " not in line] == []


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("hotmail-com.olc.protection.outlook.com", "microsoft"),
        (TENANT, "microsoft365"),
        ("acme-com.k-v1.mx.microsoft", "microsoft365"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx00.emig.gmx.net", "gmx"),
        ("mx-ha02.web.de", "gmx"),
        ("mx00.kundenserver.de", "ionos"),
        ("smtp-in.orange.fr", "orange"),
        ("mx1a1.comcast.net", "comcast"),
        ("mxs.mail.ru", "mailru"),
        ("mx1.qq.com", "qq"),
        ("mail.protonmail.ch", "proton"),
        ("163mx01.mxmail.netease.com", "netease"),
    ],
)
def test_the_large_providers_are_known_by_their_exchangers(tmp_path: Path, host: str, provider: str):
    assert rules(tmp_path).providers.of(host).name == provider


def test_every_provider_of_the_profile_has_a_limit_and_an_exchanger_of_its_own():
    profiles = built_in().values()
    suffixes = [suffix for one in profiles for suffix in one.suffixes]
    assert all(one.shape for one in profiles)
    assert sorted(set(suffixes)) == sorted(suffixes)
