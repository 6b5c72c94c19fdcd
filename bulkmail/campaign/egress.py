"""What a campaign appears as in the world: the addresses that its mail leaves from, and their names.

A rehearsal leaves from loopback whatever they are: what is rehearsed with `--via sandbox` has none.
"""

from __future__ import annotations

import socket

from bulkmail.campaign.config import Campaign
from bulkmail.campaign.host_name import own_name
from bulkmail.errors import ConfigError, SourceLost
from bulkmail.transport.approach import Source
from bulkmail.transport.race import bind


def sources_of(campaign: Campaign, ehlo: str) -> tuple[Source, ...]:
    """Each with its name, which is `ehlo` unless it has one; none where the kernel is to choose."""
    delivery = campaign.delivery
    if delivery.via.kind == "sandbox":
        return ()
    return tuple(Source(one.address, one.ehlo or ehlo, one.weight, one.warm) for one in delivery.sources)


def check_name(campaign: Campaign) -> None:
    """That we have a name to introduce ourselves by to the exchangers of the world. Raises ConfigError.

    DNS is not asked.
    """
    delivery = campaign.delivery
    named = delivery.ehlo or (delivery.sources and all(source.ehlo for source in delivery.sources))
    if delivery.via.kind == "mx" and not delivery.allow_private and not (named or own_name()):
        raise ConfigError(
            campaign.problem(
                "delivery.ehlo",
                "this machine has no full host name of its own, and many exchangers refuse mail from one "
                "without: write the name that its address has in DNS, such as ehlo: out1.acme.example",
            )
        )


def check_sources(campaign: Campaign) -> None:
    """That this machine has all of these addresses. Raises ConfigError. Nothing is sent."""
    problems = []
    for index, source in enumerate(sources_of(campaign, "")):
        try:
            with socket.socket(socket.AF_INET6 if ":" in source.address else socket.AF_INET) as sock:
                bind(sock, source.address)
        except (OSError, SourceLost) as error:
            why = str(error) if isinstance(error, SourceLost) else f"{source.address}: {error.strerror}"
            told = f"{why}: give it one (ip address add), or take it out of the list"
            problems.append(campaign.problem(f"delivery.sources[{index}]", told))
    if problems:
        raise ConfigError(problems)
