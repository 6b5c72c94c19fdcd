"""SASL: the published vectors, proofs that must be given, and secrets that must not show."""

from __future__ import annotations

import base64

import pytest

from bulkmail.errors import RemoteProtocolError
from bulkmail.smtp import Login, Plain, ScramSha256, XOAuth2, choose
from bulkmail.smtp.sasl import saslprep

# RFC 7677 section 3
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
CLIENT_FINAL = f"c=biws,r={SERVER_NONCE},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_scram_sha_256_speaks_as_in_rfc_7677() -> None:
    scram = ScramSha256("user", "pencil", NONCE)
    said = [scram.initial(), scram.respond(SERVER_FIRST), scram.respond(SERVER_FINAL), scram.verified]
    assert said == [b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", CLIENT_FINAL, b"", True]


@pytest.mark.parametrize(
    "final", [b"v=" + base64.b64encode(bytes(32)), b"v=!!", b"v=", b"", b"e=invalid-proof", SERVER_FINAL[:-4]]
)
def test_a_server_that_does_not_know_the_password_is_found_out(final: bytes) -> None:
    scram = ScramSha256("user", "pencil", NONCE)
    scram.respond(SERVER_FIRST)
    with pytest.raises(RemoteProtocolError):
        scram.respond(final)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # a nonce that is not ours
        f"r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode(),  # the server added nothing to it
        f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1".encode(),  # too cheap to break
        f"r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999".encode(),  # keeps us busy for minutes
        f"r={SERVER_NONCE},s=W,i=4096".encode(),
        b"m=ext," + SERVER_FIRST,  # an extension that must be understood
    ],
)
def test_a_challenge_that_makes_no_sense_gets_no_proof(first: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ScramSha256("user", "pencil", NONCE).respond(first)


def test_scram_escapes_what_its_syntax_uses() -> None:
    assert ScramSha256("a=b,c", "p", "n").initial() == b"n,,n=a=3Db=2Cc,r=n"


def test_two_scram_nonces_differ() -> None:
    assert ScramSha256("u", "p").initial() != ScramSha256("u", "p").initial()


def test_plain_sends_everything_at_once() -> None:
    assert Plain("tim", "tanstaaftanstaaf").initial() == b"\0tim\0tanstaaftanstaaf"


def test_plain_answers_an_empty_challenge_with_the_same() -> None:
    plain = Plain("tim", "t")
    assert plain.respond(b"") == plain.initial()


def test_plain_cannot_carry_a_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        Plain("a\0b", "p")


def test_login_answers_two_questions_however_they_are_asked() -> None:
    login = Login("tim", "t")
    assert [login.initial(), login.respond(b"Username:"), login.respond(b"pass?")] == [None, b"tim", b"t"]


def test_login_answers_no_third_question() -> None:
    login = Login("tim", "t")
    login.respond(b"")
    login.respond(b"")
    with pytest.raises(RemoteProtocolError):
        login.respond(b"")


def test_xoauth2_sends_its_token() -> None:
    # https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
    initial = XOAuth2("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg").initial()
    assert base64.b64encode(initial or b"") == (
        b"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
    )


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ({"PLAIN", "LOGIN", "SCRAM-SHA-256", "XOAUTH2"}, "SCRAM-SHA-256"),
        ({"LOGIN", "PLAIN"}, "PLAIN"),
        ({"LOGIN", "CRAM-MD5"}, "LOGIN"),
    ],
)
def test_the_strongest_mechanism_is_chosen(offered: set[str], chosen: str) -> None:
    mechanism = choose(frozenset(offered), "u", "p")
    assert mechanism is not None
    assert mechanism.name == chosen


@pytest.mark.parametrize("offered", [set(), {"XOAUTH2"}, {"GSSAPI"}])
def test_without_a_common_mechanism_none_is_chosen(offered: set[str]) -> None:
    assert choose(frozenset(offered), "u", "p") is None


@pytest.mark.parametrize(
    "mechanism",
    [Plain("u", "hunter2"), Login("u", "hunter2"), ScramSha256("u", "hunter2"), XOAuth2("u", "hunter2")],
)
def test_no_secret_shows_in_a_repr(mechanism: object) -> None:
    """P4."""
    assert "hunter2" not in repr(mechanism)


@pytest.mark.parametrize(
    ("text", "prepared"),
    # RFC 4013 section 3
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
    ],
)
def test_a_password_is_prepared_as_in_rfc_4013(text: str, prepared: str) -> None:
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u0627"])
def test_a_password_that_rfc_4013_prohibits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SASLprep"):
        saslprep(text)
