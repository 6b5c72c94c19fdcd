"""A campaign's keys and what DNS shows of them, asked of a real server."""

from __future__ import annotations

import base64
import resource
from collections.abc import AsyncIterator

import pytest
import trio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from dns_responder import Responder

from bulkmail.campaign.signing import advice, check_records
from bulkmail.dns.resolver import Resolver
from bulkmail.errors import ConfigError
from bulkmail.message.signing_key import SigningKey


def rsa_key(bits: int, selector: str) -> SigningKey:
    key = rsa.generate_private_key(65537, bits)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return SigningKey.load(text, domain="acme.test", selector=selector)


def ed25519_key(selector: str, *, seed: int = 1) -> SigningKey:
    text = base64.b64encode(bytes([seed] * 32)).decode()
    return SigningKey.load(text, domain="acme.test", selector=selector)


RSA, ED = rsa_key(2048, "s1"), ed25519_key("e1")
OTHER = ed25519_key("e1", seed=2).record()


@pytest.fixture
async def names(nursery: trio.Nursery) -> Responder:
    return await nursery.start(Responder().serve)


@pytest.fixture
async def resolver(names: Responder) -> AsyncIterator[Resolver]:
    resolver = Resolver([names.address], tries=(10,))
    yield resolver
    await resolver.aclose()


def publish(names: Responder, key: SigningKey, record: str) -> None:
    """As zone files do it: in strings of at most 255 octets."""
    strings = [record[at : at + 255] for at in range(0, len(record), 255)]
    names.add(key.name, "TXT " + " ".join(f'"{string}"' for string in strings))


@pytest.mark.parametrize("strict", [True, False])
async def test_keys_whose_records_fit_give_no_warning(
    names: Responder, resolver: Resolver, strict: bool
) -> None:
    for key in (RSA, ED):
        publish(names, key, key.record())
    assert await check_records([RSA, ED], resolver, strict=strict) == []


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("record", "reason"),
    [(OTHER, "it holds another key"), ("v=DKIM1; k=ed25519; p=", "the key is revoked: p= is empty")],
)
async def test_a_record_that_does_not_fit_is_refused_on_every_route(
    names: Responder, resolver: Resolver, strict: bool, record: str, reason: str
) -> None:
    publish(names, ED, record)
    with pytest.raises(ConfigError) as refused:
        await check_records([ED], resolver, strict=strict)
    told = f"the DKIM record at e1._domainkey.acme.test is not this key's: {reason}"
    assert str(refused.value) == f"{told}; publish there: {ED.record()}"


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ([], "no such domain"),
        ([("e1._domainkey.acme.test", "A 192.0.2.1")], "no such records"),
        ([("e1._domainkey.acme.test", 'TXT "v=spf1 -all"')], "only other TXT records are there"),
    ],
)
async def test_a_missing_record_is_an_error_on_the_way_to_strangers_and_else_a_warning(
    names: Responder, resolver: Resolver, there: list[tuple[str, str]], why: str
) -> None:
    for name, record in there:
        names.add(name, record)
    told = (
        f"no DKIM record at e1._domainkey.acme.test ({why}): receivers cannot check the signatures; "
        f"publish there: {ED.record()}"
    )
    warnings = await check_records([ED], resolver, strict=False)
    with pytest.raises(ConfigError) as refused:
        await check_records([ED], resolver, strict=True)
    assert (warnings, str(refused.value)) == ([told], told)


@pytest.mark.parametrize("strict", [True, False])
async def test_dns_that_does_not_answer_is_a_warning(
    names: Responder, resolver: Resolver, strict: bool
) -> None:
    names.servfail.add((ED.name, "TXT"))
    (warning,) = await check_records([ED], resolver, strict=strict)
    assert "e1._domainkey.acme.test could not be checked: SERVFAIL" in warning
    assert warning.endswith(ED.record())


async def test_a_machine_that_cannot_ask_is_a_warning(names: Responder, resolver: Resolver) -> None:
    """T6."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # those that are open stay so
    try:
        (warning,) = await check_records([ED], resolver, strict=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "could not be checked: cannot ask for names: Too many open files" in warning


async def test_every_key_with_an_error_is_told_at_once(names: Responder, resolver: Resolver) -> None:
    publish(names, ED, OTHER)
    with pytest.raises(ConfigError) as refused:
        await check_records([RSA, ED], resolver, strict=True)
    no_record, other_key = str(refused.value).split("\n")
    assert ("s1._domainkey" in no_record, RSA.record() in no_record) == (True, True)
    assert ("e1._domainkey" in other_key, ED.record() in other_key) == (True, True)


async def test_a_second_record_is_warned_of_where_one_fits(names: Responder, resolver: Resolver) -> None:
    """RFC 6376 section 3.6.2.2: what receivers make of it is undefined."""
    publish(names, ED, OTHER)
    publish(names, ED, ED.record())
    publish(names, ED, "v=spf1 -all")
    (warning,) = await check_records([ED], resolver, strict=True)
    assert warning.startswith("2 DKIM records at e1._domainkey.acme.test")
    assert warning.endswith(ED.record())


async def test_a_record_in_test_mode_is_warned_of(names: Responder, resolver: Resolver) -> None:
    publish(names, ED, ED.record().replace("k=", "t=y; k="))
    (warning,) = await check_records([ED], resolver, strict=True)
    assert "test mode (t=y)" in warning


async def test_no_message_shows_a_secret(names: Responder, resolver: Resolver) -> None:
    publish(names, ED, OTHER)
    with pytest.raises(ConfigError) as refused:
        await check_records([ED], resolver, strict=True)
    assert base64.b64encode(bytes([1] * 32)).decode() not in repr(refused.value)


def test_a_weak_key_and_one_that_few_receivers_know_are_advised_against() -> None:
    weak = rsa_key(1024, "old")
    assert [advice([RSA, ED]), advice([weak]), advice([ED])] == [
        [],
        [f"the DKIM key of old._domainkey.acme.test: {weak.warning}"],
        ["acme.test signs with Ed25519 alone, which large receivers do not check: add an RSA key"],
    ]
