"""By whom a site is run, as the name of its exchanger tells."""

from __future__ import annotations

import pytest

from bulkmail.delivery.provider import Profile, Providers, suffix_of

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
