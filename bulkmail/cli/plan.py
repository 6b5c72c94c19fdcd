"""`bulkmail plan`: what a run would do; nothing is frozen, nothing is sent."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bulkmail.cli.common import campaign_file, load, print_json, print_table, printable, states, via_option
from bulkmail.cli.screen import counted, live_line, span

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.duration import ProviderPlan
    from bulkmail.campaign.own_replies import OwnRow
    from bulkmail.campaign.plan_summary import PlanSummary
    from bulkmail.campaign.rehearse_census import Census
    from bulkmail.campaign.rehearse_result import Prediction
    from bulkmail.campaign.source_plan import SourcePlan
    from bulkmail.message import Composer

LOOKED_UP = 1_000  # domains, the largest: mostly nine in ten recipients are there
DNS_S = 10.0  # for all look-ups together


@click.command("plan")
@campaign_file
@via_option
@click.option(
    "--top", type=click.IntRange(1), default=10, show_default=True, help="Domains and providers to list."
)
@click.option(
    "--rehearse",
    "rehearsing",
    is_flag=True,
    help="Deliver a sample in virtual time to a sandbox that holds the shipped limits: how long it takes, and"
    " what comes of it.",
)
@click.option(
    "--offline", is_flag=True, help="Look up no MX. With --rehearse: go by the names of the domains."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def command(file: Path, via: str | None, top: int, rehearsing: bool, offline: bool, as_json: bool) -> None:
    """Say how many recipients FILE has, who is left out and why, how many transactions that makes and why.

    Recipients of one domain share a transaction where their messages are the same octet for octet: where To
    and Subject are constant, no field of the row is used that differs, and nothing holds a token.

    For each provider: which limit binds, whence it is, and how long the mail will take under it.
    """
    from bulkmail.campaign.compose import compose
    from bulkmail.campaign.config import missing_files
    from bulkmail.campaign.egress import check_sources
    from bulkmail.campaign.own_replies import own_rows
    from bulkmail.campaign.plan_summary import plan_summary
    from bulkmail.campaign.prepare import list_spec
    from bulkmail.campaign.source_plan import source_plans, with_warmup
    from bulkmail.errors import ConfigError
    from bulkmail.journal import Suppressions

    campaign = load(file, via)
    census: Census | None = None
    if rehearsing:
        from bulkmail.campaign.rehearse_census import Census

        census = Census()
    if not rehearsing:
        check_sources(campaign)
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
            top=max(top, LOOKED_UP),
            each=None if census is None else census.add,
        )
    found = None if census is None else _rehearsed(campaign, census, offline=offline)
    plans = provider_plans(campaign, summary, offline=offline)
    sources = source_plans(campaign, plans, now := time.time())
    plans = with_warmup(campaign, plans, sources, now)
    summary = replace(summary, top=summary.top[:top])
    reasons = list(why(campaign, composer, summary))
    own = campaign.shaping.replies
    rows = own_rows(own) if own is not None else []
    if as_json:
        facts: dict[str, Any] = {
            "why": reasons,
            "fields": sorted(composer.fields),
            "least_seconds": round(max((one.least_s for one in plans), default=0.0), 1),
            "expected_seconds": round(max((one.seconds for one in plans), default=0.0), 1),
            "providers": [one.as_json() for one in plans],
            "sources": [one.as_json() for one in sources],
        }
        if own is not None:
            facts["replies"] = {"file": str(own), "rows": [{"at": row.whence, **row.given} for row in rows]}
        if found is not None:
            facts["rehearsal"] = found.as_json()
        print_json({"campaign": campaign.campaign, **asdict(summary), **facts})
        return
    _show(
        campaign, summary, reasons, plans[:top], [replace(one, warming=one.warming[:top]) for one in sources]
    )
    _show_replies(rows)
    if found is not None:
        from bulkmail.cli.rehearse import show

        show(campaign, found, offline=offline)


def _show_replies(rows: Sequence[OwnRow]) -> None:
    """The user's own, which are read before the built-in table."""
    if rows:
        click.echo()
        click.echo("replies of your own, read before the built-in table:")
        print_table([(f"  {printable(row.whence)}", printable(row.told())) for row in rows])


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


def provider_plans(campaign: Campaign, summary: PlanSummary, *, offline: bool) -> list[ProviderPlan]:
    """By provider, as far as name servers say who that is; a relay is the only site there is."""
    from bulkmail.campaign.duration import by_provider
    from bulkmail.campaign.plan_summary import DomainCount
    from bulkmail.campaign.rules import rules_of

    via, counts = campaign.delivery.via, summary.top
    rest = DomainCount(
        "",
        summary.recipients - sum(one.recipients for one in counts),
        summary.transactions - sum(one.transactions for one in counts),
    )
    if via.kind == "relay":
        everybody = DomainCount("", summary.recipients, summary.transactions)
        plans = by_provider([everybody], {"": via.host}, rules_of(campaign))
        return [replace(one, domains=summary.domains) for one in plans if one.recipients]
    sites = (
        _looked_up(campaign, [one.domain for one in counts])
        if via.kind == "mx" and not offline and counts
        else {}
    )
    return by_provider(counts, sites, rules_of(campaign), rest)


def _looked_up(campaign: Campaign, domains: Sequence[str]) -> dict[str, str]:
    from bulkmail.cli.lookup import asking
    from bulkmail.dns.resolver import system_nameservers
    from bulkmail.dns.sites import sites_of

    servers = campaign.delivery.resolvers or system_nameservers()
    return asking(servers, lambda resolver: sites_of(domains, resolver, DNS_S), result=dict)


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


def _show(
    campaign: Campaign,
    summary: PlanSummary,
    reasons: Sequence[str],
    plans: Sequence[ProviderPlan],
    sources: Sequence[SourcePlan],
) -> None:
    from bulkmail.campaign.duration import special

    source = summary.totals["source"]
    click.echo(f"{campaign.campaign}: {counted(source, 'row')}, {counted(summary.recipients, 'recipient')}")
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
    if plans:
        slowest = max(plans, key=lambda one: one.seconds)
        if slowest.seconds >= 1:
            click.echo(
                f"about {span(slowest.seconds)}, if nobody defers; what takes longest: {slowest.provider}"
            )
        click.echo()
        print_table(
            [
                (
                    one.provider,
                    f"{one.recipients:,}",
                    f"{one.domains:,}",
                    span(one.seconds),
                    printable(one.told),
                )
                for one in plans
            ],
            header=("provider", "recipients", "domains", "takes", "what binds"),
            right=(1, 2, 3),
        )
        for one in plans:
            if also := special(one.limits):
                click.echo(printable(f"{one.provider} also: {', '.join(also)}"))
    for line in (line for one in sources for line in one.told()):
        click.echo(printable(line))
    if summary.top:
        click.echo()
        print_table(
            [(one.domain, f"{one.recipients:,}", f"{one.transactions:,}") for one in summary.top],
            header=("domain", "recipients", "transactions"),
            right=(1, 2),
        )
