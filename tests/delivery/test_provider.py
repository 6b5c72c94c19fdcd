"""By whom a site is run, as the name of its exchanger tells."""

from __future__ import annotations

import pytest

from bulkmail.delivery.limits import Limit, Origin
from bulkmail.delivery.provider import ASKED, Profile, Providers, suffix_of

PROVIDERS = Providers(
    [
        Profile("google", ("google.com", "googlemail.com")),
        Profile("microsoft365", ("mail.protection.outlook.com", "mx.microsoft")),
        Profile("outlook", ("olc.protection.outlook.com",)),
        Profile("protection.outlook.com", ("protection.outlook.com",)),
    ]
)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("mx1.eu.example.com", "example.com"),
        ("example.com", "example.com"),
        ("localhost", "localhost"),
        ("acme-com.mail.protection.outlook.com~1f2e3d4c", "outlook.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("mx.mail.example.de", "example.de"),
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_provider_that_nobody_knows_is_told_by_the_end_of_the_name(name, whose):
    assert (suffix_of(name), Providers().of(name).name) == (whose, whose)


@pytest.mark.parametrize(
    ("name", "whose"),
    [
        ("aspmx.l.google.com~1f2e3d4c", "google"),
        ("google.com", "google"),
        ("notgoogle.com", "notgoogle.com"),
        ("google.com.example.org", "example.org"),
        ("acme-com.mail.protection.outlook.com", "microsoft365"),
        ("beta-org.k-v1.mx.microsoft", "microsoft365"),
        ("hotmail-com.olc.protection.outlook.com", "outlook"),
        ("something.else.protection.outlook.com", "protection.outlook.com"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_the_profile_with_the_longest_suffix_of_whole_labels_has_it(name, whose):
    assert PROVIDERS.of(name).name == whose


def test_the_world_sees_a_provider_by_what_everybody_knows_whatever_a_campaign_calls_it():
    known = [Profile("google", ("google.com", "googlemail.com")), Profile("gmx", ("gmx.net", "web.de"))]
    ours = Providers([Profile("g", ("google.com", "ours.test")), Profile("eu", ("eu.example.com",))], known)
    hosts = ("mx.google.com", "mx.googlemail.com", "mx.web.de~1", "mx.eu.example.com", "mx.ours.test")
    assert [ours.of(host).name for host in hosts] == ["g", "googlemail.com", "mx.web.de", "eu", "g"]
    assert [ours.seen_as(host) for host in hosts] == ["google", "google", "gmx", "example.com", "ours.test"]


def test_who_has_limits_for_several_together_reaches_all_of_them():
    known, shape = (
        [Profile("google", ("google.com", "googlemail.com"))],
        {"connections": Limit(1, Origin("", ""))},
    )
    ours = Providers(
        [Profile("g", ("google.com", "ours.test"), shape), Profile("h", ("h.test", "i.test"))], known
    )
    assert ours.reaches("mx.ours.test~1") == ("ours.test", "google")
    assert (ours.reaches("mx.google.com"), ours.reaches("mx.h.test")) == (
        ("google", "ours.test"),
        ("h.test",),
    )


def test_more_names_than_are_remembered_are_told_apart_all_the_same():
    names = [f"mx.d{number}.test" for number in range(ASKED + 100)] * 2
    assert [PROVIDERS.of(name).name for name in names] == [suffix_of(name) for name in names]
