"""Item 2 of the issue: a list as lists are, from the first recipient to the last."""

from __future__ import annotations

from collections import Counter

from bulkmail.journal import STATES

RECIPIENTS, DOMAINS, CONNECTIONS = 20_000, 2_000, 4
PROVIDERS = {"gmail.test": 8_000, "outlook.test": 5_000, "yahoo.test": 3_000}  # four fifths
FARM = 120  # hosts that serve the long tail
DEAD = DOMAINS // 100


def local(number: int) -> str:
    """3% nobody knows, 2% are greylisted, whatever the domain."""
    if number % 100 in (17, 51, 83):
        return f"unknown.{number}"
    return f"grey.{number}" if number % 50 == 29 else f"person.{number}"


def the_list() -> list[str]:
    domains = [domain for domain, count in PROVIDERS.items() for _ in range(count)]
    tail = DOMAINS - len(PROVIDERS)
    domains += [f"d{n % tail:04}.tail.test" for n in range(RECIPIENTS - len(domains))]
    return [f"{local(n)}@{domain}" for n, domain in enumerate(domains)]


def build(world) -> None:
    for provider in PROVIDERS:
        domain = world.domain(provider)
        for n in range(3):
            domain.host(f"mx{n}.{provider}", 10 if n < 2 else 20)
    for n in range(DOMAINS - len(PROVIDERS)):
        domain = world.domain(f"d{n:04}.tail.test")
        if n < DEAD:
            domain.nxdomain() if n % 2 else domain.null_mx()
        else:
            domain.host(f"mx{n % FARM}.farm.test")
    for domain in world.domains.values():
        domain.refuse("unknown.*").greylist("grey.*")


async def test_twenty_thousand_recipients_of_two_thousand_domains(world, send):
    addresses = the_list()
    build(world)
    assert (len(set(addresses)), len({address.partition("@")[2] for address in addresses})) == (
        RECIPIENTS,
        DOMAINS,
    )
    report = await send(*addresses, connections=CONNECTIONS)
    ledger, states = report.ledger, report.kinds()
    dead = {f"d{n:04}.tail.test" for n in range(DEAD)}
    lost = {a for a in addresses if a.startswith("unknown.") or a.partition("@")[2] in dead}

    assert states == {address: "bounced" if address in lost else "delivered" for address in addresses}
    assert ledger.copies == Counter(address for address in addresses if address not in lost)
    assert report.totals == {
        **dict.fromkeys(STATES, 0),
        "source": RECIPIENTS,
        "delivered": RECIPIENTS - len(lost),
        "bounced": len(lost),
    }
    assert max(ledger.peak_by_site.values()) <= CONNECTIONS
    # Identical bytes: the providers' mail shares transactions, a hundred recipients each but for the rests.
    shared = [m for m in ledger.messages if m.domain in PROVIDERS]
    assert max(len(m.recipients) for m in shared) > 90
    assert len(shared) < 2 * 16_000 / 100
    tried = Counter(line["recipient"] for line in report.lines)
    assert {tried[a] for a in addresses if a.startswith("grey.") and a not in lost} == {2}
