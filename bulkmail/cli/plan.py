"""`bulkmail plan`: what a run would do; nothing is frozen, nothing is sent."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulkmail.cli.common import campaign_file, load, print_json, print_table, printable, states, via_option
from bulkmail.cli.screen import counted, live_line, span

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.plan_summary import PlanSummary
    from bulkmail.campaign.rehearse_census import Census
    from bulkmail.campaign.rehearse_result import Prediction
    from bulkmail.message import Composer


@click.command("plan")
@campaign_file
@via_option
@click.option("--top", type=click.IntRange(1), default=10, show_default=True, help="Domains to list.")
@click.option(
    "--rehearse",
    "rehearsing",
    is_flag=True,
    help="Deliver a sample in virtual time to a sandbox that holds the shipped limits: how long it takes, and"
    " what comes of it.",
)
@click.option(
    "--offline", is_flag=True, help="With --rehearse: look up no MX, go by the names of the domains."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(file: Path, via: str | None, top: int, rehearsing: bool, offline: bool, as_json: bool) -> None:
    """Say how many recipients FILE has, who is left out and why, how many transactions that makes and why.

    Recipients of one domain share a transaction where their messages are the same octet for octet: where To
    and Subject are constant, no field of the row is used that differs, and nothing holds a token.
    """
    from bulkmail.campaign.compose import compose
    from bulkmail.campaign.config import missing_files
    from bulkmail.campaign.plan_summary import plan_summary
    from bulkmail.campaign.prepare import list_spec
    from bulkmail.errors import ConfigError
    from bulkmail.journal import Suppressions

    if offline and not rehearsing:
        raise click.UsageError("--offline goes with --rehearse: nothing else of a plan looks anything up")
    campaign = load(file, via)
    census: Census | None = None
    if rehearsing:
        from bulkmail.campaign.rehearse_census import Census

        census = Census()
    if problems := missing_files(campaign):
        raise ConfigError(problems)
    composer = compose(campaign, date=datetime.now(UTC), sealed=False)
    with Suppressions.look(campaign.project_state / "project.db") as suppressions:
        summary = plan_summary(
            list_spec(campaign),
            composer,
            suppressions,
            recipients_per_transaction=campaign.shaping.default.recipients_per_transaction,
            on_missing=campaign.content.on_missing,
            individual=campaign.delivery.transaction == "individual",
            top=top,
            each=None if census is None else census.add,
        )
    found = None if census is None else _rehearsed(campaign, census, offline=offline)
    seconds = least_seconds(campaign, summary)
    reasons = list(why(campaign, composer, summary))
    if as_json:
        facts = {"why": reasons, "fields": sorted(composer.fields), "least_seconds": round(seconds, 1)}
        if found is not None:
            facts["rehearsal"] = found.as_json()
        print_json({"campaign": campaign.campaign, **asdict(summary), **facts})
        return
    _show(campaign, summary, reasons, seconds)
    if found is not None:
        from bulkmail.cli.rehearse import show

        show(campaign, found, offline=offline)


def _rehearsed(campaign: Campaign, census: Census, *, offline: bool) -> Prediction:
    from bulkmail.campaign.rehearse import rehearse

    if not sys.stderr.isatty():
        return rehearse(campaign, census, offline=offline)
    with live_line() as live:
        task = live.add_task("rehearsing", total=None, note="")
        return rehearse(
            campaign,
            census,
            offline=offline,
            progress=lambda done, whole: live.update(task, completed=done, total=whole),
        )


def why(campaign: Campaign, composer: Composer, summary: PlanSummary) -> Iterator[str]:
    """Why there are so many transactions and not fewer, a line each."""
    fields = ", ".join(sorted(composer.fields))
    most = campaign.shaping.default.recipients_per_transaction
    fewer = f"the same octets for everybody would take {summary.transactions_if_same:,}"
    if composer.unique:
        beside = f"{campaign.file.parent.absolute()}/"
        reasons = "; ".join(reason.removeprefix(beside) for reason in composer.unique)
        yield f"everybody gets a message of their own: {reasons}"
        if summary.transactions_if_same < summary.transactions:
            yield fewer
        return
    if composer.personal:
        alone = summary.recipients - summary.sharing
        yield f"the message uses {fields}: who agrees in that, in one domain, gets the same octets"
        yield f"{summary.sharing:,} recipients share them with others, {alone:,} with nobody"
    else:
        yield "everybody gets the same octets: the message uses no field of the list"
    if campaign.delivery.transaction == "individual":
        yield f"none is shared: delivery.transaction is individual; {fewer}"
    else:
        yield f"up to {most:,} of one domain share a transaction (shaping.default.recipients_per_transaction)"
        if composer.personal and summary.transactions_if_same < summary.transactions:
            yield fewer


def least_seconds(campaign: Campaign, summary: PlanSummary) -> float:
    """A lower bound for the duration: the biggest domain under the message rate of its site."""
    biggest = max((domain.transactions for domain in summary.top), default=0)
    return biggest / campaign.shaping.default.message_rate.per_second


def _show(campaign: Campaign, summary: PlanSummary, reasons: Sequence[str], seconds: float) -> None:
    source = summary.totals["source"]
    click.echo(f"{campaign.campaign}: {source:,} rows, {summary.recipients:,} recipients")
    click.echo(
        f"  of {summary.domains:,} domains, {summary.seeds:,} of them seeds, via {campaign.delivery.via}"
    )
    print_table([(f"  {name}", count) for name, count in states(summary.totals)], right=(1,))
    for reason in summary.reasons:
        first = f"{reason.first.file}:{reason.first.row}" if reason.first.file else "seeds"
        told = (
            f"  {reason.state} {reason.rows:,}: {reason.reason or reason.first.reason}; the first is {first}"
        )
        click.echo(printable(told))
    click.echo(counted(summary.transactions, "transaction"))
    for line in reasons:
        click.echo(printable(f"  {line}"))
    if seconds >= 1:
        rate = campaign.shaping.default.message_rate
        click.echo(
            f"at least {span(seconds)} for the biggest domain, at {rate} (shaping.default.message_rate)"
        )
    if summary.top:
        click.echo()
        print_table(
            [(one.domain, f"{one.recipients:,}", f"{one.transactions:,}") for one in summary.top],
            header=("domain", "recipients", "transactions"),
            right=(1, 2),
        )
