"""`bulkmail explain`: everything that happened to one person, with the replies."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkmail.cli.common import campaign_file, load, look_into_journal, print_json, printable, via_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.paces import KnownPace
    from bulkmail.delivery.limits import Shape
    from bulkmail.delivery.replies import Reading, Table
    from bulkmail.journal import AttemptRow, History, LeftOut, Suppression

NOT_IN_THE_LIST = 3


@click.command("explain")
@campaign_file
@click.argument("address")
@via_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(file: Path, address: str, via: str | None, as_json: bool) -> int:
    """Show every attempt to deliver to ADDRESS, or why it was left out. Exit code 3: not in the list."""
    from bulkmail.campaign.own_replies import table_of

    campaign = load(file, via)
    with look_into_journal(campaign) as store:
        found = store.history(address)
    suppression = _suppressed(campaign, address)
    limits = _limits(campaign, found)
    known = _paces(campaign, found)
    table = table_of(campaign)
    if as_json:
        print_json(
            {
                "address": address,
                "found": [_told(one, table) for one in found],
                "suppressed": asdict(suppression) if suppression is not None else None,
                "limits": _as_json(limits),
                "paces": [pace._asdict() for pace in known],
            }
        )
        return 0 if found else NOT_IN_THE_LIST
    for one in found:
        _show(one, table, suppressed=suppression is not None)
    if limits:
        from bulkmail.campaign.duration import holding

        click.echo("limits there: " + ", ".join(map(printable, holding(limits))))
    for pace in known:
        click.echo(printable(f"{pace.provider} {pace.told()}"))
    if suppression is not None:
        click.echo(f"suppressed since {_utc(suppression.added)}: {printable(suppression.reason)}")
    if not found:
        click.echo(f"{printable(address)} is not in the list of {campaign.campaign}", err=True)
        return NOT_IN_THE_LIST
    return 0


def _limits(campaign: Campaign, found: Sequence[History | LeftOut]) -> Shape:
    """What binds whoever is not settled, at the host that was tried last; before that, at any."""
    from bulkmail.campaign.rules import rules_of
    from bulkmail.journal import LeftOut

    for one in found:
        if not isinstance(one, LeftOut) and one.state in ("pending", "deferred"):
            hosts = [attempt.host for attempt in one.attempts if attempt.host]
            return rules_of(campaign).binding(hosts[-1] if hosts else "", one.address.rpartition("@")[2])
    return {}


def _paces(campaign: Campaign, found: Sequence[History | LeftOut]) -> Sequence[KnownPace]:
    """What the provider that was tried last was found to take, for whoever is not settled."""
    from bulkmail.campaign.paces import paces
    from bulkmail.campaign.rules import rules_of
    from bulkmail.journal import LeftOut

    for one in found:
        if not isinstance(one, LeftOut) and one.state in ("pending", "deferred"):
            hosts = [attempt.host for attempt in one.attempts if attempt.host]
            return paces(campaign, [rules_of(campaign).providers.of(hosts[-1]).name]) if hosts else ()
    return ()


def _as_json(limits: Shape) -> list[dict[str, Any]]:
    from bulkmail.campaign.duration import binding_json

    return binding_json(limits)


def _suppressed(campaign: Campaign, address: str) -> Suppression | None:
    from bulkmail.journal import Suppressions
    from bulkmail.smtp.address import AddressError

    with Suppressions.look(campaign.project_state / "project.db") as suppressions:
        try:
            return suppressions.check(address)
        except AddressError:  # a row that was left out for that may be what is asked for
            return None


def _told(one: History | LeftOut, table: Table | None) -> dict[str, Any]:
    """As it is, and the class of each refusal; `read_by` is a row of the user's own."""
    from bulkmail.journal import LeftOut

    told = asdict(one)
    if not isinstance(one, LeftOut):
        for attempt, row in zip(one.attempts, told["attempts"], strict=True):
            refused = attempt.state in ("deferred", "bounced", "expired")
            reading = _reading(attempt, table) if refused else None
            row["class"] = None if reading is None else reading.meaning.value
            row["read_by"] = None if reading is None else reading.whence or None
    return told


def _show(one: History | LeftOut, table: Table | None, *, suppressed: bool) -> None:
    from bulkmail.journal import LeftOut

    if isinstance(one, LeftOut):
        click.echo(printable(f"{one.address}: left out as {one.state}, {one.file}:{one.row}: {one.reason}"))
        return
    click.echo(f"{printable(one.address)}: {one.state.replace('_', ' ')}")
    if one.due is not None:
        click.echo(f"  next attempt due {_utc(one.due)}")
        if one.reason and not (one.attempts and one.reason.endswith(one.attempts[-1].reply)):
            click.echo(f"  it waits for that: {printable(one.reason)}")
    if one.in_flight:
        click.echo("  the end of its message is on its way at this moment")
    if not one.attempts:
        click.echo("  nothing was tried yet")
    for attempt in one.attempts:
        _show_attempt(attempt, table, suppressed=suppressed)


def _show_attempt(attempt: AttemptRow, table: Table | None, *, suppressed: bool) -> None:
    from bulkmail.delivery.retold import in_words

    stage = f" at {attempt.stage.lower()}" if attempt.stage else ""
    click.echo(f"  {_utc(attempt.at)}  {attempt.state.replace('_', ' ')}{stage}")
    if attempt.host:
        # without a source it is not known how the connection was: the run was killed
        way = f" from {attempt.source}, {attempt.tls or 'clear text'}" if attempt.source else ""
        click.echo(f"    {attempt.host} [{attempt.address}]{way}")
    if attempt.reply:
        click.echo(f"    {printable(attempt.reply)}")
    if not attempt.attempted and attempt.stage:
        click.echo("    decided together with others of the same site or domain, without a try of its own")
    due = _utc(attempt.due) if attempt.due is not None else ""
    reading = _reading(attempt, table)
    if words := in_words(attempt.state, reading, due, suppressed=suppressed):
        click.echo(f"    {words}")
        if reading.whence:
            click.echo(printable(f"    read so by the row at {reading.whence}"))
    elif due:
        click.echo(f"    to be tried again at {due}")


def _reading(attempt: AttemptRow, table: Table | None) -> Reading:
    from bulkmail.delivery.retold import retold

    return retold(attempt.stage, attempt.code, attempt.enhanced, attempt.reply, attempt.host, table)


def _utc(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
