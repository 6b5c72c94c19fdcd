"""Tokens: what verifies is what was made, by us, for this campaign, and for nobody else."""

from __future__ import annotations

import base64
import hmac
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkmail.message.token import IDS, INERT, Tokens, base32
from bulkmail.smtp import Mailbox

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
SECRET = "correct horse battery staple"

ids = st.integers(0, IDS - 1)
# HMAC fills a short key up with NUL, so that secrets which differ in those at their end alone are one key
secrets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=16, max_size=80)
campaigns = st.text(min_size=1, max_size=40)


@given(secrets, campaigns, ids)
def test_a_token_verifies_as_the_recipient_it_was_made_for(
    secret: str, campaign: str, recipient: int
) -> None:
    assert Tokens(secret, campaign).verify(Tokens(secret, campaign).token(recipient)) == recipient


@given(campaigns, ids, st.integers(0, 31), st.characters())
def test_any_other_character_anywhere_is_a_forgery(
    campaign: str, recipient: int, place: int, other: str
) -> None:
    """H2. The case of a letter is nobody's change: mail systems alter it."""
    tokens = Tokens(SECRET, campaign)
    token = tokens.token(recipient)
    changed = token[:place] + other + token[place + 1 :]
    same = other in (token[place], token[place].upper())
    assert tokens.verify(changed) == (recipient if same else None)


@given(campaigns, campaigns, ids)
def test_a_token_means_nothing_in_another_campaign(one: str, other: str, recipient: int) -> None:
    """H2."""
    expected = recipient if one == other else None
    assert Tokens(SECRET, other).verify(Tokens(SECRET, one).token(recipient)) == expected


@given(secrets, secrets, ids)
def test_a_token_means_nothing_under_another_secret(one: str, other: str, recipient: int) -> None:
    """H2."""
    expected = recipient if one == other else None
    assert Tokens(other, "weekly").verify(Tokens(one, "weekly").token(recipient)) == expected


@given(ids, ids)
def test_the_id_of_one_with_the_signature_of_another_is_a_forgery(one: int, other: int) -> None:
    """H2."""
    tokens = Tokens(SECRET, "weekly")
    spliced = tokens.token(one)[:16] + tokens.token(other)[16:]
    assert tokens.verify(spliced) == (one if one == other else None)


@given(st.text(max_size=40) | st.text(ALPHABET, min_size=30, max_size=34))
def test_what_somebody_makes_up_is_refused_whatever_it_is(text: str) -> None:
    """H2."""
    assert Tokens(SECRET, "weekly").verify(text) is None


@given(campaigns, ids)
def test_a_token_survives_a_change_of_case(campaign: str, recipient: int) -> None:
    tokens = Tokens(SECRET, campaign)
    assert tokens.verify(tokens.token(recipient).upper()) == recipient


@given(campaigns, ids)
def test_a_token_needs_no_quoting_in_a_local_part_or_a_url(campaign: str, recipient: int) -> None:
    token = Tokens(SECRET, campaign).token(recipient)
    path = Mailbox.parse(f"bounces+{token}@a.test")
    assert (str(path), quote(token, safe="")) == (f"bounces+{token}@a.test", token)


@given(campaigns, ids)
def test_a_token_is_32_characters_and_begins_with_the_tag_of_its_campaign(
    campaign: str, recipient: int
) -> None:
    token = Tokens(SECRET, campaign).token(recipient)
    tag = Tokens.campaign_tag(campaign)
    assert (len(token), len(tag), token[:8]) == (32, 8, tag)


@given(secrets, ids)
def test_the_signature_is_the_first_80_bits_of_an_hmac_of_version_tag_and_id(
    secret: str, recipient: int
) -> None:
    """RFC 2104: the prepared pads give what the standard library gives."""
    signed = b"bulkmail token 1\0" + Tokens.campaign_tag("weekly").encode() + recipient.to_bytes(5)
    expected = hmac.digest(secret.encode(), signed, "sha256")[:10]
    signature = Tokens(secret, "weekly").token(recipient)[16:]
    assert base64.b32decode(signature.upper()) == expected


@given(st.binary(max_size=64))
def test_base32_is_that_of_the_standard_library_without_padding_in_lower_case(data: bytes) -> None:
    """RFC 4648 section 6."""
    assert base32(data) == base64.b32encode(data).decode().rstrip("=").lower()


def test_a_token_once_printed_stays_valid() -> None:
    """Letters of last year are answered today: the format does not change unnoticed."""
    assert Tokens(SECRET, "weekly-2026-w48").verify("mrw7iyg4aaaacpkrdpyqov4k5edfivpa") == 81_233


def test_the_inert_token_verifies_as_nobody() -> None:
    tokens = Tokens(SECRET, "weekly")
    assert tokens.verify(tokens.token(INERT)) == INERT


def test_a_short_secret_is_refused_without_being_shown() -> None:
    """P4."""
    with pytest.raises(ValueError, match="at least 16") as refused:
        Tokens("fifteen letters", "weekly")
    assert "fifteen" not in str(refused.value)


def test_the_secret_is_not_shown() -> None:
    """P4."""
    assert repr(Tokens(SECRET, "weekly")) == "Tokens(campaign='weekly')"


@pytest.mark.parametrize("recipient", [-1, IDS])
def test_an_id_that_does_not_fit_is_refused(recipient: int) -> None:
    with pytest.raises(ValueError, match="no token"):
        Tokens(SECRET, "weekly").token(recipient)


def test_no_letter_of_another_script_passes_for_one_of_the_alphabet() -> None:
    """H2: `"\\N{KELVIN SIGN}".lower()` is a plain k."""
    tokens = Tokens(SECRET, "weekly")
    token = next(token for token in map(tokens.token, range(100)) if "k" in token)
    assert tokens.verify(token.replace("k", "\N{KELVIN SIGN}")) is None
    assert set(token) <= set(string.ascii_lowercase + "234567")
