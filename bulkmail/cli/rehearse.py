"""`bulkmail plan --rehearse`: what a rehearsal found, as people read it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import print_table, printable
from bulkmail.cli.screen import counted, span

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.rehearse_result import Prediction, Row


def show(campaign: Campaign, found: Prediction, *, offline: bool) -> None:
    click.echo()
    click.echo(
        f"rehearsed in virtual time against the shipped limits of the providers: {found.rehearsed:,} of"
        f" {counted(found.recipients, 'recipient')}"
    )
    print_table(
        [_line(row) for row in found.rows],
        header=("provider", "recipients", "takes", "connections", "throttled", "deferred"),
        right=(1, 2, 3, 4, 5),
    )
    if found.nowhere:
        click.echo(f"bounced at once: {counted(found.nowhere, 'recipient')} whose domain takes no mail")
    longest = max(found.rows, key=lambda row: row.seconds, default=None)
    if longest is not None:
        end = _span(found.seconds)
        click.echo(printable(f"all have come to an end after {end}: {longest.provider} takes longest"))
    for row in found.rows:
        for text, count in row.replies:
            click.echo(printable(f"  {row.provider}, {counted(count, 'time')} in the sample: {text}"))
    for line in assumptions(campaign, found, offline=offline):
        click.echo(printable(f"  {line}"))


def _line(row: Row) -> tuple[str, str, str, str, str, str]:
    name = f"{row.provider} ({row.domains:,} domains)" if row.domains > 1 else row.provider
    return (
        name if row.profiled else f"{name} *",
        f"{row.recipients:,}",
        _span(row.seconds),
        f"{row.connections:,}",
        f"{row.throttled:.1%}",
        f"{row.deferred:.1%}",
    )


def _span(seconds: float) -> str:
    return "longer than could be rehearsed" if seconds == math.inf else span(seconds)


def assumptions(campaign: Campaign, found: Prediction, *, offline: bool) -> Iterator[str]:
    """What the numbers stand on, a line each."""
    trip, end = found.assumed["round_trip_s"] * 1000, found.assumed["end_of_data_s"] * 1000
    yield f"assumed: a round trip of {trip:g} ms, and {end:g} ms for the end of data"
    yield "assumed: this machine, its network and the signing are never waited for (see `bulkmail bench`)"
    yield "assumed: every address exists, nobody greylists, and the reputation of the sender is good"
    if any(not row.profiled for row in found.rows):
        yield "*: not in the shipped profile, taken to allow whatever your own limits ask for"
    if not found.whole:
        yield f"ended after {span(found.cpu_s)} of a processor, before all of the sample had been delivered"
    elif found.rehearsed < found.recipients - found.nowhere:
        yield "what is beyond the sample goes on at the pace found in it; the shares are of the sample"
    if campaign.delivery.via.kind == "relay":
        yield "all of it goes to the relay, of whose limits nothing is known"
    elif offline or campaign.delivery.via.kind == "sandbox":
        yield "no MX was looked up: only domains whose name is known belong to a provider"
    else:
        yield f"the MX of {counted(found.asked, 'domain')} were looked up, and stand for all"
        if found.unasked:
            yield f"of {found.unasked:,} of them there was no answer: taken to be on their own"
