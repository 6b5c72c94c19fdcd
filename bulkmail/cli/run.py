"""`bulkmail run`: plan if needed, ask before a real send, deliver, say what became of everybody."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from bulkmail.cli.common import campaign_file, importing, load, printable, via_option
from bulkmail.errors import BulkmailError, CampaignPaused, ConfigError, StoreError

if TYPE_CHECKING:
    from bulkmail.campaign.config import Campaign
    from bulkmail.campaign.outcome import Threshold
    from bulkmail.campaign.prepare import Prepared
    from bulkmail.campaign.runner import Outcome, Until
    from bulkmail.cli.screen import Screen

SAMPLES = 3
REFUSED = 2  # exit code: campaign, list or content cannot be used as they stand
STOPPED = 5  # exit code: some are pending or deferred, run again


@click.command("run")
@campaign_file
@via_option
@click.option(
    "--until",
    default="settled",
    show_default=True,
    metavar="settled|first-pass|DURATION",
    help="When to stop although some are deferred.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Hand out at most N recipients this time.")
@click.option("--yes", is_flag=True, help="Do not ask before a real send.")
@click.option("--new", "new_state", is_flag=True, help="Nothing was sent before: make the state directory.")
@click.option(
    "--accept-changes",
    default="",
    metavar="WHAT",
    help="Go on with those who remain though recipients, content, delivery (a comma between) have changed.",
)
@click.option("--json", "as_json", is_flag=True, help="One event a line on standard output.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="STATE=MOST",
    help="Exit code 4 where more are in it when all are settled: bounced=5%, invalid=0. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Plan, render and sign everything; open no connection.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Processes; default: delivery.workers.")
def command(
    file: Path,
    via: str | None,
    until: str,
    limit: int | None,
    yes: bool,
    new_state: bool,
    accept_changes: str,
    as_json: bool,
    fail_on: tuple[str, ...],
    dry_run: bool,
    workers: int | None,
) -> int:
    """Send the campaign in FILE, or go on with it after any interruption.

    Nobody who is settled is ever sent to again: running a finished campaign does nothing. The first Ctrl-C
    finishes open messages, a second one stops at once.

    With --dry-run the list is read and every message rendered and signed, and what that brought is told:
    sizes, rate, each problem. No connection is opened, no name is looked up, and nothing is kept.
    """
    with importing():
        import trio  # noqa: F401 - what _deliver imports, all at once

        from bulkmail.campaign import prepare, runner  # noqa: F401
        from bulkmail.cli.screen import Screen

    campaign = load(file, via, secrets=True)
    if dry_run:
        if fail_on:
            raise click.UsageError("--fail-on means nothing with --dry-run")
        return _rehearsed(campaign, until, limit, accept_changes, workers, as_json=as_json)
    stop = replace(parse_until(until), fail_on=parse_fail_on(fail_on))
    accept = prepare.parse_accept(accept_changes)
    if prepare.state_is_missing(campaign) and not new_state:
        _ask(
            f"There is no state directory {campaign.state}, or nothing in it. Either nothing was sent from "
            "here yet, or it was lost, and then everybody would be sent to again. Begin anew?",
            "say that this is right with --new",
        )
    named = f"{file} --via {via}" if via else str(file)
    screen = Screen(as_json=as_json, file=named)
    try:
        with screen, prepare.prepared(campaign, accept=accept, anew=new_state, tell=screen.tell) as ready:
            if ready.must_confirm and not yes:
                _show(ready)
                _ask("Send?", "a real send needs --yes")
            ready.freeze()
            over = ready.resumed and not prepare.sendable(ready.store.totals())
            outcome = _deliver(ready, screen, stop, limit, workers or campaign.delivery.workers)
    except CampaignPaused as stands:
        for line in stands.evidence:
            screen.say(printable(f"  {line}"))
        raise CampaignPaused(f"{campaign.campaign} is {stands}. To go on: bulkmail resume {named}") from None
    if outcome is None:
        return STOPPED
    screen.finish(campaign.campaign, outcome)
    if over and not as_json:
        screen.say("Everybody was settled before this run. A new send needs a new campaign name.")
    if campaign.delivery.via.kind == "sandbox" and outcome.delivered and not as_json:
        from bulkmail.campaign.road import rehearsed_mail

        screen.say("A rehearsal: nothing left this machine. The first 1,000 messages are in")
        screen.say(f"{rehearsed_mail(campaign)}/maildir/new")
    return outcome.exit


def _rehearsed(
    campaign: Campaign,
    until: str,
    limit: int | None,
    accept_changes: str,
    workers: int | None,
    *,
    as_json: bool,
) -> int:
    """A dry run is always of the whole list as it is now. Raises click.UsageError for what says otherwise."""
    from bulkmail.cli.dry_run import dry_run

    if until != "settled" or limit is not None or accept_changes or workers is not None:
        raise click.UsageError("--until, --limit, --accept-changes and --workers mean nothing with --dry-run")
    return dry_run(campaign, as_json=as_json)


def _deliver(
    ready: Prepared, screen: Screen, until: Until, limit: int | None, workers: int | Literal["auto"]
) -> Outcome | None:
    """The run; None where it was broken off, and then why has been said."""
    import trio

    from bulkmail.campaign import runner
    from bulkmail.campaign.events import event
    from bulkmail.campaign.memory import settle_memory
    from bulkmail.campaign.workers.worth import worth

    try:
        settle_memory()
        count = worth(ready, workers)
        if count == 1:
            return trio.run(partial(runner.run, ready, tell=screen.tell, until=until, limit=limit))
        from bulkmail.campaign.workers.crew import hired  # before there is a loop: it forks

        with hired(ready, count) as (ours, crew):
            return trio.run(partial(runner.run, ours, tell=screen.tell, until=until, limit=limit, crew=crew))
    except BaseExceptionGroup as group:
        stopped, others = group.split(BulkmailError)
        if stopped is None or others is not None:
            raise
        error = _first(stopped)
    except BulkmailError as alone:
        error = alone
    if isinstance(error, ConfigError):  # running again changes nothing until that is mended
        screen.tell(event("stopped", ready.campaign, reason=str(error), exit=REFUSED))
        raise error
    screen.tell(event("stopped", ready.campaign, reason=str(error), exit=STOPPED))
    screen.say(f"bulkmail: {error}")
    kept = "what is recorded holds" if isinstance(error, StoreError) else "nobody was lost"
    screen.say(f"The run stopped; {kept}. Run the same command again once that is mended.")
    return None


def _first(group: BaseExceptionGroup[BulkmailError]) -> BulkmailError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")


def parse_until(text: str) -> Until:
    """`settled`, `first-pass` or a duration. Raises click.BadParameter."""
    from bulkmail.campaign.runner import Until
    from bulkmail.campaign.units import parse_duration

    if text == "settled":
        return Until()
    if text == "first-pass":
        return Until(first_pass=True)
    try:
        return Until(seconds=parse_duration(text))
    except ValueError as error:
        raise click.BadParameter(f"write settled, first-pass or a duration ({error})") from None


def parse_fail_on(texts: Iterable[str]) -> tuple[Threshold, ...]:
    """Raises click.BadParameter."""
    from bulkmail.campaign.outcome import Threshold

    try:
        return tuple(Threshold.parse(part) for text in texts for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--fail-on") from None


def _show(ready: Prepared) -> None:
    """What is about to be sent, to whom, and what it looks like."""
    import email
    import email.policy

    from bulkmail.campaign.prepare import sendable

    campaign = ready.campaign
    totals = ready.store.totals()
    click.echo(f"{campaign.campaign}: a real send via {campaign.delivery.via}", err=True)
    click.echo(f"  recipients  {sendable(totals):,} of {totals['source']:,} rows", err=True)
    click.echo(f"  from        {campaign.from_}", err=True)
    click.echo(f"  subject     {campaign.subject}", err=True)
    for one in ready.store.fetch([(1, SAMPLES)]):
        headers = email.message_from_bytes(
            ready.composer.render(one.address, one.fields), policy=email.policy.default
        )
        sample = f"to {one.address}: To: {headers['To']}, Subject: {headers['Subject']}"
        click.echo(f"  sample      {printable(sample)}", err=True)


def _ask(question: str, otherwise: str) -> None:
    """Go on if the answer is yes. Raises ConfigError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} There is no terminal to ask at: {otherwise}.")
    click.confirm(question, abort=True, err=True)
