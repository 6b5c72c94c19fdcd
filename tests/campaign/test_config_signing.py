"""Keys that sign and the secret of tokens: asked for by those who send, by nobody else, and never shown."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from campaign_file import SMALL, load, problems
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from bulkmail.campaign import config
from bulkmail.errors import ConfigError

SEED = {"DKIM": base64.b64encode(bytes(range(32))).decode()}  # an Ed25519 key, as RFC 8463 tools write it
LEAVE = "unsubscribe: { url: https://u.acme.example/, secret: { env: UNSUB } }\n"


def signed(*entries: str) -> str:
    return SMALL.replace("via: sandbox", f"via: sandbox, dkim: [{', '.join(entries)}]")


def entry(domain: str = "acme.example", selector: str = "s1", key: str = "{ env: DKIM }") -> str:
    return f"{{ domain: {domain}, selector: {selector}, key: {key} }}"


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize(
    ("keys", "users"),
    [
        ("unsubscribe: { url: https://u.acme.example/ }", "unsubscribe.url"),
        ("reverse_path", "{{ token }} in delivery.reverse_path"),
        (
            "reverse_path unsubscribe: { url: https://u.acme.example/ }",
            "unsubscribe.url and {{ token }} in delivery.reverse_path",
        ),
    ],
)
def test_a_token_wants_a_secret(tmp_path: Path, keys: str, users: str) -> None:
    delivery = "via: sandbox, reverse_path: 'b+{{ token }}@acme.example'"
    text = SMALL.replace("via: sandbox", delivery) if "reverse_path" in keys else SMALL
    found = problems(tmp_path, text + keys.removeprefix("reverse_path").lstrip())
    assert [one.split(": ", 1)[1] for one in found] == [
        f"unsubscribe.secret: is missing, and {users} cannot do without: "
        "write secret: {env: NAME} or {file: PATH}"
    ]


def test_a_secret_that_could_be_guessed_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """P4."""
    assert problems(tmp_path, SMALL + LEAVE, {"UNSUB": "hunter2hunter2x"}) == [
        "8:54: unsubscribe.secret: has fewer than 16 characters, and could be guessed: "
        "take what openssl rand -hex 32 prints"
    ]


def test_secrets_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    text = signed(entry(), entry(selector="s2", key="{ file: none.pem }")) + LEAVE
    assert [one.split(": ", 1)[1] for one in problems(tmp_path, text)] == [
        "delivery.dkim[0].key: the environment variable DKIM is not set",
        f"delivery.dkim[1].key: the secret in {tmp_path / 'none.pem'} cannot be read: no such file",
        "unsubscribe.secret: the environment variable UNSUB is not set",
    ]


@pytest.mark.parametrize("environ", [{}, {"DKIM": "no key", "UNSUB": "short"}])
def test_who_only_looks_needs_no_secret(tmp_path: Path, environ: dict[str, str]) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(signed(entry()) + LEAVE)
    campaign = config.load(file, environ=environ, secrets=False)
    assert (campaign.unsubscribe.url, campaign.delivery.dkim[0].selector, campaign.warnings) == (
        "https://u.acme.example/",
        "s1",
        (),
    )


def test_neither_keys_nor_secrets_are_ever_shown(tmp_path: Path) -> None:
    """P4."""
    campaign = load(tmp_path, signed(entry()) + LEAVE, SEED | {"UNSUB": "hunter2hunter2hunter2"})
    key = campaign.delivery.dkim[0].signing_key()
    shown = f"{campaign!r} {campaign} {campaign.delivery.dkim} {campaign.unsubscribe} {key!r} {key}"
    assert ("hunter2" in shown, SEED["DKIM"] in shown, "'s1'" in shown) == (False, False, True)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (lambda: "no key at all, hunter2", "it is no private key in PEM"),
        (lambda: pem(rsa.generate_private_key(65537, 1024))[:-90], "it is damaged or incomplete"),
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "it is of a kind that DKIM does not know"),
    ],
    ids=["text", "half a key", "elliptic"],
)
def test_what_cannot_sign_is_refused_in_its_place(tmp_path: Path, key: object, problem: str) -> None:
    """P4."""
    assert callable(key)
    text = key()
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, signed(entry()), {"DKIM": text})
    (found,) = refused.value.problems
    assert (found.line, found.where, found.text[: len(problem)]) == (7, "delivery.dkim[0].key", problem)
    assert text not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_a_short_key_is_warned_of(tmp_path: Path) -> None:
    campaign = load(tmp_path, signed(entry()), {"DKIM": pem(rsa.generate_private_key(65537, 1024))})
    assert [(one.line, one.where, one.text[:59]) for one in campaign.warnings] == [
        (7, "delivery.dkim", "the DKIM key of s1._domainkey.acme.example: 1024 bits: some")
    ]


def test_a_key_that_few_receivers_know_is_warned_of(tmp_path: Path) -> None:
    campaign = load(tmp_path, signed(entry()), SEED)
    assert [(one.line, one.where, one.text[:37]) for one in campaign.warnings] == [
        (7, "delivery.dkim", "acme.example signs with Ed25519 alone")
    ]


@pytest.mark.parametrize(
    ("kind", "via", "keys", "warned"),
    [
        ("marketing", "mx", [], ["delivery.dkim"]),
        ("marketing", "mx", [entry()], []),
        ("marketing", "smtp://relay.example", [], []),
        ("marketing", "sandbox", [], []),
        ("announcement", "mx", [], []),
    ],
)
def test_marketing_that_nobody_signs_is_warned_of_where_it_leaves_for_the_world(
    tmp_path: Path, kind: str, via: str, keys: list[str], warned: list[str]
) -> None:
    text = signed(*keys).replace("via: sandbox", f"via: {via!r}") + LEAVE
    text += f"kind: {kind}\nlist: {{ id: weekly.acme.example, postal_address: Springfield }}\n"
    campaign = load(tmp_path, text, SEED | {"UNSUB": "0123456789abcdef"})
    assert [one.where for one in campaign.warnings if "is missing" in one.text] == warned


@pytest.mark.parametrize(
    ("domains", "warned"),
    [
        (["acme.example"], []),
        (["mail.acme.example"], []),
        (["example"], []),
        (["relay.example", "acme.example"], []),
        (["relay.example"], ["delivery.dkim[0].domain"]),
        (["notacme.example", "relay.example"], ["delivery.dkim[0].domain"]),
    ],
)
def test_signatures_of_others_alone_are_warned_of(
    tmp_path: Path, domains: list[str], warned: list[str]
) -> None:
    campaign = load(tmp_path, signed(*(entry(domain) for domain in domains)), SEED)
    assert [one.where for one in campaign.warnings if one.where != "delivery.dkim"] == warned


def test_the_domain_of_a_key_is_written_as_people_write_it(tmp_path: Path) -> None:
    campaign = load(tmp_path, signed(entry("München.example")), SEED)
    assert campaign.delivery.dkim[0].domain == "xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    ("entries", "where", "problem"),
    [
        ([entry(), entry("ACME.example", "S1")], "[1]", "S1._domainkey.acme.example is here twice"),
        (["{ selector: s1, key: { env: DKIM } }"], "[0].domain", "is missing: write who signs"),
        (["{ domain: a.example, key: { env: DKIM } }"], "[0].selector", "is missing: write which key"),
        (["{ domain: a.example, selector: s1 }"], "[0].key", "is missing: write {file: PATH} or {env: NAME}"),
        ([entry("news@acme.example")], "[0].domain", "a domain is wanted, not an address: write acme.ex"),
        ([entry(selector="s1._domainkey.acme.example")], "[0].selector", "what stands before ._domainkey is"),
        ([entry(selector="'s 1'")], "[0].selector", "'s 1' is no selector: write letters, digits and -"),
        ([entry(key="hunter2")], "[0].key", "a secret is not written into the file: write {env: NAME}"),
        ([entry()[:-2] + ", alg: x }"], "[0].alg", "unknown key; known here: domain, key, selector"),
    ],
)  # fmt: skip
def test_a_signature_that_cannot_be_made_is_explained(
    tmp_path: Path, entries: list[str], where: str, problem: str
) -> None:
    """I12."""
    found = [one.split(": ", 1)[1] for one in problems(tmp_path, signed(*entries), SEED)]
    assert [one.startswith(f"delivery.dkim{where}: {problem}") for one in found] == [True], found
